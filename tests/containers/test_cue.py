"""Discs described by CUE sheets: files, tracks, addresses."""

import errno
import io
import os
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.containers.cue import FORMAT
from imagefs.disc import Disc
from imagefs.errors import DamagedError, ImageError, MissingPartError, OutsideError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.image import open_image
from imagefs.options import Options
from imagefs.sources import FileSource, Folder
from tests.builders.audio import largest_difference, music, read_wav, run, write_wav
from tests.builders.discs import cd_info_tracks, write_cue
from tests.builders.sectors import form2, mode1, pattern, stored, tone, volume
from tests.contract import check_reader

DATA = stored(volume(40), "MODE1/2352")


def open_sheet(path: Path, iocharset: str | None = None) -> Disc:
    folder = Folder(str(path.parent))
    candidate = Candidate(folder.open(path.name), path.name, folder)
    assert FORMAT.probe(candidate) is not None
    disc = FORMAT.open(candidate, Options(iocharset=iocharset))
    assert isinstance(disc, Disc)
    return disc


def table(disc: Disc) -> list[tuple[int, str, int, int]]:
    """(number, mode, LBA of index 1, sectors) of each track."""
    return [(track.number, track.mode, track.start, track.length) for track in disc.tracks]


def simple(name: str, mode: str = "MODE1/2352", kind: str = "BINARY") -> str:
    return f'FILE "{name}" {kind}\n  TRACK 01 {mode}\n    INDEX 01 00:00:00\n'


def wav(samples: bytes, rate: int = 44100) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((2, 2, rate, 0, "NONE", ""))
        out.writeframes(samples)
    return file.getvalue()


# --- one track ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mode", ["MODE1/2048", "MODE1/2352", "MODE1/2448", "MODE2/2048", "MODE2/2336", "MODE2/2352", "MODE2/2448"]
)
def test_data_tracks_of_every_mode(tmp_path: Path, mode: str) -> None:
    disc = open_sheet(write_cue(tmp_path, simple("disc.bin", mode), {"disc.bin": stored(volume(40), mode)}))
    assert table(disc) == [(1, mode.lower(), 0, 40)]
    assert disc.warnings == ()
    check_reader(disc.raw, volume(40))
    check_reader(disc.space, volume(40))


def test_motorola_samples_are_swapped(tmp_path: Path) -> None:
    swapped = bytes(byte for pair in zip(tone(9)[1::2], tone(9)[::2], strict=True) for byte in pair)
    disc = open_sheet(write_cue(tmp_path, simple("a.bin", "AUDIO", "MOTOROLA"), {"a.bin": swapped}))
    check_reader(disc.raw, tone(9))


@pytest.mark.parametrize(
    ("said", "true"),
    [
        ("MODE1/2352", "MODE2/2352"),
        ("MODE2/2352", "MODE1/2352"),
        ("MODE1/2048", "MODE1/2352"),
        ("MODE1/2352", "MODE1/2048"),
        ("MODE2/2336", "MODE2/2352"),
        ("MODE2/2352", "MODE2/2336"),
        ("MODE1/2352", "MODE1/2448"),
        ("AUDIO", "MODE1/2352"),
    ],
)
def test_a_wrong_mode_is_corrected_by_the_sectors_with_a_warning(tmp_path: Path, said: str, true: str) -> None:
    disc = open_sheet(write_cue(tmp_path, simple("disc.bin", said), {"disc.bin": stored(volume(40), true)}))
    assert table(disc) == [(1, true.lower(), 0, 40)]
    assert disc.warnings == (f"line 2: track 1 is {true.lower()} by its sectors, not {said.lower()}",)
    check_reader(disc.raw, volume(40))


def test_the_mode_of_a_later_track_is_corrected_too(tmp_path: Path) -> None:
    sheet = simple("disc.bin") + "  TRACK 02 MODE1/2352\n    INDEX 01 00:00:40\n"
    second = stored(pattern(20, seed=2), "MODE2/2352", first_lba=40)
    disc = open_sheet(write_cue(tmp_path, sheet, {"disc.bin": DATA + second}))
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "mode2/2352", 40, 20)]
    check_reader(disc.tracks[1].user, pattern(20, seed=2))


