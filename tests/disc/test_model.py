"""Disc, session, track: user data, addresses, gaps."""

from pathlib import Path

import pytest

from imagefs.disc import Disc, Session, Track, TrackKind
from imagefs.readers import BytesReader, RunKind, SectorReader, SliceReader
from tests.builders.sectors import form2, pattern, stored, tone
from tests.contract import check_reader, source_of


def data_track(user: bytes, start: int, mode: str = "MODE1/2352", number: int = 1, pregap: int = 0) -> Track:
    size = int(mode.rpartition("/")[2])
    kind = TrackKind.MODE1 if mode.startswith("MODE1") else TrackKind.MODE2
    offset = {2048: 0, 2336: 8}.get(size, 16 if kind is TrackKind.MODE1 else 24)
    data = BytesReader(stored(user, mode, start - pregap))
    length = len(user) // 2048 - pregap
    return Track(number, kind, size, start, length, data, offset, pregap=pregap, pregap_stored=pregap)


def audio_track(samples: bytes, start: int, number: int = 2, big_endian: bool = False) -> Track:
    return Track(
        number, TrackKind.AUDIO, 2352, start, len(samples) // 2352, BytesReader(samples), big_endian=big_endian
    )


@pytest.mark.parametrize("mode", ["MODE1/2048", "MODE1/2352", "MODE1/2448", "MODE2/2336", "MODE2/2352"])
def test_user_data_of_a_track(mode: str) -> None:
    check_reader(data_track(pattern(9), 0, mode).user, pattern(9))


def test_user_data_begin_with_index_1() -> None:
    check_reader(data_track(pattern(9), 3, pregap=3).user, pattern(9)[3 * 2048 :])


def test_a_form_2_sector_gives_its_first_2048_bytes() -> None:
    user = tone(1)[:2324]
    track = Track(1, TrackKind.MODE2, 2352, 0, 1, BytesReader(form2(0, user)), 24)
    check_reader(track.user, user[:2048])


def test_audio_is_little_endian_however_it_is_stored() -> None:
    samples = tone(3)
    swapped = bytes(byte for pair in zip(samples[1::2], samples[::2], strict=True) for byte in pair)
    check_reader(audio_track(samples, 0).user, samples)
    check_reader(audio_track(swapped, 0, big_endian=True).user, samples)


def test_the_byte_order_of_the_samples_leaves_data_alone() -> None:
    track = data_track(pattern(2), 0)
    mixed = Track(1, track.kind, 2352, 0, 2, track.stored, 16, big_endian=True)
    check_reader(mixed.user, pattern(2))


def test_plain_sectors_are_a_slice_and_framed_ones_strides_of_the_file(tmp_path: Path) -> None:
    source = source_of(tmp_path / "image", stored(pattern(4), "MODE1/2352"))
    framed = Track(1, TrackKind.MODE1, 2352, 0, 4, source, 16).user
    assert isinstance(framed, SectorReader)
    assert framed.views(0, 4096) is not None
    plain = Track(1, TrackKind.MODE1, 2048, 0, 3, source).user
    assert isinstance(plain, SliceReader)
    assert plain.base is source


def test_the_space_of_a_disc_has_data_by_address_and_nothing_else() -> None:
    first, second = data_track(pattern(5), 0), data_track(pattern(4, seed=2), 12, number=3, pregap=1)
    disc = Disc([Session(1, [first, audio_track(tone(3), 5)]), Session(2, [second])])
    content = pattern(5) + bytes(6 * 2048) + pattern(4, seed=2)
    check_reader(disc.space, content, missing=[(5 * 2048, 11 * 2048)])


def test_overlapping_tracks_leave_the_address_to_the_earlier_one() -> None:
    disc = Disc([Session(1, [data_track(pattern(5), 0), data_track(pattern(5, seed=2), 3, number=2)])])
    check_reader(disc.space, pattern(5) + pattern(5, seed=2)[2 * 2048 :])


