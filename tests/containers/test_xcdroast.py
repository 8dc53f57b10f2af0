"""X-CD-Roast's images: a text, a file for each track, a text beside each."""

import io
import wave
from pathlib import Path

import pytest

from imagefs.containers.xcdroast import FORMAT
from imagefs.disc import Disc
from imagefs.errors import DamagedError, MissingPartError, OutsideError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.image import open_image
from imagefs.readers import BytesReader
from tests.builders.descriptors import open_path, table, try_path
from tests.builders.discs import write_cue
from tests.builders.sectors import tone, volume
from tests.builders.toc import Statements, toc
from tests.builders.xcdroast import AUDIO, DATA, Track, xcdroast, xinf
from tests.contract import check_reader


def wav(samples: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as to:
        to.setparams((2, 2, 44100, 0, "NONE", ""))
        to.writeframes(samples)
    return file.getvalue()


TRACKS = [Track(DATA, "t-01.img", 192, 0), Track(AUDIO, "t-02.wav", 20, 192), Track(AUDIO, "t-03.wav", 30, 212)]
FILES = {"t-01.img": volume(40), "t-02.wav": wav(tone(20)), "t-03.wav": wav(tone(30, 9))}
TEXT = xcdroast(TRACKS)
TEXTS = {
    "t-01.xinf": xinf("t-01.img", "1 of 3", type=0, preemp=0, copyperm=1, stereo=0).encode(),
    "t-02.xinf": xinf("t-02.wav", title="One", artist="Me", preemp=1, copyperm=0, stereo=1, cd_artist="All").encode(),
    "t-03.xinf": xinf("t-03.wav", title="Zwölf", preemp=0, copyperm=1, stereo=0).encode(),
}


def open_text(folder: Path, text: str, files: dict[str, bytes]) -> Disc:
    return open_path(FORMAT, write_cue(folder, text, files, "disc.toc"))


def test_data_and_audio(tmp_path: Path) -> None:
    disc = open_text(tmp_path, TEXT, FILES | TEXTS)
    assert table(disc) == [(1, "mode1/2048", 0, 40), (2, "audio", 192, 20), (3, "audio", 212, 30)]
    assert [(track.pregap, track.pregap_stored) for track in disc.tracks] == [(150, 0), (152, 0), (0, 0)]
    assert [track.flags for track in disc.tracks] == [("DCP",), ("PRE",), ("DCP", "4CH")]
    assert [track.texts for track in disc.tracks] == [{}, {"title": "One", "performer": "Me"}, {"title": "Zwölf"}]
    assert (disc.title, disc.performer, disc.warnings) == ("The Disc", "All", ())
    check_reader(disc.raw, volume(40) + tone(20) + tone(30, 9))
    check_reader(disc.space, volume(40))


def test_without_the_texts_beside_the_tracks(tmp_path: Path) -> None:
    disc = open_text(tmp_path, TEXT, FILES)
    assert [track.flags for track in disc.tracks] == [(), (), ()]
    assert (disc.title, disc.performer, disc.warnings) == ("The Disc", "", ())


def test_without_addresses_tracks_follow_each_other(tmp_path: Path) -> None:
    disc = open_text(tmp_path, xcdroast([track._replace(start=None) for track in TRACKS]), FILES)
    assert table(disc) == [(1, "mode1/2048", 0, 40), (2, "audio", 192, 20), (3, "audio", 212, 30)]


def test_audio_alone(tmp_path: Path) -> None:
    tracks = [Track(AUDIO, "1.wav", 20, 33), Track(AUDIO, "2.wav", 30, 53)]
    disc = open_text(tmp_path, xcdroast(tracks), {"1.wav": wav(tone(20)), "2.wav": wav(tone(30, 9))})
    assert table(disc) == [(1, "audio", 33, 20), (2, "audio", 53, 30)]
    assert [track.pregap for track in disc.tracks] == [183, 0]


@pytest.mark.parametrize("short", [0, 1, 2])
def test_the_sectors_behind_a_data_track_may_be_left_out(tmp_path: Path, short: int) -> None:
    disc = open_text(tmp_path, xcdroast([Track(DATA, "t.img", 40 + short, 0)]), {"t.img": volume(40)})
    assert (table(disc), disc.warnings) == ([(1, "mode1/2048", 0, 40)], ())


def test_samples_without_a_header_are_little_endian(tmp_path: Path) -> None:
    disc = open_text(tmp_path, xcdroast([Track(AUDIO, "t.raw", 20, 0)]), {"t.raw": tone(20)})
    check_reader(disc.raw, tone(20))


def test_the_last_sector_is_filled_up_with_silence(tmp_path: Path) -> None:
    disc = open_text(tmp_path, xcdroast([Track(AUDIO, "t.wav", 20, 0)]), {"t.wav": wav(tone(20)[:-1000])})
    assert (table(disc), disc.warnings) == ([(1, "audio", 0, 20)], ())
    check_reader(disc.raw, tone(20)[:-1000] + bytes(1000))


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\r"),
        "\ufeff# a note\n" + TEXT,
        TEXT.replace(" = ", "="),
        TEXT.replace("\n", "   \n"),
        TEXT.replace("track", "\t  track"),
        TEXT.replace("track", "nonsense\nother = 5\ntrack"),
    ],
    ids=["crlf", "cr", "marks", "no blanks", "blanks", "indented", "lines that mean nothing"],
)
def test_the_same_text_in_many_dresses(tmp_path: Path, text: str) -> None:
    disc = open_text(tmp_path, text, FILES)
    assert table(disc) == [(1, "mode1/2048", 0, 40), (2, "audio", 192, 20), (3, "audio", 212, 30)]
    assert disc.warnings == ()