def test_form_2_sectors_give_their_first_2048_bytes(tmp_path: Path) -> None:
    sheet = simple("disc.bin", "MODE2/2352") + "  TRACK 02 MODE2/2352\n    INDEX 01 00:00:40\n"
    film = [tone(1, seed)[:2324] for seed in range(8)]
    data = stored(volume(40), "MODE2/2352") + b"".join(form2(40 + k, part) for k, part in enumerate(film))
    disc = open_sheet(write_cue(tmp_path, sheet, {"disc.bin": data}))
    check_reader(disc.tracks[1].user, b"".join(part[:2048] for part in film))


def test_scrambled_sectors_are_named(tmp_path: Path) -> None:
    keys = b"\x01\x80\x00\x60"  # ECMA-130 annex B: the first bytes of the register
    sector = mode1(0, bytes(2048))
    scrambled = sector[:12] + bytes(a ^ b for a, b in zip(sector[12:16], keys, strict=True)) + sector[16:]
    with pytest.raises(UnsupportedError, match="scrambled sectors in track 1"):
        open_sheet(write_cue(tmp_path, simple("disc.bin"), {"disc.bin": scrambled * 20}))


# --- several tracks -------------------------------------------------------------------------------------------------------

MIXED = """\
FILE "disc.bin" BINARY
  TRACK 01 MODE1/2352
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    INDEX 00 00:00:40
    INDEX 01 00:00:45
  TRACK 03 AUDIO
    INDEX 01 00:00:60
    INDEX 02 00:01:00
"""
MIXED_FILES = {"disc.bin": DATA + tone(20) + tone(30, 9)}


def test_tracks_are_cut_at_their_indexes(tmp_path: Path) -> None:
    disc = open_sheet(write_cue(tmp_path, MIXED, MIXED_FILES))
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "audio", 45, 15), (3, "audio", 60, 30)]
    assert disc.tracks[1].pregap_stored == 5
    assert disc.tracks[2].indexes == (75,)
    check_reader(disc.tracks[1].user, tone(20)[5 * 2352 :])
    check_reader(disc.raw, volume(40) + tone(20)[5 * 2352 :] + tone(30, 9))


@pytest.mark.foreign
def test_cd_info_has_the_same_tracks(tmp_path: Path) -> None:
    path = write_cue(tmp_path, MIXED, MIXED_FILES)
    told = cd_info_tracks(path)
    kinds = {True: "data", False: "audio"}
    ours = [(track.number, track.start, kinds[track.is_data]) for track in open_sheet(path).tracks]
    assert told == [*ours, (170, 90, "leadout")]


@pytest.mark.foreign
@pytest.mark.parametrize("mode", ["MODE1/2352", "MODE2/2352"])
def test_bchunk_cuts_the_same(tmp_path: Path, need: Callable[..., None], mode: str) -> None:
    need("bchunk")
    files = {"disc.bin": stored(volume(40), mode) + tone(20) + tone(30, 9)}
    sheet = MIXED.replace("    INDEX 02 00:01:00\n", "")  # bchunk takes the last index for the beginning of a track
    path = write_cue(tmp_path, sheet.replace("MODE1/2352", mode), files)
    subprocess.run(["bchunk", "-w", "disc.bin", "disc.cue", "out"], cwd=tmp_path, check=True, capture_output=True)
    data, *audio = open_sheet(path).tracks
    check_reader(data.user, (tmp_path / "out01.iso").read_bytes())
    for track in audio:
        with wave.open(str(tmp_path / f"out{track.number:02}.wav")) as read:
            check_reader(track.user, read.readframes(10**6))


