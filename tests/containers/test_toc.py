"""Discs described by cdrdao's TOC files."""

import io
import re
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.containers.toc import FORMAT
from imagefs.disc import Disc
from imagefs.errors import DamagedError, MissingPartError, OutsideError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.image import open_image
from imagefs.readers import BytesReader
from tests.builders.audio import music, run, write_wav
from tests.builders.descriptors import open_path, run_tool, table, try_path
from tests.builders.discs import write_cue
from tests.builders.sectors import pattern, stored, tone, volume
from tests.builders.toc import Statements, swapped, time, toc
from tests.contract import check_reader

DATA = stored(volume(40), "MODE1/2352")
WHOLE = DATA + swapped(tone(170) + tone(30, 9))
MIXED = toc(
    [
        Statements("MODE1_RAW", ["NO COPY", f'DATAFILE "disc.bin" {time(40)} // in bytes: {len(DATA)}']),
        Statements(
            "AUDIO",
            [
                *("COPY", "PRE_EMPHASIS", "TWO_CHANNEL_AUDIO", 'ISRC "ABCDE1234567"'),
                'CD_TEXT { LANGUAGE 0 { TITLE "Say \\"one\\"" PERFORMER "Me" SONGWRITER "You" }',
                'LANGUAGE 1 { TITLE "Zwei" } }',
                f'FILE "disc.bin" #{len(DATA)} 0 {time(170)}',
                f"START {time(150)}",
                f"INDEX {time(5)}",
            ],
        ),
        Statements("AUDIO", ["NO PRE_EMPHASIS", "FOUR_CHANNEL_AUDIO", f'FILE "disc.bin" #{len(DATA)} {time(170)} 0']),
    ],
    head=[
        'CATALOG "1234567890123"',
        'CD_TEXT { LANGUAGE_MAP { 0 : EN 1 : 8 }\n LANGUAGE 0 { TITLE "The \\304 Disc" SIZE_INFO { 1, 2,\n 3 } } }',
    ],
)


def write_toc(folder: Path, text: str, files: dict[str, bytes]) -> Path:
    return write_cue(folder, text, files, "disc.toc")


def open_text(folder: Path, text: str, **files: bytes) -> Disc:
    """`a=` is the content of `a.bin`."""
    return open_path(FORMAT, write_toc(folder, text, {f"{name}.bin": content for name, content in files.items()}))


def one(mode: str, *lines: str) -> str:
    return toc([Statements(mode, lines)])


def test_data_and_audio_with_everything_that_is_said_of_them(tmp_path: Path) -> None:
    disc = open_text(tmp_path, MIXED, disc=WHOLE)
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "audio", 190, 20), (3, "audio", 210, 30)]
    assert [track.pregap for track in disc.tracks] == [0, 150, 0]
    assert [track.flags for track in disc.tracks] == [(), ("DCP", "PRE"), ("4CH",)]
    assert [track.indexes for track in disc.tracks] == [(), (195,), ()]
    assert (disc.catalog, disc.title, disc.warnings) == ("1234567890123", "The Ä Disc", ())
    assert [(track.isrc, track.title, track.performer, track.songwriter) for track in disc.tracks] == [
        ("", "", "", ""),
        ("ABCDE1234567", 'Say "one"', "Me", "You"),
        ("", "", "", ""),
    ]
    check_reader(disc.raw, volume(40) + tone(170)[150 * 2352 :] + tone(30, 9))
    check_reader(disc.space, volume(40))


MODES = [
    ("MODE1", "MODE1/2048", "mode1/2048"),
    ("MODE1_RAW", "MODE1/2352", "mode1/2352"),
    ("MODE2", "MODE2/2336", "mode2/2336"),
    ("MODE2_FORM1", "MODE2/2048", "mode2/2048"),
    ("MODE2_FORM_MIX", "MODE2/2336", "mode2/2336"),
    ("MODE2_RAW", "MODE2/2352", "mode2/2352"),
]


@pytest.mark.parametrize(("word", "mode", "shown"), MODES)
def test_data_tracks_of_every_mode(tmp_path: Path, word: str, mode: str, shown: str) -> None:
    disc = open_text(tmp_path, one(word, 'DATAFILE "a.bin"'), a=stored(volume(40), mode))
    assert table(disc) == [(1, shown, 0, 40)]
    assert disc.warnings == ()
    check_reader(disc.space, volume(40))


