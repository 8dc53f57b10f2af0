"""Images of the emulator pSX."""

import struct
from pathlib import Path

import pytest

import imagefs
from imagefs.containers.cdz import BLOCK_BYTES, FORMAT, MOST_BLOCKS
from imagefs.disc import Disc
from imagefs.errors import DamagedError, ImageError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, Reader
from tests.builders.ccd import AUDIO, DATA, Row, ccd
from tests.builders.cdz import cdz, chunk
from tests.builders.descriptors import table
from tests.builders.mds import MODE2, Block, mds
from tests.builders.sectors import stored, tone, volume
from tests.conftest import MakeIso
from tests.contract import check_filesystem, check_reader

USER = volume(60)
DATA_SECTORS = stored(USER, "MODE2/2352")
SECTORS = DATA_SECTORS + tone(40)
SHEET = """FILE "C:\\Games\\A Game.bin" BINARY
  TRACK 01 MODE2/2352
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    INDEX 00 00:00:60
    INDEX 01 00:00:70
"""
TRACKS = [(1, "mode2/2352", 0, 60), (2, "audio", 70, 30)]
SUBCHANNEL = b"".join(bytes((number,)) * 96 for number in range(100))
TOOLS = [0, 1, 2]


def opened(image: bytes) -> Disc | Reader:
    candidate = Candidate(BytesReader(image), "A Game.cdz")
    assert FORMAT.probe(candidate) is not None
    found = FORMAT.open(candidate, Options())
    assert isinstance(found, (Disc, Reader))
    return found


def disc_of(image: bytes) -> Disc:
    found = opened(image)
    assert isinstance(found, Disc)
    return found


def content_of(image: bytes) -> Reader:
    found = opened(image)
    assert isinstance(found, Reader)
    return found


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


# --- with a descriptor ----------------------------------------------------------------------------------------------------


@pytest.mark.foreign
@pytest.mark.parametrize("tool", TOOLS)
def test_the_files_of_a_bootable_disc(tree: Path, tmp_path: Path, make_iso: MakeIso, tool: int) -> None:
    boot = ("-b", "run.sh", "-no-emul-boot", "-boot-load-size", "4", "-c", "boot.cat")
    user = make_iso(tree, "-R", "-no-pad", *boot, tool="genisoimage").read_bytes()
    sheet = 'FILE "a.bin" BINARY\n TRACK 01 MODE2/2352\n  INDEX 01 00:00:00\n'
    path = tmp_path / "game.cdz"
    path.write_bytes(cdz(stored(user, "MODE2/2352"), sheet, tool))
    with imagefs.open_image(str(path)) as image:
        assert ([step.name for step in image.steps], image.warnings) == (["cdz"], [])
        check_reader(image.raw, user)
        found = check_filesystem(image.tree)
        assert found[b"/random.bin"] == (tree / "random.bin").read_bytes()
        assert found[b"/link"] == "docs/Grüße.txt".encode()
        (starter,) = image.filesystems[0][1].boot_images()
        assert starter.content.pread(0, 18) == b"#!/bin/sh\necho hi\n"


@pytest.mark.parametrize("tool", TOOLS)
def test_a_cue_sheet(tool: int) -> None:
    found = disc_of(cdz(SECTORS, SHEET, tool))
    assert (table(found), found.warnings) == (TRACKS, ())
    check_reader(found.space, USER)
    check_reader(found.tracks[1].user, tone(40)[10 * 2352 :])


@pytest.mark.parametrize("name", ["game.img", "GAME.ISO", "game", "./game.bin", "a.wav"])
def test_whatever_the_sheet_calls_its_file(name: str) -> None:
    assert table(disc_of(cdz(SECTORS, SHEET.replace("C:\\Games\\A Game.bin", name)))) == TRACKS


ROWS = [Row(1, 1, DATA, 0, 2), Row(1, 2, AUDIO, 70, 0, {"INDEX 0": 60, "INDEX 1": 70})]


