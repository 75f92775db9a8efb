"""Volumes whose files change all at once."""

from pathlib import Path

import pytest

from lab.cluster.node.atomic import AtomicWriter, Content

OWNER = (0, 0)


@pytest.fixture
def writer(tmp_path: Path) -> AtomicWriter:
    return AtomicWriter(tmp_path, OWNER)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".."))


def test_files_are_links_into_the_data_of_one_moment(writer: AtomicWriter, tmp_path: Path) -> None:
    assert writer.write({"username": Content(b"dexter", 0o400), "sub/x": Content(b"1")})
    assert (tmp_path / "username").read_bytes() == b"dexter"
    assert (tmp_path / "sub" / "x").read_bytes() == b"1"
    assert str((tmp_path / "username").readlink()) == "..data/username"
    assert (tmp_path / "username").stat().st_mode & 0o777 == 0o400
    assert names(tmp_path) == ["sub", "username"]


def test_a_change_swaps_one_link_and_drops_the_old_data(writer: AtomicWriter, tmp_path: Path) -> None:
    writer.write({"a": Content(b"1"), "b": Content(b"1")})
    before = (tmp_path / "..data").readlink()
    assert writer.write({"a": Content(b"2"), "c": Content(b"2")})
    assert (tmp_path / "..data").readlink() != before
    assert not (tmp_path / before).exists()
    assert names(tmp_path) == ["a", "c"]
    assert writer.read() == {"a": Content(b"2"), "c": Content(b"2")}


def test_the_same_content_changes_nothing(writer: AtomicWriter, tmp_path: Path) -> None:
    writer.write({"a": Content(b"1")})
    before = (tmp_path / "..data").readlink()
    assert not writer.write({"a": Content(b"1")})
    assert (tmp_path / "..data").readlink() == before


def test_another_mode_is_a_change(writer: AtomicWriter, tmp_path: Path) -> None:
    writer.write({"a": Content(b"1")})
    assert writer.write({"a": Content(b"1", 0o600)})
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_an_empty_folder_holds_nothing(writer: AtomicWriter) -> None:
    assert writer.read() == {}


def test_content_does_not_show_itself() -> None:
    assert "secret" not in repr(Content(b"secret"))
