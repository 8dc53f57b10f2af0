"""UIF images of every version, encrypted or not, and the discs that their sheets describe."""

import random
import struct
import sys
from pathlib import Path

import pytest

import imagefs
from imagefs.containers import ccd, cue, mds, nrg
from imagefs.containers.uif import FORMAT
from imagefs.containers.uif.packing import _SENTENCES, key_of
from imagefs.disc import Disc
from imagefs.errors import DamagedError, ImageError, PasswordError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, Reader, Run, RunKind
from tests.builders.ccd import AUDIO, DATA, Row
from tests.builders.ccd import ccd as make_ccd
from tests.builders.descriptors import open_path, table
from tests.builders.mds import AUDIO as MDS_AUDIO
from tests.builders.mds import MODE1, Block
from tests.builders.mds import mds as make_mds
from tests.builders.sectors import stored, tone, volume
from tests.builders.uif import CCD, CUE, KEYS, MDS, NO_SHEET, NRG, PACKED, PLAIN, ZEROS, ccd_sheet, uif
from tests.containers.test_nrg import mixed
from tests.contract import check_reader

CHANCE = random.Random(5)
IMAGE = volume(40) + b"".join(CHANCE.choice((CHANCE.randbytes(2048), b"text" * 512, bytes(2048))) for _ in range(60))
CODE = b"".join(b"\xe8%s\x90\x90\x8b\xc0" % CHANCE.randbytes(2) + b"\0\0" for _ in range(9_000))
"""x86 code: calls, which the filter changes."""
HOLED = volume(48) + bytes(32 * 2048) + b"end" * 1000
"""Zeros from sector 48 on."""
SECTORS = stored(volume(40), "MODE1/2352") + tone(20)


def opened(data: bytes, name: str = "disc.uif") -> Reader | Disc:
    candidate = Candidate(BytesReader(data), name)
    assert FORMAT.probe(candidate) is not None
    found = FORMAT.open(candidate, Options())
    assert isinstance(found, Reader | Disc)
    return found


def image_in(data: bytes) -> Reader:
    found = opened(data)
    assert isinstance(found, Reader)
    return found


def disc_in(data: bytes, name: str = "disc.uif") -> Disc:
    found = opened(data, name)
    assert isinstance(found, Disc)
    return found


KINDS = {
    "version 1": uif(IMAGE),
    "version 2": uif(IMAGE, 2),
    "version 3": uif(IMAGE, 3),
    "LZMA without a mark": uif(IMAGE, 3, has_mark=False),
    "LZMA of code": uif(CODE, 3, has_filter=True),
    "plain": uif(IMAGE, types=[PLAIN]),
    "plain and packed": uif(IMAGE, 3, types=[PLAIN, PACKED]),
    "a plain table": uif(IMAGE, has_packed_head=False),
    "zeros": uif(HOLED, types=[PACKED, PACKED, PACKED, ZEROS, PACKED], chunk_sectors=[16, 16, 16, 32, 16]),
    "zeros in chunks of many sizes": uif(HOLED, types=[PACKED, PLAIN, ZEROS, PACKED], chunk_sectors=[8, 40, 32, 1]),
    "chunks of many sizes": uif(IMAGE, 2, chunk_sectors=[1, 5, 16, 2, 30, 3]),
    "plain chunks of many sizes": uif(IMAGE, types=[PLAIN], chunk_sectors=[1, 5, 16, 2, 30, 3]),
    "sectors of 2352 bytes": uif(SECTORS, 3, sector_bytes=2352, chunk_sectors=[7]),
    "half a sector at the end": uif(IMAGE[:-1000], 2),
    "one chunk": uif(IMAGE, chunk_sectors=[1000]),
    "key 1": uif(IMAGE, 2, key=(1, 0)),
    "key 5 and LZMA": uif(IMAGE, 3, key=(5, 1), types=[PACKED, PLAIN]),
    "key 8, plain": uif(IMAGE, 2, key=(8, 0), types=[PLAIN], chunk_sectors=[7, 3]),
    "key 16, half a sector": uif(IMAGE[:-1001], 3, key=(16, 0), types=[PACKED, PLAIN, PLAIN]),
    "no key in version 1": uif(IMAGE, 1, key=(1, 2)),
    "a key past the last one": uif(IMAGE, 2, key=(17, 0)),
}
CONTENTS = {
    "LZMA of code": CODE,
    "zeros": HOLED,
    "zeros in chunks of many sizes": HOLED,
    "sectors of 2352 bytes": SECTORS,
    "half a sector at the end": IMAGE[:-1000],
    "key 16, half a sector": IMAGE[:-1001],
}
"""Of those that do not hold IMAGE."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_image(kind: str) -> None:
    check_reader(image_in(KINDS[kind]), CONTENTS.get(kind, IMAGE), 16 * 2048)


def test_zeros_are_a_hole() -> None:
    runs = image_in(KINDS["zeros"]).runs(48 * 2048, 32 * 2048)
    assert [(run.kind, run.length) for run in runs] == [(RunKind.ZERO, 32 * 2048)]


def test_it_mounts_as_its_image(tmp_path: Path) -> None:
    (tmp_path / "disc.uif").write_bytes(KINDS["key 1"])
    with imagefs.open_image(str(tmp_path / "disc.uif")) as image:
        assert [step.name for step in image.steps] == ["uif"]
        assert image.filesystems[0][1].kind == "iso9660"


@pytest.mark.parametrize("number", KEYS)
def test_keys_are_those_that_uif2iso_prints(number: int) -> None:
    assert key_of(_SENTENCES[number - 1]).hex() == KEYS[number]


# --- sheets ---------------------------------------------------------------------------------------------------------------

SHEET = """FILE "{name}" BINARY
  TRACK 01 MODE1/2352
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    TITLE "a tone"
    INDEX 01 00:00:40