@pytest.mark.parametrize("subchannel", ["RW", "RW_RAW"])
@pytest.mark.parametrize(("word", "mode", "shown"), MODES)
def test_subchannel_behind_each_sector_is_passed_over(
    tmp_path: Path, word: str, mode: str, shown: str, subchannel: str
) -> None:
    plain, size = stored(volume(40), mode), int(mode[6:])
    data = b"".join(plain[at : at + size] + b"\xee" * 96 for at in range(0, len(plain), size))
    disc = open_text(tmp_path, one(f"{word} {subchannel}", f'DATAFILE "a.bin" {time(40)}'), a=data)
    assert table(disc) == [(1, f"{shown[:6]}{size + 96}", 0, 40)]
    check_reader(disc.space, volume(40))


def test_audio_with_subchannel(tmp_path: Path) -> None:
    big = swapped(tone(9))
    data = b"".join(big[at : at + 2352] + b"\xee" * 96 for at in range(0, len(big), 2352))
    disc = open_text(tmp_path, one("AUDIO RW", f'FILE "a.bin" 0 {time(9)}'), a=data)
    check_reader(disc.raw, tone(9))


def test_form_2_gives_its_first_2048_bytes(tmp_path: Path) -> None:
    data = pattern(40)[: 2324 * 30]
    disc = open_text(tmp_path, one("MODE2_FORM2", 'DATAFILE "a.bin"'), a=data)
    assert table(disc) == [(1, "mode2/2324", 0, 30)]
    check_reader(disc.raw, b"".join(data[at : at + 2048] for at in range(0, len(data), 2324)))


def test_a_mode_that_the_sectors_contradict_is_corrected(tmp_path: Path) -> None:
    disc = open_text(tmp_path, one("MODE1_RAW", 'DATAFILE "a.bin"'), a=stored(volume(40), "MODE2/2352"))
    assert disc.warnings == ("line 3: track 1 is mode2/2352 by its sectors, not mode1/2352",)
    check_reader(disc.space, volume(40))


