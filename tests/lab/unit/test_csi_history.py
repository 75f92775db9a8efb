"""Which versions of an object the provider mounts beside the newest."""

import pytest

from lab.cluster.csi.parameters import VaultObject
from lab.cluster.csi.vault import find_history

ENABLED = ["d", "c", "b", "a"]


@pytest.mark.parametrize(
    ("version", "history", "mounted"),
    [
        ("", 2, ["d", "c", "b"]),
        ("latest", 2, ["d", "c", "b"]),
        ("", 200, ENABLED),
        ("c", 2, ["c", "b", "a"]),
        ("disabled", 2, []),
    ],
)
def test_the_history_begins_with_the_named_version_and_has_one_more_than_asked_for(
    version: str, history: int, mounted: list[str]
) -> None:
    assert find_history(VaultObject("password", "secret", version=version, history=history), ENABLED) == mounted