@pytest.mark.parametrize("last", [0, 1])
def test_a_descriptor_of_clonecd(last: int) -> None:
    content = SECTORS
    if last:
        content = b"".join(
            SECTORS[2352 * number : 2352 * (number + 1)] + SUBCHANNEL[96 * number : 96 * (number + 1)]
            for number in range(100)
        )
    found = disc_of(cdz(content, ccd(ROWS, [100]), kind=b"CCD\0", last=last))
    assert (table(found), found.warnings) == (TRACKS, ())
    check_reader(found.space, USER)
    parts = [track.subchannel for track in found.tracks]
    assert b"".join(part.pread(0, part.size) for part in parts if part) == (SUBCHANNEL if last else b"")


def test_a_subchannel_behind_all_sectors() -> None:
    found = disc_of(cdz(SECTORS + SUBCHANNEL, ccd(ROWS, [100]), kind=b"CCD\0", last=1))
    assert (table(found), found.warnings) == (TRACKS, ())
    parts = [track.subchannel for track in found.tracks]
    assert b"".join(part.pread(0, part.size) for part in parts if part) == SUBCHANNEL


def test_a_descriptor_of_alcohol() -> None:
    blocks = [Block(1, MODE2, 2352, 0, 0, 60, pregap=150), Block(2, 0xA9, 2352, 70, 70 * 2352, 30, control=0x10)]
    found = disc_of(cdz(SECTORS, mds([blocks], names=["*.mdf"]), kind=b"MDS\0"))
    assert (table(found), found.warnings) == (TRACKS, ())
    check_reader(found.space, USER)


# --- without one ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [USER, SECTORS])
def test_sectors_without_a_descriptor(tmp_path: Path, content: bytes) -> None:
    check_reader(content_of(cdz(content, None)), content, BLOCK_BYTES)
    (tmp_path / "game.cdz").write_bytes(cdz(content, None))
    with imagefs.open_image(str(tmp_path / "game.cdz")) as image:
        assert [step.name for step in image.steps] == ["cdz"] + ["raw"] * (content is SECTORS)
        assert image.filesystems[0][1].kind == "iso9660"


TWO_FILES = 'FILE "b.bin" BINARY\n TRACK 03 AUDIO\n INDEX 01 00:00:00\n'
LONG = stored(volume(460), "MODE2/2352")
"""No sheet is as long."""


@pytest.mark.parametrize("tool", [0, 1])
def test_a_chunk_without_a_name_that_is_no_sheet(tool: int) -> None:
    check_reader(content_of(cdz(LONG, None, tool)), LONG, BLOCK_BYTES)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (cdz(SECTORS, "no sheet at all"), "it does not begin as a CUE sheet"),
        (cdz(SECTORS, b"\xff" * 70_000), "it does not begin as a CUE sheet"),
        (cdz(SECTORS, SHEET + TWO_FILES), "it names 2 files"),
        (cdz(SECTORS, SHEET.replace("INDEX", "index").replace("01 00", "01 xx")), "line 3"),
        (patched(cdz(SECTORS, SHEET), 44, b"\xff" * 10), "it does not begin as a CUE sheet"),
        (cdz(SECTORS, b"MEDIA DESCRIPTOR\2\0" + bytes(100), kind=b"MDS\0"), "it does not begin as an MDS/MDF image"),
    ],
)
def test_a_descriptor_that_cannot_be_used(image: bytes, why: str) -> None:
    found = disc_of(image)
    assert table(found) == [(1, "mode2/2352", 0, 100)]
    (warning,) = found.warnings
    assert warning.startswith("its descriptor is not used (")
    assert why in warning
    assert warning.endswith("): all of the image is taken for one data track")


def test_a_subchannel_behind_all_sectors_is_none_of_them() -> None:
    found = disc_of(cdz(SECTORS + SUBCHANNEL, "[no sheet", kind=b"CCD\0", last=1))
    assert table(found) == [(1, "mode2/2352", 0, 100)]


def test_neither_a_descriptor_nor_sectors_that_are_known() -> None:
    with pytest.raises(DamagedError, match="does not begin as a CUE sheet"):
        opened(cdz(tone(40), "no sheet"))


# --- damage ---------------------------------------------------------------------------------------------------------------

