"""The crash matrix as a page: step by step, how often a rotation was killed there and how often all was well again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.crash.cases import CASES

HEAD = """\
# Crash matrix

A rotation runs in a process of its own and is killed with SIGKILL: around every write to Key Vault, cluster or
database, once before the request leaves and once after it was carried out but not yet known; in every read; and at
the end of every step. Then another process runs the rotation again.

After every kill, from outside: the newest version of both secrets is enabled; a login that the vault tells works
(recreate: if the database answers at all); every running client has a username and a password that belong together,
and one that works where the strategy promises that. After the next run: its verdict is Rotated, or NothingToDo where
the killed run had done everything and has the same id; the newest versions are in every mount, Secret and client; they
log in and the former login does not; every older version is disabled; candidate and lock are gone; data is kept,
except by recreate.

The next run is given the same id, another id (it first finishes the killed rotation, then makes its own), or none
(it takes the killed one up). Kills around writes and at the ends of steps are made with the same id and with another
one, kills in reads with the same id and with none by turns; a read that a step repeats is died in once.

The vault's, the cluster's and the database's side is the lab with a real PostgreSQL and real HTTP. Prefect's engine is
left out, and two things differ from an ordinary run for the sake of speed: the token is got once, before, and the
kubeconfig comes from a file. `make test` has a sample of this, one rotation killed in one step after the other, and
the same for rotations that go back to the old values (`tests/crash/test_crash_*.py`).
"""


FOOT = """
## Faults

Things that go wrong in the middle of a rotation while it lives on. Each is a test (`tests/crash/test_faults_*.py`, and
where another file is named). Each sees that no version is lost, that the newest can be read, that a known login works,
and that a run without the fault ends as Rotated; where the table says RolledBack, that comes before.

| fault | the run ends as |
|---|---|
| Key Vault answers 429 with Retry-After | Rotated, after the time it was told |
| Key Vault answers 500 or 503 to a read, a write, a tagging and a deletion | Rotated |
| Key Vault carries a write out and its answer is lost | Rotated; the SDK wrote it twice, one version is retired |
| the role is lost before anything is published | NeedsOperator |
| the role is lost between username and password (a torn pair) | RolledBack; for good: NeedsOperator, then RolledBack |
| Key Vault refuses the token once; for good | Rotated; NeedsOperator |
| tokens expire within seconds | Rotated |
| the caller cannot sign in | Refused |
| Azure's clock is a minute ahead, or behind, or set back | Rotated |
| Azure's clock is a minute ahead, a client's pod is replaced in the middle, and the rotation goes back | RolledBack; \
the client has the old password |
| the API server restarts while pods are waited for | Rotated |
| the API server is away when a step begins | NeedsOperator |
| watches end with 410 Gone | Rotated |
| the Deployment and the lock change in between (409) | Rotated |
| the API server carries a write out and its answer is lost | NeedsOperator |
| the sync never comes: recreate, alternating | SyncPending; both logins of alternating work \
(recreate: `tests/e2e/test_rotate_negative.py`) |
| the sync never comes: in-place | RolledBack (`tests/e2e/test_rotate_in_place.py`) |
| the synced Secret stays stale | Rotated by express (`tests/e2e/test_rotate_negative.py`, `test_rotate_in_place.py`) |
| new pods do not start | NeedsOperator, then RolledBack |
| the database is down before | Refused (`tests/e2e/test_rotate_negative.py`) |
| the database goes down before or after its login is changed | NeedsOperator, then RolledBack |
| the connection is cut before ALTER ROLE, before COMMIT, or after the COMMIT | RolledBack |
| the disk of the flow's host is full at the beginning; in the middle | Refused; Rotated |

The full disk is a stand-in: every file that Python opens for writing fails with ENOSPC. Prefect's own database is not
there in these tests.
"""


@dataclass(frozen=True)
class Result:
    """What came of one kill.

    Args:
        case: strategy and sync.
        step: in which step it was.
        kill: where exactly, and how the next run was started.
        next_id: which id the next run was given.
        recovered: whether all was well in the end, and nothing amiss in between.
        detail: what was not.
        seconds: how long the kill, the next run and the looks took.
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


def write_table(results: Sequence[Result]) -> str:
    """Return the page."""
    begun = {one.case for one in results}
    cases = [str(case) for case in CASES if str(case) in begun]
    steps = list(dict.fromkeys(one.step for case in cases for one in results if one.case == case))
    possible = {case: min(one.of for one in results if one.case == case) for case in cases}
    missing = [str(case) for case in CASES if str(case) not in begun]
    whole = not missing and len(results) >= sum(possible.values())
    part = "the whole matrix" if whole else f"{len(results)} of some {sum(possible.values())} kills"
    part += f" (not begun: {'; '.join(missing)})" if missing else ""
    lines = [
        HEAD,
        f"This page shows {part}: {_count(results, lambda _: True)} recovered. Together they took "
        f"{sum(one.seconds for one in results) / 3600:.1f} hours of a lab's time. To make it again: `make crash-test`. "
        "A run that is bounded (`MINUTES=30`) takes the steps in turn, and in each step the writes and its end before "
        "the reads; the next one goes on from there, as long as the product's code stays the same.\n",
        "Each cell: recovered / killed.\n",
        f"| step | {' | '.join(cases)} | all |",
        f"|---|{'---:|' * (len(cases) + 1)}",
    ]
    for step in steps:
        lines.append(_row(step, cases, [one for one in results if one.step == step]))
    lines.append(_row("**all**", cases, results))
    lines.append(
        f"| the case has about | {' | '.join(str(possible[case]) for case in cases)} | {sum(possible.values())} |"
    )
    lines += ["\n| next run | recovered / killed |", "|---|---:|"]
    for next_id in dict.fromkeys(one.next_id for one in results):
        lines.append(f"| {next_id} | {_count(results, lambda one, wanted=next_id: one.next_id == wanted)} |")
    if lost := [one for one in results if not one.recovered]:
        lines += ["\nNot recovered:\n", *(f"- {one.case}: {one.kill}: {one.detail}" for one in lost)]
    return "\n".join((*lines, FOOT))


def _row(name: str, cases: Sequence[str], results: Sequence[Result]) -> str:
    cells = [_count(results, lambda one, wanted=case: one.case == wanted) for case in cases]
    return f"| {name} | {' | '.join(cells)} | {_count(results, lambda _: True)} |"


def _count(results: Sequence[Result], is_meant: Callable[[Result], bool]) -> str:
    meant = [one for one in results if is_meant(one)]
    return f"{sum(one.recovered for one in meant)} / {len(meant)}" if meant else ""