def test_sector_sizes_may_change_within_a_file(tmp_path: Path) -> None:
    sheet = """\
FILE "disc.bin" BINARY
  TRACK 01 MODE1/2048
    INDEX 01 00:00:00
  TRACK 02 MODE2/2336
    INDEX 00 00:00:40
    INDEX 01 00:00:50
  TRACK 03 AUDIO
    INDEX 01 00:00:60
"""
    data = volume(40) + stored(pattern(20), "MODE2/2336") + tone(5)
    disc = open_sheet(write_cue(tmp_path, sheet, {"disc.bin": data}))
    assert table(disc) == [(1, "mode1/2048", 0, 40), (2, "mode2/2336", 50, 10), (3, "audio", 60, 5)]
    check_reader(disc.raw, volume(40) + pattern(20)[10 * 2048 :] + tone(5))


def test_a_file_for_each_track(tmp_path: Path) -> None:
    sheet = """\
FILE "Disc (Track 1).bin" BINARY
  TRACK 01 MODE1/2352
    INDEX 01 00:00:00
FILE "Disc (Track 2).bin" BINARY
  TRACK 02 AUDIO
    INDEX 00 00:00:00
    INDEX 01 00:02:00
"""
    files = {"Disc (Track 1).bin": DATA, "Disc (Track 2).bin": tone(160)}
    disc = open_sheet(write_cue(tmp_path, sheet, files))
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "audio", 190, 10)]
    check_reader(disc.tracks[1].user, tone(160)[150 * 2352 :])


def test_gaps_that_are_in_no_file(tmp_path: Path) -> None:
    sheet = """\
FILE "disc.iso" BINARY
  TRACK 01 MODE1/2048
    INDEX 01 00:00:00
FILE "2.wav" WAVE
  TRACK 02 AUDIO
    PREGAP 00:02:00
    INDEX 01 00:00:00
    POSTGAP 00:01:00
FILE "3.wav" WAVE
  TRACK 03 AUDIO
    INDEX 01 00:00:00
"""
    short = tone(8)[: 7 * 2352 + 400]
    disc = open_sheet(write_cue(tmp_path, sheet, {"disc.iso": volume(40), "2.wav": wav(tone(10)), "3.wav": wav(short)}))
    assert table(disc) == [(1, "mode1/2048", 0, 40), (2, "audio", 190, 10), (3, "audio", 275, 8)]
    check_reader(disc.tracks[1].user, tone(10))
    check_reader(disc.tracks[2].user, short.ljust(8 * 2352, b"\0"))


def test_a_pregap_at_the_end_of_the_file_before(tmp_path: Path) -> None:
    sheet = """\
FILE "1.wav" WAVE
  TRACK 01 AUDIO
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    INDEX 00 00:00:30
FILE "2.wav" WAVE
    INDEX 01 00:00:00
"""
    disc = open_sheet(write_cue(tmp_path, sheet, {"1.wav": wav(tone(40)), "2.wav": wav(tone(20, 9))}))
    assert table(disc) == [(1, "audio", 0, 30), (2, "audio", 40, 20)]
    assert disc.tracks[1].pregap_stored == 10
    check_reader(disc.tracks[1].stored, tone(40)[30 * 2352 :] + tone(20, 9), block=2352)


@pytest.mark.parametrize(("frames", "start"), [(150, 0), (75, 75), (300, 300)])
def test_a_stored_pregap_of_track_1_is_the_usual_one_or_hidden_audio(tmp_path: Path, frames: int, start: int) -> None:
    time = f"{frames // 4500:02}:{frames // 75 % 60:02}:{frames % 75:02}"
    sheet = f'FILE "a.bin" BINARY\nTRACK 01 AUDIO\nINDEX 00 00:00:00\nINDEX 01 {time}\n'
    disc = open_sheet(write_cue(tmp_path, sheet, {"a.bin": tone(frames + 9)}))
    assert table(disc) == [(1, "audio", start, 9)]


