"""Images of several sessions, of a later track, with a pregap, hybrids; and what may look like a session and is none."""

import subprocess
from pathlib import Path

import pytest

from imagefs.errors import DamagedError, NotAnImageError, NotFoundError
from imagefs.filesystems.iso9660 import FORMAT
from imagefs.formats import Candidate
from imagefs.readers import BytesReader
from tests.builders import iso
from tests.builders.iso import ROOT, SECTOR, directory, record, volume
from tests.filesystems.iso9660.images import names, opened, read


def run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Three folders with a file each."""
    found = []
    for name in ("one", "two", "three"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.txt").write_bytes(name.encode() * 1000)
        found.append(folder)
    return found


@pytest.mark.foreign
def test_sessions_that_rewrite_sector_16(folders: list[Path], tmp_path: Path) -> None:
    image = tmp_path / "three.iso"
    for folder in folders:
        file = next(folder.iterdir())
        run("xorriso", "-dev", f"stdio:{image}", "-volid", folder.name, "-map", file, f"/{file.name}", "-commit")
    newest = opened(image)
    assert newest.label == "three"
    assert names(newest) == [b"one.txt", b"three.txt", b"two.txt"]
    assert read(newest, "one.txt") == b"one" * 1000
    for number, label in enumerate(("one", "two", "three"), 1):
        session = opened(image, session=number)
        assert session.label == label
        assert len(names(session)) == number
    assert [session["number"] for session in newest.details()["sessions"]] == [1, 2, 3]
    assert [session["volume_id"] for session in newest.details()["sessions"]] == ["one", "two", "three"]
    with pytest.raises(NotFoundError, match="no session 4; the image has 3"):
        opened(image, session=4)


@pytest.fixture
def joined(folders: list[Path], tmp_path: Path) -> tuple[Path, int]:
    """Two sessions of genisoimage, one after the other, and the sector at which the second begins."""
    first, second, image = tmp_path / "1.iso", tmp_path / "2.iso", tmp_path / "joined.iso"
    run("genisoimage", "-quiet", "-R", "-V", "FIRST", "-o", first, folders[0])
    start = -(-first.stat().st_size // SECTOR // 16) * 16
    with first.open("r+b") as file:
        file.truncate(start * SECTOR)
    run("genisoimage", "-quiet", "-R", "-V", "SECOND", "-C", f"0,{start}", "-M", first, "-o", second, folders[1])
    image.write_bytes(first.read_bytes() + second.read_bytes())
    return image, start


@pytest.mark.foreign
def test_sessions_one_after_the_other(joined: tuple[Path, int]) -> None:
    image, start = joined
    first, second = opened(image), opened(image, session=2)
    assert (first.label, names(first)) == ("FIRST", [b"one.txt"])
    assert (second.label, names(second)) == ("SECOND", [b"one.txt", b"two.txt"])
    assert read(second, "one.txt") == b"one" * 1000
    assert read(second, "two.txt") == b"two" * 1000
    assert [session["start"] for session in first.details()["sessions"]] == [0, start]
    by_origin = opened(image, origin=start * SECTOR, session=2)  # as a disc with a table of contents asks for it
    assert by_origin.label == "SECOND"


@pytest.mark.foreign
def test_an_image_of_the_last_session_alone(joined: tuple[Path, int]) -> None:
    """Its addresses count from the disc's start; files of the first session are not in it."""
    image, start = joined
    filesystem = opened(image.read_bytes()[start * SECTOR :])
    assert names(filesystem) == [b"one.txt", b"two.txt"]
    assert read(filesystem, "two.txt") == b"two" * 1000
    with pytest.raises(DamagedError):
        read(filesystem, "one.txt")


@pytest.mark.foreign
def test_a_pregap_that_is_stored(joined: tuple[Path, int], folders: list[Path], tmp_path: Path) -> None:
    image = tmp_path / "plain.iso"
    run("genisoimage", "-quiet", "-R", "-J", "-o", image, folders[0])
    filesystem = opened(bytes(150 * SECTOR) + image.read_bytes())
    assert read(filesystem, "one.txt") == b"one" * 1000