"""
TRACKS = [(1, "mode1/2352", 0, 40), (2, "audio", 40, 20)]


def raw_uif(kind: int, sheet: bytes, version: int = 2, *, packed_head: bool = True, image: bytes = SECTORS) -> bytes:
    return uif(
        image,
        version,
        sector_bytes=2352,
        chunk_sectors=[9],
        sheet=(kind, sheet),
        has_packed_head=packed_head,
        key=(8 * packed_head, 0),
    )


@pytest.mark.parametrize("packed_head", [True, False])
@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("name", ["disc.bin", "Another Name.BIN", r"D:\images\x.bin", "../x.bin"])
def test_a_cue_sheet(name: str, version: int, packed_head: bool) -> None:
    disc = disc_in(raw_uif(CUE, SHEET.format(name=name).encode(), version, packed_head=packed_head))
    assert (table(disc), disc.warnings) == (TRACKS, ())
    assert disc.tracks[1].title == "a tone"
    assert disc.raw.pread(0, len(SECTORS)) == volume(40) + tone(20)


def test_a_cue_sheet_as_the_files_themselves(tmp_path: Path) -> None:
    (tmp_path / "x.cue").write_text(SHEET.format(name="x.bin"))
    (tmp_path / "x.bin").write_bytes(SECTORS)
    disc, same = open_path(cue.FORMAT, tmp_path / "x.cue"), disc_in(raw_uif(CUE, SHEET.format(name="x.bin").encode()))
    assert table(same) == table(disc)
    for track, other in zip(disc.tracks, same.tracks, strict=True):
        check_reader(other.user, track.user.pread(0, track.user.size))


def mds_sheet(*names: str) -> bytes:
    return make_mds(
        [[Block(1, MODE1, 2352, 0, 0, 40), Block(2, MDS_AUDIO, 2352, 40, 40 * 2352, 20, control=0x10)]], names
    )


@pytest.mark.parametrize("name", ["*.mdf", "disc.mdf", "another.mdf"])
def test_an_mds(tmp_path: Path, name: str) -> None:
    disc = disc_in(raw_uif(MDS, mds_sheet(name)))
    assert table(disc) == TRACKS
    (tmp_path / "disc.mds").write_bytes(mds_sheet("*.mdf"))
    (tmp_path / "disc.mdf").write_bytes(SECTORS)
    assert table(open_path(mds.FORMAT, tmp_path / "disc.mds")) == TRACKS
    assert disc.tracks[1].user.pread(0, 20 * 2352) == tone(20)


@pytest.mark.parametrize("subchannel", [b"", bytes(96 * 60), bytes(4 << 20)])
def test_a_ccd(tmp_path: Path, subchannel: bytes) -> None:
    text = make_ccd([Row(1, 1, DATA, 0, 1), Row(1, 2, AUDIO, 40, 0)], [60]).encode()
    disc = disc_in(raw_uif(CCD, ccd_sheet(text, subchannel)))
    (tmp_path / "disc.ccd").write_bytes(text)
    (tmp_path / "disc.img").write_bytes(SECTORS)
    assert table(disc) == table(open_path(ccd.FORMAT, tmp_path / "disc.ccd")) == TRACKS
    assert disc.warnings == ()


@pytest.mark.parametrize("rest", [b"", bytes(900)])
def test_a_nero_image(tmp_path: Path, rest: bytes) -> None:
    """MagicISO leaves zeros behind the footer."""
    whole = mixed(2)
    (tmp_path / "disc.uif").write_bytes(uif(whole + rest, 2, sheet=(NRG, b"")))
    (tmp_path / "disc.nrg").write_bytes(whole)
    with imagefs.open_image(str(tmp_path / "disc.uif")) as image:
        assert [step.name for step in image.steps] == ["uif", "nrg"]
        assert image.disc is not None
        assert table(image.disc) == table(open_path(nrg.FORMAT, tmp_path / "disc.nrg"))


def test_sectors_without_a_sheet() -> None:
    reader = image_in(raw_uif(NO_SHEET, b""))
    assert reader.pread(0, reader.size) == SECTORS


def test_files_beside_the_image_are_not_those_of_its_sheet(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(len(SECTORS)))
    (tmp_path / "x.uif").write_bytes(raw_uif(CUE, SHEET.format(name="x.bin").encode()))
    with imagefs.open_image(str(tmp_path / "x.uif")) as image:
        assert [step.name for step in image.steps] == ["uif"]
        assert image.raw.pread(0, len(SECTORS)) == volume(40) + tone(20)


TWO_FILES = SHEET.format(name="1.bin") + 'FILE "2.bin" BINARY\n  TRACK 03 AUDIO\n    INDEX 01 00:00:00\n'


@pytest.mark.parametrize(
    ("kind", "sheet", "says"),
    [
        (CUE, TWO_FILES.encode(), "it names 2 files"),
        (CUE, b"FILE x.bin", "its descriptor is not used"),
        (MDS, mds_sheet("1.mdf", "2.mdf"), "it names 2 files"),
        (MDS, mds_sheet("disc.mdf", "disc.md2"), "'disc.md2' is missing"),
        (MDS, b"no sheet", "it does not begin as an MDS/MDF image"),
        (CCD, b"\1\0", "the sheet has 2 bytes"),
        (CCD, ccd_sheet(b"text")[:9], "a text of 4 bytes"),
        (7, b"new", "kind 7"),
    ],
)
def test_a_sheet_that_is_not_read_leaves_one_track(kind: int, sheet: bytes, says: str) -> None:
    disc = disc_in(raw_uif(kind, sheet))
    assert table(disc) == [(1, "mode1/2352", 0, 60)]
    assert says in disc.warnings[-1]
    assert "one data track" in disc.warnings[-1]


def test_a_sheet_that_is_not_read_of_plain_sectors() -> None:
    disc = disc_in(uif(volume(40), sheet=(7, b"new")))
    assert (table(disc), disc.medium) == ([(1, "mode1/2048", 0, 40)], "CD")
    assert "kind 7" in disc.warnings[-1]


def test_a_sheet_that_is_not_read_of_sectors_that_tell_nothing() -> None:
    with pytest.raises(UnsupportedError, match="kind 7"):
        opened(raw_uif(7, b"new", image=tone(60)))


# --- damage ---------------------------------------------------------------------------------------------------------------


def patched(data: bytes, at: int, new: bytes) -> bytes:
    """`at` counts from the footer's beginning."""
    begin = len(data) - 64 + at
    return data[:begin] + new + data[begin + len(new) :]


