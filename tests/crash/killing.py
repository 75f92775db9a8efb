"""One kill and what follows it: where to kill, the run that dies, the run that resumes, and what must hold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby, product, zip_longest

from infra.errors import Code
from infra.rotation.execution import Verdict
from tests.crash.cases import Case
from tests.crash.guillotine import UNLOCK, Call, KillPoint, When
from tests.crash.scene import Scene

GOOD = (Verdict.ROTATED, Verdict.NOTHING_TO_DO)


class NextId(StrEnum):
    """Which rotation id the run after the kill is given."""

    SAME = "the same id"
    ANOTHER = "another id"
    NONE = "no id"


@dataclass(frozen=True)
class Kill:
    """Where a rotation dies, and how the next run is started.

    Args:
        point: where.
        next_id: what the next run is given.
        is_in_read: whether the call changes nothing.
    """

    point: KillPoint
    next_id: NextId
    is_in_read: bool = False

    def __str__(self) -> str:
        point = self.point
        where = "at the end of" if point.when is When.BOUNDARY else f"{point.when} {point.call} in"
        which = (f"{name} {count}" for name, count in (("visit", point.visit), ("call", point.occurrence)) if count > 1)
        return " ".join((where, f"'{point.step}'", *which)) + f", then {self.next_id}"


def list_kills(calls: Sequence[Call]) -> Iterator[Kill]:
    """Yield every kill of a rotation that made these calls.

    Before and after each write, and at the end of each step, the next run is given the same id and another one. To die
    before a read is to die after the call before it, so a rotation is killed once in each read, even if a step repeats
    it; so it is in renewals of the lock. There the next run has the same id and none alternately.
    """
    seen: set[tuple[str, str]] = set()
    for (step, visit), group in groupby(calls, lambda call: (call.step, call.visit)):
        for call in group:
            if call.writes:
                for when, next_id in product((When.BEFORE, When.AFTER), (NextId.SAME, NextId.ANOTHER)):
                    yield Kill(KillPoint(step, call.name, when, visit, call.occurrence), next_id)
            elif (step, call.name) not in seen:
                seen.add((step, call.name))
                next_id = NextId.NONE if len(seen) % 2 else NextId.SAME
                yield Kill(KillPoint(step, call.name, When.AFTER, visit, call.occurrence), next_id, is_in_read=True)
        if step != UNLOCK:
            for next_id in (NextId.ANOTHER, NextId.SAME):
                yield Kill(KillPoint(step, "", When.BOUNDARY, visit), next_id)


def in_turns(kills: Sequence[Kill]) -> list[Kill]:
    """Return the kills so that the steps take turns, the most telling kill of each first: a few of them go everywhere.

    Most telling is a write that was executed and that nobody knows of, then the step's end, then a write that was never
    made; these take turns, too. The reads come last.
    """
    steps = dict.fromkeys(kill.point.step for kill in kills)
    return _take_turns(*(_sort_step([kill for kill in kills if kill.point.step == step]) for step in steps))


def _sort_step(kills: Sequence[Kill]) -> list[Kill]:
    telling = [kill for kill in kills if not kill.is_in_read]
    ways = (When.AFTER, When.BOUNDARY, When.BEFORE)
    turns = _take_turns(*([kill for kill in telling if kill.point.when is when] for when in ways))
    return [*turns, *(kill for kill in kills if kill.is_in_read)]


def _take_turns(*groups: Sequence[Kill]) -> list[Kill]:
    return [kill for turn in zip_longest(*groups) for kill in turn if kill]


def kill_and_resume(scene: Scene, case: Case, kill: Kill, rotation_id: str) -> str:
    """Kill a rotation, check what is left, run again, and check that all is well. Return where it died.

    Args:
        scene: where.
        case: what is rotated, and how.
        kill: where it dies.
        rotation_id: the id of the rotation.
    """
    before = scene.newest(case.credential)
    killed = scene.zygote.run(case.credential, case.options(), kill.point, fresh_id=rotation_id)
    assert killed.killed_at or killed.verdict in GOOD, killed
    case.check_after_kill(scene, before)
    next_id = {NextId.SAME: rotation_id, NextId.ANOTHER: f"{rotation_id}-b", NextId.NONE: ""}[kill.next_id]
    unfinished = scene.unfinished(case.credential)
    ended = scene.zygote.run(case.credential, case.options(next_id))
    if ended.code in (Code.UNKNOWN_ROTATION, Code.GRACE):
        assert ended.verdict == Verdict.REFUSED
        is_grace = ended.code == Code.GRACE
        assert is_grace or not unfinished, "an unfinished rotation is resumed, whatever the id"
        ended = scene.zygote.run(case.credential, case.options(rotation_id if is_grace else ""))
    assert ended.verdict in GOOD, (killed.killed_at, ended.verdict, ended.message)
    case.check_after_rotation(scene, before)
    return killed.killed_at
