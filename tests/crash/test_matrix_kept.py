"""What a bounded run of the matrix leaves to the next one, and when its page calls itself whole."""

from dataclasses import replace
from pathlib import Path

from tests.crash.guillotine import KillPoint, When
from tests.crash.kept import Kept
from tests.crash.killing import Kill, NextId
from tests.crash.layouts import ALL_CASES as CASES
from tests.crash.matrix import Share
from tests.crash.table import Result, write_table

KILLS = [
    Kill(KillPoint(step, "PUT secrets/password", When.AFTER), NextId.SAME) for step in ("stage", "publish", "retire")
]
RESULTS = [
    Result(str(case), kill.point.step, str(kill), str(kill.next_id), True, "", 1.0, len(KILLS))
    for case in CASES
    for kill in KILLS
]


def test_a_run_makes_the_kills_that_the_previous_run_left(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.add(0, RESULTS[0])
    assert kept.read() == Kept(tmp_path).read() == [RESULTS[0]]
    share = Share(0, 1, 1.0, "", {(result.case, result.kill) for result in kept.read()})
    assert share.kills(CASES[0], KILLS) == KILLS[1:]
    assert share.kills(CASES[1], KILLS) == KILLS


def test_kills_in_the_same_call_of_another_visit_are_other_kills() -> None:
    point = KILLS[0].point
    points = [point, replace(point, visit=2), replace(point, occurrence=2), replace(point, visit=2, occurrence=2)]
    assert len({str(Kill(point, NextId.SAME)) for point in points}) == len(points)


def test_the_labs_of_a_run_share_the_kills() -> None:
    shares = [Share(number, 2, 1.0, "") for number in (0, 1)]
    made = [kill for share in shares for kill in share.kills(CASES[0], KILLS)]
    assert sorted(map(str, made)) == sorted(map(str, KILLS))


def test_labs_that_found_different_kills_neither_make_one_twice_nor_leave_one_out() -> None:
    everywhere = [Kill(replace(KILLS[0].point, occurrence=number), NextId.SAME) for number in range(1, 40)]
    alone = Kill(replace(KILLS[0].point, visit=2), NextId.SAME)
    found = ([*everywhere, alone], [alone, *everywhere], everywhere)
    made = [str(kill) for number in range(3) for kill in Share(number, 3, 1.0, "").kills(CASES[0], found[number])]
    assert len(made) == len(set(made))
    assert set(map(str, everywhere)) <= set(made)


def test_the_page_is_whole_when_every_kill_of_every_case_was_made() -> None:
    all_of_them = len(RESULTS)
    assert f"the whole matrix: {all_of_them} / {all_of_them} recovered" in write_table(RESULTS)
    assert f"{all_of_them - 1} of some {all_of_them} kills: " in write_table(RESULTS[:-1])
    assert f"3 of some 3 kills (not started: {CASES[1]}; " in write_table(RESULTS[: len(KILLS)])


def test_the_page_names_what_was_not_recovered() -> None:
    lost = replace(RESULTS[0], recovered=False, detail="the lock is held")
    page = write_table([lost, *RESULTS[1:]])
    assert f"{len(RESULTS) - 1} / {len(RESULTS)} recovered" in page
    assert f"- {lost.case}: {lost.kill}: the lock is held" in page
