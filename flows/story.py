"""The whole story: the walkthrough from an empty subscription to a proven rotation, and a report of its rows."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect import flow, get_run_logger
from prefect.flows import Flow
from prefect.states import Completed, Failed

from flows.deploy import deploy
from flows.provision import provision
from flows.rotate import Rotation, rotate
from flows.shell import run_from_shell
from flows.verify_access import verify_access
from flows.verify_login import Verified, verify_login
from infra.errors import KeyturnError
from infra.postgres.database import ServerReport
from infra.rotation.steps import Action
from infra.targets import (
    WALKTHROUGH_CONSUMER,
    AccessOptions,
    AccessRows,
    DeployOptions,
    ProvisionOptions,
    RotationOptions,
    Stack,
    StoryOptions,
    Target,
)
from tasks.story import Row, report_story, see_infrastructure, see_versions
from tasks.timeline import Timeline

IN_CLUSTER, SERVER = "dexter", "dexter-server"
"""The walkthrough's credentials, by their names in the inventory."""
Told = Mapping[str, tuple[str, float]]
"""Row -> what was seen, and how long that took in seconds."""


@dataclass
class Story:
    """What was told so far."""

    stack: Stack
    options: StoryOptions
    rows: list[Row] = field(default_factory=list)
    timeline: Timeline = field(default_factory=Timeline)

    def tell(self, rows: tuple[str, ...], name: str, chapter: Callable[["Story"], Told]) -> None:
        """Tell a chapter; one that fails leaves its rows unproven, with what failed.

        Raises:
            KeyturnError: what the chapter's flow ended with.
        """
        started = time.monotonic()
        try:
            with self.timeline.span(name):
                told = chapter(self)
        except KeyturnError as error:
            took = time.monotonic() - started
            self.rows += [Row(row, str(error), took, False) for row in rows]
            raise
        self.rows += [Row(row, *told[row]) for row in rows]


@flow(name="story", flow_run_name="The walkthrough in {stack.resource_group}", persist_result=False)
def story(stack: Stack = Stack(), options: StoryOptions = StoryOptions()) -> Any:  # noqa: B008
    """Provision, federate, deploy, log in, rotate and prove: S1 to S16, each as its own flow, with a report.

    As it stands, the provisioning's plan is shown alone. Run it again to go on where it stopped.

    Args:
        stack: the names of everything.
        options: how it goes.
    """
    if options.dry_run:
        provision(stack, ProvisionOptions())
        return Completed(name="Planned", message="The plan of the provisioning is shown; nothing was changed")
    told, error = Story(stack, options), None
    try:
        for rows, name, chapter in CHAPTERS:
            get_run_logger().info("%s: %s", ", ".join(rows), name)
            told.tell(rows, name, chapter)
    except KeyturnError as failure:
        error = failure
    report_story(told.rows, told.timeline.spans)
    if error:
        return Failed(name="NotProven", message=str(error), data=error)
    return Completed(name="Proven", message=f"All {len(told.rows)} rows are proven", data=tuple(told.rows))


def _tell(subflow: Flow[Any, Any], *parameters: Any) -> Any:
    """Run a flow as a part of the story and return what it came to.

    Raises:
        KeyturnError: what it failed with.
    """
    state: Any = subflow(*parameters, return_state=True)
    return state.result()


def _provision(story: Story) -> Told:
    started = time.monotonic()
    provisioned = _tell(provision, story.stack, ProvisionOptions(dry_run=False))
    made, took = time.monotonic() - started, time.monotonic()
    seen = see_infrastructure(story.stack)
    took = time.monotonic() - took
    counts = ", ".join(f"{number} {action}" for action, number in provisioned.counts.items())
    return {"S3": (f"{provisioned.verdict}: {counts}", made)} | {row: (text, took) for row, text in seen.items()}


def _access(rows: AccessRows) -> Callable[[Story], Told]:
    def tell(story: Story) -> Told:
        proofs = _tell(verify_access, story.stack, AccessOptions(rows=rows))
        return {one.row: (one.seen, one.took_seconds) for one in proofs}

    return tell


def _deploy(story: Story) -> Told:
    deployed = _tell(deploy, story.stack, DeployOptions(dry_run=False))
    return {
        "S7": (f"{deployed.verdict}: {deployed.changed} objects changed", deployed.took["apply"]),
        "S8": ("the synced Secret and the files in the pod are equal to the vault", deployed.took["verify"]),
        "S9": (f"both workloads run; the database is at {deployed.address.host}", deployed.took["look"]),
    }


def _log_in(row: str, credential: str) -> Callable[[Story], Told]:
    def tell(story: Story) -> Told:
        seen: Verified = _tell(verify_login, credential)
        return {row: (_describe(seen.server), seen.server.took_seconds)}

    return tell


def _rotate(story: Story) -> Told:
    options = RotationOptions(dry_run=False, sync=story.options.sync, data_loss=story.options.data_loss)
    rotation: Rotation = _tell(rotate, _rotation_target(story.stack), options)
    versions = see_versions(story.stack)
    proof: Verified = _tell(verify_login, IN_CLUSTER)
    synced = "both versions in every pod, then equal data in the Secret"
    waited = rotation.seconds(Action.AWAIT_SYNC)
    restarting = (Action.STOP, Action.REFRESH_SECRET, Action.START, Action.AWAIT_READY)
    return {
        "S11": (versions, rotation.seconds(Action.STAGE, Action.PUBLISH, Action.RETIRE)),
        "S12": (synced if waited else "express: not waited for, the new mount fetched them", waited),
        "S13": ("no pod was left, then a new one was ready", rotation.seconds(*restarting)),
        "S14": (f"{proof.server.user} logs in, the old login is refused", rotation.seconds(Action.VERIFY)),
    }


def _rotation_target(stack: Stack) -> Target:
    names = ("resource_group", "cluster", "vault", "username_secret", "password_secret", "namespace")
    database = WALKTHROUGH_CONSUMER.model_copy(update={"namespace": stack.namespace})
    return Target(consumers=(database,), **{name: getattr(stack, name) for name in names})


def _describe(server: ServerReport) -> str:
    names = ", ".join(database.name for database in server.databases)
    tls = f"{server.tls.protocol}, {server.tls.verified_name} verified" if server.tls else "no TLS"
    return f"PostgreSQL {server.server_version} as {server.user} ({tls}): {names}"


CHAPTERS: tuple[tuple[tuple[str, ...], str, Callable[[Story], Told]], ...] = (
    (("S3", "S4", "S5", "S6"), "provision and federate", _provision),
    (("S1", "S2"), "the machine's access", _access(AccessRows.MACHINE)),
    (("S7", "S8", "S9"), "deploy", _deploy),
    (("S10",), "the first login", _log_in("S10", IN_CLUSTER)),
    (("S11", "S12", "S13", "S14"), "rotate", _rotate),
    (("S15",), "the pod's access", _access(AccessRows.POD)),
    (("S16",), "the Flexible Server's login", _log_in("S16", SERVER)),
)

if __name__ == "__main__":
    run_from_shell(story)
