"""What a bounded run of the matrix leaves to the next one, and when its page calls itself whole."""

import subprocess
from dataclasses import replace
from pathlib import Path

from infra.rotation.steps import Action
from testing.labs import ROOT
from tests.crash.guillotine import Call, KillPoint, When
from tests.crash.kept import Kept, describe_code
from tests.crash.killing import Kill, NextId, in_turns, list_kills
from tests.crash.layouts import LAYOUT_CASES
from tests.crash.layouts import MATRIX_CASES as CASES
from tests.crash.matrix import Share
from tests.crash.table import FOOT, HEAD, Result, write_table

CODE = "the code of a commit"
EVERY_KILL = 1_580
"""How many kills the strategies alone have."""
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


def test_the_steps_take_turns_and_each_begins_with_a_write_that_nobody_knows_of() -> None:
    calls = [
        Call(step, 1, name, 1, writes)
        for step in ("stage", "publish")
        for name, writes in (("GET secrets/password", False), ("PUT secrets/password", True))
    ]
    turns = in_turns(list(list_kills(calls)))
    assert [(kill.point.step, kill.point.when, kill.next_id) for kill in turns[:8]] == [
        (step, when, next_id)
        for when, next_id in (
            (When.AFTER, NextId.SAME),
            (When.BOUNDARY, NextId.ANOTHER),
            (When.BEFORE, NextId.SAME),
            (When.AFTER, NextId.ANOTHER),
        )
        for step in ("stage", "publish")
    ]
    assert all(kill.is_in_read for kill in turns[-2:])
    assert sorted(map(str, turns)) == sorted(map(str, list_kills(calls)))


def test_cases_with_few_kills_come_first_and_share_them_among_the_labs() -> None:
    few = replace(CASES[0], most_kills=2)
    made = [kill for number in (0, 1) for kill in Share(number, 2, 1.0, "").kills(few, KILLS)]
    assert sorted(map(str, made)) == sorted(map(str, KILLS[:2]))
    assert [bool(case.most_kills) for case in Share(0, 1, 1.0, "").cases()] == sorted(
        (bool(case.most_kills) for case in CASES), reverse=True
    )


def test_layouts_deliveries_and_a_grace_add_a_quarter_to_the_matrix_at_most() -> None:
    names = [str(case) for case in CASES if case.most_kills]
    assert sum(case.most_kills for case in CASES) <= EVERY_KILL / 4
    assert sum(name.endswith("with a grace") for name in names) == 1
    for delivery in ("files alone", "a Secret that others keep", "an ExternalSecret", "two classes"):
        assert sum(name.endswith(f", {delivery}") for name in names) == 1
    for layout in LAYOUT_CASES:
        assert str(layout) in names


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
    assert f"the whole matrix: {all_of_them} / {all_of_them} recovered" in write_table(RESULTS, CODE)
    assert f"{all_of_them - 1} of some {all_of_them} kills: " in write_table(RESULTS[:-1], CODE)
    assert "made on the code of a commit. " in write_table(RESULTS, CODE)
    assert f"3 of some 3 kills (not started: {CASES[1]}; " in write_table(RESULTS[: len(KILLS)], CODE)


def test_the_page_names_what_was_not_recovered() -> None:
    lost = replace(RESULTS[0], recovered=False, detail="the lock is held")
    page = write_table([lost, *RESULTS[1:]], CODE)
    assert f"{len(RESULTS) - 1} / {len(RESULTS)} recovered" in page
    assert f"- {lost.case}: {lost.kill}: the lock is held" in page


def test_steps_that_differ_in_what_they_are_done_to_share_a_row() -> None:
    steps = [str(action).replace("{subject}", name) for action in Action for name in ("dexter/client", "orders")]
    page = write_table([replace(RESULTS[0], step=step, kill=step) for step in steps], CODE)
    for action in Action:
        assert page.count(f"| {str(action).replace('{subject}', '…')} | 2 / 2 | 2 / 2 |") == 1


def test_the_code_is_named_by_the_commit_that_changed_the_product_last() -> None:
    assert Kept().folder.name in describe_code()
    subject = subprocess.run(
        ["git", "log", "--format=%s"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    assert not subject or any(f"“{line}”" in describe_code() for line in subject.splitlines())


def test_the_page_explains_what_the_matrix_does_now() -> None:
    page = (ROOT / "docs/crash-matrix.md").read_text()
    assert page.startswith(HEAD)
    assert page.endswith(FOOT)