PLAIN_HEAD = uif(IMAGE, has_packed_head=False)


def table_at(data: bytes) -> int:
    return int.from_bytes(data[-36:-28], "little")


TABLE_AT = table_at(PLAIN_HEAD)


def entry(number: int, field: int, value: int, data: bytes = PLAIN_HEAD) -> bytes:
    """With one field of a chunk's entry changed: 0 offset, 1 stored, 2 first sector, 3 sectors, 4 type."""
    at = table_at(data) + 16 + 24 * number
    fields = list(struct.unpack_from("<QIIII", data, at))
    fields[field] = value
    return data[:at] + struct.pack("<QIIII", *fields) + data[at + 24 :]


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (uif(IMAGE, 2, key=(3, 2)), UnsupportedError, "cipher of MagicISO's own"),
        (uif(IMAGE, magic=b"bsdr"), PasswordError, "password"),
        (uif(IMAGE, magic=b"else"), DamagedError, "instead of b'blhr'"),
        (patched(PLAIN_HEAD, 16, bytes(4)), DamagedError, "0 sectors"),
        (patched(PLAIN_HEAD, 16, b"\xff" * 4), DamagedError, "sectors of 2048"),
        (patched(PLAIN_HEAD, 20, bytes(4)), DamagedError, "sectors of 0"),
        (patched(PLAIN_HEAD, 20, b"\1\0\0\0"), DamagedError, "sectors of 1 bytes"),
        (patched(PLAIN_HEAD, 20, b"\xff" * 4), DamagedError, "sectors of 4294967295"),
        (patched(PLAIN_HEAD, 24, b"\xff" * 4), DamagedError, "last sector of"),
        (patched(PLAIN_HEAD, 28, b"\xff" * 8), DamagedError, "there"),
        (PLAIN_HEAD[: TABLE_AT + 12] + b"\xff" * 4 + PLAIN_HEAD[TABLE_AT + 16 :], DamagedError, "is said to have"),
        (uif(IMAGE, key=(1, 0), version=2)[:-8] + b"\2\0\0\0\0\0\0\0", DamagedError, "zlib"),
        (entry(1, 2, 16 * 3), DamagedError, "two chunks hold sector"),
        (entry(1, 4, 4), UnsupportedError, "type 4"),
    ],
)
def test_what_is_not_read_is_named(data: bytes, error: type[ImageError], says: str) -> None:
    with pytest.raises(error, match=says):
        opened(data)


