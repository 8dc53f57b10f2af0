"""Nero images of both versions, disc-at-once and track-at-once."""

import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from imagefs.containers.nrg import FORMAT
from imagefs.disc import Disc
from imagefs.errors import DamagedError, ImageError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, SliceReader
from tests.builders.discs import Cue, Dao, Tao, cd_info_tracks, chunk, cues, dao, nrg, sinf, tao
from tests.builders.sectors import mode1, stored, tone, volume
from tests.contract import check_reader, source_of
from tests.disc.test_cdtext import PERFORMER, TITLE, packs

LEAD_OUT = 0xAA


def open_bytes(data: bytes) -> Disc:
    candidate = Candidate(BytesReader(data), "disc.nrg")
    assert FORMAT.probe(candidate) is not None
    disc = FORMAT.open(candidate, Options())
    assert isinstance(disc, Disc)
    return disc


def table(disc: Disc) -> list[tuple[int, str, int, int]]:
    """(number, mode, LBA of index 1, sectors) of each track."""
    return [(track.number, track.mode, track.start, track.length) for track in disc.tracks]


def mixed(version: int = 2, extra: Sequence[bytes] = ()) -> bytes:
    """150 sectors of pregap, 40 of data, then audio: 5 of pregap and 15, and 30 more."""
    raw = stored(bytes(150 * 2048) + volume(40), "MODE1/2352", -150) + tone(20) + tone(30, 9)
    at = [sector * 2352 for sector in (0, 150, 190, 195, 210, 240)]
    entries = [
        Cue(0, 0, -150),
        *(Cue(1, 0, -150), Cue(1, 1, 0)),
        *(Cue(2, 0, 40), Cue(2, 1, 45)),
        *(Cue(3, 0, 60), Cue(3, 1, 60)),
        Cue(LEAD_OUT, 1, 90),
    ]
    tracks = [
        Dao(0x05, 2352, at[0], at[1], at[2]),
        Dao(0x07, 2352, at[2], at[3], at[4], b"ABCDE1234567"),
        Dao(0x07, 2352, at[4], at[4], at[5]),
    ]
    return nrg(raw, [cues(entries, version), dao(tracks, 1, version, b"1234567890123"), sinf(3), *extra], version)


@pytest.mark.parametrize("version", [1, 2])
def test_disc_at_once(version: int) -> None:
    disc = open_bytes(mixed(version))
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "audio", 45, 15), (3, "audio", 60, 30)]
    assert [track.pregap_stored for track in disc.tracks] == [150, 5, 0]
    assert (disc.catalog, disc.medium, disc.warnings) == ("1234567890123", "CD", ())
    assert [track.isrc for track in disc.tracks] == ["", "ABCDE1234567", ""]
    check_reader(disc.raw, volume(40) + tone(20)[5 * 2352 :] + tone(30, 9))
    check_reader(disc.space, volume(40))


def test_the_image_may_begin_with_index_1_of_the_first_track() -> None:
    end = 40 * 2352
    entries = [Cue(1, 0, -150), Cue(1, 1, 0), Cue(LEAD_OUT, 1, 40)]
    disc = open_bytes(nrg(stored(volume(40), "MODE1/2352"), [cues(entries), dao([Dao(5, 2352, 0, 0, end)])]))
    assert table(disc) == [(1, "mode1/2352", 0, 40)]


MODES = {
    0x00: "MODE1/2048",
    0x02: "MODE2/2048",
    0x03: "MODE2/2336",
    0x05: "MODE1/2352",
    0x06: "MODE2/2352",
    0x0F: "MODE1/2448",
    0x11: "MODE2/2448",
}


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("mode", MODES)
def test_track_at_once_in_every_mode(version: int, mode: int) -> None:
    data = stored(volume(40), MODES[mode])
    disc = open_bytes(nrg(data, [tao([Tao(mode, 0, len(data))], version)], max(1, version)))
    assert table(disc) == [(1, MODES[mode].lower(), 0, 40)]
    check_reader(disc.raw, volume(40))


