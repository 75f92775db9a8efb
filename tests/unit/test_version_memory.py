"""What a run remembers of a vault's versions: what a Kubernetes Secret must hold to have the newest values."""

from dataclasses import replace

from infra.azure.versions import EPOCH, SecretVersion, VersionMemory

NAMES = ("username", "password")
PLACE = "shop/login by shop/class"
DIGESTS = ({"PASSWORD": b"digest"},)


def remember(*ids: str) -> VersionMemory:
    memory = VersionMemory()
    for name, version in zip(NAMES, ids, strict=True):
        memory.keep_latest(SecretVersion(name, version, True, EPOCH))
    return memory


def test_what_a_secret_must_hold_is_known_until_the_vault_has_a_new_version() -> None:
    memory = remember("u1", "p1")
    assert memory.find_copy(PLACE, NAMES) is None
    memory.keep_copy(PLACE, NAMES, DIGESTS)
    assert memory.find_copy(PLACE, NAMES) == DIGESTS
    assert memory.find_copy("shop/other by shop/class", NAMES) is None
    memory.keep_latest(SecretVersion("password", "p2", True, EPOCH))
    assert memory.find_copy(PLACE, NAMES) is None, "somebody has written a version"


def test_what_a_write_that_failed_has_left_is_not_known() -> None:
    memory = remember("u1", "p1")
    memory.keep_copy(PLACE, NAMES, DIGESTS)
    memory.forget("password")
    assert memory.find_copy(PLACE, NAMES) is None


def test_a_version_whose_tags_changed_has_the_same_value() -> None:
    memory = remember("u1", "p1")
    memory.keep_copy(PLACE, NAMES, DIGESTS)
    latest = memory.find_latest("password")
    assert latest is not None
    memory.keep_changed(replace(latest, enabled=False))
    assert memory.find_copy(PLACE, NAMES) == DIGESTS