def wav(samples: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((2, 2, 44100, 0, "NONE", ""))
        out.writeframes(samples)
    return file.getvalue()


@pytest.mark.parametrize(
    ("statement", "content"),
    [
        ('FILE "a.bin" 0', swapped(tone(9))),
        ('AUDIOFILE "a.bin" 0', swapped(tone(9))),
        ('DATAFILE "a.bin"', swapped(tone(9))),
        ('FILE "a.bin" SWAP 0', tone(9)),
        ('FILE "a.bin" 0', wav(tone(9))),
        ('FILE "a.bin" SWAP 0', wav(swapped(tone(9)))),
        ('FILE "a.bin" #100 0', b"x" * 100 + swapped(tone(9))),
        ('FILE "a.bin" #2352 00:00:01', swapped(tone(2, 3) + tone(9))),
        ('FILE "a.bin" 588 5292', swapped(tone(1, 3) + tone(9) + tone(3))),
        ('FILE "a.bin" 00:00:01 00:00:09', wav(tone(1, 3) + tone(9) + tone(3))),
        ('FILE "a.bin" 0 00:00:04 FILE "a.bin" 00:00:04 00:00:05', swapped(tone(9))),
    ],
)
def test_audio_of_every_kind(tmp_path: Path, statement: str, content: bytes) -> None:
    disc = open_text(tmp_path, one("AUDIO", statement), a=content)
    assert disc.warnings == ()
    check_reader(disc.raw, tone(9))


@pytest.mark.foreign
def test_nothing_of_an_audio_file_is_decoded_before_a_track_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("flac", "-s", "-o", tmp_path / "a.flac", write_wav(tmp_path / "sound.wav", music(2)))
    monkeypatch.setitem(sys.modules, "miniaudio", type("Nothing", (), {"__spec__": object()}))
    disc = open_path(FORMAT, write_toc(tmp_path, one("AUDIO", 'FILE "a.flac" 0'), {}))
    assert table(disc) == [(1, "audio", 0, 150)]


def test_the_last_sector_of_audio_is_filled_up_with_silence(tmp_path: Path) -> None:
    disc = open_text(tmp_path, one("AUDIO", 'FILE "a.bin" 0'), a=swapped(tone(3)[:-4]))
    check_reader(disc.raw, tone(3)[:-4] + bytes(4))


def test_silence_and_zeros_are_in_no_file(tmp_path: Path) -> None:
    tracks = [
        Statements("MODE1", ['DATAFILE "a.bin"', f"ZERO MODE1 {time(150)}"]),
        Statements("AUDIO", [f"SILENCE {time(75)}", f'FILE "b.bin" 0 {time(9)}', "SILENCE 588"]),
        Statements("MODE1 RW", ["ZERO MODE1 RW 4288", 'DATAFILE "c.bin"']),
    ]
    subchanneled = b"".join(pattern(3)[at : at + 2048] + bytes(96) for at in range(0, 3 * 2048, 2048))
    disc = open_text(tmp_path, toc(tracks), a=volume(40), b=swapped(tone(9)), c=subchanneled)
    assert table(disc) == [(1, "mode1/2048", 0, 190), (2, "audio", 190, 85), (3, "mode1/2144", 275, 5)]
    zeros = bytes(150 * 2048)
    check_reader(disc.raw, volume(40) + zeros + bytes(75 * 2352) + tone(9) + bytes(2352) + bytes(4096) + pattern(3))


def test_pregaps_stored_and_not(tmp_path: Path) -> None:
    tracks = [
        Statements("AUDIO", [f"SILENCE {time(10)}", "START", f'FILE "a.bin" 0 {time(20)}', f"END {time(25)}"]),
        Statements("AUDIO", [f"PREGAP {time(150)}", f'FILE "a.bin" {time(20)}']),
        Statements("AUDIO", [f'FILE "a.bin" 0 {time(20)}', f"START {time(5)}", "END"]),
    ]
    disc = open_text(tmp_path, toc(tracks, "CD_DA"), a=swapped(tone(40)))
    assert table(disc) == [(1, "audio", 10, 20), (2, "audio", 180, 20), (3, "audio", 205, 15)]
    assert [(track.pregap, track.pregap_stored) for track in disc.tracks] == [(10, 10), (150, 0), (5, 5)]
    check_reader(disc.raw, tone(20) + tone(40)[20 * 2352 :] + tone(20)[5 * 2352 :])


def test_a_track_of_several_files(tmp_path: Path) -> None:
    text = one("MODE1", 'DATAFILE "a.bin" 40960', f'DATAFILE "b.bin" #2048 {time(10)}', 'DATAFILE "c.bin"')
    parts = {"a": volume(40)[: 25 * 2048], "b": volume(40)[19 * 2048 : 31 * 2048], "c": volume(40)[30 * 2048 :]}
    check_reader(open_text(tmp_path, text, **parts).space, volume(40))


def test_first_track_number(tmp_path: Path) -> None:
    text = toc([Statements("AUDIO", ["SILENCE 588"])] * 2, "CD_DA", ["FIRST_TRACK_NO 7"])
    assert table(open_text(tmp_path, text)) == [(7, "audio", 0, 1), (8, "audio", 1, 1)]


@pytest.mark.parametrize(
    "text",
    [
        'CD_ROM\r\nTRACK MODE1\r\nDATAFILE "a.bin"\r\n',
        '\ufeffCD_ROM\rTRACK MODE1\rDATAFILE "a.bin"\r\x1a',
        '// made by hand\nTRACK MODE1//!\nDATAFILE "a.bin"//"\n',
        'CD_ROM TRACK MODE1\nTRACK MODE1 DATAFILE "a.bin"'.replace(" TRACK MODE1\n", "\n"),
        'CD_ROM\nTRACK MODE1\nDATAFILE "A.BIN"',
        'CD_ROM\nTRACK MODE1\nDATAFILE "C:\\dumps\\a.bin"',
        'CD_ROM\nTRACK MODE1\nDATAFILE "\\141.bin"',
        'CD_ROM\nTRACK MODE1\nFILE "a.bin" 00:00:00 00:00:00',
    ],
    ids=["crlf", "cr, mark", "comments", "one line", "case", "windows path", "octal", "libcdio"],
)
def test_the_same_sheet_in_many_dresses(tmp_path: Path, text: str) -> None:
    disc = open_text(tmp_path, text, a=volume(40))
    assert (table(disc), disc.warnings) == ([(1, "mode1/2048", 0, 40)], ())


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Gr\\303\\274\\303\\237e.bin", "Grüße.bin"),
        ("Gr\\374\\337e.bin", "Grüße.bin"),
        ("Grüße.bin", "Grüße.bin"),
        ('say \\"hi\\".bin', 'say "hi".bin'),
        ("tracks\\01.bin", "tracks/01.bin"),
    ],
)
def test_names_of_files(tmp_path: Path, written: str, name: str) -> None:
    disc = open_path(FORMAT, write_toc(tmp_path, one("MODE1", f'DATAFILE "{written}"'), {name: volume(40)}))
    assert table(disc) == [(1, "mode1/2048", 0, 40)]


