"""Audio tracks as files: their names, what is before the first one, and the sheet beside them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.containers.cue import FORMAT
from imagefs.disc import Disc, Session, Track, TrackKind
from imagefs.disc.wav import wav_header
from imagefs.errors import UnsupportedError
from imagefs.image import open_image
from imagefs.options import Options
from imagefs.readers import BytesReader, Extent, ExtentReader, Reader
from imagefs.tree.audio import AudioFiles
from tests.builders.descriptors import open_path, run_tool
from tests.builders.discs import write_cue
from tests.builders.sectors import tone

SHEET = """\
CATALOG 1234567890123
TITLE "An Album"
PERFORMER "Somebody"
SONGWRITER "Their Uncle"
FILE "disc.bin" BINARY
  TRACK 01 AUDIO
    TITLE "First: a/b"
    FLAGS PRE
    INDEX 00 00:00:00
    INDEX 01 00:03:00
  TRACK 02 AUDIO
    PERFORMER "Another"
    SONGWRITER "An Aunt"
    ISRC ABCDE1234567
    INDEX 00 00:05:00
    INDEX 01 00:05:10
    INDEX 02 00:06:00
"""
SECTORS = 600


def audio(number: int, samples: bytes | Reader, pregap: int = 0, title: str = "") -> Track:
    stored = samples if isinstance(samples, Reader) else BytesReader(samples)
    length = stored.size // 2352 - pregap
    return Track(
        number, TrackKind.AUDIO, 2352, pregap, length, stored, pregap=pregap, pregap_stored=pregap, title=title
    )


def names(tracks: list[Track], coding: str = "wav") -> list[str]:
    return [name.decode() for name in AudioFiles(Disc([Session(1, tracks)]), tracks, coding).titled()]


@pytest.fixture
def cue(tmp_path: Path) -> Path:
    return write_cue(tmp_path, SHEET, {"disc.bin": tone(SECTORS)})


def test_a_disc_of_audio_alone(cue: Path) -> None:
    samples = tone(SECTORS)
    with open_image(str(cue)) as image:
        files = {name.decode(): image.tree.open(node) for name, node in image.tree.entries(image.tree.root)}
        read = {name: reader.pread(0, reader.size) for name, reader in files.items()}
    cuts = {"track00.wav": (0, 225), "01 - First: a_b.wav": (225, 375), "track02.wav": (385, SECTORS)}
    assert list(read) == [*cuts, "disc.cue"]
    for name, (first, last) in cuts.items():
        wanted = samples[first * 2352 : last * 2352]
        assert read[name] == wav_header(len(wanted)) + wanted, name
    assert read["disc.cue"].decode().splitlines() == [
        "CATALOG 1234567890123",
        'TITLE "An Album"',
        'PERFORMER "Somebody"',
        'SONGWRITER "Their Uncle"',
        'FILE "track00.wav" WAVE',
        "  TRACK 01 AUDIO",
        "    FLAGS PRE",
        '    TITLE "First: a/b"',
        "    INDEX 00 00:00:00",
        'FILE "01 - First: a_b.wav" WAVE',
        "    INDEX 01 00:00:00",
        'FILE "track02.wav" WAVE',
        "  TRACK 02 AUDIO",
        "    ISRC ABCDE1234567",
        '    PERFORMER "Another"',
        '    SONGWRITER "An Aunt"',
        "    PREGAP 00:00:10",
        "    INDEX 01 00:00:00",
        "    INDEX 02 00:00:65",
    ]


@pytest.mark.parametrize("coding", ["wav", "flac"])
def test_the_files_are_the_same_disc_again(cue: Path, tmp_path: Path, coding: str) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    with open_image(str(cue), Options(audio=coding)) as image:
        for name, node in image.tree.entries(image.tree.root):
            (folder / name.decode()).write_bytes(image.tree.open(node).pread(0, node.size))
        assert image.disc is not None
        want = [facts(track) for track in image.disc.tracks]
    assert [facts(track) for track in open_path(FORMAT, folder / "disc.cue").tracks] == want


def facts(track: Track) -> tuple[object, ...]:
    told = track.number, track.start, track.length, track.pregap, track.flags, track.isrc, track.texts
    return *told, track.indexes, track.user.pread(0, track.user.size)


@pytest.mark.foreign
def test_flac_with_tags(cue: Path, tmp_path: Path, need: Callable[..., None]) -> None:
    need("flac", "metaflac")
    with open_image(str(cue), Options(audio="flac")) as image:
        assert [name.decode() for name, _ in image.tree.entries(image.tree.root)] == [
            "track00.flac", "01 - First: a_b.flac", "track02.flac", "disc.cue",
        ]  # fmt: skip
        node = image.find("track02.flac")
        (tmp_path / "2.flac").write_bytes(image.tree.open(node).exactly(0, node.size))
    run_tool("flac", "-d", "-s", "2.flac", folder=tmp_path)
    wanted = tone(SECTORS)[385 * 2352 :]
    assert (tmp_path / "2.wav").read_bytes() == wav_header(len(wanted)) + wanted
    tags = run_tool("metaflac", "--export-tags-to=-", "2.flac", folder=tmp_path).splitlines()
    assert tags == [
        "ARTIST=Another", "WRITER=An Aunt", "ALBUM=An Album", "ALBUMARTIST=Somebody", "TRACKNUMBER=2", "TRACKTOTAL=2",
        "ISRC=ABCDE1234567",
    ]  # fmt: skip


def test_swapped_samples(cue: Path) -> None:
    samples = tone(SECTORS)[385 * 2352 :]
    with open_image(str(cue), Options(swap_audio=True)) as image:
        node = image.find("track02.wav")
        read = image.tree.open(node).pread(44, node.size)
    assert (read[0::2], read[1::2]) == (samples[1::2], samples[0::2])


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("", "track01.wav"),
        (" \0 ", "01 - _.wav"),
        ("a/b\0c\x1b[31m\u202e", "01 - a_b_c_[31m_.wav"),
        ("..", "01 - ...wav"),
        ('The "best" of', "01 - The 'best' of.wav"),
        ("ä" * 200, "01 - " + "ä" * 123 + ".wav"),
    ],
)
def test_titles_are_no_paths(title: str, name: str) -> None:
    files = AudioFiles(Disc([Session(1, [track := audio(1, tone(2), title=title)])]), [track], "wav").titled()
    assert [each.decode() for each in files] == [name, "disc.cue"]
    assert f'FILE "{name}" WAVE\r\n' in files[b"disc.cue"].pread(0, 1 << 16).decode()
    assert len(name.encode()) <= 255


@pytest.mark.parametrize(
    ("before", "shown"),
    [
        (bytes(150 * 2352), False),  # the pregap that every disc has
        (bytes(149 * 2352) + tone(1), True),
        (bytes(151 * 2352), True),  # a player that goes back finds it
        (b"", False),
    ],
)
def test_what_is_hidden_before_the_first_track(before: bytes, shown: bool) -> None:
    track = audio(1, before + tone(2), len(before) // 2352)
    assert (names([track])[0] == "track00.wav") == shown


def test_a_pregap_that_cannot_be_read_may_hide_something() -> None:
    lost = ExtentReader([Extent(100 * 2352, 2 * 2352, BytesReader(tone(2)))], 102 * 2352)
    assert names([audio(1, lost, 100)])[0] == "track00.wav"


def test_a_pregap_whose_decoder_is_missing_keeps_nothing_else_from_being_shown() -> None:
    class Packed(BytesReader):
        def pread(self, offset: int, length: int) -> bytes:
            raise UnsupportedError("FLAC needs miniaudio")

    tracks = [audio(1, Packed(tone(102)), 100), audio(2, tone(2))]
    assert names(tracks) == ["track00.wav", "track01.wav", "track02.wav", "disc.cue"]


def test_only_the_first_track_of_the_disc_has_something_before_it() -> None:
    disc = Disc([Session(1, [audio(1, tone(1))]), Session(2, [audio(2, tone(400), 300)])])
    assert list(AudioFiles(disc, disc.tracks[1:], "wav").plain()) == [b"track02.wav"]