@pytest.mark.parametrize(("mode", "size"), [(0x07, 2352), (0x08, 2352), (0x10, 2448)])
def test_audio_with_and_without_subchannel(mode: int, size: int) -> None:
    data = b"".join(tone(9)[k * 2352 : (k + 1) * 2352] + bytes(size - 2352) for k in range(9))
    disc = open_bytes(nrg(data, [tao([Tao(mode, 0, len(data))])]))
    assert table(disc) == [(1, "audio", 0, 9)]
    check_reader(disc.raw, tone(9))


def test_the_sector_size_counts_more_than_the_mode() -> None:
    data = stored(volume(40), "MODE1/2352")
    disc = open_bytes(nrg(data, [cues([Cue(1, 1, 0)]), dao([Dao(0x00, 2352, 0, 0, len(data))])]))
    check_reader(disc.raw, volume(40))


@pytest.mark.parametrize("told", [(0, 40), (0, 190)], ids=["a plain sum", "with the gap"])
def test_track_at_once_addresses_with_and_without_gaps(told: tuple[int, int]) -> None:
    first, second = stored(volume(40), "MODE1/2352"), tone(10)
    rows = [Tao(5, 0, len(first), told[0]), Tao(7, len(first), len(second), told[1])]
    assert table(open_bytes(nrg(first + second, [tao(rows)]))) == [(1, "mode1/2352", 0, 40), (2, "audio", 190, 10)]


@pytest.mark.parametrize("gap", [11_400, 11_250])
def test_sessions_follow_their_chunks(gap: int) -> None:
    begin = 40 + gap
    first, second = stored(volume(40), "MODE1/2352"), stored(volume(30, begin), "MODE1/2352", begin)
    chunks = [tao([Tao(5, 0, len(first), 0)]), sinf(1), tao([Tao(5, len(first), len(second), 40)]), sinf(1)]
    disc = open_bytes(nrg(first + second, chunks))
    assert [(session.number, [track.number for track in session.tracks]) for session in disc.sessions] == [
        (1, [1]),
        (2, [2]),
    ]
    assert disc.tracks[1].start == begin
    assert disc.warnings == ()  # 40 is no address, so that there is nothing to be put right
    assert disc.space.pread(begin * 2048, 30 * 2048) == volume(30, begin)


def test_sessions_of_disc_at_once_have_their_own_tables() -> None:
    first, second = stored(volume(40), "MODE1/2352"), stored(volume(30, 11_440), "MODE1/2352", 11_440)
    whole = len(first) + len(second)
    chunks = [
        *(cues([Cue(1, 1, 0), Cue(LEAD_OUT, 1, 40)]), dao([Dao(5, 2352, 0, 0, len(first))])),
        *(cues([Cue(2, 1, 11_440)]), dao([Dao(5, 2352, len(first), len(first), whole)], first=2)),
    ]
    assert table(open_bytes(nrg(first + second, chunks))) == [(1, "mode1/2352", 0, 40), (2, "mode1/2352", 11_440, 30)]


def test_plain_sectors_of_a_dvd_are_a_slice_of_the_file(tmp_path: Path) -> None:
    data = nrg(volume(40), [tao([Tao(0, 0, 40 * 2048)]), chunk(b"MTYP", struct.pack(">I", 4))])
    source = source_of(tmp_path / "dvd.nrg", data)
    disc = FORMAT.open(Candidate(source, "dvd.nrg"), Options())
    assert disc.medium == "DVD"
    assert isinstance(disc.space, SliceReader)
    assert disc.space.base is source
    check_reader(disc.space, volume(40))


def test_cd_text_and_unknown_chunks() -> None:
    text = packs(TITLE, 0, b"Disc\0One\0Two\0") + packs(PERFORMER, 0, b"All\0")
    disc = open_bytes(mixed(extra=[chunk(b"WHAT", b"123"), chunk(b"CDTX", text)]))
    assert (disc.title, disc.performer) == ("Disc", "All")
    assert [track.title for track in disc.tracks] == ["One", "Two", ""]


# --- what the sectors know better ------------------------------------------------------------------------------------------


def test_a_wrong_mode_is_corrected_by_the_sectors_with_a_warning() -> None:
    data = stored(volume(40), "MODE2/2352")
    disc = open_bytes(nrg(data, [tao([Tao(5, 0, len(data))])]))
    assert table(disc) == [(1, "mode2/2352", 0, 40)]
    assert disc.warnings == ("track 1 is mode2/2352 by its sectors, not mode1/2352",)
    check_reader(disc.raw, volume(40))


