"""DiscJuggler images of all versions."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from imagefs.containers.cdi import FORMAT
from imagefs.disc import Disc
from imagefs.errors import DamagedError, ImageError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.image import open_image
from imagefs.options import Options
from imagefs.readers import BytesReader, RunKind
from tests.builders.cdi import AUDIO, MODE1, MODE2, VERSIONS, Cut, cdi
from tests.builders.descriptors import run_tool, sessions, table
from tests.builders.sectors import pattern, stored, tone, volume
from tests.contract import check_reader
from tests.disc.test_cdtext import PERFORMER, TITLE, packs

SECOND = 190 + 11_400
PREGAP = bytes(150 * 2352)


def open_bytes(data: bytes) -> Disc:
    candidate = Candidate(BytesReader(data), "disc.cdi")
    assert FORMAT.probe(candidate) is not None
    disc = FORMAT.open(candidate, Options())
    assert isinstance(disc, Disc)
    return disc


def selfboot(texts: Sequence[bytes] = (), more: Sequence[int] = ()) -> list[list[Cut]]:
    """Audio, then a session of data as Dreamcast programs have it: its volume knows where it lies."""
    data = stored(bytes(150 * 2048) + volume(40, SECOND), "MODE2/2336", SECOND - 150)
    return [
        [
            Cut(PREGAP + tone(100), AUDIO, 2, -150, 250, control=0, texts=texts),
            Cut(tone(90, 9), AUDIO, 2, 100, 90, pregap=5, more=more, control=2, isrc=b"ABCDE1234567"),
        ],
        [Cut(data, MODE2, 1, SECOND - 150, 190)],
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_of_audio_and_data(version: str) -> None:
    disc = open_bytes(cdi(selfboot(), version))
    assert table(disc) == [(1, "audio", 0, 100), (2, "audio", 105, 85), (3, "mode2/2336", SECOND, 40)]
    assert sessions(disc) == [(1, [1, 2]), (2, [3])]
    assert [track.pregap_stored for track in disc.tracks] == [150, 5, 150]
    assert [track.flags for track in disc.tracks] == [(), ("DCP",), ()]
    assert [track.isrc for track in disc.tracks] == ["", "ABCDE1234567", ""]
    assert (disc.medium, disc.warnings) == ("CD", ())
    check_reader(disc.raw, tone(100) + tone(90, 9)[5 * 2352 :] + volume(40, SECOND))
    assert disc.space.pread(SECOND * 2048, 10**6) == volume(40, SECOND)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("mode", "read_mode", "sectors"),
    [
        (MODE1, 0, "MODE1/2048"),
        (MODE1, 2, "MODE1/2352"),
        (MODE1, 3, "MODE1/2368"),
        (MODE1, 4, "MODE1/2448"),
        (MODE2, 0, "MODE2/2048"),
        (MODE2, 1, "MODE2/2336"),
        (MODE2, 2, "MODE2/2352"),
        (MODE2, 4, "MODE2/2448"),
    ],
)
def test_data_tracks_of_every_mode(version: str, mode: int, read_mode: int, sectors: str) -> None:
    data = stored(bytes(150 * 2048) + volume(40), sectors, -150)
    disc = open_bytes(cdi([[Cut(data, mode, read_mode, -150, 190)]], version))
    assert (table(disc), disc.warnings) == ([(1, sectors.lower(), 0, 40)], ())
    check_reader(disc.raw, volume(40))
    assert disc.space.pread(0, 10**6) == volume(40)


@pytest.mark.parametrize(("read_mode", "extra"), [(3, 16), (4, 96)])
def test_audio_with_subchannel(read_mode: int, extra: int) -> None:
    data = b"".join(tone(9)[at : at + 2352] + b"\xee" * extra for at in range(0, 9 * 2352, 2352))
    disc = open_bytes(cdi([[Cut(data, AUDIO, read_mode, -150, 9, pregap=0)]]))
    check_reader(disc.raw, tone(9))


def test_a_mode_that_the_sectors_contradict_is_corrected() -> None:
    data = stored(bytes(150 * 2048) + volume(40), "MODE2/2352", -150)
    disc = open_bytes(cdi([[Cut(data, MODE1, 2, -150, 190)]]))
    assert disc.warnings == ("track 1 is mode2/2352 by its sectors, not mode1/2352",)
    check_reader(disc.raw, volume(40))


def test_indexes_texts_and_what_is_said_of_the_disc() -> None:
    text = packs(TITLE, 0, b"Disc\0One\0Two\0Three\0") + packs(PERFORMER, 0, b"All\0")
    whole = cdi(selfboot([b"text", b""] * 9, more=[10, 20]), catalog=b"1234567890123", packs=text, medium=0x38)
    disc = open_bytes(whole)
    assert (disc.catalog, disc.title, disc.performer, disc.medium) == ("1234567890123", "Disc", "All", "DVD")
    assert [track.title for track in disc.tracks] == ["One", "Two", "Three"]
    assert [track.indexes for track in disc.tracks] == [(), (160, 170), ()]
    assert table(disc)[1] == (2, "audio", 105, 85)


def test_the_volume_knows_its_address_better_than_the_descriptor() -> None:
    tracks = selfboot()
    tracks[1][0] = tracks[1][0]._replace(start=190)
    disc = open_bytes(cdi(tracks))
    assert table(disc)[2] == (3, "mode2/2336", SECOND, 40)
    assert disc.warnings == (f"track 3 begins at LBA {SECOND} by its volume, not at 340",)


def test_two_sessions_with_descriptors_of_one_tree_show_it_once(tmp_path: Path) -> None:
    """The second one's volume begins anew in its session, and its addresses count from LBA 0."""
    first, again = volume(40), volume(40)[: 18 * 2048]
    tracks = [
        [Cut(stored(first, "MODE2/2336"), MODE2, 1, 0, 40, pregap=0)],
        [Cut(stored(again, "MODE2/2336"), MODE2, 1, 11_440, 18, pregap=0)],
    ]
    (tmp_path / "disc.cdi").write_bytes(cdi(tracks))
    with open_image(str(tmp_path / "disc.cdi")) as image:
        assert [shown.number for shown, _ in image.filesystems] == [2]
        assert list(image.tree.entries(image.tree.root)) == []
        assert [track.start for track in image.disc.tracks] == [0, 11_440]


