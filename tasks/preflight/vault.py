"""The preflight in the vault: whether the new versions can have what the owner's versions have."""

from collections.abc import Iterator

from infra.errors import Code, Refused
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