def test_a_wrong_address_is_corrected_by_the_volume_with_a_warning() -> None:
    data = stored(volume(40, 1000), "MODE1/2352", 1000)
    entries = [Cue(1, 1, 45), Cue(1, 2, 55), Cue(LEAD_OUT, 1, 85)]
    disc = open_bytes(nrg(data, [cues(entries), dao([Dao(5, 2352, 0, 0, len(data))])]))
    assert (table(disc), disc.tracks[0].indexes) == ([(1, "mode1/2352", 1000, 40)], (1010,))
    assert disc.warnings == ("track 1 begins at LBA 1000 by its volume, not at 45",)


def test_a_pregap_that_is_not_told() -> None:
    data = stored(bytes(150 * 2048) + volume(40), "MODE1/2352", -150)
    disc = open_bytes(nrg(data, [tao([Tao(5, 0, len(data))])]))
    assert table(disc) == [(1, "mode1/2352", 0, 40)]
    check_reader(disc.raw, volume(40))


def test_an_address_that_no_disc_has_is_none() -> None:
    data = stored(volume(40), "MODE1/2352")
    rows = [Tao(5, 0, len(data), 0), Tao(7, len(data), 10 * 2352, 1 << 31)]
    disc = open_bytes(nrg(data + tone(10), [tao(rows)]))
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "audio", 190, 10)]
    assert disc.warnings == (f"track 2 cannot begin at LBA {1 << 31}",)


def test_a_pregap_that_the_file_has_not_moves_no_track() -> None:
    far = 1 << 40
    rows = [Dao(7, 2352, 0, 0, 5 * 2352), Dao(7, 2352, 5 * 2352, far, far)]
    disc = open_bytes(nrg(tone(10), [dao(rows)]))
    assert table(disc) == [(1, "audio", 0, 5), (2, "audio", 10, 0)]
    assert disc.warnings == ("track 2 runs into the chunks and is cut there",)


def test_scrambled_sectors_are_named() -> None:
    keys = b"\x01\x80\x00\x60"  # ECMA-130 annex B: the first bytes of the register
    sector = mode1(0, bytes(2048))
    scrambled = sector[:12] + bytes(a ^ b for a, b in zip(sector[12:16], keys, strict=True)) + sector[16:]
    with pytest.raises(UnsupportedError, match="scrambled sectors in track 1"):
        open_bytes(nrg(scrambled * 20, [tao([Tao(5, 0, 20 * 2352)])]))


# --- other readers --------------------------------------------------------------------------------------------------------


@pytest.mark.foreign
def test_cd_info_has_the_same_tracks_at_the_same_addresses(tmp_path: Path) -> None:
    (tmp_path / "disc.nrg").write_bytes(mixed())
    ours = [(track.number, track.start) for track in open_bytes(mixed()).tracks]
    assert [(number, lba) for number, lba, _ in cd_info_tracks(tmp_path / "disc.nrg")] == [*ours, (170, 90)]


@pytest.mark.foreign
@pytest.mark.parametrize("version", [1, 2])
def test_nrg2iso_takes_out_the_same(tmp_path: Path, need: Callable[..., None], version: int) -> None:
    need("nrg2iso")
    # nrg2iso takes what stands behind 150 sectors of 2048 bytes; it knows no chunk.
    whole = bytes(150 * 2048) + volume(40)
    rows = [Dao(0, 2048, 0, 150 * 2048, len(whole))]
    entries = [Cue(1, 0, -150), Cue(1, 1, 0), Cue(LEAD_OUT, 1, 40)]
    data = nrg(whole, [cues(entries, version), dao(rows, 1, version)], version)
    (tmp_path / "disc.nrg").write_bytes(data)
    subprocess.run(["nrg2iso", "disc.nrg", "out.iso"], cwd=tmp_path, check=False, capture_output=True, timeout=30)
    foreign = (tmp_path / "out.iso").read_bytes()
    assert foreign[: 40 * 2048] == open_bytes(data).raw.pread(0, 10**7) == volume(40)


# --- damage ---------------------------------------------------------------------------------------------------------------


