"""The whole story: the walkthrough from an empty subscription to a proven rotation, and a report of its rows."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.flows import Flow
from pydantic import Field

from flows.cli import run_from_shell
from flows.deploy import Deployed, deploy
from flows.provision import Provisioned, provision
from flows.rotate import Rotation, rotate
from flows.verify_access import verify_access
from flows.verify_login import Verified, verify_login
from infra.credentials import Credential
from infra.errors import KeyturnError
from infra.postgres.database import ServerReport
from infra.provisioning.options import AccessRows, ProvisionOptions, Stack, get_stack
from infra.rotation.options import DataLoss, Sync
from infra.rotation.steps import Action
from infra.settings import Settings
from tasks.provisioning.access import Proof
from tasks.provisioning.story import Row, report_story, see_infrastructure, see_versions
from tasks.reports.endings import end, ends_with_own_errors
from tasks.reports.timeline import Timeline

Told = Mapping[str, tuple[str, float]]
"""Row -> what was seen, and how long that took in seconds."""


@dataclass
class Story:
    """What was told so far.

    Args:
        stack: the stack.
        sync: how the rotation's sync goes.
        data_loss: consent to lose the database's data.
        poll_interval_seconds: how often the CSI driver polls.
    """

    stack: Stack
    sync: Sync
    data_loss: DataLoss
    poll_interval_seconds: int
    rows: list[Row] = field(default_factory=list)
    timeline: Timeline = field(default_factory=Timeline)

    @property
    def options(self) -> ProvisionOptions:
        """How the stack is provisioned."""
        return ProvisionOptions(poll_interval_seconds=self.poll_interval_seconds)

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


@flow(name="story", flow_run_name="{stack}: story", persist_result=False)
@ends_with_own_errors
def story(
    stack: str,
    dry_run: bool = True,
    sync: Sync = Sync.WAIT,
    data_loss: DataLoss = "no",
    poll_interval_seconds: Annotated[int, Field(ge=1, le=86400)] = 120,
) -> Any:
    """Provision, federate, deploy, log in, rotate and prove: S1 to S16, each as its own flow, with a report.

    By default only the plan of the provisioning is shown. Run it again to resume where it stopped.

    Args:
        stack: The stack's name: that of its folder below `KEYTURN_STACKS`.
        dry_run: Show the plan of the provisioning and change nothing.
        sync: How the pods get the new versions. wait: by the driver's poll, as in the walkthrough. express: by a
            fresh mount.
        data_loss: Consent to an empty database: the walkthrough's is initialised again by the rotation.
        poll_interval_seconds: How often the CSI driver polls the vault. 120 is AKS's default.
    """
    told = Story(get_stack(stack, Settings()), sync, data_loss, poll_interval_seconds)
    if dry_run:
        provision(stack, advanced=told.options)
        return end("planned", stack, "The plan of the provisioning is shown; nothing was changed.", kind="stack")
    error = None
    try:
        for rows, name, chapter in CHAPTERS:
            get_run_logger().info("%s: %s", ", ".join(rows), name)
            told.tell(rows, name, chapter)
    except KeyturnError as failure:
        error = failure
    report_story(told.rows, told.timeline.spans)
    if error:
        return end("not-proven", stack, kind="stack", error=error)
    return end("proven", stack, f"All {len(told.rows)} rows.", kind="stack", data=tuple(told.rows))


def _tell(subflow: Flow[Any, Any], *parameters: Any, **named: Any) -> Any:
    """Run a flow as a part of the story and return what it came to.

    Raises:
        KeyturnError: what it failed with.
    """
    state: Any = subflow(*parameters, **named, return_state=True)
    return state.result()


def _provision(story: Story) -> Told:
    started = time.monotonic()
    provisioned: Provisioned = _tell(provision, story.stack.name, dry_run=False, advanced=story.options)
    made, took = time.monotonic() - started, time.monotonic()
    seen = see_infrastructure(story.stack)
    took = time.monotonic() - took
    counts = ", ".join(f"{number} {verb}" for verb, number in provisioned.counts.items())
    return {"S3": (f"{provisioned.verdict}: {counts}", made)} | {row: (text, took) for row, text in seen.items()}


def _access(rows: AccessRows) -> Callable[[Story], Told]:
    def tell(story: Story) -> Told:
        proofs: list[Proof] = _tell(verify_access, story.stack.name, rows)
        return {proof.row: (proof.seen, proof.took_seconds) for proof in proofs}

    return tell


def _deploy(story: Story) -> Told:
    deployed: Deployed = _tell(deploy, story.stack.name, dry_run=False)
    assert deployed.address
    return {
        "S7": (f"{deployed.verdict}: {deployed.changed} objects changed", deployed.took["apply"]),
        "S8": ("the synced Secret and the files in the pod are equal to the vault", deployed.took["verify"]),
        "S9": (f"both workloads run; the database is at {deployed.address.host}", deployed.took["look"]),
    }


def _log_in(row: str, choose: Callable[[Stack], Credential]) -> Callable[[Story], Told]:
    def tell(story: Story) -> Told:
        seen = _verify_login(choose(story.stack))
        return {row: (_describe(seen.server), seen.server.took_seconds)}

    return tell


def _rotate(story: Story) -> Told:
    rotation = _rotate_credential(story.stack.database, story)
    versions = see_versions(story.stack)
    proof = _verify_login(story.stack.database)
    synced = "both versions in every pod, then equal data in the Secret"
    waited = rotation.seconds(Action.AWAIT_SYNC)
    restarting = (Action.STOP, Action.REFRESH_SECRET, Action.START, Action.AWAIT_READY)
    return {
        "S11": (versions, rotation.seconds(Action.STAGE, Action.PUBLISH, Action.RETIRE)),
        "S12": (synced if waited else "express: not waited for, the new mount fetched them", waited),
        "S13": ("no pod was left, then a new one was ready", rotation.seconds(*restarting)),
        "S14": (f"{proof.server.user} logs in, the old login is refused", rotation.seconds(Action.VERIFY)),
    }


def _rotate_credential(credential: Credential, story: Story) -> Rotation:
    rotation: Rotation = _tell(rotate, credential.name, False, story.sync, story.data_loss)
    return rotation


def _verify_login(credential: Credential) -> Verified:
    verified: Verified = _tell(verify_login, credential.name)
    return verified


def _describe(server: ServerReport) -> str:
    names = ", ".join(database.name for database in server.databases)
    tls = f"{server.tls.protocol}, {server.tls.verified_name or 'nothing'} verified" if server.tls else "no TLS"
    return f"PostgreSQL {server.server_version} as {server.user} ({tls}): {names}"


CHAPTERS: tuple[tuple[tuple[str, ...], str, Callable[[Story], Told]], ...] = (
    (("S3", "S4", "S5", "S6"), "provision and federate", _provision),
    (("S1", "S2"), "the machine's access", _access(AccessRows.MACHINE)),
    (("S7", "S8", "S9"), "deploy", _deploy),
    (("S10",), "the first login", _log_in("S10", lambda stack: stack.database)),
    (("S11", "S12", "S13", "S14"), "rotate", _rotate),
    (("S15",), "the pod's access", _access(AccessRows.POD)),
    (("S16",), "the Flexible Server's login", _log_in("S16", lambda stack: stack.administrator)),
)

if __name__ == "__main__":
    run_from_shell(story)
