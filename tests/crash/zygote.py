"""The zygote: one process that imported everything once, and forks a child for each run; the child may be killed.

Run as a script, it reads requests from stdin, one JSON line each, and answers each with one line once its child has
ended.
"""

import gc
import json
import os
import subprocess
import sys
import traceback
from dataclasses import asdict, dataclass
from typing import Any, Self
from unittest.mock import patch

from infra.credentials import Credential
from infra.rotation.options import RotationOptions
from testing.labs import ROOT
from tests.crash.guillotine import Call, KillPoint, When

SCOPES = ("https://vault.azure.net/.default", "https://management.azure.com/.default")


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Args:
        killed_at: where it was killed; empty if it ran to its end.
        verdict: how the run ended; empty if it was killed.
        message: what it said then.
        code: the error's code.
        calls: what it did to the outside world, if nothing was to kill it.
    """

    killed_at: str = ""
    verdict: str = ""
    message: str = ""
    code: str = ""
    calls: tuple[Call, ...] = ()


class Zygote:
    """Runs rotations in children of one process. Use it in a `with` block, with the lab's variables set."""

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
        self,
        credential: Credential,
        options: RotationOptions,
        point: KillPoint | None = None,
        disk_full_from: str | None = None,
        *,
        fresh_id: str = "",
    ) -> Outcome:
        """Run a rotation to its end, or to the point where it is killed.

        Args:
            credential: what is rotated.
            options: how the rotation goes.
            point: where it is killed; None: nowhere.
            disk_full_from: the start of the line of the step from which on the disk is full; empty: from the beginning;
                None: it is not.
            fresh_id: the id of the rotation that begins, if one begins; empty: as the product names it.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        request = {
            "credential": credential.model_dump(mode="json"),
            "options": options.model_dump(mode="json"),
            "point": asdict(point) if point else None,
            "disk_full_from": disk_full_from,
            "fresh_id": fresh_id,
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the zygote ended"
        fields = json.loads(answer)
        return Outcome(**fields | {"calls": tuple(Call(**call) for call in fields.pop("calls", ()))})


def _serve() -> None:
    """Fork a child for each request. The tokens are requested once, before; the inventory is written here."""
    from tasks.context import connections_shared, opened_azure
    from testing.inventory import listed

    with connections_shared(), opened_azure() as azure:
        for scope in SCOPES:
            azure.credential.get_token(scope)
        gc.freeze()  # so no child looks for garbage in what was imported
        for line in sys.stdin:
            request = json.loads(line)
            request["name"] = listed(Credential.model_validate(request.pop("credential")))
            print(_run_in_child(request), flush=True)


def _run_in_child(request: dict[str, Any]) -> str:
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        status = 1
        try:
            _run(request, writable)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writable)
    with os.fdopen(readable) as answers:
        answer = answers.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not answer.endswith("\n"):
        return json.dumps({"message": f"the run ended with status {status} and without an answer"})
    return answer.strip()


def _run(request: dict[str, Any], answers: int) -> None:
    """Run a rotation in this process, which the guillotine may kill."""
    from flows.rotate import name_rotation
    from testing.bare import run_rotation
    from tests.crash.full_disk import fill_disk_from
    from tests.crash.guillotine import Guillotine, install

    def answer(**fields: Any) -> None:
        os.write(answers, json.dumps(fields).encode() + b"\n")

    point = KillPoint(**request["point"] | {"when": When(request["point"]["when"])}) if request["point"] else None
    guillotine = Guillotine(point, lambda where: answer(killed_at=where))
    if request["disk_full_from"] is not None:
        fill_disk_from(request["disk_full_from"])
    fresh_id = request["fresh_id"] or name_rotation()
    with install(guillotine), patch("flows.rotate.name_rotation", return_value=fresh_id):
        ended = run_rotation(request["name"], RotationOptions.model_validate(request["options"]))
    calls = () if point else [asdict(call) for call in guillotine.calls]
    answer(verdict=ended.verdict, message=ended.message, code=ended.code, calls=calls)


if __name__ == "__main__":
    import testing.bare  # noqa: F401  everything that a child needs

    _serve()
