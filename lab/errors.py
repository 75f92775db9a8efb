"""What goes wrong in the lab itself: what failed, on which name, what was seen, how to fix it."""


class LabError(Exception):
    """Base of the lab's own errors.

    Args:
        what: what failed, as a sentence without its full stop.
        name: the option, file or part that it failed on.
        seen: what was found there.
        fix: how to fix it.
        code: what tells it from others of its kind, if anything does.
    """

    def __init__(self, what: str, *, name: str, seen: str = "", fix: str = "", code: str = "") -> None:
        self.what, self.name, self.seen, self.fix, self.code = what, name, seen, fix, code
        super().__init__(what, name, seen, fix, code)

    def __str__(self) -> str:
        parts = [f"{self.what}: {self.name}"]
        parts += [f"Seen: {self.seen}"] if self.seen else []
        parts += [f"Fix: {self.fix}"] if self.fix else []
        return ". ".join(part.rstrip(".") for part in parts) + "."


class InvalidInput(LabError):
    """An option that cannot be used."""


class NotFound(LabError):
    """Something that must exist does not."""


class Conflict(LabError):
    """Something else holds this name, address or folder."""


class ServiceFailed(LabError):
    """A part of the lab, or a program that it runs, failed."""