WHOLE = cdz(SECTORS, SHEET)
SECTORS_AT = 4 + len(chunk(SHEET.encode(), 5, b"CUE\0"))
PLACES: list[tuple[int, int]] = []
"""(offset of the head of a block, stored bytes behind it), of the sectors."""
_at = SECTORS_AT + 28
for _ in range(4):
    PLACES.append((_at, int.from_bytes(WHOLE[_at : _at + 4], "little")))
    _at += 8 + PLACES[-1][1]


def check_spoilt(image: bytes, *blocks: int) -> None:
    """The blocks cannot be read, and nothing else is spoilt."""
    found = disc_of(image)
    assert table(found) == TRACKS
    reader = found.tracks[0].stored
    for sector in range(60):
        first, last = sector * 2352, sector * 2352 + 2351
        if {first // BLOCK_BYTES, last // BLOCK_BYTES} & set(blocks):
            with pytest.raises(DamagedError):
                reader.pread(first, 2352)
        else:
            assert reader.pread(first, 2352) == SECTORS[first : first + 2352]


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("inside", [0, 2, 300, -1])
def test_a_block_that_does_not_inflate_spoils_itself_alone(block: int, inside: int) -> None:
    begin, length = PLACES[block]
    at = begin + 8 + inside % length
    check_spoilt(patched(WHOLE, at, bytes((WHOLE[at] ^ 0x10,))), block)


@pytest.mark.parametrize("head", [bytes(8), b"\xff" * 8, struct.pack("<II", 100, 1)])
def test_what_follows_a_broken_head_of_a_block_is_lost(head: bytes) -> None:
    check_spoilt(patched(WHOLE, PLACES[1][0], head), 1, 2)


def test_a_cut_file_has_the_blocks_before_its_end() -> None:
    check_spoilt(WHOLE[: PLACES[1][0] + 100], 1, 2)
    check_spoilt(WHOLE[: PLACES[2][0]], 2)


@pytest.mark.parametrize(
    ("image", "error", "says"),
    [
        (b"CDZ\1" + bytes(100), DamagedError, "no chunk begins there"),
        (b"CDZ\0" + bytes(100), DamagedError, "no chunk begins there"),
        (WHOLE[:20], DamagedError, "bytes wanted"),
        (WHOLE[:SECTORS_AT], DamagedError, "bytes wanted"),
        (patched(WHOLE, SECTORS_AT, b"TOC\0"), UnsupportedError, "a chunk 'TOC.x00'"),
        (patched(WHOLE, SECTORS_AT, b"CCD\0"), DamagedError, "without sectors"),
        (patched(WHOLE, SECTORS_AT + 12, b"LZMA"), DamagedError, "no chunk begins there"),
        (patched(WHOLE, SECTORS_AT + 16, b"\xff" * 12), DamagedError, "no chunk begins there"),
        (
            patched(WHOLE, SECTORS_AT + 16, struct.pack("<QI", (MOST_BLOCKS + 1) * BLOCK_BYTES, MOST_BLOCKS + 1)),
            DamagedError,
            "no chunk begins there",
        ),
        (patched(WHOLE, SECTORS_AT + 24, b"\1"), DamagedError, "no chunk begins there"),
        (patched(WHOLE, 8, b"\xff" * 8), DamagedError, "bytes wanted"),
        (patched(cdz(SECTORS, SHEET, 1), 20, b"\0" * 8), DamagedError, "broken off"),
    ],
)
def test_what_makes_no_sense_is_named(image: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        opened(image)


@pytest.mark.parametrize("data", [b"", b"CDZ", b"CDZ\2" + bytes(100), b"CDZ archive of something"])
def test_other_files_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "game.cdz")) is None


@pytest.mark.parametrize("tool", TOOLS)
def test_a_flipped_byte_gives_an_error_or_what_was_there(tool: int) -> None:
    whole = cdz(SECTORS, SHEET, tool)
    refused = 0
    for at in range(4, SECTORS_AT + 40, 3):
        try:
            found = opened(patched(whole, at, bytes((whole[at] ^ 0x21,))))
            reader = found.tracks[0].stored if isinstance(found, Disc) else found
            data = reader.pread(0, 3 * 2352)
        except ImageError:
            refused += 1
        else:
            assert SECTORS.startswith(data)
    assert refused > 5
