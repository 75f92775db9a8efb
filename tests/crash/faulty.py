"""What the tests of faults share: breaking something in the middle of a rotation, and seeing that nothing is lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from itertools import product
from typing import Any
from unittest.mock import patch

from flows.rotate import Tasks
from infra.azure.secrets import Secrets
from infra.errors import KeyturnError
from infra.rotation.steps import Action
from infra.rotation.verdict import Verdict
from infra.targets import Strategy, Sync, Target
from tasks.credentials import candidate_name
from testing import bare
from tests.crash.cases import OPTIONS
from tests.crash.scene import SECONDS, Pair, Scene

RECREATE = Target()
IN_PLACE = Target(strategy=Strategy.IN_PLACE)
ALTERNATING = Target(strategy=Strategy.ALTERNATING)
VAULT = "*.vault.azure.net"


class Interrupted(BaseException):
    """The run ends where it is."""


@dataclass(frozen=True)
class Ended:
    """How a rotation ended."""

    verdict: Verdict
    message: str
    error: KeyturnError | None

    @property
    def code(self) -> str:
        return self.error.code if self.error else ""


def rotate(target: Target, **changes: Any) -> Ended:
    """Run a rotation in this process, with a token of its own."""
    options = OPTIONS.model_copy(update={"sync": Sync.EXPRESS, **changes})
    return Ended(*Context().run(bare.run_rotation, target, options))


def beginning(action: Action) -> str:
    """How the steps of an action begin, whatever they are done to."""
    return str(action).partition("{")[0]


@contextmanager
def between(begin: Callable[[], object], action: Action, end: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Call `begin` before a step of a rotation in this process and `end` after it, once, for a block."""
    perform, begun = Tasks.perform, list[Action]()

    def watched(self: Tasks, plan: Any, step: Any) -> None:
        if step.action is not action or begun:
            perform(self, plan, step)
            return
        begun.append(action)
        begin()
        try:
            perform(self, plan, step)
        finally:
            end()

    with patch.object(Tasks, "perform", watched):
        yield
    assert begun, f"'{action}' was not reached"


@contextmanager
def nothing_lost(scene: Scene, target: Target) -> Iterator[Pair]:
    """See after a block that every version is still there, the newest can be read, and a known login works."""
    vault, names = scene.vault(target), (target.username_secret, target.password_secret)
    before, present = {name: _ids(vault, name) for name in names}, scene.newest(target)
    yield present
    for name in names:
        assert before[name] <= _ids(vault, name), f"versions of {name} are gone"
        assert vault.get_latest(name).enabled
    assert any(scene.logs_in(target, pair, SECONDS) for pair in _known(scene, target)), "no known login works"


def _ids(vault: Secrets, name: str) -> set[str]:
    return {one.version for one in vault.list_versions(name)}


def _known(scene: Scene, target: Target) -> Iterator[Pair]:
    """Yield every login that the vault tells: the newest, the staged, and what else is enabled."""
    yield scene.newest(target)
    if staged := scene.staged(target):
        yield staged
    vault = scene.vault(target)
    enabled = [
        [vault.read(name, one.version) for one in vault.list_versions(name) if one.enabled]
        for name in (target.username_secret, target.password_secret)
    ]
    yield from product(*enabled)  # type: ignore[misc]


def assert_goes_on(scene: Scene, target: Target, before: Pair, *verdicts: Verdict) -> None:
    """Run again without the fault until these verdicts were seen, and see that all is well."""
    scene.lab.faults.clear_faults()
    for verdict in (*verdicts, Verdict.ROTATED):
        ended = rotate(target)
        assert ended.verdict is verdict, ended.message
    scene.assert_well(target, before)


def has_candidate(scene: Scene, target: Target) -> bool:
    """Whether a rotation is unfinished."""
    return scene.vault(target).find_latest(candidate_name(target)) is not None