@pytest.mark.parametrize("file", ["disc.toc", *FILES, *TEXTS])
def test_every_file_of_the_set_opens_the_disc(tmp_path: Path, file: str) -> None:
    write_cue(tmp_path, TEXT, FILES | TEXTS, "disc.toc")
    with open_image(str(tmp_path / file)) as image:
        assert [step.name for step in image.steps] == ["xcdroast"]


def test_names_of_another_machine(tmp_path: Path) -> None:
    text = TEXT.replace("t-0", "tracks/t-0")
    assert len(open_text(tmp_path, text, {f"tracks/{name}": data for name, data in FILES.items()}).tracks) == 3
    assert len(open_text(tmp_path, text.replace("t-01", "T-01"), FILES).tracks) == 3


# --- damage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingPartError, match=f"its part '{name}' is missing"):
        open_text(tmp_path, TEXT, {other: data for other, data in FILES.items() if other != name})


@pytest.mark.parametrize("name", ["../t-01.img", "/etc/passwd"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutsideError):
        open_text(tmp_path, TEXT.replace("t-01.img", name), FILES)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TEXT.replace("type = 0", "type = 2"), "line 11: a track of type 2"),
        (TEXT.replace("type = 0\n", ""), "a track of type nothing"),
        (TEXT.replace("size = 192", "size = 4000000000"), "a track of 4000000000 sectors at LBA 0, outside"),
        (TEXT.replace("startsec = 192", "startsec = 4000000000"), "20 sectors at LBA 4000000000, outside"),
        (TEXT.replace("size = 192", 'size = "many"'), "line 11: size is 'many', not a number"),
        (TEXT.replace("size = 192", f'size = "{"9" * 5000}"'), "line 11: size is '9999"),
        (TEXT.replace("size = 192", 'size = "\u0661"'), "line 11: size is '\u0661', not a number"),
        (TEXT.replace("track = 1", "track = 0"), "a track 0; a disc has 1 to 99"),
        (TEXT.replace("file", "data"), "names no track"),
        (xcdroast([Track(AUDIO, "t-02.wav", 20)] * 100), "a track 100; a disc has 1 to 99"),
        (
            xcdroast([Track(AUDIO, "no such file", 20)] * 5000).replace("track = ", "track = 1 of "),
            "a track 100; a disc",
        ),
        (TEXT.replace("t-01.img", "disc.toc"), "the descriptor names itself"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DamagedError, match=says):
        open_text(tmp_path, text, FILES)


def test_a_text_beside_a_track_that_makes_no_sense_is_left_out(tmp_path: Path) -> None:
    disc = open_text(tmp_path, TEXT, FILES | {"t-02.xinf": b"x" * (1 << 21), "t-03.xinf": b"\xff\0junk = = 1"})
    assert [line.partition(": a text of")[0] for line in disc.warnings] == ["line 17: 't-02.xinf' is left out"]
    assert [track.flags for track in disc.tracks] == [(), (), ()]


def test_audio_of_another_rate_is_named(tmp_path: Path) -> None:
    slow = wav(tone(20)).replace((44100).to_bytes(4, "little"), (22050).to_bytes(4, "little"), 1)
    with pytest.raises(UnsupportedError, match="22050 Hz"):
        open_text(tmp_path, TEXT, FILES | {"t-02.wav": slow})


def test_what_a_cut_file_has_lost_is_missing(tmp_path: Path) -> None:
    disc = open_text(tmp_path, TEXT, FILES | {"t-01.img": volume(40)[: 25 * 2048]})
    assert disc.warnings == ("line 11: the last 15 of the 40 sectors of track 1 are not in the file",)
    check_reader(disc.tracks[0].user, volume(40), missing=[(25 * 2048, 40 * 2048)])


def test_a_remainder_that_is_no_sector_is_left_out_with_a_warning(tmp_path: Path) -> None:
    disc = open_text(tmp_path, TEXT, FILES | {"t-01.img": volume(40) + bytes(100)})
    assert disc.warnings == ("line 11: track 1 does not end with a whole sector; the rest is left out",)
    check_reader(disc.tracks[0].user, volume(40))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# X-CD-Roast\n",
        TEXT.replace("X-CD-Roast", "K3b"),
        "X-CD-Roast\ntrack = 1\n",
        toc([Statements("AUDIO", ['FILE "X-CD-Roast" 0'])]),
        TEXT + " " * (1 << 20),
    ],
)
def test_other_texts_are_left_alone(text: str) -> None:
    assert FORMAT.probe(Candidate(BytesReader(text.encode()), "disc.toc")) is None


@pytest.mark.parametrize("cut", range(0, len(TEXT), 5))
def test_a_cut_text_is_refused_or_read(tmp_path: Path, cut: int) -> None:
    disc = try_path(FORMAT, write_cue(tmp_path, TEXT[:cut], FILES | TEXTS, "disc.toc"))
    assert disc is None or len(disc.tracks) <= 3
