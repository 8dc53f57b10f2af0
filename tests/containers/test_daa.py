"""DAA and GBI images, beside what daa2iso makes of them."""

import random
from pathlib import Path

import pytest

import imagefs
from imagefs.containers.daa import FORMAT
from imagefs.errors import DamagedError, PasswordError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, Reader
from tests.builders.daa import DEFLATE, LZMA, SCRAMBLED_BYTES, SCRAMBLED_FIELDS, daa
from tests.builders.descriptors import run_tool
from tests.builders.sectors import volume
from tests.contract import check_reader

CHANCE = random.Random(3)
CHUNK = 1 << 16
IMAGE = volume(40) + b"".join(CHANCE.choice((CHANCE.randbytes(2048), b"text" * 512, bytes(2048))) for _ in range(140))
CODE = b"".join(b"\xe8%s\x90\x90\x8b\xc0" % CHANCE.randbytes(2) + b"\0\0" for _ in range(20_000))[: CHUNK + 30_003]
"""x86 code: calls, which the filter changes."""
NOISE = CHANCE.randbytes(1 << 17)
"""What does not shrink."""


def opened(data: bytes) -> Reader:
    candidate = Candidate(BytesReader(data), "disc.daa")
    assert FORMAT.probe(candidate) is not None
    reader = FORMAT.open(candidate, Options())
    assert isinstance(reader, Reader)
    return reader


KINDS = {
    "0x100": daa(IMAGE),
    "0x100 with what does not shrink": daa(IMAGE[:CHUNK] + NOISE + IMAGE),
    "0x110 with what does not shrink": daa(IMAGE[:CHUNK] + NOISE + IMAGE, 0x110),
    "0x110 deflate": daa(IMAGE, 0x110),
    "0x110 LZMA": daa(IMAGE, 0x110, types=[LZMA]),
    "0x110 of both": daa(IMAGE, 0x110, types=[LZMA, DEFLATE], chunk_bytes=1 << 15),
    "0x110 with a filter": daa(IMAGE, 0x110, types=[LZMA], has_filter=True),
    "0x110 with filtered code": daa(CODE, 0x110, types=[LZMA], has_filter=True),
    "0x110 with lengths of its own": daa(IMAGE, 0x110, types=[LZMA, DEFLATE], length_bits=18),
    "with a comment": daa(IMAGE, descriptors=[(1, b"\1\0\0\0"), (4, b"a comment")]),
    "0x110 with scrambled fields": daa(IMAGE, 0x110, types=[LZMA, DEFLATE], flags=SCRAMBLED_FIELDS),
    "0x110 with scrambled bytes": daa(IMAGE, 0x110, chunk_bytes=1 << 14, flags=SCRAMBLED_BYTES),
    "gBurner": daa(IMAGE, 0x100, signature=b"GBI"),
    "gBurner 0x110": daa(IMAGE, 0x110, types=[LZMA, DEFLATE], signature=b"GBI"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_image(kind: str) -> None:
    expected = IMAGE[:CHUNK] + NOISE + IMAGE if "shrink" in kind else CODE if "code" in kind else IMAGE
    check_reader(opened(KINDS[kind]), expected, CHUNK)


@pytest.mark.foreign
@pytest.mark.parametrize("kind", KINDS)
def test_daa2iso_takes_out_the_same(tmp_path: Path, kind: str) -> None:
    (tmp_path / "disc.daa").write_bytes(KINDS[kind])
    said = run_tool("daa2iso", "disc.daa", "out.iso", folder=tmp_path)
    assert (tmp_path / "out.iso").exists(), said
    reader = opened(KINDS[kind])
    assert (tmp_path / "out.iso").read_bytes() == reader.pread(0, reader.size)


def test_it_mounts_as_its_image(tmp_path: Path) -> None:
    (tmp_path / "disc.daa").write_bytes(KINDS["0x110 LZMA"])
    with imagefs.open_image(str(tmp_path / "disc.daa")) as image:
        assert [step.name for step in image.steps] == ["daa"]
        assert image.filesystems[0][1].kind == "iso9660"


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (daa(IMAGE, 0x120), UnsupportedError, "version 0x120"),
        (daa(IMAGE, signature=b"DAA VOL"), UnsupportedError, "later part"),
        (daa(IMAGE, descriptors=[(3, bytes(136))]), PasswordError, "password"),
        (daa(IMAGE, descriptors=[(2, b"\2\0\0\0\1\0\0\0")]), UnsupportedError, "several parts"),
        (daa(IMAGE, 0x110, flags=0x4000), UnsupportedError, "packed table"),
        (daa(IMAGE, 0x110, flags=0x800000), UnsupportedError, "deflate of its own"),
        (daa(IMAGE)[:30] + bytes(100), DamagedError, "chunks of 0"),
        (daa(IMAGE)[:80], DamagedError, "table"),
        (daa(IMAGE)[:40] + b"\xff" * 8 + daa(IMAGE)[48:], DamagedError, "the limit is"),
    ],
)
def test_what_is_not_read_is_named(data: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        opened(data)


def test_a_lost_chunk_spoils_itself_alone() -> None:
    reader = opened(KINDS["0x100"][:-10])
    assert reader.pread(0, 1000) == IMAGE[:1000]
    with pytest.raises(DamagedError):
        reader.pread(reader.size - 1000, 1000)


@pytest.mark.parametrize("data", [b"", b"DAA", b"DAA" + bytes(60), b"DAAA" + bytes(200)])
def test_other_files_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.daa")) is None