def test_a_track_that_runs_into_the_chunks_is_cut_with_a_warning() -> None:
    data = stored(volume(40), "MODE1/2352")
    disc = open_bytes(nrg(data, [tao([Tao(5, 0, len(data) + 9999)])]))
    assert table(disc) == [(1, "mode1/2352", 0, 40)]
    assert disc.warnings == ("track 1 runs into the chunks and is cut there",)


@pytest.mark.parametrize("extra", [1, 500, 2000])
def test_a_footer_some_bytes_before_the_end_is_found(extra: int) -> None:
    assert len(open_bytes(mixed() + bytes(extra)).tracks) == 3


def test_a_number_that_comes_twice_is_counted_on() -> None:
    rows = dao([Dao(7, 2352, 0, 0, 5 * 2352)], first=1)
    disc = open_bytes(nrg(tone(5), [rows, rows, chunk(b"CDTX", packs(TITLE, 0, b"Disc\0One\0Two\0"))]))
    assert [(track.number, track.title) for track in disc.tracks] == [(1, "One"), (2, "Two")]
    assert disc.warnings == ("track 1 after track 1 is taken as 2",)


def test_more_tracks_than_a_disc_can_have_are_damage() -> None:
    with pytest.raises(DamagedError, match="at most 99"):
        open_bytes(nrg(tone(5), [tao([Tao(7, 0, 2352)] * 100)]))


def test_more_sessions_than_a_disc_can_have_are_damage() -> None:
    with pytest.raises(DamagedError, match="more than 99 sessions"):
        open_bytes(nrg(tone(5), [tao([])] * 200))


def test_a_mode_that_is_not_known_is_named() -> None:
    with pytest.raises(UnsupportedError, match="track 1 of an NRG image in mode 0x4"):
        open_bytes(nrg(bytes(4096), [tao([Tao(4, 0, 4096)])]))


@pytest.mark.parametrize(
    ("chunks", "says"),
    [
        ([], "describe no track"),
        ([chunk(b"DAOX", bytes(10))], "describe no track"),
        ([tao([])], "describe no track"),
        ([dao([Dao(5, 2352, 0, 4704, 2352)])], "ends before it begins"),
    ],
)
def test_chunks_without_sense_are_damage(chunks: list[bytes], says: str) -> None:
    with pytest.raises(DamagedError, match=says):
        open_bytes(nrg(tone(5), chunks))


@pytest.mark.parametrize(
    "footer",
    [
        struct.pack(">4sQ", b"NER5", 1 << 60),
        struct.pack(">4sQ", b"NER5", 10**6),
        struct.pack(">4sI", b"NERO", 0xFFFF_FFFF),
    ],
)
def test_a_footer_that_points_past_the_end_is_damage(footer: bytes) -> None:
    with pytest.raises(DamagedError, match="points past the end"):
        open_bytes(tone(5) + footer)


@pytest.mark.parametrize("data", [b"", b"NERO", tone(9), b"NER5" + bytes(3000), bytes(5000) + b"NER5" + bytes(300)])
def test_what_has_no_footer_is_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.nrg")) is None


def _opened(data: bytes) -> Disc | None:
    """The disc, None for an image that is refused; any other error fails the test."""
    candidate = Candidate(BytesReader(data), "disc.nrg")
    if FORMAT.probe(candidate) is None:
        return None
    try:
        disc = FORMAT.open(candidate, Options())
    except ImageError:
        return None
    assert isinstance(disc, Disc)
    return disc


WHOLE = mixed()
CHUNKS_AT = 240 * 2352


@pytest.mark.parametrize("cut", range(1, len(WHOLE) - CHUNKS_AT, 7))
def test_a_cut_image_is_refused_or_read(cut: int) -> None:
    disc = _opened(WHOLE[:-cut])
    assert disc is None or disc.raw.size <= len(WHOLE)


@pytest.mark.parametrize("at", range(CHUNKS_AT, len(WHOLE)))
def test_a_flipped_byte_never_shows_what_the_image_has_not(at: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] ^= 0x81
    disc = _opened(bytes(damaged))
    for track in disc.tracks if disc else ():
        assert track.stored.size <= CHUNKS_AT
        assert len(track.user.pread(0, 5000)) == min(5000, track.user.size)