def test_a_pregap_that_the_sheet_does_not_mention(tmp_path: Path) -> None:
    data = stored(bytes(150 * 2048) + volume(40), "MODE1/2352", first_lba=-150)
    disc = open_sheet(write_cue(tmp_path, simple("disc.bin"), {"disc.bin": data}))
    assert table(disc) == [(1, "mode1/2352", 0, 40)]
    assert disc.warnings == ("line 2: track 1 begins with 150 sectors of pregap by its volume",)
    check_reader(disc.space, volume(40))


def test_a_track_whose_pregap_ends_the_file_before_is_corrected_and_cut_too(tmp_path: Path) -> None:
    sheet = """\
FILE "1.bin" BINARY
  TRACK 01 AUDIO
    INDEX 01 00:00:00
  TRACK 02 MODE1/2352
    INDEX 00 00:00:30
FILE "2.bin" BINARY
    INDEX 01 00:00:00
  TRACK 03 AUDIO
    INDEX 01 00:00:40
"""
    data = stored(volume(40, 40), "MODE2/2352", 40)
    disc = open_sheet(write_cue(tmp_path, sheet, {"1.bin": tone(40), "2.bin": data[: 30 * 2352]}))
    assert table(disc) == [(1, "audio", 0, 30), (2, "mode2/2352", 40, 40), (3, "audio", 80, 0)]
    check_reader(disc.tracks[1].user, volume(40, 40), missing=[(30 * 2048, 40 * 2048)])
    assert disc.warnings == (
        "line 8: track 3 lies past the end of '2.bin' and is empty",
        "line 4: the last 10 of the 50 sectors of track 2 are not in the file",
        "line 4: track 2 is mode2/2352 by its sectors, not mode1/2352",
    )


# --- sessions -------------------------------------------------------------------------------------------------------------

TWO_SESSIONS = """\
REM SESSION 01
FILE "1.bin" BINARY
  TRACK 01 MODE1/2352
    INDEX 01 00:00:00
REM SESSION 02
FILE "2.bin" BINARY
  TRACK 02 MODE1/2352
    INDEX 01 00:00:00
"""


@pytest.mark.parametrize("gap", [11_400, 11_250, 11_552])
def test_a_second_session_lies_behind_the_gap_or_where_its_volume_says(tmp_path: Path, gap: int) -> None:
    first = 40 + gap
    second = volume(30, first)
    files = {"1.bin": DATA, "2.bin": stored(second, "MODE1/2352", first)}
    disc = open_sheet(write_cue(tmp_path, TWO_SESSIONS, files))
    assert [session.number for session in disc.sessions] == [1, 2]
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "mode1/2352", first, 30)]
    assert disc.warnings == ()
    assert disc.space.pread(first * 2048, 30 * 2048) == second
    with pytest.raises(DamagedError):
        disc.space.pread(100 * 2048, 1)


def test_a_second_session_whose_pregap_is_stored_and_not_told(tmp_path: Path) -> None:
    first = 40 + 11_400
    second = stored(bytes(150 * 2048) + volume(30, first), "MODE1/2352", first - 150)
    disc = open_sheet(write_cue(tmp_path, TWO_SESSIONS, {"1.bin": DATA, "2.bin": second}))
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "mode1/2352", first, 30)]
    assert disc.warnings == ("line 7: track 2 begins with 150 sectors of pregap by its volume",)
    assert disc.space.pread(first * 2048, 30 * 2048) == volume(30, first)


def test_later_sessions_come_sooner(tmp_path: Path) -> None:
    sheet = "".join(f"REM SESSION 0{n}\n" + simple(f"{n}.bin", "AUDIO").replace("01 A", f"0{n} A") for n in (1, 2, 3))
    disc = open_sheet(write_cue(tmp_path, sheet, {f"{n}.bin": tone(10, n) for n in (1, 2, 3)}))
    assert [track.start for track in disc.tracks] == [0, 11_410, 11_410 + 10 + 6900]


