"""The preflight in the vault: whether the new versions can have what the owner's versions have."""

from collections.abc import Iterator, Mapping

from infra.credentials import Credential, Login
from infra.errors import Code, Refused
from infra.postgres.addresses import Address
from infra.rotation.attributes import MOST_TAGS
from infra.rotation.observation import OWN_TAGS
from infra.rotation.preflight import Finding
from infra.rotation.steps import Action
from tasks.preflight.registry import Question, check


@check
def tags(question: Question) -> Iterator[Finding]:
    """Find secrets whose owner has left no room for the tags of a rotation and its rollback."""
    published = [str(step.subject) for step in question.plan.steps if step.action is Action.PUBLISH]
    for name in published:
        count = question.observation.secret(name).newest.owner_tags
        if count + len(OWN_TAGS) > MOST_TAGS:
            where, seen = f"{question.credential.vault}/{name}", f"{count} of the {MOST_TAGS} that Key Vault allows"
            yield Finding(Refused(Code.TOO_MANY_TAGS, name=where, seen=seen))


@check
def derived_secrets(question: Question) -> Iterator[Finding]:
    """Find derived secrets of which more than the login would change: the template or the value is not right."""
    access, credential = question.access, question.credential
    if credential.derived and question.plan.is_beginning and question.works:
        values = {derived.secret: access.vault.read(derived.secret) for derived in credential.derived}
        yield from find_differing(credential, question.current, access.clients_address, values)


def find_differing(
    credential: Credential, current: Login, address: Address, values: Mapping[str, str]
) -> Iterator[Finding]:
    """Find the derived secrets that do not have what their template makes of a login."""
    for derived in credential.derived:
        if values[derived.secret] != derived.render(current, address.host, address.port, address.database):
            where = f"{credential.vault}/{derived.secret}"
            yield Finding(Refused(Code.DERIVED_DIFFERS, name=where), is_blocking=False)