def test_the_library_for_des_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    with pytest.raises(UnsupportedError, match=r"imagefs\[crypto\]"):
        opened(KINDS["key 1"])
    assert image_in(KINDS["version 2"]).pread(0, 2048) == IMAGE[:2048]


@pytest.mark.parametrize(("field", "value"), [(0, 1 << 63), (0, 0), (1, 5), (1, 1 << 31), (1, 0)])
def test_a_wrong_entry_spoils_its_own_chunk_alone(field: int, value: int) -> None:
    reader, whole = image_in(entry(3, field, value)), image_in(PLAIN_HEAD)
    first = struct.unpack_from("<QIIII", PLAIN_HEAD, TABLE_AT + 16 + 3 * 24)[2] * 2048
    for start in range(0, len(IMAGE), 16 * 2048):
        if start == first:
            with pytest.raises(DamagedError):
                reader.pread(start, 2048)
        else:
            assert reader.pread(start, 16 * 2048) == whole.pread(start, 16 * 2048)


@pytest.mark.parametrize("lost", range(7))
def test_sectors_in_no_chunk_are_missing(lost: int) -> None:
    """Their chunk has none, and the others are as they were."""
    first, sectors = struct.unpack_from("<II", PLAIN_HEAD, TABLE_AT + 16 + 24 * lost + 12)
    missing = (first * 2048, (first + sectors) * 2048)
    check_reader(image_in(entry(lost, 3, 0)), IMAGE, 16 * 2048, missing=[missing])
    assert sectors > 0


def test_a_chunk_of_zeros_may_be_a_whole_disc() -> None:
    """2^26 sectors, of which a run is made soon."""
    huge = patched(uif(bytes(2048), types=[ZEROS], has_packed_head=False), 16, (1 << 26).to_bytes(4, "little"))
    reader = image_in(entry(0, 3, 1 << 26, huge))
    assert list(reader.runs(0, reader.size)) == [Run(RunKind.ZERO, 1 << 37)]


def test_a_plain_chunk_with_more_than_its_sectors() -> None:
    data = uif(IMAGE, types=[PLAIN], has_packed_head=False)
    reader = image_in(entry(0, 1, 17 * 2048, data))
    with pytest.raises(DamagedError, match="a plain chunk of"):
        reader.pread(0, len(IMAGE))


def test_a_chunk_larger_than_any() -> None:
    with pytest.raises(DamagedError, match="the limit is"):
        opened(entry(6, 3, 1 << 20, patched(PLAIN_HEAD, 16, (1 << 21).to_bytes(4, "little"))))


@pytest.mark.parametrize("cut", [1, 64, 200, 3000])
def test_what_is_cut_off_has_no_footer(cut: int) -> None:
    assert FORMAT.probe(Candidate(BytesReader(KINDS["version 1"][:-cut]), "x.uif")) is None


@pytest.mark.parametrize("content", [b"", b"bbis", volume(40), b"bbis" + bytes(100)])
def test_other_files_are_left_alone(content: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(content), "x.uif")) is None
