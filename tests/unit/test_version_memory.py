"""What a run remembers of a vault's versions: which Kubernetes Secret is known to hold the newest values."""

from dataclasses import replace

from infra.azure.versions import EPOCH, SecretVersion, VersionMemory

NAMES = ("username", "password")
PLACE = "shop/login by shop/class"


def remember(*ids: str) -> VersionMemory:
    memory = VersionMemory()
    for name, version in zip(NAMES, ids, strict=True):
        memory.keep_latest(SecretVersion(name, version, True, EPOCH))
    return memory


def test_a_secret_holds_the_newest_values_as_long_as_neither_it_nor_the_vault_has_a_new_version() -> None:
    memory = remember("u1", "p1")
    assert not memory.is_copy(PLACE, "41", NAMES)
    memory.keep_copy(PLACE, "41", NAMES)
    assert memory.is_copy(PLACE, "41", NAMES)
    assert not memory.is_copy(PLACE, "42", NAMES), "somebody has changed the Secret"
    assert not memory.is_copy("shop/other by shop/class", "41", NAMES)
    memory.keep_latest(SecretVersion("password", "p2", True, EPOCH))
    assert not memory.is_copy(PLACE, "41", NAMES), "somebody has written a version"


def test_what_a_write_that_failed_has_left_is_not_known() -> None:
    memory = remember("u1", "p1")
    memory.keep_copy(PLACE, "41", NAMES)
    memory.forget("password")
    assert not memory.is_copy(PLACE, "41", NAMES)


def test_a_version_whose_tags_changed_has_the_same_value() -> None:
    memory = remember("u1", "p1")
    memory.keep_copy(PLACE, "41", NAMES)
    latest = memory.find_latest("password")
    assert latest is not None
    memory.keep_changed(replace(latest, enabled=False))
    assert memory.is_copy(PLACE, "41", NAMES)