def test_the_remarks_of_redump_tell_the_gap(tmp_path: Path) -> None:
    sheet = """\
REM SESSION 01
FILE "1.bin" BINARY
  TRACK 01 AUDIO
    INDEX 01 00:00:00
REM LEAD-OUT 01:20:00
REM SESSION 02
REM LEAD-IN 01:00:10
REM PREGAP 00:03:00
FILE "2.bin" BINARY
  TRACK 02 AUDIO
    INDEX 01 00:00:00
"""
    disc = open_sheet(write_cue(tmp_path, sheet, {"1.bin": tone(10), "2.bin": tone(9)}))
    assert [track.start for track in disc.tracks] == [0, 10 + 80 * 75 + 60 * 75 + 10 + 3 * 75]


@pytest.mark.parametrize("gap", [0, 11_250, 11_400])
@pytest.mark.parametrize("mode", ["MODE1/2352", "MODE1/2048"])
def test_addresses_that_go_on_over_the_gap_between_sessions(tmp_path: Path, gap: int, mode: str) -> None:
    first = 40 + 20 + 11_400
    frames = 60 + gap
    sheet = f"""\
REM SESSION 01
FILE "disc.bin" BINARY
  TRACK 01 {mode}
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    INDEX 01 00:00:40
REM SESSION 02
  TRACK 03 {mode}
    INDEX 01 {frames // 4500:02}:{frames // 75 % 60:02}:{frames % 75:02}
"""
    data = stored(volume(40), mode) + tone(20) + stored(volume(30, first), mode, first)
    disc = open_sheet(write_cue(tmp_path, sheet, {"disc.bin": data}))
    assert table(disc) == [(1, mode.lower(), 0, 40), (2, "audio", 40, 20), (3, mode.lower(), first, 30)]
    check_reader(disc.raw, volume(40) + tone(20) + volume(30, first))
    assert disc.warnings == ()


def test_the_high_density_area_begins_at_45000(tmp_path: Path) -> None:
    sheet = TWO_SESSIONS.replace("SESSION 01", "SINGLE-DENSITY AREA").replace("SESSION 02", "HIGH-DENSITY AREA")
    files = {"1.bin": DATA, "2.bin": stored(volume(30, 45_000), "MODE1/2352", 45_000)}
    disc = open_sheet(write_cue(tmp_path, sheet, files))
    assert table(disc)[1] == (2, "mode1/2352", 45_000, 30)
    assert disc.medium == "GD-ROM"
    assert [session.number for session in disc.sessions] == [1, 2]


# --- names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "there"),
    [
        ("disc.bin", "disc.bin"),
        ("DISC.BIN", "disc.bin"),
        ("images\\Disc one.bin", "Images/disc one.bin"),
        ("./sub/disc.bin", "sub/disc.bin"),
        ("sub/disc.bin", "disc.bin"),
        ("C:\\Rips\\My Disc\\disc.bin", "disc.bin"),
        ("c:/rips/disc.bin", "disc.bin"),
        ("\\\\server\\share\\disc.bin", "disc.bin"),
    ],
)
def test_files_are_found(tmp_path: Path, named: str, there: str) -> None:
    disc = open_sheet(write_cue(tmp_path, simple(named), {there: DATA}))
    assert disc.warnings == ()
    check_reader(disc.raw, volume(40))


@pytest.mark.parametrize("codec", ["cp1252", "latin-1"])
def test_names_in_a_legacy_code_page(tmp_path: Path, codec: str) -> None:
    sheet = simple("Grüße.bin").encode(codec)
    check_reader(open_sheet(write_cue(tmp_path, sheet, {"Grüße.bin": DATA})).raw, volume(40))


def test_names_copied_byte_by_byte(tmp_path: Path) -> None:
    raw = "Grüße.bin".encode("cp1252")
    path = write_cue(tmp_path, simple("Grüße.bin").encode("cp1252"), {})
    with open(os.fsencode(tmp_path) + b"/" + raw, "wb") as file:
        file.write(DATA)
    check_reader(open_sheet(path).raw, volume(40))


def test_names_in_a_code_page_that_the_user_gives(tmp_path: Path) -> None:
    sheet = simple("日本.bin").encode("cp932")
    path = write_cue(tmp_path, sheet, {"日本.bin": DATA, "other.bin": b"x"})
    check_reader(open_sheet(path, iocharset="cp932").raw, volume(40))