@pytest.mark.foreign
@pytest.mark.parametrize("sectors", ["MODE1/2352", "MODE2/2352", "MODE2/2336"])
def test_iat_takes_out_the_same(tmp_path: Path, need: Callable[..., None], sectors: str) -> None:
    need("iat")
    data = stored(bytes(150 * 2048) + volume(40), sectors, -150)
    mode, read_mode = int(sectors[4]), 2 if sectors.endswith("2352") else 1
    (tmp_path / "disc.cdi").write_bytes(cdi([[Cut(data, mode, read_mode, -150, 190)]]))
    run_tool("iat", "disc.cdi", "out.iso", folder=tmp_path)
    # iat knows no descriptor: it finds the volume and takes everything from 16 sectors before it to the end of the file.
    foreign = (tmp_path / "out.iso").read_bytes()[: 40 * 2048]
    with open_image(str(tmp_path / "disc.cdi")) as image:
        assert foreign == image.raw.pread(0, 40 * 2048) == volume(40)


# --- damage ---------------------------------------------------------------------------------------------------------------

WHOLE = cdi(selfboot())
BEGIN = len(WHOLE) - struct.unpack("<I", WHOLE[-4:])[0]


@pytest.mark.parametrize(
    ("version", "place"),
    [("2", 1 << 31), ("3", len(WHOLE)), ("3.5", len(WHOLE) + 1), ("3.5", 0), ("3.5", 8), ("3.5", 0xFFFF_FFFF)],
)
def test_a_descriptor_outside_the_file_is_damage(version: str, place: int) -> None:
    with pytest.raises(DamagedError, match="lies outside the file"):
        open_bytes(WHOLE[:-8] + struct.pack("<II", VERSIONS[version], place))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (cdi([[Cut(b"", AUDIO, 2, -150, 0, pregap=0)] * 50] * 2), "100 tracks in the descriptor"),
        (cdi([[]] * 100), "of 100 sessions"),
        (cdi([]), "of 0 sessions"),
        (cdi([[]]), "without a track"),
        (cdi([[Cut(b"", AUDIO, 2, -150, 300, more=[1] * 99)]]), "a track with 101 indexes"),
        (cdi([[Cut(b"", AUDIO, 2, 1 << 30, 200)]]), "track 1 of a DiscJuggler image lies outside the disc"),
    ],
)
def test_what_makes_no_sense_is_damage(data: bytes, says: str) -> None:
    with pytest.raises(DamagedError, match=says):
        open_bytes(data)


