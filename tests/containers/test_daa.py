"""DAA and GBI images, beside what daa2iso makes of them."""

import random
import struct
import zlib
from pathlib import Path

import pytest

import imagefs
from imagefs.containers.daa import FORMAT
from imagefs.containers.daa.deflate import inflate
from imagefs.errors import DamagedError, MissingPartError, OutsideError, PasswordError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.limits import HUNKS
from imagefs.options import Options
from imagefs.readers import BytesReader, Reader
from imagefs.sources import Folder
from tests.builders.daa import (
    COMMENT,
    DEFLATE,
    ENCRYPTION,
    LZMA,
    PACKED_TABLE,
    PART,
    SCRAMBLED_BYTES,
    SCRAMBLED_FIELDS,
    SPLIT,
    daa,
    split,
    with_crc,
)
from tests.builders.deflate import NUMBERINGS, deflate
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
    "with a comment": daa(IMAGE, descriptors=[(PART, b"\1\0\0\0"), (COMMENT, b"a comment")]),
    "0x110 with scrambled fields": daa(IMAGE, 0x110, types=[LZMA, DEFLATE], flags=SCRAMBLED_FIELDS),
    "0x110 with scrambled bytes": daa(IMAGE, 0x110, chunk_bytes=1 << 14, flags=SCRAMBLED_BYTES),
    "0x110 with a packed table": daa(IMAGE, 0x110, chunk_bytes=1 << 14, flags=PACKED_TABLE),
    "0x110 with all of these": daa(
        IMAGE, 0x110, types=[LZMA, DEFLATE], numbering=2, flags=PACKED_TABLE | SCRAMBLED_FIELDS | SCRAMBLED_BYTES
    ),
    "0x110 in numbering 1": daa(IMAGE, 0x110, numbering=1),
    "0x110 in numbering 2": daa(IMAGE, 0x110, numbering=2),
    "0x110 in numbering 3": daa(IMAGE, 0x110, numbering=3),
    "gBurner": daa(IMAGE, signature=b"GBI"),
    "gBurner 0x110": daa(IMAGE, 0x110, types=[LZMA, DEFLATE], signature=b"GBI"),
    "gBurner 0x110 of ten chunks": daa(IMAGE[: 10 << 14], 0x110, chunk_bytes=1 << 14, signature=b"GBI"),
    "gBurner 0x110 in numbering 3": daa(IMAGE, 0x110, numbering=3, signature=b"GBI"),
    "gBurner 0x110 with a packed table": daa(
        IMAGE, 0x110, chunk_bytes=1 << 14, numbering=1, flags=PACKED_TABLE, signature=b"GBI"
    ),
}
CONTENTS = {
    "0x100 with what does not shrink": IMAGE[:CHUNK] + NOISE + IMAGE,
    "0x110 with what does not shrink": IMAGE[:CHUNK] + NOISE + IMAGE,
    "0x110 with filtered code": CODE,
    "gBurner 0x110 of ten chunks": IMAGE[: 10 << 14],
}
"""Of those that do not hold IMAGE."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_image(kind: str) -> None:
    check_reader(opened(KINDS[kind]), CONTENTS.get(kind, IMAGE), CHUNK)


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


# --- deflate --------------------------------------------------------------------------------------------------------------


def test_zlib_knows_the_usual_numbers() -> None:
    assert zlib.decompress(deflate(IMAGE), -15) == IMAGE


@pytest.mark.parametrize("numbering", range(4))
@pytest.mark.parametrize("block_bytes", [1, 7, 300, 65_535])
def test_blocks_begin_at_any_bit(numbering: int, block_bytes: int) -> None:
    content = IMAGE[80_000:][: min(200 * block_bytes, 150_000)]
    stream = deflate(content, NUMBERINGS[numbering], block_bytes)
    assert inflate(stream, len(content), numbering, where=0) == content
    assert inflate(stream + b"more", len(content) + 9, numbering, least=0, where=0) == content
    for cut in (stream[:-1], stream[: len(stream) // 2], b""):
        with pytest.raises(DamagedError):
            inflate(cut, len(content), numbering, where=0)
    with pytest.raises(DamagedError):
        inflate(stream, len(content) - 1, numbering, where=0)
    with pytest.raises(DamagedError):
        inflate(stream, len(content) + 1, numbering, where=0)


@pytest.mark.parametrize("numbering", range(1, 4))
def test_a_stream_of_zlib_with_another_number(numbering: int) -> None:
    content = b"".join(b"%d bottles of beer\n" % number for number in range(500))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = packer.compress(content) + packer.flush()
    assert stream[0] & 7 == 0b101  # the last block, and with codes of its own
    other = bytes((stream[0] & ~6 & 0xFF | NUMBERINGS[numbering].own << 1,)) + stream[1:]
    assert inflate(other, len(content), numbering, where=0) == content


@pytest.mark.parametrize("stream", [b"\x06", b"\x07", b"\x02\1\0\0\0", deflate(bytes(5000), NUMBERINGS[1], 1)])
def test_what_is_no_deflate_in_that_numbering(stream: bytes) -> None:
    """Type 3; a plain block with a wrong length; more blocks than any encoder makes."""
    with pytest.raises(DamagedError):
        inflate(stream, 5000, 1, where=0)


# --- several files --------------------------------------------------------------------------------------------------------

SPLITS = {
    "part01": ("x.part01.daa", "x.part02.daa", "x.part03.daa", "x.part04.daa"),
    "part001": ("x.part001.daa", "x.part002.daa", "x.part003.daa", "x.part004.daa"),
    "d00": ("x.daa", "x.d00", "x.d01", "x.d02"),
}
GBI_SPLITS = {
    "part01": ("x.part01.gbi", "x.part02.gbi", "x.part03.gbi", "x.part04.gbi"),
    "g00": ("x.gbi", "x.g00", "x.g01", "x.g02"),
    "d00": ("x.gbi", "x.d00", "x.d01", "x.d02"),
}
TOLD = [(PART, bytes(20)), (SPLIT, b"\4\0\0\0\1\0\0\0" + bytes(20))]


def parts_of(signature: bytes = b"DAA", version: int = 0x110, told: list[tuple[int, bytes]] = TOLD) -> list[bytes]:
    """Four parts, the borders within chunks; behind the header of each stands a descriptor."""
    whole = daa(IMAGE, version, types=[DEFLATE], signature=signature, descriptors=told)
    return split(whole, len(whole) // 4 + 60, b"\1\0\0\0\x0c\0\0\0more")


def write(folder: Path, names: tuple[str, ...], parts: list[bytes]) -> None:
    assert len(parts) == 4
    for name, part in zip(names, parts, strict=True):
        (folder / name).write_bytes(part)


def opened_in(folder: Path, name: str) -> Reader:
    parts = Folder(str(folder))
    reader = FORMAT.open(Candidate(parts.open(name), name, parts), Options())
    assert isinstance(reader, Reader)
    return reader


@pytest.mark.parametrize("version", [0x100, 0x110])
@pytest.mark.parametrize("names", SPLITS.values(), ids=SPLITS)
def test_a_split_image(tmp_path: Path, names: tuple[str, ...], version: int) -> None:
    write(tmp_path, names, parts_of(version=version))
    check_reader(opened_in(tmp_path, names[0]), IMAGE, CHUNK)


@pytest.mark.parametrize("names", GBI_SPLITS.values(), ids=GBI_SPLITS)
def test_a_split_image_of_gburner(tmp_path: Path, names: tuple[str, ...]) -> None:
    write(tmp_path, names, parts_of(b"GBI"))
    assert opened_in(tmp_path, names[0]).pread(0, len(IMAGE)) == IMAGE


def test_images_that_are_numbered_are_no_parts(tmp_path: Path) -> None:
    """The first one was cut off, and has what is left of it."""
    whole = daa(IMAGE)
    (tmp_path / "disc01.daa").write_bytes(whole[:-100])
    (tmp_path / "disc02.daa").write_bytes(whole)
    with imagefs.open_image(str(tmp_path / "disc01.daa")) as image:
        assert image.raw.pread(0, 40 * 2048) == IMAGE[: 40 * 2048]
        assert [Path(source.name).name for source in image.sources] == ["disc01.daa"]
        with pytest.raises(DamagedError):
            image.raw.pread(image.raw.size - 10, 10)


def test_numbered_images_that_are_split_themselves(tmp_path: Path) -> None:
    """The second image is no part of the first."""
    for stem in ("disc01", "disc02"):
        write(tmp_path, (f"{stem}.daa", *(f"{stem}.d{number:02}" for number in range(3))), parts_of())
    assert opened_in(tmp_path, "disc01.daa").pread(0, len(IMAGE)) == IMAGE


def test_parts_with_one_digit(tmp_path: Path) -> None:
    write(tmp_path, ("x.Part1.daa", "x.Part2.daa", "x.Part3.daa", "x.Part4.daa"), parts_of())
    assert opened_in(tmp_path, "x.Part1.daa").pread(0, len(IMAGE)) == IMAGE


@pytest.mark.foreign
@pytest.mark.parametrize("names", SPLITS.values(), ids=SPLITS)
def test_daa2iso_joins_the_same(tmp_path: Path, names: tuple[str, ...]) -> None:
    write(tmp_path, names, parts_of())
    run_tool("daa2iso", names[0], "out.iso", folder=tmp_path)
    assert (tmp_path / "out.iso").read_bytes() == IMAGE


@pytest.mark.parametrize("names", SPLITS.values(), ids=SPLITS)
def test_any_part_opens_the_image(tmp_path: Path, names: tuple[str, ...]) -> None:
    write(tmp_path, names, parts_of())
    for name in names:
        with imagefs.open_image(str(tmp_path / name)) as image:
            assert (image.raw.size, [step.name for step in image.steps]) == (len(IMAGE), ["daa"])


def test_names_in_another_case(tmp_path: Path) -> None:
    write(tmp_path, ("X.DAA", "X.D00", "x.d01", "X.d02"), parts_of())
    assert opened_in(tmp_path, "X.DAA").pread(0, len(IMAGE)) == IMAGE


@pytest.mark.parametrize("told", [[], [(PART, bytes(20))]], ids=["nothing", "part"])
def test_an_image_that_does_not_tell_its_parts(tmp_path: Path, told: list[tuple[int, bytes]]) -> None:
    """As daa2iso does it: a file that is shorter than it says has another one behind it."""
    write(tmp_path, SPLITS["d00"], parts_of(told=told))
    assert opened_in(tmp_path, "x.daa").pread(0, len(IMAGE)) == IMAGE


@pytest.mark.parametrize("lost", [1, 2, 3])
@pytest.mark.parametrize("names", SPLITS.values(), ids=SPLITS)
def test_a_part_that_is_missing_is_named(tmp_path: Path, names: tuple[str, ...], lost: int) -> None:
    write(tmp_path, names, parts_of())
    (tmp_path / names[lost]).unlink()
    with pytest.raises(MissingPartError) as error:
        opened_in(tmp_path, names[0])
    assert (error.value.name, error.value.looked) == (names[lost], (str(tmp_path),))


def test_a_later_part_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.part02.daa").write_bytes(parts_of()[1])
    with pytest.raises(UnsupportedError, match="open the first one"):
        imagefs.open_image(str(tmp_path / "x.part02.daa"))


def test_a_part_that_is_a_link_out_of_the_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    write(inside, SPLITS["d00"], parts_of())
    (inside / "x.d01").rename(tmp_path / "elsewhere")
    (inside / "x.d01").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutsideError):
        opened_in(inside, "x.daa")


@pytest.mark.parametrize("broken", [b"", b"DAA VOL", bytes(2000), daa(IMAGE), parts_of()[1][:40]])
def test_what_is_no_part_is_named(tmp_path: Path, broken: bytes) -> None:
    first, _, *rest = parts_of()
    write(tmp_path, SPLITS["d00"], [first, broken, *rest])
    with pytest.raises(DamagedError, match=r"x\.d00"):
        opened_in(tmp_path, "x.daa")


def test_a_part_that_lost_its_end_spoils_what_lay_there_alone(tmp_path: Path) -> None:
    first, second, *rest = parts_of()
    write(tmp_path, SPLITS["d00"], [first, second[:-3000], *rest])
    reader = opened_in(tmp_path, "x.daa")
    assert reader.pread(0, CHUNK) == IMAGE[:CHUNK]
    with pytest.raises(DamagedError):
        reader.pread(0, len(IMAGE))
    assert reader.pread(5 * CHUNK, len(IMAGE)) == IMAGE[5 * CHUNK :]


def test_two_parts_that_lost_their_ends(tmp_path: Path) -> None:
    """Where what is there belongs is not known any more."""
    first, second, third, last = parts_of()
    write(tmp_path, SPLITS["d00"], [first, second[:-3000], third[:-10], last])
    with pytest.raises(DamagedError, match="2 of its parts"):
        opened_in(tmp_path, "x.daa")


def test_the_last_part_may_have_lost_its_end(tmp_path: Path) -> None:
    *front, last = parts_of()
    write(tmp_path, SPLITS["d00"], [*front, last[:-500]])
    reader = opened_in(tmp_path, "x.daa")
    assert reader.pread(0, 5 * CHUNK) == IMAGE[: 5 * CHUNK]
    with pytest.raises(DamagedError):
        reader.pread(5 * CHUNK, 60_000)


# --- damage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (daa(IMAGE, 0x120), UnsupportedError, "version 0x120"),
        (daa(IMAGE, signature=b"DAA VOL"), UnsupportedError, "later part"),
        (daa(IMAGE, descriptors=[(ENCRYPTION, bytes(136))]), PasswordError, "password"),
        (daa(IMAGE, descriptors=[(SPLIT, b"\2\0\0\0\1\0\0\0")])[:-100], MissingPartError, r"disc\.d00"),
        (with_crc(daa(IMAGE)[:30] + bytes(100)), DamagedError, "chunks of 0"),
        (daa(IMAGE[:5000], chunk_bytes=1), DamagedError, "in chunks of 1$"),
        (
            with_crc(daa(IMAGE)[:40] + struct.pack("<Q", (HUNKS + 1) * CHUNK) + daa(IMAGE)[48:]),
            DamagedError,
            f"the limit is {HUNKS}",
        ),
        (daa(IMAGE)[:80], DamagedError, "table"),
        (with_crc(daa(IMAGE)[:40] + b"\xff" * 8 + daa(IMAGE)[48:]), DamagedError, "the limit is"),
        (daa(IMAGE)[:41] + b"\0" + daa(IMAGE)[42:], DamagedError, "checksum of the header"),
        (
            with_crc(daa(IMAGE, 0x110, flags=PACKED_TABLE)[:57] + b"\xff" * 4 + bytes(5000)),
            DamagedError,
            "packed table",
        ),
        (daa(IMAGE[:CHUNK], 0x110, flags=PACKED_TABLE)[:78], DamagedError, "table"),
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


@pytest.mark.parametrize("kind", ["0x110 of both", "gBurner 0x110"])
def test_no_byte_of_the_header_can_change_unseen(kind: str) -> None:
    whole = KINDS[kind]
    for at in range(16, 76):
        with pytest.raises((DamagedError, UnsupportedError)):
            opened(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])


@pytest.mark.parametrize("dictionary", [0, 1 << 20, (1 << 32) - 1])
def test_a_dictionary_is_as_large_as_a_chunk(dictionary: int) -> None:
    """Whatever the properties say."""
    whole = KINDS["0x110 LZMA"]
    reader = opened(with_crc(whole[:64] + struct.pack("<I", dictionary) + whole[68:]))
    assert reader.pread(0, len(IMAGE)) == IMAGE


@pytest.mark.parametrize("data", [b"", b"DAA", b"DAA" + bytes(60), b"DAAA" + bytes(200)])
def test_other_files_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.daa")) is None
