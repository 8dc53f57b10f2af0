"""The folder of an image: how the names that a descriptor gives are found, and what is never opened."""

import os
import unicodedata
from pathlib import Path

import pytest

from imagefs.errors import MissingPartError, OutsideError
from imagefs.sources import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    inside = tmp_path / "inside"
    (inside / "Images").mkdir(parents=True)
    (inside / "Disc.BIN").write_bytes(b"disc")
    (inside / "Images" / "one.bin").write_bytes(b"one")
    (inside / "empty.bin").touch()
    (tmp_path / "secret").write_bytes(b"secret")
    return Folder(str(inside))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Disc.BIN", "Disc.BIN"),
        ("disc.bin", "Disc.BIN"),
        ("./Disc.BIN", "Disc.BIN"),
        ("Images/one.bin", "Images/one.bin"),
        ("images\\ONE.BIN", "Images/one.bin"),
        ("empty.bin", "empty.bin"),
        ("Images", None),
        ("nothing.bin", None),
        ("Disc.BIN/x", None),
    ],
)
def test_names_are_found(folder: Folder, name: str, found: str | None) -> None:
    assert folder.find(name) == found


def test_accents_may_be_composed_otherwise(folder: Folder) -> None:
    stored = unicodedata.normalize("NFD", "Grüße.bin")
    Path(folder.path, stored).write_bytes(b"x")
    assert folder.find(unicodedata.normalize("NFC", "grüße.BIN")) == stored


def test_a_folder_is_listed_once_for_all_parts(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    list_folder = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: (listed.append(path), list_folder(path))[1])
    assert [folder.find(f"track{number}.bin") for number in range(50)] == [None] * 50
    assert (folder.find("DISC.BIN"), folder.find("IMAGES/ONE.BIN")) == ("Disc.BIN", "Images/one.bin")
    assert listed == [os.path.join(folder.path, ""), os.path.join(folder.path, "Images")]
    folder.forget_names()
    Path(folder.path, "New.bin").write_bytes(b"x")
    assert folder.find("new.BIN") == "New.bin"


def test_a_backslash_in_a_real_name_is_no_separator(folder: Folder) -> None:
    Path(folder.path, "a\\b.bin").write_bytes(b"x")
    assert folder.find("a\\b.bin") == "a\\b.bin"


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "Images/../../secret",
        "..\\secret",
        "/dev/zero",
        "/etc/passwd",
        "C:\\x.bin",
        "c:/x.bin",
        "",
        ".",
        "a\0b",
    ],
)
def test_names_that_lead_out_are_refused(folder: Folder, name: str) -> None:
    with pytest.raises(OutsideError):
        folder.find(name)


def test_a_link_inside_is_followed_and_one_that_leaves_is_refused(folder: Folder) -> None:
    os.symlink("Disc.BIN", os.path.join(folder.path, "in.bin"))
    os.symlink("../secret", os.path.join(folder.path, "out.bin"))
    os.symlink("/dev/zero", os.path.join(folder.path, "zero.bin"))
    os.symlink("..", os.path.join(folder.path, "up"))
    assert folder.open("in.bin").pread(0, 9) == b"disc"
    for name in ("out.bin", "zero.bin", "up/secret"):
        with pytest.raises(OutsideError, match="leaves"):
            folder.open(name)


def test_a_pipe_is_refused_without_waiting(folder: Folder) -> None:
    os.mkfifo(os.path.join(folder.path, "pipe.bin"))
    with pytest.raises(OutsideError, match="pipe"):
        folder.open("pipe.bin")


def test_what_is_missing_is_named_with_the_place(folder: Folder) -> None:
    with pytest.raises(MissingPartError, match=r"'nothing\.bin' is missing") as caught:
        folder.open("nothing.bin")
    assert caught.value.looked == (folder.path,)


def test_one_file_under_two_names_is_one_source_and_closed_once(folder: Folder) -> None:
    assert folder.open("disc.bin") is folder.open("Disc.BIN")
    assert len(list(folder.sources())) == 1
    folder.close()
    assert list(folder.sources()) == []
