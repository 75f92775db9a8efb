"""Processes of this machine as the kernel lists them: what came from one, and what one was started with."""

from pathlib import Path

PROC = Path("/proc")


def list_tree(process: int) -> list[int]:
    """Return a process and all that came from it and run, parents first."""
    parents, found = list_parents(), [process]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found


def list_parents() -> dict[int, int]:
    """Return process -> its parent, for all that run."""
    found = dict[int, int]()
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (stat := read_stat(int(folder.name))):
            found[int(folder.name)] = int(stat[1])
    return found


def read_stat(process: int) -> list[str]:
    """Return the fields of a process from its state on; none if it has ended."""
    try:
        return (PROC / str(process) / "stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def read_environment(process: int) -> dict[str, str]:
    """Return the variables that a process was started with; none if it has ended."""
    try:
        entries = (PROC / str(process) / "environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    pairs = (entry.decode(errors="replace").partition("=") for entry in entries if entry)
    return {name: value for name, _, value in pairs}