@pytest.mark.parametrize("there", ["disc.bin", "disc.IMG", "only.iso"])
def test_a_renamed_file_is_guessed_with_a_warning(tmp_path: Path, there: str) -> None:
    disc = open_sheet(write_cue(tmp_path, simple("lost.bin"), {there: DATA, "notes.txt": b"x"}))
    assert disc.warnings == (f"line 1: 'lost.bin' is not there; '{there}' is used instead",)


def test_among_several_files_nothing_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match=r"'lost\.bin' is missing"):
        open_sheet(write_cue(tmp_path, simple("lost.bin"), {"a.bin": DATA, "b.bin": DATA}))


def test_a_missing_file_is_named_with_its_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError) as caught:
        open_sheet(write_cue(tmp_path, simple("sub/lost.bin"), {}))
    assert (caught.value.name, caught.value.looked) == ("sub/lost.bin", (str(tmp_path),))


@pytest.mark.parametrize("name", ["/dev/zero", "/etc/passwd", "../secret.bin", "..\\secret.bin", "a/../../secret.bin"])
def test_files_outside_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.bin").write_bytes(DATA)
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(OutsideError):
        open_sheet(write_cue(inside, simple(name), {"secret.bin": DATA, "passwd": DATA}))


def test_a_sheet_that_names_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="names itself"):
        open_sheet(write_cue(tmp_path, simple("disc.cue"), {}))


def test_the_parts_of_a_sheet_are_told(tmp_path: Path) -> None:
    path = write_cue(tmp_path, simple("C:\\x\\Disc.BIN"), {"disc.bin": DATA})
    folder = Folder(str(tmp_path))
    assert FORMAT.parts is not None
    assert FORMAT.parts(Candidate(folder.open(path.name), path.name, folder)) == ["disc.bin"]


# --- audio files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["WAVE", "BINARY", "MP3"])
def test_a_wav_file_is_one_by_its_content(tmp_path: Path, kind: str) -> None:
    disc = open_sheet(write_cue(tmp_path, simple("a.wav", "AUDIO", kind), {"a.wav": wav(tone(9))}))
    check_reader(disc.raw, tone(9))


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (b"fLaC" + bytes(5000), "WAVE", "FLAC"),
        (b"OggS" + bytes(5000), "WAVE", "Ogg"),
        (b"MAC \x96" + bytes(5000), "APE", "Monkey's Audio"),
        (b"\xff\xfb" + bytes(5000), "MP3", "MP3"),
        (b"FORM\0\0\0\0AIFF" + bytes(5000), "AIFF", "AIFF"),
        (wav(tone(5), rate=48000), "WAVE", "48000 Hz"),
    ],
)
def test_other_codings_are_named_and_leave_out_their_tracks(
    tmp_path: Path, content: bytes, kind: str, says: str
) -> None:
    audio = f'FILE "2.snd" {kind}\nTRACK 02 AUDIO\nINDEX 01 00:00:00\n'
    disc = open_sheet(write_cue(tmp_path, simple("1.bin") + audio, {"1.bin": DATA, "2.snd": content}))
    assert table(disc) == [(1, "mode1/2352", 0, 40)]
    (warning,) = disc.warnings
    assert warning.startswith("line 4: '2.snd': ")
    assert says in warning
    with pytest.raises(UnsupportedError, match=says):
        open_sheet(write_cue(tmp_path, audio, {}, name="audio.cue"))


ALBUM = """\
FILE "album.snd" {kind}
  TRACK 01 AUDIO
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    INDEX 00 00:01:10
    INDEX 01 00:01:30
  TRACK 03 AUDIO
    INDEX 01 00:03:05
"""


