"""What the fault tests share: breaking something in the middle of a rotation, and checking that nothing is lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from itertools import product
from typing import Any
from unittest.mock import patch

from flows.rotate import TaskExecutor
from infra.azure.secrets import KeyVault
from infra.credentials import Credential, Login, Strategy
from infra.rotation.candidate import name_candidate
from infra.rotation.execution import Verdict
from infra.rotation.options import Guards, Sync
from infra.rotation.steps import Action
from testing.bare import NO_GUARDS, Ended, run_rotation
from testing.inventory import listed
from testing.walkthrough import change
from tests.crash.cases import OPTIONS, RECREATE
from tests.crash.scene import SECONDS, Scene

IN_PLACE = change(RECREATE, strategy=Strategy.IN_PLACE)
ALTERNATING = change(RECREATE, strategy=Strategy.ALTERNATING)
VAULT = "*.vault.azure.net"


class Interrupted(BaseException):
    """The run ends where it is."""


def rotate(
    credential: Credential,
    guards: Guards = NO_GUARDS,
    *,
    dry_run: bool = False,
    **changes: Any,
) -> Ended:
    """Run a rotation in this process, express by default, with a token of its own.

    Args:
        credential: what is rotated.
        guards: when it may start.
        dry_run: show the plan and change nothing.
        changes: options that differ from those of most tests.
    """
    options = OPTIONS.model_copy(update={"sync": Sync.EXPRESS, **changes})
    return Context().run(run_rotation, listed(credential), options, guards, dry_run=dry_run)


def prefix_of(action: Action) -> str:
    """Return how the lines of an action's steps start, whatever their subject."""
    return str(action).partition("{")[0]


@contextmanager
def between(before: Callable[[], object], action: Action, after: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Call `before` ahead of the first step of an action in this process, and `after` behind it, for a block."""
    execute, executed = TaskExecutor.execute, list[Action]()

    def watched(self: TaskExecutor, plan: Any, step: Any) -> None:
        if step.action is not action or executed:
            execute(self, plan, step)
            return
        executed.append(action)
        before()
        try:
            execute(self, plan, step)
        finally:
            after()

    with patch.object(TaskExecutor, "execute", watched):
        yield
    assert executed, f"'{action}' was not reached"


@contextmanager
def nothing_lost(scene: Scene, credential: Credential) -> Iterator[Login]:
    """Check after a block that every version still exists, the newest can be read, and a known login works.

    Yields the login that is current before the block.
    """
    vault, names = scene.vault(credential), credential.secrets.names
    versions, current = {name: _list_ids(vault, name) for name in names}, scene.newest(credential)
    yield current
    for name in names:
        assert versions[name] <= _list_ids(vault, name), f"versions of {name} are gone"
        assert vault.get_latest(name).enabled
    known = _list_known(scene, credential)
    assert any(scene.logs_in(credential, login, SECONDS) for login in known), "no known login works"


def _list_ids(vault: KeyVault, name: str) -> set[str]:
    return {version.version for version in vault.list_versions(name)}


def _list_known(scene: Scene, credential: Credential) -> Iterator[Login]:
    """Yield every login that the vault knows: the newest, the staged, and what else is enabled."""
    yield scene.newest(credential)
    if staged := scene.staged(credential):
        yield staged
    vault, names = scene.vault(credential), credential.secrets.names
    enabled = [
        [vault.read(name, version.version) for version in vault.list_versions(name) if version.enabled]
        for name in names
    ]
    for values in product(*enabled):
        yield credential.secrets.parse(dict(zip(names, values, strict=True)))


def assert_resumes(scene: Scene, credential: Credential, before: Login, *verdicts: Verdict) -> None:
    """Run again without the fault: these verdicts must follow, then `rotated`, and all must be well.

    Args:
        scene: where.
        credential: what is rotated.
        before: the login that must be refused in the end.
        verdicts: how the runs before the last one must end.
    """
    scene.lab.faults.clear_faults()
    for verdict in (*verdicts, Verdict.ROTATED):
        ended = rotate(credential)
        assert ended.verdict is verdict, ended.message
    scene.assert_well(credential, before)


def has_candidate(scene: Scene, credential: Credential) -> bool:
    """Whether a rotation is unfinished."""
    return scene.vault(credential).find_latest(name_candidate(credential.secrets.names)) is not None
