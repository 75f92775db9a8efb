"""What a new version of a secret has from the one that it replaces: content type, expiry, and its owner's tags. Pure.

Inventories, near-expiry events and policies of the vault's owner rely on them, so a rotation carries them over.
https://learn.microsoft.com/azure/key-vault/secrets/about-secrets#secret-attributes
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from infra.rotation.observation import OWN_TAGS

MOST_TAGS = 15
"""How many tags Key Vault allows a version."""


@dataclass(frozen=True)
class Attributes:
    """What a version says beside its value.

    Args:
        content_type: what kind of value it is; at most 255 characters.
        expires_at: from when on it should not be used.
        not_before: from when on it may be used.
        tags: at most 15.
    """

    content_type: str = ""
    expires_at: datetime | None = None
    not_before: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def carry_over(
    base: Attributes,
    created_at: datetime,
    tags: Mapping[str, str],
    now: datetime,
    expires_after: timedelta | None = None,
) -> Attributes:
    """Return the attributes of a version that replaces another one.

    A version is live as soon as it is written, so its activation is now, if the one before had one.

    Args:
        base: those of the version before.
        created_at: when that one was written.
        tags: the rotation's own; they take the place of an earlier rotation's.
        now: when the new one is written.
        expires_after: how long it lasts; by default as long as the one before.
    """
    now = now.replace(microsecond=0)
    lasts = expires_after or (base.expires_at - created_at if base.expires_at else timedelta(0))
    return Attributes(
        content_type=base.content_type,
        expires_at=now + lasts if lasts > timedelta(0) else None,
        not_before=now if base.not_before else None,
        tags={name: value for name, value in base.tags.items() if name not in OWN_TAGS} | dict(tags),
    )


def stage_like(written: Sequence[Attributes], tags: Mapping[str, str]) -> Attributes:
    """Return the attributes of a candidate: what a policy would deny to one of the secrets it must deny to this one.

    Args:
        written: the attributes of the secrets that will be written, the password's last.
        tags: the candidate's.
    """
    expiries = [attributes.expires_at for attributes in written if attributes.expires_at]
    return Attributes(
        content_type=written[-1].content_type if all(attributes.content_type for attributes in written) else "",
        expires_at=max(expiries) if len(expiries) == len(written) else None,
        tags=dict(tags),
    )