@pytest.mark.foreign
@pytest.mark.parametrize("kind", ["FLAC", "MP3", "OGG", "AIFF", "WAVE"])
def test_tracks_of_an_audio_file_are_those_of_its_wav(tmp_path: Path, kind: str) -> None:
    """The file beside the one that another program decodes it to."""
    sound = write_wav(tmp_path / "sound.wav", music(4))
    commands = {
        "FLAC": ("flac", "-s", "-o", tmp_path / "album.snd", sound),
        "MP3": ("lame", "--quiet", sound, tmp_path / "album.snd"),
        "OGG": ("oggenc", "-Q", "-o", tmp_path / "album.snd", sound),
        "AIFF": ("sox", sound, "-t", "aiff", tmp_path / "album.snd"),
        "WAVE": ("cp", sound, tmp_path / "album.snd"),
    }
    decoders = {
        "MP3": ("mpg123", "-q", "-w", tmp_path / "again.wav", tmp_path / "album.snd"),
        "OGG": ("oggdec", "-Q", "-o", tmp_path / "again.wav", tmp_path / "album.snd"),
    }
    run(*commands[kind])
    if kind in decoders:
        run(*decoders[kind])
    expected = read_wav(tmp_path / "again.wav") if kind in decoders else music(4)
    disc = open_sheet(write_cue(tmp_path, ALBUM.format(kind=kind), {}))
    assert disc.warnings == ()
    assert table(disc) == [(1, "audio", 0, 85), (2, "audio", 105, 125), (3, "audio", 230, 70)]
    for track in disc.tracks:
        begin = track.start * 2352
        part = expected[begin : begin + track.length * 2352]
        assert largest_difference(track.user.pread(0, track.user.size), part) <= (1 if kind in decoders else 0)


@pytest.mark.foreign
def test_nothing_of_an_audio_file_is_decoded_before_a_track_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = write_wav(tmp_path / "sound.wav", music(4))
    run("flac", "-s", "-o", tmp_path / "album.snd", sound)
    path = write_cue(tmp_path, ALBUM.format(kind="WAVE"), {})
    monkeypatch.setitem(__import__("sys").modules, "miniaudio", type("Nothing", (), {"__spec__": object()}))
    with open_image(str(path)) as image:
        sizes = [(name, node.size) for name, node in image.tree.entries(image.tree.root) if name.endswith(b".wav")]
    assert sizes == [(b"track%02d.wav" % n, 44 + sectors * 2352) for n, sectors in ((1, 85), (2, 125), (3, 70))]


# --- what a disc says of itself -------------------------------------------------------------------------------------------


def test_titles_come_from_the_sheet_and_else_from_the_cd_text_file(tmp_path: Path) -> None:
    from tests.disc.test_cdtext import TITLE, packs

    sheet = 'CATALOG 0000012101954\nCDTEXTFILE "disc.cdt"\n' + simple("a.bin", "AUDIO").replace(
        "    INDEX", '    FLAGS DCP PRE\n    ISRC ABCDE1234567\n    PERFORMER "Me"\n    INDEX'
    )
    path = write_cue(tmp_path, sheet, {"a.bin": tone(9), "disc.cdt": packs(TITLE, 0, b"Disc\0One\0")})
    disc = open_sheet(path)
    track = disc.tracks[0]
    assert (disc.catalog, disc.title, track.title, track.performer) == ("0000012101954", "Disc", "One", "Me")
    assert (track.flags, track.isrc) == (("DCP", "PRE"), "ABCDE1234567")
    (tmp_path / "disc.cdt").unlink()
    (warning,) = open_sheet(path).warnings
    assert "'disc.cdt' is missing" in warning


def test_a_cd_text_file_that_the_disk_cannot_give_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_cue(
        tmp_path, 'CDTEXTFILE "disc.cdt"\n' + simple("a.bin", "AUDIO"), {"a.bin": tone(9), "disc.cdt": b"x"}
    )
    read = FileSource.pread

    def read_but_one(source: FileSource, offset: int, length: int) -> bytes:
        if source.name.endswith(".cdt"):
            raise OSError(errno.EIO, "Input/output error")
        return read(source, offset, length)

    monkeypatch.setattr(FileSource, "pread", read_but_one)
    disc = open_sheet(path)
    assert (len(disc.tracks), disc.warnings) == (1, ("its CD-TEXT is left out: Input/output error",))


