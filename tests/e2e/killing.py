"""Rotations in a process of their own that is killed before or after one of its writes."""

import json
import signal

from infra.credentials import Credential
from testing.labs import ROOT
from testing.rotating import parameters, run_python
from testing.walkthrough import DEXTER


def kill(when: str, which: str, credential: Credential = DEXTER, **changes: object) -> str:
    """Run a rotation that is killed at a write; return its last line, such as "killed before write username".

    Args:
        when: "before" the request is sent, or "after" it was answered.
        which: the number of the write, or its name.
        credential: what is rotated.
        changes: changes of the options; the sync is express by default.
    """
    given = json.dumps(parameters(credential, **{"sync": "express", **changes}))
    process = run_python(ROOT / "tests/e2e/killed_rotation.py", when, which, given)
    printed, _ = process.communicate(timeout=120)
    lines = [line for line in printed.splitlines() if line.startswith(("killed ", "ended "))]
    assert lines, printed[-3000:]
    assert (process.returncode == -signal.SIGKILL) == lines[-1].startswith("killed ")
    return lines[-1]
