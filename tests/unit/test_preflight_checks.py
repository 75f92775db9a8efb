"""What the checks make of what they see: which findings block, and which are warnings."""

from dataclasses import replace

import pytest
from rotation_facts import HEALTHY

from infra.credentials import Reload
from infra.errors import AccessDenied, Code, InvalidInput, KeyturnError
from infra.kubernetes.obstacles import Obstacles
from infra.rotation.observation import ConsumerFacts
from tasks.preflight.consumers import find_obstacles
from tasks.preflight.rights import rehearse
from testing.walkthrough import consumer_like

READY: ConsumerFacts = HEALTHY.consumers[0]
CLEAR = Obstacles(pause="", unread=(), parts=(), controller="")
PAUSED, UNMOUNTED = replace(CLEAR, pause="spec.paused is true"), replace(CLEAR, unread=("SecretProviderClass db",))
PART, OPERATED = replace(CLEAR, parts=("/app/password",)), replace(CLEAR, controller="Postgres db")
HELD = replace(CLEAR, hold="updateStrategy.type is OnDelete")
IN_ENVIRONMENT = replace(CLEAR, environments=("client",))
CLIENT = replace(READY, consumer=consumer_like(READY.consumer, name="client", is_database=False))
RELOAD = Reload(container="pooler", command=("reload",))
POOLER = replace(CLIENT, consumer=consumer_like(CLIENT.consumer, name="pooler", reload=RELOAD))
STOPPED = replace(READY, replicas=0, pods=())
UNREADY = replace(READY, settled=False)
NO_DRY_RUN = 'admission webhook "audit.example" does not support dry run'


@pytest.mark.parametrize(
    ("facts", "seen", "is_restarted", "is_rolled", "found"),
    [
        (READY, CLEAR, True, True, {}),
        (READY, PAUSED, True, True, {Code.PAUSED: True}),
        (STOPPED, PAUSED, True, False, {}),
        (READY, PAUSED, True, False, {}),
        (READY, UNMOUNTED, False, False, {Code.NOT_MOUNTED: True}),
        (STOPPED, UNMOUNTED, False, False, {}),
        (READY, PART, False, False, {Code.PARTLY_MOUNTED: True}),
        (READY, PART, True, True, {}),
        (READY, OPERATED, True, True, {Code.OPERATED: False}),
        (READY, OPERATED, False, False, {}),
        (UNREADY, CLEAR, True, True, {Code.UNSETTLED: False}),
        (UNREADY, CLEAR, False, False, {}),
        (STOPPED, CLEAR, True, True, {}),
        (CLIENT, HELD, True, True, {Code.HELD_BACK: True}),
        (CLIENT, HELD, False, False, {}),
        (CLIENT, IN_ENVIRONMENT, False, False, {Code.ENVIRONMENT_STAYS: True}),
        (CLIENT, IN_ENVIRONMENT, True, True, {}),
        (READY, IN_ENVIRONMENT, False, False, {}),
        (POOLER, replace(CLEAR, containers=("pooler", "proxy")), False, False, {}),
        (POOLER, replace(CLEAR, containers=("proxy",)), False, False, {Code.CONTAINER_MISSING: True}),
        (POOLER, replace(IN_ENVIRONMENT, containers=("pooler",)), False, False, {Code.ENVIRONMENT_STAYS: True}),
        (UNREADY, PAUSED, True, True, {Code.PAUSED: True, Code.UNSETTLED: False}),
    ],
)
def test_a_consumer_blocks_where_new_values_would_not_get_to_its_pods(
    facts: ConsumerFacts, seen: Obstacles, is_restarted: bool, is_rolled: bool, found: dict[Code, bool]
) -> None:
    findings = list(find_obstacles(facts, seen, is_restarted=is_restarted, is_rolled=is_rolled))
    assert {finding.error.code: finding.is_blocking for finding in findings} == found
    assert {finding.error.name for finding in findings} <= {facts.consumer.key}


@pytest.mark.parametrize(
    ("error", "code", "is_blocking"),
    [
        (AccessDenied("denied", name="x", seen='admission webhook "policy" denied the request'), "ChangeDenied", True),
        (InvalidInput("invalid", name="x", seen="field is immutable"), "ChangeDenied", True),
        (InvalidInput("rejected", name="x", seen=NO_DRY_RUN), "ChangeUntried", False),
    ],
)
def test_a_change_that_the_cluster_refuses_blocks_and_one_that_cannot_be_tried_is_a_warning(
    error: KeyturnError, code: str, is_blocking: bool
) -> None:
    def write() -> None:
        raise error

    finding = rehearse(write, "deployment dexter/client")
    assert finding is not None
    assert (finding.error.code, finding.error.name, finding.error.seen, finding.is_blocking) == (
        code,
        "deployment dexter/client",
        error.seen,
        is_blocking,
    )


def test_a_change_that_the_cluster_lets_pass_is_no_finding() -> None:
    assert rehearse(lambda: None, "deployment dexter/client") is None