def test_a_file_of_the_set_opens_the_disc(tmp_path: Path) -> None:
    write_toc(tmp_path, MIXED, {"disc.bin": WHOLE})
    with open_image(str(tmp_path / "disc.bin")) as image:
        assert [step.name for step in image.steps] == ["toc"]


# --- other readers --------------------------------------------------------------------------------------------------------

_CDRDAO_TRACK = re.compile(
    r"TRACK +(\d+) +Mode.*?START +[\d:]+\( *(\d+)\)(?: +INDEX [^\n]*|\s)*END[* ]+[\d:]+\( *(\d+)\)", re.DOTALL
)


@pytest.mark.foreign
def test_cdrdao_has_the_same_tracks_at_the_same_addresses(tmp_path: Path, need: Callable[..., None]) -> None:
    need("cdrdao")
    extra = [Statements("AUDIO", [f"PREGAP {time(150)}", f"SILENCE {time(300)}"])]
    text = MIXED + toc(extra, "")
    disc = open_path(FORMAT, write_toc(tmp_path, text, {"disc.bin": WHOLE}))
    shown = _CDRDAO_TRACK.findall(run_tool("cdrdao", "show-toc", "disc.toc", folder=tmp_path))
    assert [(int(number), int(start), int(end)) for number, start, end in shown] == [
        (track.number, track.start, track.start + track.length) for track in disc.tracks
    ]


@pytest.mark.foreign
def test_toc2cue_and_bchunk_take_out_the_same(tmp_path: Path, need: Callable[..., None]) -> None:
    need("toc2cue", "bchunk")
    disc = open_path(FORMAT, write_toc(tmp_path, MIXED, {"disc.bin": WHOLE}))
    run_tool("toc2cue", "disc.toc", "disc.cue", folder=tmp_path)
    run_tool("bchunk", "-s", "disc.bin", "disc.cue", "out", folder=tmp_path)
    names = ("out01.iso", "out02.cdr", "out03.cdr")
    for track, name in zip(disc.tracks, names, strict=True):
        assert track.user.pread(0, 10**7) == (tmp_path / name).read_bytes()


# --- damage ---------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match=r"'disc\.bin'"):
        open_text(tmp_path, MIXED)