def test_a_stored_first_pregap_lies_before_the_space() -> None:
    disc = Disc([Session(1, [data_track(pattern(154), 0, pregap=150)])])
    check_reader(disc.space, pattern(154)[150 * 2048 :])


def test_raw_is_all_tracks_one_after_the_other() -> None:
    disc = Disc([Session(1, [data_track(pattern(5), 0), audio_track(tone(2), 155)])])
    check_reader(disc.raw, pattern(5) + tone(2))
    assert [track.mode for track in disc.tracks] == ["mode1/2352", "audio"]


def test_a_disc_without_data_has_an_empty_space() -> None:
    disc = Disc([Session(1, [audio_track(tone(2), 0)])])
    assert disc.space.size == 0
    assert [run.kind for run in disc.raw.runs(0, 10)] == [RunKind.PACKED]


@pytest.mark.parametrize(("mode", "main"), [("MODE1/2048", 2048), ("MODE2/2336", 2336), ("MODE1/2352", 2352)])
def test_the_main_channel_is_what_the_image_keeps(mode: str, main: int) -> None:
    track = data_track(pattern(5), 0, mode, pregap=2)
    check_reader(track.main, stored(pattern(5), mode, -2))
    assert (track.main_bytes, track.subchannel) == (main, None)


@pytest.mark.parametrize(("size", "at"), [(2448, 2352), (2449, 2352), (2742, 2646)])
def test_the_subchannel_behind_the_main_channel(size: int, at: int) -> None:
    user, sub = stored(pattern(3), "MODE1/2352"), tone(3)
    sectors = b"".join(
        (user[k * 2352 :][:2352] + bytes(at - 2352) + sub[k * 96 :][:96]).ljust(size, b"x") for k in range(3)
    )
    track = Track(1, TrackKind.MODE1, size, 0, 3, BytesReader(sectors), 16)
    check_reader(track.main, user)
    assert track.subchannel is not None
    check_reader(track.subchannel, sub[: 3 * 96], block=96)


def test_a_subchannel_in_a_place_of_its_own() -> None:
    sub = BytesReader(tone(1))
    track = Track(1, TrackKind.AUDIO, 2352, 0, 3, BytesReader(tone(3)), apart=sub)
    assert track.subchannel is sub


def test_the_main_channel_of_audio_is_little_endian() -> None:
    swapped = bytes(byte for pair in zip(tone(3)[1::2], tone(3)[::2], strict=True) for byte in pair)
    track = Track(1, TrackKind.AUDIO, 2352, 1, 2, BytesReader(swapped), pregap_stored=1, big_endian=True)
    check_reader(track.main, tone(3))


def test_the_space_as_it_was_at_the_end_of_a_session() -> None:
    disc = Disc([Session(1, [data_track(pattern(4), 0)]), Session(2, [data_track(pattern(3, seed=2), 40, number=2)])])
    check_reader(disc.space_until(1), pattern(4))
    assert disc.space_until(2) is disc.space
    assert disc.space.size == 43 * 2048


def test_the_space_of_a_session_that_ends_before_lba_0() -> None:
    """Addresses that a descriptor has wrong."""
    disc = Disc([Session(1, [data_track(pattern(4), -20)]), Session(2, [data_track(pattern(3), 0, number=2)])])
    assert disc.space_until(1).size == 0


def test_audio_in_the_other_byte_order() -> None:
    swapped = bytes(byte for pair in zip(tone(3)[1::2], tone(3)[::2], strict=True) for byte in pair)
    disc = Disc([Session(1, [data_track(pattern(2), 0), audio_track(tone(3), 2)])]).with_swapped_audio()
    assert [track.user.pread(0, 9000) for track in disc.tracks] == [pattern(2), swapped]
    assert disc.with_swapped_audio().tracks[1].user.pread(0, 9000) == tone(3)
