"""The text of CUE sheets as it is found in the wild."""

import pytest

from imagefs.containers.cue.sheet import Sheet, decode, looks_like_sheet, parse
from imagefs.errors import DamagedError

PLAIN = """\
FILE "disc.bin" BINARY
  TRACK 01 MODE1/2352
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    INDEX 00 00:04:00
    INDEX 01 00:06:10
"""


def shape(sheet: Sheet) -> list[tuple[int, str, dict[int, int]]]:
    """(number, mode, index -> frame) of each track."""
    return [
        (track.number, track.layout.mode, {number: index.frame for number, index in track.indexes.items()})
        for track in sheet.tracks
    ]


EXPECTED = [(1, "mode1/2352", {1: 0}), (2, "audio", {0: 300, 1: 460})]


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-16-le"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace("\n", "\n\n \t\n").encode(),
        PLAIN.replace("  ", "\t").encode(),
        PLAIN.lower().replace("disc.bin", "disc.bin").encode(),
        PLAIN.encode() + b"\x1a\0\0",
        ('; made by hand\n// as well\nREM COMMENT "x"\n' + PLAIN).encode(),
        PLAIN.replace('"', "").encode(),
        PLAIN.replace('bin" BINARY', "bin BINARY").encode(),
        PLAIN.replace('"disc.bin"', "“disc.bin”").encode(),
        PLAIN.replace("TRACK 01", "TRACK 1").encode(),
    ],
    ids=[
        "plain",
        "utf-8 mark",
        "utf-16 mark",
        "utf-16-be mark",
        "utf-16 without mark",
        "crlf",
        "cr",
        "blank lines",
        "tabs",
        "lower case",
        "end of file mark",
        "comments",
        "no quotes",
        "one quote",
        "curly quotes",
        "one digit",
    ],
)
def test_the_same_sheet_in_many_dresses(data: bytes) -> None:
    sheet = parse(data)
    assert [(file.name, file.kind) for file in sheet.files] == [("disc.bin", "BINARY")]
    assert shape(sheet) == EXPECTED
    assert sheet.warnings == []
    assert looks_like_sheet(data) == (True, True)


@pytest.mark.parametrize(
    ("line", "name", "kind"),
    [
        ('FILE "a b.bin" BINARY', "a b.bin", "BINARY"),
        ("FILE a b.bin BINARY", "a b.bin", "BINARY"),
        ('FILE "say "hi".bin" binary', 'say "hi".bin', "BINARY"),
        ("FILE a.bin", "a.bin", "BINARY"),
        ('FILE "02 tone.wav" WAVE', "02 tone.wav", "WAVE"),
        ('FILE "x.bin"MOTOROLA', "x.bin", "MOTOROLA"),
        ("FILE “the “best”.bin” BINARY", "the “best”.bin", "BINARY"),
    ],
)
def test_names_of_files(line: str, name: str, kind: str) -> None:
    (file,) = parse(f"{line}\nTRACK 01 AUDIO\nINDEX 01 0:0:0".encode()).files
    assert (file.name, file.kind) == (name, kind)


@pytest.mark.parametrize(
    ("word", "mode", "user_offset"),
    [
        ("AUDIO", "audio", 0),
        ("CDG", "audio", 0),
        ("AUDIO/2448", "audio", 0),
        ("MODE1/2048", "mode1/2048", 0),
        ("MODE1/2352", "mode1/2352", 16),
        ("MODE1/2448", "mode1/2448", 16),
        ("MODE1_RAW", "mode1/2352", 16),
        ("MODE2/2048", "mode2/2048", 0),
        ("MODE2/2324", "mode2/2324", 0),
        ("MODE2/2332", "mode2/2332", 8),
        ("MODE2/2336", "mode2/2336", 8),
        ("MODE2/2352", "mode2/2352", 24),
        ("CDI/2336", "mode2/2336", 8),
        ("CDI/2352", "mode2/2352", 24),
    ],
)
def test_modes(word: str, mode: str, user_offset: int) -> None:
    (track,) = parse(f"FILE x BINARY\nTRACK 01 {word}\nINDEX 01 00:00:00".encode()).tracks
    assert (track.layout.mode, track.layout.user_offset) == (mode, user_offset)


def test_everything_a_sheet_may_say() -> None:
    sheet = parse(b"""\
CATALOG 1234567890123
CDTEXTFILE "disc.cdt"
TITLE "The Disc"
PERFORMER All
SONGWRITER "Nobody"
REM ORIGINAL MEDIA-TYPE: DVD
FILE "a.bin" BINARY
  TRACK 04 AUDIO
    TITLE "It's "quoted""
    PERFORMER "Me"
    INDEX 01 00:00:00
    INDEX 02 123:45:10
    FLAGS DCP 4ch
    ISRC ABCDE1234567
    PREGAP 00:02:00
    POSTGAP 00:01:05
REM LEAD-OUT 01:30:00
REM SESSION 02
REM LEAD-IN 01:00:00
REM PREGAP 00:02:00
FILE "b.bin" BINARY
  TRACK 05 MODE1/2352
    INDEX 01 00:00:00
""")
    assert (sheet.catalog, sheet.cdtext_file, sheet.medium) == ("1234567890123", "disc.cdt", "DVD")
    assert sheet.text == {"title": "The Disc", "performer": "All", "songwriter": "Nobody"}
    first, second = sheet.tracks
    assert first.text == {"title": 'It\'s "quoted"', "performer": "Me"}
    assert (first.number, first.flags, first.isrc, first.pregap, first.postgap) == (
        4,
        ("DCP", "4CH"),
        "ABCDE1234567",
        150,
        80,
    )
    assert first.indexes[2].frame == (123 * 60 + 45) * 75 + 10
    assert [track.session for track in sheet.tracks] == [1, 2]
    assert (first.between, second.between) == ({}, {"LEAD-OUT": 6750, "LEAD-IN": 4500, "PREGAP": 150})
    assert sheet.warnings == []


