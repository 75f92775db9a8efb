"""A rotation by the walkthrough's script, by `rotate` in both syncs, and the pod's own restart:
`python -m benchmarks.rotation_speed`.

The driver polls every two minutes, as on AKS: the script waits that long, the sync `wait` at most that long, and
`express` not at all. All four are measured in turn against one lab. The flow runs in this process against a Prefect
server that is up, as in a worker; what a shell's command costs on top is measured beside it.
"""

import os
import subprocess
import sys
from collections import defaultdict

from benchmarks.common import ROOT, Result, Row, run_alone, say, timed
from infra.rotation.options import Sync
from infra.rotation.steps import Action
from testing.inventory import listed
from testing.prefect_server import prefect_server
from testing.rotating import CONSENT, World, parameters, running_stack
from testing.walkthrough import DEXTER

POLL_SECONDS, ROUNDS, EXPRESS_PER_ROUND = 120, 2, 5
QUICK_POLL_SECONDS, QUICK_ROUNDS = 5, 1
TIMES, RESTARTS, PATIENCE_SECONDS = 10.0, 1.15, 300
DOWN = (Action.STOP, Action.REFRESH_SECRET, Action.START, Action.AWAIT_READY)

RESTART = """
kubectl scale deploy postgres-pod-kv --replicas=0 -n dexter
kubectl scale deploy postgres-pod-kv --replicas=1 -n dexter
kubectl rollout status deploy postgres-pod-kv -n dexter --timeout=120s
until psql -h "$HOST" -U "$PGUSER" -d postgres -c 'SELECT 1' > /dev/null; do sleep 0.05; done
"""


def run(*argv: str, **variables: str) -> None:
    """Run a command with the lab's variables and tools; what it says is shown when it fails."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    if done.returncode:
        sys.exit(f"{argv[0]} failed:\n{done.stdout}{done.stderr}")


class Bench:
    """Takes the times, by what was done.

    Args:
        world: the stack.
        poll_seconds: how often the driver looks.
    """

    def __init__(self, world: World, poll_seconds: int) -> None:
        self.world, self.poll_seconds = world, poll_seconds
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.steps: dict[str, list[float]] = defaultdict(list)

    def by_script(self) -> None:
        """The walkthrough."""
        script = str(ROOT / "benchmarks/walkthrough.sh")
        self.seconds["script"].append(timed(lambda: run("bash", script, str(self.poll_seconds))))

    def restart(self) -> None:
        """What Kubernetes itself needs, with nothing rotated: scale, be ready, log in."""
        username, password = self.world.values()
        variables = {"HOST": self.world.database.address.host, "PGUSER": username, "PGPASSWORD": password}
        self.seconds["restart"].append(timed(lambda: run("bash", "-ec", RESTART, **variables)))

    def by_flow(self, sync: Sync, keep: bool = True) -> None:
        """Our flow, in this process."""
        from flows.rotate import Rotation, rotate

        given = parameters(sync=sync, sync_timeout_seconds=PATIENCE_SECONDS)
        found: list[Rotation] = []
        took = timed(lambda: found.append(rotate(**given)))
        if not keep:
            return
        self.seconds[sync.value].append(took)
        if sync is Sync.EXPRESS:
            self.seconds["down"].append(found[0].seconds(*DOWN))
            for span in found[0].spans:
                self.steps[span.label].append(span.seconds)

    def by_command(self) -> None:
        """Our flow from a shell: Python's start and the imports are in it."""
        given = [listed(DEXTER), "--no-dry-run", "--sync", "express", "--data-loss", CONSENT]
        argv = [sys.executable, "-m", "flows.rotate", *given]
        self.seconds["command"].append(timed(lambda: run(*argv)))


def measure(quick: bool) -> Result:
    """Measure all of it in turn."""
    poll_seconds, rounds = (QUICK_POLL_SECONDS, QUICK_ROUNDS) if quick else (POLL_SECONDS, ROUNDS)
    with prefect_server(), running_stack(poll_seconds) as world:
        bench = Bench(world, poll_seconds)
        bench.by_flow(Sync.EXPRESS, keep=False)
        for number in range(1, rounds + 1):
            say(f"round {number} of {rounds}: script, wait, express, restarts")
            bench.by_script()
            bench.by_flow(Sync.WAIT)
            for _ in range(EXPRESS_PER_ROUND):
                bench.by_flow(Sync.EXPRESS)
                bench.restart()
            bench.by_command()
    return _result(bench, poll_seconds)


def _result(bench: Bench, poll_seconds: int) -> Result:
    found = bench.seconds
    script, restart = Row("", found["script"]).median, Row("", found["restart"]).median
    express, down = Row("", found["express"]).median, Row("", found["down"]).median
    steps = sorted(bench.steps.items(), key=lambda item: -Row("", item[1]).median)[:5]
    longest = ", ".join(f"{label} {Row('', values).median:.2f} s" for label, values in steps)
    faster = f"{TIMES:g} x faster than the script" if poll_seconds == POLL_SECONDS else ""
    return Result(
        f"A rotation with the strategy recreate, the driver polling every {poll_seconds} s",
        [
            Row(f"the walkthrough's script, which sleeps {poll_seconds} s", found["script"]),
            Row("flow `rotate`, sync wait", found["wait"]),
            Row(
                "flow `rotate`, sync express",
                found["express"],
                goal=faster,
                reached=express * TIMES <= script if faster else None,
            ),
            Row("the same as a shell's command, Python's start included", found["command"]),
            Row("the pod's own restart by kubectl: 0, 1, ready, login", found["restart"]),
            Row(
                "flow, express: the steps from scaling to 0 to ready",
                found["down"],
                goal=f"at most {RESTARTS:g} x the own restart",
                reached=down <= RESTARTS * restart,
            ),
        ],
        [
            f"Express is {script / express:.1f} times as fast as the script. It takes {express / restart:.1f} times "
            f"as long as the pod's own restart as a whole, and {down / restart:.2f} times from scaling to 0 to ready.",
            f"The longest steps of an express rotation, medians: {longest}.",
        ],
        dict(bench.steps),
    )


if __name__ == "__main__":
    run_alone(measure, __doc__ or "")
