"""A disc put together from a descriptor's words: what the sectors know better, and what is said of it."""

import pytest

from imagefs import limits
from imagefs.disc import TrackKind
from imagefs.disc.build import DiscBuilder, Stored, described_layout
from imagefs.disc.layouts import Layout
from imagefs.errors import UnsupportedError
from imagefs.readers import BytesReader, slice_of
from tests.builders.sectors import mode1, stored, tone, volume


def layout(mode: str) -> Layout:
    kind, _, size = mode.partition("/")
    found = described_layout(TrackKind(kind.lower()), int(size or 2352))
    assert found is not None
    return found


def sectors(data: bytes, mode: str, pregap: int = 0) -> Stored:
    return Stored(BytesReader(data), layout(mode), 0, len(data) // layout(mode).sector_bytes, pregap)


@pytest.fixture
def builder() -> DiscBuilder:
    found = DiscBuilder()
    found.begin_session()
    return found


DATA = stored(volume(40, 1000), "MODE1/2352", 1000)


def test_an_address_that_is_wrong_is_a_warning_and_a_guess_is_none(builder: DiscBuilder) -> None:
    told = builder.add(1, 0, sectors(DATA, "MODE1/2352"), indexes=(20,))
    assert (told.start, told.indexes) == (1000, (1020,))
    assert builder.warnings == ["track 1 begins at LBA 1000 by its volume, not at 0"]
    other = DiscBuilder()
    other.begin_session()
    guessed = other.add(1, 0, sectors(DATA, "MODE1/2352"), is_told=False, indexes=(20,))
    assert (guessed.start, guessed.indexes, other.warnings) == (1000, (1020,), [])


def test_a_volume_does_not_take_the_place_of_another(builder: DiscBuilder) -> None:
    builder.add(1, 0, sectors(DATA, "MODE1/2352"), is_told=False)
    second = builder.add(2, 2000, sectors(DATA, "MODE1/2352"))
    assert (second.start, builder.warnings) == (2000, [])


def test_a_pregap_that_is_not_described(builder: DiscBuilder) -> None:
    data = stored(bytes(150 * 2048) + volume(40), "MODE1/2352", -150)
    track = builder.add(1, 0, sectors(data, "MODE1/2352"), indexes=(160,))
    assert (track.start, track.length, track.pregap, track.pregap_stored, track.indexes) == (0, 40, 150, 150, (10,))
    assert track.user.pread(0, 40 * 2048) == volume(40)
    assert builder.warnings == ["track 1 begins with 150 sectors of pregap by its volume"]


def test_a_pregap_of_a_later_track_that_is_not_described(builder: DiscBuilder) -> None:
    builder.add(1, 0, sectors(stored(volume(40), "MODE1/2352"), "MODE1/2352"))
    data = stored(bytes(150 * 2048) + volume(40, 11_440), "MODE1/2352", 11_290)
    track = builder.add(2, 11_440, sectors(data, "MODE1/2352"), pregap=150, indexes=(11_600,))
    assert (track.start, track.length, track.pregap, track.pregap_stored) == (11_440, 40, 150, 150)
    assert track.indexes == (11_450,)
    assert track.user.pread(0, 40 * 2048) == volume(40, 11_440)
    assert builder.warnings == ["track 2 begins with 150 sectors of pregap by its volume"]


def test_a_pregap_of_a_volume_whose_place_is_taken(builder: DiscBuilder) -> None:
    builder.add(1, 0, sectors(stored(volume(40), "MODE1/2352"), "MODE1/2352"))
    data = stored(bytes(150 * 2048) + volume(40), "MODE1/2352", -150)
    track = builder.add(2, 40, sectors(data, "MODE1/2352"))
    assert (track.start, track.length, track.pregap_stored) == (190, 40, 150)
    assert track.user.pread(0, 40 * 2048) == volume(40)


def test_sectors_of_another_mode(builder: DiscBuilder) -> None:
    track = builder.add(1, 1000, sectors(DATA, "MODE2/2352"))
    assert (track.mode, track.user_offset) == ("mode1/2352", 16)
    assert builder.warnings == ["track 1 is mode1/2352 by its sectors, not mode2/2352"]


def test_sectors_of_another_size_are_seen_before_they_are_counted(builder: DiscBuilder) -> None:
    reader = BytesReader(DATA)
    told = layout("MODE1/2048")
    assert builder.seen(1, told, reader, 0, may_resize=False) == told
    assert builder.warnings == []
    assert builder.seen(1, told, reader, 0) == layout("MODE1/2352")
    assert builder.warnings == ["track 1 is mode1/2352 by its sectors, not mode1/2048"]


@pytest.mark.parametrize(
    ("count", "length", "says"),
    [
        (50, 50, "the last 10 of the 50 sectors of track 1 are not in the file"),
        (-1, 0, "track 1 cannot have -1 sectors; it has 0"),
        (limits.DISC_SECTORS + 1, 40, f"track 1 cannot have {limits.DISC_SECTORS + 1} sectors; it has 40"),
    ],
)
def test_counts_are_bounded(builder: DiscBuilder, count: int, length: int, says: str) -> None:
    track = builder.add(1, 1000, sectors(DATA, "MODE1/2352")._replace(sectors=count), pregap=1 << 40)
    assert (track.length, track.pregap) == (length, limits.DISC_SECTORS)
    assert builder.warnings == [says]


def test_warnings_name_the_line_and_are_the_descriptors_own() -> None:
    warnings = ["line 1: 'FOO' is no command and is ignored"]
    builder = DiscBuilder(warnings)
    builder.begin_session()
    builder.add(1, 0, sectors(tone(2), "AUDIO"), line=3)
    builder.add(1, 2, sectors(tone(2), "AUDIO"), line=4)
    assert warnings == ["line 1: 'FOO' is no command and is ignored", "line 4: track 1 after track 1 is taken as 2"]
    for _ in range(limits.WARNINGS):
        builder.warn("once more", 9)
    assert len(warnings) == limits.WARNINGS


def test_big_endian_samples_are_turned_and_data_are_not(builder: DiscBuilder) -> None:
    swapped = bytes(byte for pair in zip(tone(9)[1::2], tone(9)[::2], strict=True) for byte in pair)
    audio = builder.add(1, 0, sectors(swapped, "AUDIO")._replace(big_endian=True))
    assert audio.user.pread(0, 9 * 2352) == tone(9)
    data = builder.add(2, 1000, sectors(DATA, "AUDIO")._replace(big_endian=True))
    assert (data.mode, data.user.pread(0, 40 * 2048)) == ("mode1/2352", volume(40, 1000))


class Costly(BytesReader):
    """Samples that would have to be decoded."""

    def pread(self, offset: int, length: int) -> bytes:
        raise AssertionError("decoded")


def test_nothing_is_looked_for_in_decoded_samples(builder: DiscBuilder) -> None:
    track = builder.add(1, 0, Stored(Costly(tone(9)), layout("AUDIO"), 0, 9, is_decoded=True))
    assert (track.mode, track.length, builder.warnings) == ("audio", 9, [])


def test_scrambled_sectors_are_refused(builder: DiscBuilder) -> None:
    # ECMA-130 annex B: the register begins with 01 80 00 60 behind the sync.
    keys = b"\x01\x80\x00\x60"
    sector = mode1(0, bytes(2048))
    scrambled = sector[:12] + bytes(a ^ b for a, b in zip(sector[12:16], keys, strict=True)) + sector[16:]
    with pytest.raises(UnsupportedError, match="scrambled sectors in track 1; dump the disc descrambled"):
        builder.add(1, 0, sectors(scrambled * 20, "MODE1/2352"))


def test_sessions_without_tracks_do_not_count(builder: DiscBuilder) -> None:
    builder.begin_session()
    builder.add(1, 0, Stored(slice_of(BytesReader(tone(2)), 0, 2352), layout("AUDIO"), 0, 1))
    assert [(session.number, len(session.tracks)) for session in builder.sessions] == [(1, 1)]
