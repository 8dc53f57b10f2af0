"""CUE sheets that are written: line by line, as our own reader has them, and as cdrdao does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.containers.cue import FORMAT
from imagefs.disc import Disc, Session, Track, TrackKind
from imagefs.disc.cuesheet import TrackFile, clock, sheet_of
from imagefs.disc.wav import wav_header
from imagefs.readers import BytesReader
from tests.builders.descriptors import open_path, run_tool
from tests.builders.discs import write_cue
from tests.builders.sectors import tone


def track(number: int, start: int, length: int, **more: object) -> Track:
    stored = BytesReader(tone(length + int(str(more.get("pregap_stored", 0)))))
    return Track(number, TrackKind.AUDIO, 2352, start, length, stored, **more)  # type: ignore[arg-type]


FIRST = track(1, 200, 300, pregap=200, pregap_stored=200, flags=("DCP", "PRE"), isrc="ABCDE1234567", title='A "title"')
SECOND = track(2, 650, 100, pregap=150, indexes=(660, 725), performer="Some\nbody", songwriter="You")
DISC = Disc([Session(1, [FIRST, SECOND])], catalog="1234567890123", title="Ünï", performer="Everybody")
FILES = [
    TrackFile(1, FIRST, "AUDIO", "track01.wav", "WAVE", before="track00.wav"),
    TrackFile(1, SECOND, "AUDIO", "track02.wav", "WAVE", gap=150),
]
SHEET = """\
CATALOG 1234567890123
TITLE "Ünï"
PERFORMER "Everybody"
FILE "track00.wav" WAVE
  TRACK 01 AUDIO
    FLAGS DCP PRE
    ISRC ABCDE1234567
    TITLE "A 'title'"
    INDEX 00 00:00:00
FILE "track01.wav" WAVE
    INDEX 01 00:00:00
FILE "track02.wav" WAVE
  TRACK 02 AUDIO
    PERFORMER "Some body"
    SONGWRITER "You"
    PREGAP 00:02:00
    INDEX 01 00:00:00
    INDEX 02 00:00:10
    INDEX 03 00:01:00
"""


def test_a_sheet_line_by_line() -> None:
    assert sheet_of(DISC, FILES).decode().splitlines() == SHEET.splitlines()


def test_what_no_sheet_can_say_is_left_out() -> None:
    odd = track(1, 0, 10, flags=("DATA",), isrc="not one", indexes=(20,))
    sheet = sheet_of(Disc([Session(1, [odd])], catalog="12"), [TrackFile(1, odd, "AUDIO", "a", "BINARY")])
    assert sheet == b'FILE "a" BINARY\r\n  TRACK 01 AUDIO\r\n    INDEX 01 00:00:00\r\n'


@pytest.mark.parametrize(
    ("sectors", "text"), [(0, "00:00:00"), (74, "00:00:74"), (4500, "01:00:00"), (450_000, "100:00:00")]
)
def test_clock(sectors: int, text: str) -> None:
    assert clock(sectors) == text


def test_our_own_reader_finds_the_same_disc(tmp_path: Path) -> None:
    files = {
        "track00.wav": tone(200),
        "track01.wav": tone(300),
        "track02.wav": tone(100),
    }  # raw samples will do as well
    disc = open_path(FORMAT, write_cue(tmp_path, sheet_of(DISC, FILES), files))
    assert disc.warnings == ()
    assert (disc.catalog, disc.title, disc.performer) == ("1234567890123", "Ünï", "Everybody")
    shown = [(t.number, t.start, t.length, t.pregap, t.flags, t.isrc, t.indexes) for t in disc.tracks]
    assert shown == [
        (1, 200, 300, 200, ("DCP", "PRE"), "ABCDE1234567", ()),
        (2, 650, 100, 150, (), "", (660, 725)),
    ]


def test_sessions_and_pregaps_in_the_files(tmp_path: Path) -> None:
    first, second = track(1, 0, 30), track(2, 11430 + 30, 20, pregap=5, pregap_stored=5)
    disc = Disc([Session(1, [first]), Session(2, [second])])
    entries = [TrackFile(1, first, "AUDIO", "1", "BINARY"), TrackFile(2, second, "AUDIO", "2", "BINARY", pregap=5)]
    sheet = sheet_of(disc, entries)
    assert sheet.decode().splitlines()[0] == "REM SESSION 01"
    read = open_path(FORMAT, write_cue(tmp_path, sheet, {"1": tone(30), "2": tone(25)}))
    assert [(session.number, [t.pregap_stored for t in session.tracks]) for session in read.sessions] == [
        (1, [0]),
        (2, [5]),
    ]


def test_the_areas_of_a_gd_rom(tmp_path: Path) -> None:
    tracks = [track(1, 0, 30), track(2, 45_000, 20), track(3, 45_020, 10)]
    disc = Disc([Session(1, tracks[:1]), Session(2, tracks[1:])], medium="GD-ROM")
    entries = [TrackFile(1 + (t.number > 1), t, "AUDIO", str(t.number), "BINARY") for t in tracks]
    sheet = sheet_of(disc, entries)
    assert [line for line in sheet.decode().splitlines() if line.startswith("REM")] == [
        "REM SINGLE-DENSITY AREA", "REM HIGH-DENSITY AREA",
    ]  # fmt: skip
    read = open_path(FORMAT, write_cue(tmp_path, sheet, {"1": tone(30), "2": tone(20), "3": tone(10)}))
    assert read.medium == "GD-ROM"
    assert [(session.number, [t.start for t in session.tracks]) for session in read.sessions] == [
        (1, [0]), (2, [45_000, 45_020]),
    ]  # fmt: skip


def test_the_medium(tmp_path: Path) -> None:
    disc = Disc([Session(1, [track(1, 0, 30)])], medium="DVD")
    sheet = sheet_of(disc, [TrackFile(1, disc.tracks[0], "AUDIO", "1", "BINARY")])
    assert open_path(FORMAT, write_cue(tmp_path, sheet, {"1": tone(30)})).medium == "DVD"


@pytest.mark.foreign
def test_cdrdao_finds_the_same_disc(tmp_path: Path, need: Callable[..., None]) -> None:
    need("cdrdao")
    files = {"track01.wav": wav_header(2352 * 300) + tone(300), "track02.wav": wav_header(2352 * 100) + tone(100)}
    path = write_cue(tmp_path, sheet_of(DISC, [FILES[0]._replace(before=""), FILES[1]]), files)
    lines = [" ".join(line.split()) for line in run_tool("cdrdao", "show-toc", path, folder=tmp_path).splitlines()]
    assert not [line for line in lines if line.startswith("ERROR")]
    assert [
        line for line in lines if line[:5] in ("CATAL", "TRACK", "ISRC ", "PRE-E", "PREGA", "START", "INDEX", "END 0")
    ] == [
        "CATALOG NUMBER: 1234567890123",
        "TRACK 1 Mode AUDIO:",
        "ISRC AB CDE 12 34567",
        "PRE-EMPHASIS",
        "START 00:00:00( 0)",
        "END 00:04:00( 300)",
        "TRACK 2 Mode AUDIO:",
        "PREGAP 00:02:00( 150)",
        "START 00:06:00( 450)",
        "INDEX 2 00:06:10( 460)",
        "INDEX 3 00:07:00( 525)",
        "END 00:07:25( 550)",
    ]
