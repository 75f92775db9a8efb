"""The zygote: one process that imported everything once, and forks a child for each run; the child may be killed.

Run as a script it reads orders from stdin, one JSON line each, and answers each with one line when its child has ended.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any, Self

from infra.targets import RotationOptions, Target
from testing.labs import ROOT
from tests.crash.guillotine import Call, Cut, When

SCOPES = ("https://vault.azure.net/.default", "https://management.azure.com/.default")


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Args:
        fell: where the guillotine fell; empty when the run came to its end.
        verdict: how the run ended; empty when it was killed.
        message: what it said then.
        code: the code of what was wrong.
        calls: what it did to the outside world, for a run without a cut.
    """

    fell: str = ""
    verdict: str = ""
    message: str = ""
    code: str = ""
    calls: tuple[Call, ...] = ()


class Zygote:
    """Runs rotations in children of one process. Use it in a `with` block, with the lab's variables in place."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait(20)

    def run(
        self, target: Target, options: RotationOptions, cut: Cut | None = None, disk_full_from: str | None = None
    ) -> Outcome:
        """Run a rotation to its end, or to the cut; with a disk that is full from a step on, "" for the beginning."""
        assert self._process.stdin is not None and self._process.stdout is not None
        order = {
            "target": target.model_dump(mode="json"),
            "options": options.model_dump(mode="json"),
            "cut": asdict(cut) if cut else None,
            "disk_full_from": disk_full_from,
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the zygote ended"
        fields = json.loads(answer)
        return Outcome(**fields | {"calls": tuple(Call(**one) for one in fields.pop("calls", ()))})


def _serve() -> None:
    """Fork a child for each order; the tokens are got once, before."""
    from infra.azure.credentials import signed_in
    from infra.settings import Settings

    with signed_in(Settings()) as azure:
        for scope in SCOPES:
            azure.credential.get_token(scope)
        for line in sys.stdin:
            print(_run_in_child(json.loads(line)), flush=True)


def _run_in_child(order: dict[str, Any]) -> str:
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        status = 1
        try:
            _run(order, writable)
            status = 0
        finally:
            os._exit(status)
    os.close(writable)
    with os.fdopen(readable) as answers:
        said = answers.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not said.endswith("\n"):
        return json.dumps({"message": f"the run ended with status {status} and without a word"})
    return said.strip()


def _run(order: dict[str, Any], answers: int) -> None:
    """Run a rotation in this process, which the guillotine may kill."""
    from testing.bare import run_rotation
    from tests.crash.full_disk import fill_disk_from
    from tests.crash.guillotine import Guillotine, install

    def tell(**fields: Any) -> None:
        os.write(answers, json.dumps(fields).encode() + b"\n")

    cut = Cut(**order["cut"] | {"when": When(order["cut"]["when"])}) if order["cut"] else None
    guillotine = Guillotine(cut, lambda where: tell(fell=where))
    if order["disk_full_from"] is not None:
        fill_disk_from(order["disk_full_from"])
    with install(guillotine):
        verdict, message, error = run_rotation(
            Target.model_validate(order["target"]), RotationOptions.model_validate(order["options"])
        )
    calls = () if cut else [asdict(one) for one in guillotine.calls]
    tell(verdict=verdict, message=message, code=error.code if error else "", calls=calls)


if __name__ == "__main__":
    import testing.bare  # noqa: F401  everything that a child needs

    _serve()
