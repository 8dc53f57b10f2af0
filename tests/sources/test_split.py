"""Numbered splits: what is joined, what is refused, and what only looks like one."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.errors import DamagedError, MissingPartError
from imagefs.sources import Folder, open_split
from tests.builders.sectors import pattern
from tests.contract import check_reader


def put(folder: Path, **sizes: int) -> Folder:
    """Files of the given sizes; `_` in a name stands for a dot."""
    for name, size in sizes.items():
        (folder / name.replace("_", ".")).write_bytes(name.encode()[-1:] * size)
    return Folder(str(folder))


@pytest.mark.foreign
@pytest.mark.parametrize("opened", ["disc.iso.001", "disc.iso.003"])
def test_what_split_cuts_is_read_whole_from_any_part(tmp_path: Path, need: Callable[..., None], opened: str) -> None:
    need("split")
    content = pattern(30)
    (tmp_path / "disc.iso").write_bytes(content)
    command = ["split", "-b", "25000", "-a", "3", "--numeric-suffixes=1", "disc.iso", "disc.iso."]
    subprocess.run(command, cwd=tmp_path, check=True)
    reader = open_split(Folder(str(tmp_path)), opened)
    assert reader is not None
    check_reader(reader, content, block=25_000)


@pytest.mark.parametrize(
    ("sizes", "opened", "content"),
    [
        ({"a_000": 3, "a_001": 2}, "a.000", b"00011"),
        ({"a_1": 3, "a_2": 3, "a_3": 1}, "a.1", b"1112223"),
        ({"a_01": 2, "a_02": 2, "b_03": 9, "a_3": 9}, "a.02", b"1122"),
        ({"a_001": 2, "a_002": 5, "a_003": 1}, "a.001", b"11222223"),
        ({"a_001": 2, "a_002": 0}, "a.001", b"11"),
    ],
    ids=["from zero", "one digit", "others beside", "uneven", "empty last"],
)
def test_parts_are_joined(tmp_path: Path, sizes: dict[str, int], opened: str, content: bytes) -> None:
    reader = open_split(put(tmp_path, **sizes), opened)
    assert reader is not None
    assert reader.pread(0, 100) == content


@pytest.mark.parametrize(
    ("sizes", "opened"),
    [
        ({"a_001": 5}, "a.001"),
        ({"debian-12_10": 5, "debian-12_11": 5}, "debian-12.10"),
        ({"backup_2021": 5, "backup_2022": 5}, "backup.2022"),
        ({"disk_img_1": 5, "disk_img_2": 7}, "disk.img.2"),
        ({"disk_img_1": 5, "disk_img_3": 5}, "disk.img.1"),
        ({"a_iso": 5}, "a.iso"),
    ],
    ids=["alone", "version", "year", "backups of two sizes", "backups with one gone", "no number"],
)
def test_what_only_looks_like_a_split_is_left_alone(tmp_path: Path, sizes: dict[str, int], opened: str) -> None:
    assert open_split(put(tmp_path, **sizes), opened) is None


@pytest.mark.parametrize(
    ("sizes", "opened", "missing"),
    [
        ({"a_001": 5, "a_003": 5}, "a.001", "a.002"),
        ({"a_001": 5, "a_003": 5}, "a.003", "a.002"),
        ({"a_002": 5}, "a.002", "a.001"),
        ({"a_002": 5, "a_003": 5}, "a.003", "a.001"),
    ],
)
def test_a_missing_part_is_named(tmp_path: Path, sizes: dict[str, int], opened: str, missing: str) -> None:
    with pytest.raises(MissingPartError) as caught:
        open_split(put(tmp_path, **sizes), opened)
    assert caught.value.name == missing


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_what_a_part_has_lost_at_its_end_is_missing_and_moves_nothing(tmp_path: Path, cut: int) -> None:
    content = pattern(30)
    for number in range(1, 6):
        part = content[(number - 1) * 14_000 : number * 14_000]
        (tmp_path / f"a.{number:03d}").write_bytes(part[:9_000] if number == cut else part)
    reader = open_split(Folder(str(tmp_path)), "a.001")
    assert reader is not None
    assert reader.size == len(content)
    lost = range((cut - 1) * 14_000 + 9_000, cut * 14_000)
    assert reader.exactly(0, lost.start) == content[: lost.start]
    assert reader.exactly(lost.stop, len(content) - lost.stop) == content[lost.stop :]
    for offset in (lost.start, lost.stop - 1):
        with pytest.raises(DamagedError):
            reader.pread(offset, 1)


def test_a_first_part_of_a_size_that_somebody_chose_is_whole(tmp_path: Path) -> None:
    reader = open_split(put(tmp_path, a_001=1 << 20, a_002=3 << 19, a_003=3 << 19, a_004=5), "a.001")
    assert reader is not None
    assert reader.size == (4 << 20) + 5


def test_an_empty_part_in_the_middle_is_damage(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match=r"'a\.002' is empty"):
        open_split(put(tmp_path, a_001=5, a_002=0, a_003=5), "a.001")