# --- damage ---------------------------------------------------------------------------------------------------------------


def test_a_cut_file_loses_exactly_the_sectors_that_are_gone(tmp_path: Path) -> None:
    sheet = simple("disc.bin") + "  TRACK 02 AUDIO\n    INDEX 01 00:00:40\n"
    cut = DATA[: 30 * 2352 + 500]
    disc = open_sheet(write_cue(tmp_path, sheet, {"disc.bin": cut}))
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "audio", 40, 0)]
    there = 30 * 2048 + 500 - 16
    check_reader(disc.tracks[0].user, volume(40), missing=[(there, 40 * 2048)])
    assert disc.warnings == (
        "line 4: track 2 lies past the end of 'disc.bin' and is empty",
        "line 2: the last 10 of the 40 sectors of track 1 are not in the file",
    )


def test_a_remainder_that_is_no_sector_is_left_out_with_a_warning(tmp_path: Path) -> None:
    disc = open_sheet(write_cue(tmp_path, simple("disc.bin"), {"disc.bin": DATA + b"rest"}))
    assert table(disc) == [(1, "mode1/2352", 0, 40)]
    assert disc.warnings == ("line 2: 'disc.bin' does not end with a whole sector of 2352 bytes; the rest is left out",)


def test_empty_files_are_tracks_without_sectors(tmp_path: Path) -> None:
    disc = open_sheet(write_cue(tmp_path, TWO_SESSIONS, {"1.bin": DATA, "2.bin": b""}))
    assert [(track.length, track.user.pread(0, 10)) for track in disc.tracks[1:]] == [(0, b"")]


@pytest.mark.parametrize("time", ["99:99:99", "999999:00:00"])
def test_an_index_past_everything_costs_nothing(tmp_path: Path, time: str) -> None:
    sheet = simple("disc.bin") + f"  TRACK 02 AUDIO\n    INDEX 01 {time}\n"
    disc = open_sheet(write_cue(tmp_path, sheet, {"disc.bin": DATA}))
    assert disc.tracks[0].user.pread(0, 40 * 2048) == volume(40)
    assert disc.tracks[1].length == 0
    assert disc.warnings


def test_indexes_out_of_order_are_told(tmp_path: Path) -> None:
    sheet = MIXED.replace("INDEX 01 00:00:60", "INDEX 01 00:00:10")
    disc = open_sheet(write_cue(tmp_path, sheet, MIXED_FILES))
    assert any("out of order" in warning for warning in disc.warnings)


@pytest.mark.parametrize("content", [b"F", b"", b"FILE" * 400_000], ids=["a letter", "nothing", "1.6 MB"])
def test_what_is_no_sheet_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.cue").write_bytes(content)
    folder = Folder(str(tmp_path))
    assert FORMAT.probe(Candidate(folder.open("x.cue"), "x.cue", folder)) is None


def test_bytes_with_the_name_of_a_sheet_are_refused(tmp_path: Path) -> None:
    sheet = b'FILE "' + bytes(range(128, 256)) * 500
    with pytest.raises(DamagedError, match="without a TRACK"):
        open_sheet(write_cue(tmp_path, sheet, {}))


@pytest.mark.parametrize("at", range(0, len(MIXED), 3))
def test_a_sheet_with_a_flipped_byte_opens_or_says_why(tmp_path: Path, at: int) -> None:
    sheet = bytearray(MIXED.encode())
    sheet[at] ^= 0x15
    path = write_cue(tmp_path, bytes(sheet), MIXED_FILES)
    folder = Folder(str(tmp_path))
    try:
        disc = FORMAT.open(Candidate(folder.open(path.name), path.name, folder), Options())
    except ImageError:
        return
    assert sum(track.length for track in disc.tracks) <= 10**6
    assert disc.raw.pread(0, 16 * 2048) is not None
