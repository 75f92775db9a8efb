"""The crash matrix as a page: step by step, how often a rotation was killed there and how often all was well again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from infra.rotation.steps import Action
from tests.crash.layouts import MATRIX_CASES

HEAD = """\
# Crash matrix

A rotation runs in a process of its own and is killed with SIGKILL: around every write to Key Vault, cluster or
database, once before the request leaves and once after it was executed but before the process knows; in every read;
and at the end of every step. Then another process runs the rotation again.

After every kill, from outside: the newest version of every secret is enabled; a login that the vault knows works
(recreate: if the database answers at all); every running client has a username and a password that belong together,
and that work if the strategy promises it. After the next run: its verdict is `rotated`, or `nothing-to-do` if the
killed run had done everything and has the same id; the newest versions are in every mount, Secret and client; they log
in and the previous login does not; every older version is disabled; candidate and lock are gone; data is kept, except
by recreate. With a grace the previous login still works then; the grace is ended before the rest is checked.

The next run is given the same id, an id that no rotation has, or none. Whichever it is, it resumes a rotation that is
unfinished. Where none is, because the kill came before anything was staged or after the end, the run without an id
makes a rotation, and an id that names none is refused (`UnknownRotation`); the run after the refusal is given none
(after a grace has begun: `Grace`, and the run after it is given the same id).

The columns without a further word are the walkthrough's pair, by a mount and a synced Secret: all of their kills are
made. Those around writes and at the ends of steps are made with the same id and with another one, those in reads with
the same id and with none alternately; a rotation is killed once in a read that a step repeats. The other columns
differ from `alternating` or `in-place` by one delivery, one layout or a grace: of each the most telling kills are made,
step by step: after a write, at the step's end, before a write.

Vault, cluster and database are the lab's, with a real PostgreSQL and real HTTP. Prefect's engine is left out, and two
things differ from an ordinary run to save time: the token is requested once, before, and the kubeconfig comes from a
file. `make test-faults` has a sample of this, one rotation killed in one step after the other, and the same for
rotations that are rolled back (`tests/crash/test_crash_*.py`).
"""


FOOT = """
## Faults

Things that go wrong in the middle of a rotation that is not killed. Each is a test (`tests/crash/test_faults_*.py`, and
where another file is named). Each checks that no version is lost, that the newest can be read, that a known login
works, and that a run without the fault ends as `rotated`; where the table says `rolled-back`, that comes before.

| fault | the run ends as |
|---|---|
| Key Vault answers 429 with Retry-After | rotated, after the time it was told |
| Key Vault answers 500 or 503 to a read, a write, a tagging and a deletion | rotated |
| Key Vault executes a write and its answer is lost | rotated; the SDK wrote it twice, one version is retired |
| the role is lost before anything is published | needs-operator |
| the role is lost between username and password (a torn pair) | rolled-back; for good: needs-operator, \
then rolled-back |
| Key Vault refuses the token once; for good | rotated; needs-operator |
| tokens expire within seconds | rotated |
| the caller cannot sign in | refused |
| Azure's clock is a minute ahead, or behind, or set back | rotated |
| Azure's clock is a minute ahead, a client's pod is replaced in the middle, and the rotation fails | rolled-back; \
the client has the previous password |
| the API server restarts while pods are waited for | rotated |
| the API server is away when a step starts | needs-operator |
| watches end with 410 Gone | rotated |
| the Deployment and the lock change in between (409) | rotated |
| the API server executes a write and its answer is lost | needs-operator |
| the sync times out: recreate, alternating | sync-pending; both logins of alternating work \
(recreate: `tests/e2e/test_rotate_negative.py`) |
| the sync times out: in-place | rolled-back (`tests/e2e/test_rotate_in_place.py`) |
| the synced Secret stays stale | rotated by express (`tests/e2e/test_rotate_negative.py`, `test_rotate_in_place.py`) |
| new pods do not start | needs-operator, then rolled-back |
| the database is down before | refused (`tests/e2e/test_rotate_negative.py`) |
| the database goes down before or after its login is changed | needs-operator, then rolled-back |
| the connection is cut before ALTER ROLE, before COMMIT, or after the COMMIT | rolled-back |
| the disk of the flow's host is full at the start; in the middle | refused; rotated |

The full disk is a stand-in: every file that Python opens for writing fails with ENOSPC. These tests have no database of
Prefect.
"""


@dataclass(frozen=True)
class Result:
    """What came of one kill.

    Args:
        case: strategy and sync, and what else it differs by.
        step: in which step it was.
        kill: where exactly, and how the next run was started.
        next_id: which id the next run was given.
        recovered: whether all was well in the end, and nothing wrong in between.
        detail: what was wrong.
        seconds: how long the kill, the next run and the checks took.
        of: how many kills the case has.
    """

    case: str
    step: str
    kill: str
    next_id: str
    recovered: bool
    detail: str
    seconds: float
    of: int


def write_table(results: Sequence[Result], code: str) -> str:
    """Return the page.

    Args:
        results: what came of each kill.
        code: which code they were made on.
    """
    started = {result.case for result in results}
    cases = [str(case) for case in MATRIX_CASES if str(case) in started]
    steps = list(dict.fromkeys(_row_of(result) for case in cases for result in results if result.case == case))
    possible = {case: min(result.of for result in results if result.case == case) for case in cases}
    missing = [str(case) for case in MATRIX_CASES if str(case) not in started]
    whole = not missing and len(results) >= sum(possible.values())
    part = "the whole matrix" if whole else f"{len(results)} of some {sum(possible.values())} kills"
    part += f" (not started: {'; '.join(missing)})" if missing else ""
    lines = [
        HEAD,
        f"This page shows {part}: {_count(results)} recovered, made on {code}. Together they took "
        f"{sum(result.seconds for result in results) / 3600:.1f} hours of a lab's time. To make it again: "
        "`make crash-test`. A run that is bounded (`MINUTES=30`) shares its time among the cases and takes the steps "
        "of each in turn, the most telling kills first; the next run resumes there, as long as the product's code "
        "stays the same.\n",
        "Each cell: recovered / killed.\n",
        f"| step | {' | '.join(cases)} | all |",
        f"|---|{'---:|' * (len(cases) + 1)}",
    ]
    for step in steps:
        lines.append(_row(step, cases, [result for result in results if _row_of(result) == step]))
    lines.append(_row("**all**", cases, results))
    lines.append(
        f"| the case has about | {' | '.join(str(possible[case]) for case in cases)} | {sum(possible.values())} |"
    )
    lines += ["\n| next run | recovered / killed |", "|---|---:|"]
    for next_id in dict.fromkeys(result.next_id for result in results):
        lines.append(f"| {next_id} | {_count([result for result in results if result.next_id == next_id])} |")
    if lost := [result for result in results if not result.recovered]:
        lines += ["\nNot recovered:\n", *(f"- {result.case}: {result.kill}: {result.detail}" for result in lost)]
    return "\n".join((*lines, FOOT))


def _row_of(result: Result) -> str:
    """Return the step without what it is done to: the row that all cases share."""
    for action in Action:
        before, subject, after = str(action).partition("{subject}")
        if subject and re.fullmatch(f"{re.escape(before)}.+{re.escape(after)}", result.step):
            return f"{before}…{after}"
    return result.step


def _row(name: str, cases: Sequence[str], results: Sequence[Result]) -> str:
    cells = [_count([result for result in results if result.case == case]) for case in cases]
    return f"| {name} | {' | '.join(cells)} | {_count(results)} |"


def _count(results: Sequence[Result]) -> str:
    return f"{sum(result.recovered for result in results)} / {len(results)}" if results else ""