@pytest.mark.foreign
def test_hybrids_are_one_session(folders: list[Path], tmp_path: Path) -> None:
    """A partition table in front, and a second descriptor set for use inside the partition."""
    image = tmp_path / "hybrid.iso"
    words = ("xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-partition_offset", "16", "-o", image)
    run(*words, "--protective-msdos-label", "-append_partition", "2", "0x0c", next(folders[1].iterdir()), folders[0])
    assert image.read_bytes()[510:512] == b"\x55\xaa"
    filesystem = opened(image)
    assert names(filesystem) == [b"one.txt"]
    assert len(filesystem.details()["sessions"]) == 1
    assert opened(image, session=1).label == filesystem.label


def test_an_image_stored_as_a_file_is_no_session() -> None:
    inner = volume({ROOT: directory(ROOT, ROOT, record(b"INNER.;1", 30, 1))})
    outer = volume({ROOT: directory(ROOT, ROOT, record(b"A.;1", 64, len(inner))), 64: inner}, blocks=256)
    outer = outer[: 16 * SECTOR] + iso.descriptor(1, ROOT, blocks=64) + outer[17 * SECTOR :]
    assert len(opened(outer).details()["sessions"]) == 1


def test_probing() -> None:
    def probed(data: bytes) -> tuple[int, str] | None:
        return FORMAT.probe(Candidate(BytesReader(data)))

    image = volume({ROOT: directory(ROOT, ROOT)})
    assert probed(image) == (95, "CD001 at sector 16")
    assert probed(image[: 16 * SECTOR] + bytes(SECTOR) + image[17 * SECTOR :]) == (80, "CD001 at sector 17")
    assert probed(image[: 17 * SECTOR]) == (95, "CD001 at sector 16")
    stub = volume({}, iso.descriptor(1, 0))
    assert probed(stub) == (30, "CD001 at sector 16, which leads to no directory: a stub")
    assert probed(bytes(150 * SECTOR) + image) == (70, "CD001 at sector 166, behind a stored pregap")
    assert probed(image[: 16 * SECTOR]) is None
    assert probed(b"") is None
    assert probed(bytes(400 * SECTOR)) is None
    assert FORMAT.probe(Candidate(BytesReader(bytes(80 * SECTOR) + image), origin=80 * SECTOR)) == (
        95,
        "CD001 at sector 96",
    )


def test_what_is_missing_is_said() -> None:
    whole = volume({ROOT: directory(ROOT, ROOT, record(b"A.;1", 63, 5))})
    with pytest.raises(NotAnImageError, match="no ISO 9660 volume descriptors"):
        opened(volume({}, b"\0CD001\1".ljust(SECTOR, b"\0")))
    with pytest.raises(DamagedError, match="root directory lies outside the image"):
        opened(whole[: ROOT * SECTOR])
    with pytest.raises(DamagedError, match="no directory"):
        opened(whole[: ROOT * SECTOR] + bytes(44 * SECTOR))
    cut = opened(whole[: 40 * SECTOR])
    assert cut.warnings == (f"the image ends {24 * SECTOR} bytes before the volume does; files there cannot be read",)
    endless = opened(whole[: 17 * SECTOR] + bytes(SECTOR) + whole[18 * SECTOR :])
    assert endless.warnings == ("the volume descriptors have no end",)


def joliet_beside(root: bytes) -> bytes:
    """A volume whose primary root is `root` and whose Joliet root holds one file."""
    name = "Joliet".encode("utf-16-be")
    return volume(
        {ROOT: root, 24: directory(24, 24, record(name, 30, 3)), 30: b"abc"},
        iso.descriptor(1, ROOT), iso.descriptor(2, 24, escapes=b"%/E"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "root",
    [
        bytes(SECTOR),
        directory(ROOT, ROOT),
        directory(ROOT, ROOT, dot=iso.SP + iso.px(0o40755)),
        b"\x05" + directory(ROOT, ROOT, record(b"A.;1", 30, 1))[1:],
    ],
    ids=["zeros", "empty", "empty with Rock Ridge", "damaged"],
)
def test_a_tree_without_files_gives_way_to_one_with_files(root: bytes) -> None:
    filesystem = opened(joliet_beside(root))
    assert filesystem.tree == "joliet"
    assert names(filesystem) == [b"Joliet"]
    has_rock_ridge = iso.SP in root
    assert bool(filesystem.warnings) == has_rock_ridge
    assert not has_rock_ridge or "Joliet tree is shown instead of Rock Ridge" in filesystem.warnings[0]


def test_an_empty_disc_is_empty() -> None:
    filesystem = opened(volume({ROOT: directory(ROOT, ROOT)}))
    assert names(filesystem) == []
    assert filesystem.warnings == ()
