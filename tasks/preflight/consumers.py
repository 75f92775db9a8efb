"""What at the consumers would keep new values from their pods, or the proof from being made."""

from collections.abc import Iterator

from infra.credentials import NO_GRACE, Consumer
from infra.errors import Code, Refused, Unverified
from infra.kubernetes.autoscalers import find_autoscalers
from infra.kubernetes.deliveries import open_delivery
from infra.kubernetes.obstacles import Obstacles, read_obstacles
from infra.kubernetes.pods import find_differing_files
from infra.kubernetes.workloads import open_workload
from infra.rotation.observation import ConsumerFacts, Synced
from infra.rotation.options import Sync
from infra.rotation.preflight import Finding
from infra.rotation.steps import Action
from infra.rotation.strategies import STRATEGIES
from tasks.preflight.registry import Question, check

ANY = "any"
"""Whether a file differs does not matter here, so it is compared with no login's value."""


@check
def obstacles(question: Question) -> Iterator[Finding]:
    """See whether new values get to each consumer's pods."""
    rolled = {step.subject for step in question.plan.steps if step.action is Action.RESTART}
    for facts in question.observation.consumers:
        if facts.consumer.runs_to_an_end:
            yield from find_runs(facts, has_grace=question.credential.grace != NO_GRACE)
            continue
        seen = read_obstacles(question.access.cluster_of(facts.consumer), facts.consumer)
        is_restarted = STRATEGIES[question.credential.strategy].restarts(facts.consumer)
        yield from find_obstacles(facts, seen, is_restarted=is_restarted, is_rolled=facts.workload in rolled)


def find_obstacles(facts: ConsumerFacts, seen: Obstacles, *, is_restarted: bool, is_rolled: bool) -> Iterator[Finding]:
    """Find what keeps new values from a consumer's pods.

    Args:
        facts: the consumer.
        seen: its workload.
        is_restarted: whether the strategy replaces its pods.
        is_rolled: whether it does so by a rollout.
    """
    name = facts.consumer.key
    if seen.pause and is_rolled:
        yield Finding(Refused(Code.PAUSED, name=name, seen=seen.pause))
    if seen.hold and is_rolled:
        yield Finding(Refused(Code.HELD_BACK, name=name, seen=seen.hold))
    if (command := facts.consumer.reload) and command.container not in seen.containers:
        found = f"{command.container} is none of {', '.join(seen.containers)}"
        yield Finding(Refused(Code.CONTAINER_MISSING, name=name, seen=found))
    if seen.environments and not is_restarted and not facts.consumer.is_database:
        found = f"a Secret's values in the environment of {', '.join(seen.environments)}"
        yield Finding(Refused(Code.ENVIRONMENT_STAYS, name=name, seen=found))
    if seen.unread and facts.replicas:
        yield Finding(Refused(Code.NOT_MOUNTED, name=name, seen=f"nothing of {', '.join(seen.unread)}"))
    if seen.parts and not is_restarted:
        yield Finding(Refused(Code.PARTLY_MOUNTED, name=name, seen=f"subPath at {', '.join(seen.parts)}"))
    if is_restarted and seen.controller:
        found = f"its controller is {seen.controller}"
        yield Finding(Refused(Code.OPERATED, name=name, seen=found), is_blocking=False)
    if is_restarted and facts.replicas and not facts.is_ready:
        found = f"{sum(pod.ready for pod in facts.pods)} of {facts.replicas} pods ready"
        yield Finding(Refused(Code.UNSETTLED, name=name, seen=found), is_blocking=False)


def find_runs(facts: ConsumerFacts, *, has_grace: bool) -> Iterator[Finding]:
    """Find the runs that are under way: each keeps the login that it began with, which works on in a grace alone."""
    if facts.pods and not has_grace:
        found = f"running: {', '.join(pod.name for pod in facts.pods)}"
        yield Finding(Refused(Code.RUN_UNDER_WAY, name=facts.consumer.key, seen=found), is_blocking=False)


@check
def autoscalers(question: Question) -> Iterator[Finding]:
    """See whether somebody else scales a database that the strategy stops and starts."""
    restarts = STRATEGIES[question.credential.strategy].restarts
    for consumer in question.credential.consumers:
        if consumer.is_database and restarts(consumer):
            for found in find_autoscalers(question.access.cluster_of(consumer), consumer.workload):
                yield Finding(Refused(Code.AUTOSCALED, name=consumer.key, seen=found), is_blocking=False)


@check
def kept_secrets(question: Question) -> Iterator[Finding]:
    """See whether the Secrets that others keep follow the vault: a wait needs it, and so does one that is absent."""
    for facts in question.observation.consumers:
        error = open_delivery(question.access.cluster_of(facts.consumer), facts.consumer).find_stillness()
        if error and facts.replicas:
            yield Finding(error, is_blocking=question.options.sync is Sync.WAIT or facts.synced is Synced.ABSENT)


@check
def pins(question: Question) -> Iterator[Finding]:
    """See whether the versions of what will be pinned would stay."""
    pinned = {step.subject for step in question.plan.steps if step.action is Action.PIN}
    for consumer in question.credential.consumers:
        delivery = open_delivery(question.access.cluster_of(consumer), consumer)
        if consumer.source_key in pinned and (error := delivery.find_pin_objection()):
            yield Finding(error)


@check
def files(question: Question) -> Iterator[Finding]:
    """Read the files once, where the proof will; where that fails the driver's word counts."""
    values = dict.fromkeys(question.credential.secret_names, ANY)
    for consumer in question.credential.consumers:
        if consumer.is_database or not consumer.secret_key:
            yield from _read_files(question, consumer, values)


def _read_files(question: Question, consumer: Consumer, values: dict[str, str]) -> Iterator[Finding]:
    cluster = question.access.cluster_of(consumer)
    workload = open_workload(cluster, consumer.placed).get()
    files = open_delivery(cluster, consumer).files(workload, values)
    for pod in workload.live_pods.values():
        try:
            find_differing_files(cluster, consumer.workload.namespace, pod, files.values, files.container)
        except Unverified as error:
            yield Finding(error, is_blocking=False)
