"""Jobs and CronJobs are never restarted: their Secret is refreshed, and a run that is under way is named."""

from dataclasses import replace

import pytest
from rotation_facts import HEALTHY, OPTIONS, POD, T0, subjects

from infra.credentials import Strategy, WorkloadKind
from infra.errors import Code
from infra.rotation.observation import ConsumerFacts, Observation, Synced
from infra.rotation.options import Sync
from infra.rotation.plan import make_plan
from infra.rotation.steps import Action
from infra.rotation.strategies import STRATEGIES
from tasks.preflight.consumers import find_runs
from tasks.reports.rotation import describe_state
from testing.walkthrough import DATABASE, DEXTER, SERVER, change, consumer_like

OWN = DATABASE.delivery.model_copy(update={"synced_secret": "report"})
RUNS = {
    kind: consumer_like(DATABASE, name="report", kind=kind, is_database=False, delivery=OWN)
    for kind in (WorkloadKind.JOB, WorkloadKind.CRON_JOB)
}
CRON_JOB = RUNS[WorkloadKind.CRON_JOB]
RUNNING = replace(POD, name="report-1-x7k2p", versions={}, started_at=T0)
IDLE = ConsumerFacts(CRON_JOB, HEALTHY.consumers[0].uses, Synced.OTHER, 0)
BUSY = replace(IDLE, pods=(RUNNING,))


def observed(*consumers: ConsumerFacts) -> Observation:
    return replace(HEALTHY, consumers=(*HEALTHY.consumers, *consumers), alternates=1)


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("sync", Sync)
def test_a_runs_secret_is_refreshed_and_nothing_else_is_done_to_it(
    kind: WorkloadKind, strategy: Strategy, sync: Sync
) -> None:
    consumer = RUNS[kind]
    endpoint = SERVER.endpoint if strategy is Strategy.MANAGED else DEXTER.endpoint
    credential = change(DEXTER, strategy=strategy, endpoint=endpoint, consumers=(DATABASE, consumer))
    facts = replace(BUSY, consumer=consumer)
    plan = make_plan(credential, OPTIONS.model_copy(update={"sync": sync}), observed(facts), "r1")
    assert consumer.secret_key in subjects(plan, Action.REFRESH_SECRET)
    everything = {str(step.subject) for step in (*plan.steps, *plan.done)}
    assert consumer.key not in everything
    assert not STRATEGIES[strategy].restarts(consumer)


def test_a_source_that_only_runs_mount_is_pinned_too() -> None:
    """A run that begins between the two writes would have one login's name with the other's password."""
    other = consumer_like(CRON_JOB, delivery=OWN.model_copy(update={"secret_provider_class": "report"}))
    credential = change(DEXTER, strategy=Strategy.ALTERNATING, consumers=(DATABASE, other))
    plan = make_plan(credential, OPTIONS, observed(replace(IDLE, consumer=other)), "r1")
    assert other.source_key in subjects(plan, Action.PIN)


def test_a_run_under_way_is_a_warning_unless_a_grace_lets_it_end() -> None:
    (finding,) = find_runs(BUSY, has_grace=False)
    assert (finding.error.code, finding.error.name) == (Code.RUN_UNDER_WAY, "cronjob dexter/report")
    assert (finding.error.seen, finding.is_blocking) == ("running: report-1-x7k2p", False)
    assert list(find_runs(BUSY, has_grace=True)) == []
    assert list(find_runs(IDLE, has_grace=False)) == []


def test_the_report_names_the_runs_that_are_under_way() -> None:
    state = describe_state(observed(BUSY))
    assert state["cronjob dexter/report"] == ("runs under way: report-1-x7k2p since 00:00 UTC, Secret: something else")
    assert describe_state(observed(IDLE))["cronjob dexter/report"].startswith("runs under way: none")
