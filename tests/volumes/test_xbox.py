"""Xbox discs: the game partition where each generation has it, and the video beside it."""

from collections.abc import Callable
from pathlib import Path

import pytest

import imagefs
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader
from imagefs.volumes.xbox import FORMAT, PARTITIONS
from tests.builders.xdvdfs import xdvdfs
from tests.contract import check_filesystem

GAME = xdvdfs({"default.xbe": b"XBEH" * 3000, "Media": {"a.bin": b"a"}})
GAME_FILES = {b"/default.xbe": b"XBEH" * 3000, b"/Media": b"", b"/Media/a.bin": b"a"}
SMALLEST = 1 << 30


def write_disc(path: Path, start: int, size: int, video: bytes = b"") -> Path:
    """A sparse image of a whole disc."""
    with path.open("wb") as file:
        file.write(video)
        file.seek(start)
        file.write(GAME)
        file.truncate(size)
    return path


@pytest.mark.parametrize("name", PARTITIONS)
def test_the_game_partition_of_each_generation(tmp_path: Path, name: str) -> None:
    start, length = PARTITIONS[name]
    path = write_disc(tmp_path / "game.iso", start, start + length + 2048 * 100)
    with imagefs.open_image(str(path)) as image:
        assert [(v.number, v.kind, v.reader.size) for v in image.volumes] == [
            (1, f"{name} game", length),
            (2, f"{name} video", start + length + 2048 * 100),
        ]
        assert check_filesystem(image.tree) == GAME_FILES


@pytest.mark.foreign
@pytest.mark.parametrize("name", PARTITIONS)
def test_the_video_is_a_volume_of_its_own(tmp_path: Path, tree: Path, make_iso: Callable[..., Path], name: str) -> None:
    video = make_iso(tree, "-udf", "-V", "VIDEO", tool="genisoimage", name="video.iso").read_bytes()
    path = write_disc(tmp_path / "game.iso", PARTITIONS[name][0], 7 << 30, video)
    with imagefs.open_image(str(path)) as image:
        found = check_filesystem(image.tree)
        assert {path.split(b"/")[1] for path in found} == {b"1-xdvdfs", b"2-VIDEO"}
        assert found[b"/1-xdvdfs/default.xbe"] == b"XBEH" * 3000
        assert found[b"/2-VIDEO/hello.txt"] == b"hello\n"
    with imagefs.open_image(str(path), Options(volume=1)) as image:
        assert check_filesystem(image.tree) == GAME_FILES


def test_a_dump_that_was_cut_short(tmp_path: Path) -> None:
    start, _ = PARTITIONS["XGD3"]
    path = write_disc(tmp_path / "game.iso", start, SMALLEST)
    with imagefs.open_image(str(path)) as image:
        assert image.volumes[0].reader.size == SMALLEST - start
        assert check_filesystem(image.tree) == GAME_FILES


def test_the_game_partition_alone_is_one_volume(tmp_path: Path) -> None:
    path = write_disc(tmp_path / "game.iso", 0, SMALLEST)
    with imagefs.open_image(str(path)) as image:
        assert len(image.volumes) == 1
        assert check_filesystem(image.tree) == GAME_FILES


def test_other_images_have_none_of_it(tmp_path: Path) -> None:
    start, _ = PARTITIONS["XGD3"]
    assert FORMAT.probe(Candidate(BytesReader(bytes(start) + GAME))) is None, "no disc is so short"
    path = tmp_path / "large.iso"
    write_disc(path, start + 2048, SMALLEST)
    with imagefs.open_image(str(path)) as image:
        assert FORMAT.probe(Candidate(image.raw)) is None
        assert len(image.volumes) == 1