@pytest.mark.parametrize("name", ["../a.bin", "/etc/passwd", "a\\..\\..\\b.bin"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutsideError):
        open_text(tmp_path, one("MODE1", f'DATAFILE "{name}"'))


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="line 4: FIFO"):
        open_text(tmp_path, one("MODE1", 'FIFO "a.bin" 00:01:00'), a=volume(40))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("CD_ROM\nTRACK MODE1_FORM45\n", "line 2: 'MODE1_FORM45' is no mode"),
        ('CD_ROM\nDATAFILE "a.bin"\n', "line 2: DATAFILE before the first TRACK"),
        ("CD_ROM\nTRACK MODE1\nDATAFILE a.bin\n", "line 3: DATAFILE without a string"),
        ('CD_ROM\nTRACK AUDIO\nFILE "a.bin" xx:yy:zz\n', "line 3: FILE needs a start, not 'xx:yy:zz'"),
        ('CD_ROM\nTRACK AUDIO\nFILE "a.bin\n', "line 3: a string without its closing quote"),
        ('CD_ROM\nTRACK AUDIO\nFILE "a.bin" #x 0\n', "line 3: '#x' is no byte offset"),
        ("CD_ROM\nTRACK AUDIO\nSILENCE\n", "line 3: SILENCE and ZERO need a length"),
        ("CD_ROM\nTRACK AUDIO\nPREGAP 5\n", "line 3: PREGAP needs a time"),
        ("CD_ROM\nTRACK AUDIO\nINDEX 5\n", "line 3: INDEX needs a time"),
        ("CD_ROM\nTRACK AUDIO\nNO START\n", "line 3: NO 'START' is no statement"),
        ("CD_ROM\nCD_TEXT { LANGUAGE 0 {\nTRACK AUDIO\n}", "line 4: CD_TEXT without its closing brace"),
        ("CD_ROM\nFIRST_TRACK_NO 100\nTRACK AUDIO\n", "line 2: FIRST_TRACK_NO needs a number from 1 to 99"),
        ("CD_DA\n" + "TRACK AUDIO\nSILENCE 588\n" * 100, "line 200: track 100: a disc has at most 99"),
        ("CD_DA\nTRACK AUDIO\n" + "INDEX 0:0:1\n" * 100, "line 102: more than 99 indexes"),
        ("CD_DA\nTRACK AUDIO\n" + "SILENCE 1\n" * 9900, "more than 9801 pieces"),
        ("CD_DA\nTRACK AUDIO\n" + "x " * 200_000, "more than 131072 words"),
        ("CD_DA\nTRACK AUDIO\n", "no track has a sector"),
        ("CD_DA\n", "without a TRACK"),
        ('CD_ROM\nTRACK MODE1\nDATAFILE "disc.toc"\n', "names itself"),
        ('CD_ROM\nTRACK AUDIO\nFILE "a.bin" 1:0:0\n', "no track has a sector"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DamagedError, match=says):
        open_text(tmp_path, text, a=volume(40))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (one("MODE1", 'DATAFILE "a.bin"', "NONSENSE"), "line 5: 'NONSENSE' is no statement and is ignored"),
        ('CATALOG "123"\n' + one("MODE1", 'DATAFILE "a.bin"'), "line 1: CATALOG needs 13 digits in quotes, not '123'"),
        ("CATALOG\n" + one("MODE1", 'DATAFILE "a.bin"'), "line 1: CATALOG needs 13 digits in quotes, not ''"),
        (one("MODE1", 'DATAFILE "a.bin" 00:00:90'), "line 4: 00:00:90 has too many seconds or frames"),
        (
            one("MODE1", 'DATAFILE "a.bin" 0:0:40', "START 0:1:0"),
            "line 3: START of track 1 lies behind all of the track and is ignored",
        ),
        (
            one("MODE1", 'DATAFILE "a.bin" 10000'),
            "line 3: track 1 does not end with a whole sector of 2048 bytes; the rest is left out",
        ),
    ],
)
def test_what_can_be_passed_over_is_a_warning(tmp_path: Path, text: str, says: str) -> None:
    disc = open_text(tmp_path, text, a=volume(90))
    assert says in disc.warnings


def test_what_a_cut_file_has_lost_is_missing(tmp_path: Path) -> None:
    data = stored(volume(40), "MODE1/2352")[: 25 * 2352]
    disc = open_text(tmp_path, one("MODE1_RAW", f'DATAFILE "a.bin" {time(40)}'), a=data)
    assert table(disc) == [(1, "mode1/2352", 0, 40)]
    assert disc.warnings == (f"line 4: 'a.bin' ends {15 * 2352} bytes early",)
    check_reader(disc.raw, volume(40), missing=[(25 * 2048, 40 * 2048)])


def test_a_length_beyond_reason_is_cut(tmp_path: Path) -> None:
    disc = open_text(tmp_path, one("MODE1", 'DATAFILE "a.bin"', "ZERO 999999999999999"), a=volume(40))
    assert disc.warnings == ("line 5: track 1 is too long and is cut",)
    assert disc.tracks[0].length == 1 << 26


def test_a_long_text_is_no_sheet() -> None:
    assert FORMAT.probe(Candidate(BytesReader(MIXED.encode() + b" " * (1 << 20)), "disc.toc")) is None


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"CD", b"CD_ROM\n", b"TRACK 01 AUDIO\n", b"TRACK AUDIOBOOK\n", b"A text about a TRACK AUDIO.\n"),
        *(
            b'FILE "x" BINARY\nTRACK 01 AUDIO\n',
            b"3\n1 0 4 2352 a 0\n",
            bytes(60_000),
            b"\n" * 60_000,
            b"TRACK " * 9000,
        ),
    ],
)
def test_other_texts_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.txt")) is None


@pytest.mark.parametrize("cut", range(0, len(MIXED), 9))
def test_a_cut_sheet_is_refused_or_read(tmp_path: Path, cut: int) -> None:
    disc = try_path(FORMAT, write_toc(tmp_path, MIXED[:cut], {"disc.bin": WHOLE}))
    assert disc is None or len(disc.tracks) <= 3