def test_the_areas_of_a_gd_rom() -> None:
    sheet = parse(b"""\
REM SINGLE-DENSITY AREA
FILE "1.bin" BINARY
  TRACK 01 MODE1/2352
    INDEX 01 00:00:00
REM HIGH-DENSITY AREA
FILE "3.bin" BINARY
  TRACK 03 MODE1/2352
    INDEX 01 00:00:00
""")
    assert [(track.session, track.is_high_density) for track in sheet.tracks] == [(1, False), (2, True)]
    assert sheet.medium == "GD-ROM"


def test_an_index_may_lie_in_the_file_before() -> None:
    sheet = parse(b"""\
FILE "1.wav" WAVE
  TRACK 01 AUDIO
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    INDEX 00 03:00:00
FILE "2.wav" WAVE
    INDEX 01 00:00:00
""")
    assert [(index.file, index.frame) for index in sheet.tracks[1].indexes.values()] == [(0, 13_500), (1, 0)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("FILE x BINARY\nTRACK 01 MODE3_FORM1\n", "line 2: 'MODE3_FORM1' is no mode"),
        ("FILE x BINARY\nTRACK 01 MODE1/2353\n", "line 2: 'MODE1/2353' is no mode"),
        ("FILE x BINARY\nTRACK AUDIO\n", "line 2: TRACK needs a number"),
        ("FILE x BINARY\nTRACK 01 AUDIO\nINDEX 01 xx:yy:0\n", "line 3: 'xx:yy:0' is no time"),
        ("FILE x BINARY\nTRACK 01 AUDIO\nINDEX 00:00:00\n", "line 3: INDEX needs"),
        ("FILE x BINARY\nTRACK 01 AUDIO\nINDEX 01 -1:00:00\n", "line 3: '-1:00:00' is no time"),
        ("FILE x BINARY\nINDEX 01 00:00:00\n", "line 2: INDEX before the first TRACK"),
        ("\n\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n", "line 3: TRACK before the first FILE"),
        ("FILE\n", "line 1: FILE without a name"),
        ("FILE x BINARY\nTRACK 01 AUDIO\nINDEX 00 00:00:00\n", "line 2: track 1 has no INDEX 01"),
        ("FILE x BINARY\nTRACK 100 AUDIO\n", "line 2: track 100"),
        ("FILE x BINARY\n" * 500, "line 199: more than 198 files"),
        ("FILE x BINARY\n", "without a TRACK"),
        ("", "without a TRACK"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, says: str) -> None:
    with pytest.raises(DamagedError, match=says):
        parse(text.encode())


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("CATALOG 123", "line 2: CATALOG needs 13 digits"),
        ("CATALOG", "line 2: CATALOG needs 13 digits"),
        ("NONSENSE 5", "line 2: 'NONSENSE' is no command"),
        (
            "TRACK 01 AUDIO\nINDEX 01 0:0:0\nTRACK 01 AUDIO\nINDEX 01 0:1:0",
            "line 4: track 1 after track 1 is taken as 2",
        ),
        ("TRACK 01 AUDIO\nINDEX 01 00:90:00", "line 3: 00:90:00 has too many seconds"),
        ("TRACK 01 AUDIO\nINDEX 01 0:0:0\nINDEX 01 0:1:0", "line 4: INDEX 01 of track 1 is ignored"),
    ],
)
def test_what_can_be_passed_over_is_a_warning_with_its_line(lines: str, says: str) -> None:
    text = f"FILE x BINARY\n{lines}\nTRACK 09 AUDIO\nINDEX 01 00:05:00"
    (warning,) = parse(text.encode()).warnings
    assert warning.startswith(says)


def test_warnings_are_bounded() -> None:
    assert len(parse(("X\n" * 9000 + PLAIN).encode()).warnings) == 32


@pytest.mark.parametrize(
    ("data", "iocharset", "text"),
    [
        ("Grüße".encode(), None, "Grüße"),
        ("Grüße".encode("cp1252"), None, "Grüße"),
        ("日本".encode("cp932"), "cp932", "日本"),
        ("日本".encode(), "cp932", "日本"),
    ],
)
def test_code_pages(data: bytes, iocharset: str | None, text: str) -> None:
    assert decode(data, iocharset)[0] == text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"F",
        b"A text about FILE and TRACK 01 AUDIO.\n",
        b'CD_ROM\nTRACK MODE1\nDATAFILE "x.bin"\n',
        b"1\n1 0 4 2352 track01.bin 0\n",
        bytes(60_000),
        bytes(range(256)) * 200,
    ],
    ids=["nothing", "one letter", "prose", "toc", "gdi", "zeros", "bytes"],
)
def test_other_texts_are_no_sheets(data: bytes) -> None:
    assert looks_like_sheet(data) == (False, False)
