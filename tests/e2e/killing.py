"""Rotations in a process of their own that is killed around one of its writes."""

import signal

from infra.targets import Target
from testing.labs import ROOT
from testing.rotating import TARGET, options_with, run_python


def kill(when: str, which: str, target: Target = TARGET, **options: object) -> str:
    """Run a rotation that is killed around a write; return its last line, "killed before write username".

    Args:
        when: "before" the request leaves, or "after" it was answered.
        which: the number of the write, or its name.
        target: the credential.
        options: changes of the options; sync is express else.
    """
    arguments = [options_with(**{"sync": "express", **options}).model_dump_json(), target.model_dump_json()]
    process = run_python(ROOT / "tests/e2e/killed_rotation.py", when, which, *arguments)
    printed, _ = process.communicate(timeout=120)
    lines = [line for line in printed.splitlines() if line.startswith(("killed ", "ended "))]
    assert lines, printed[-3000:]
    assert (process.returncode == -signal.SIGKILL) == lines[-1].startswith("killed ")
    return lines[-1]