@pytest.mark.parametrize(("mode", "read_mode"), [(3, 2), (AUDIO, 5), (AUDIO, 0), (AUDIO, 1)])
def test_a_mode_that_is_not_known_is_named(mode: int, read_mode: int) -> None:
    with pytest.raises(UnsupportedError, match="track 1 of a DiscJuggler image in"):
        open_bytes(cdi([[Cut(tone(5), mode, read_mode, -150, 5, pregap=0)]]))


def test_what_the_file_does_not_have_is_missing() -> None:
    data = stored(bytes(150 * 2048) + volume(25), "MODE1/2352", -150)
    disc = open_bytes(cdi([[Cut(data, MODE1, 2, -150, 190)]]))
    assert disc.warnings == ("the last 15 of the 190 sectors of track 1 are not in the file",)
    check_reader(disc.raw, volume(25) + pattern(15), missing=[(25 * 2048, 40 * 2048)])


def test_without_what_is_said_of_the_disc_the_tracks_are_shown() -> None:
    sound = open_bytes(WHOLE)
    at = WHOLE.rindex(b"NAME") - 1
    disc = open_bytes(WHOLE[:at] + b"\xff" + WHOLE[at + 1 :])
    assert table(disc) == table(sound)
    assert "what is said of the disc as a whole is not understood" in disc.warnings[0]


@pytest.mark.parametrize("data", [b"", b"\6\0\0\x80", tone(9), WHOLE[:-8], WHOLE + b"\0", bytes(5000)])
def test_what_has_no_descriptor_at_its_end_is_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.cdi")) is None


def test_an_end_that_looks_like_one_is_not_enough_without_the_name() -> None:
    data = tone(9) + struct.pack("<II", VERSIONS["3.5"], 500)
    assert FORMAT.probe(Candidate(BytesReader(data), "song.raw")) is None


def _opened(data: bytes) -> Disc | None:
    """The disc, None for an image that is refused; any other error fails the test."""
    candidate = Candidate(BytesReader(data), "disc.cdi")
    try:
        return FORMAT.open(candidate, Options()) if FORMAT.probe(candidate) else None
    except ImageError:
        return None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_flipped_byte_never_shows_what_the_image_has_not(version: str) -> None:
    whole = cdi(selfboot(), version)
    begin = sum(len(cut.data) for session in selfboot() for cut in session)
    refused = 0
    for at in range(begin, len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x81
        disc = _opened(bytes(damaged))
        refused += disc is None
        for track in disc.tracks if disc else ():
            runs = list(track.stored.runs(0, 10**9))
            assert sum(run.length for run in runs) == min(track.stored.size, 10**9)
            assert sum(run.length for run in runs if run.kind is not RunKind.MISSING) <= begin
    assert refused > 100


@pytest.mark.parametrize("cut", range(1, len(WHOLE) - BEGIN, 5))
def test_a_descriptor_that_is_cut_inside_is_refused_or_read(cut: int) -> None:
    """The end of the file stays, so that the descriptor is found."""
    body = WHOLE[BEGIN:-8][:-cut]
    disc = _opened(WHOLE[:BEGIN] + body + struct.pack("<II", VERSIONS["3.5"], len(body) + 8))
    assert disc is None or len(disc.tracks) <= 3
