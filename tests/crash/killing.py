"""One kill and what follows it: where to kill, the run that dies, the run that goes on, and what must hold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby, product

from tests.crash.cases import Case
from tests.crash.guillotine import UNLOCK, Call, Cut, When
from tests.crash.scene import Scene

GOOD = ("Rotated", "NothingToDo")


class NextId(StrEnum):
    """Which rotation id the run after the kill is given."""

    SAME = "the same id"
    ANOTHER = "another id"
    NONE = "no id"


@dataclass(frozen=True)
class Kill:
    """Where a rotation dies, and how the next run is started.

    Args:
        cut: where.
        next_id: what the next run is given.
        is_in_read: whether the call changes nothing.
    """

    cut: Cut
    next_id: NextId
    is_in_read: bool = False

    def __str__(self) -> str:
        cut = self.cut
        where = "at the end of" if cut.when is When.BOUNDARY else f"{cut.when} {cut.call} in"
        which = (f"{name} {count}" for name, count in (("visit", cut.visit), ("call", cut.occurrence)) if count > 1)
        return " ".join((where, f"'{cut.step}'", *which)) + f", then {self.next_id}"


def list_kills(calls: Sequence[Call]) -> Iterator[Kill]:
    """Yield every kill of a rotation that made these calls.

    Around a write, before and after it, and at the end of each step, the next run is given the same id and another
    one. What lies before a read is what lies after the call before it, so a read is died in once, a repeated one too;
    so is a renewal of the lock. There the next run has the same id and none by turns.
    """
    seen: set[tuple[str, str]] = set()
    for (step, visit), group in groupby(calls, lambda one: (one.step, one.visit)):
        for one in group:
            if one.writes:
                for when, next_id in product((When.BEFORE, When.AFTER), (NextId.SAME, NextId.ANOTHER)):
                    yield Kill(Cut(step, one.name, when, visit, one.occurrence), next_id)
            elif (step, one.name) not in seen:
                seen.add((step, one.name))
                next_id = NextId.NONE if len(seen) % 2 else NextId.SAME
                yield Kill(Cut(step, one.name, When.AFTER, visit, one.occurrence), next_id, is_in_read=True)
        if step != UNLOCK:
            yield from (Kill(Cut(step, "", When.BOUNDARY, visit), one) for one in (NextId.SAME, NextId.ANOTHER))


def kill_and_go_on(scene: Scene, case: Case, kill: Kill, name: str) -> str:
    """Kill a rotation, look at what is left, run again, and see that all is well. Return where it died.

    Args:
        scene: where.
        case: what is rotated, and how.
        kill: where it dies.
        name: the id of the rotation.
    """
    before = scene.newest(case.target)
    died = scene.zygote.run(case.target, case.options(name), kill.cut)
    assert died.fell or died.verdict in GOOD, died
    case.check_between(scene, before)
    following = {NextId.SAME: name, NextId.ANOTHER: f"{name}-b", NextId.NONE: ""}[kill.next_id]
    ended = scene.zygote.run(case.target, case.options(following))
    assert ended.verdict in GOOD, (died.fell, ended.verdict, ended.message)
    case.check_after(scene, before)
    return died.fell
