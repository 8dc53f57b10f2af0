"""Images without a descriptor: recognised by their sectors, placed by their volume."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.containers.raw import FORMAT
from imagefs.disc import Disc, Track
from imagefs.errors import UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, SectorReader
from tests.builders.sectors import SYNC, mode1, pattern, stored, tone, volume
from tests.contract import check_reader, source_of

RAW = ["MODE1/2352", "MODE1/2368", "MODE1/2448", "MODE1/2646", "MODE2/2352", "MODE2/2368", "MODE2/2448"]
BARE = ["MODE1/2052", "MODE1/2340", "MODE2/2056", "MODE2/2324", "MODE2/2332", "MODE2/2336", "MODE2/2340"]


def open_bytes(data: bytes, name: str = "disc.bin") -> Disc:
    candidate = Candidate(BytesReader(data), name)
    assert FORMAT.probe(candidate) is not None
    disc = FORMAT.open(candidate, Options())
    assert isinstance(disc, Disc)
    return disc


def only_track(disc: Disc) -> Track:
    (session,) = disc.sessions
    (track,) = session.tracks
    return track


@pytest.mark.parametrize("mode", RAW + BARE)
def test_sectors_are_taken_off(mode: str) -> None:
    disc = open_bytes(stored(volume(40), mode))
    track = only_track(disc)
    assert (track.mode, track.start, track.length) == (mode.lower(), 0, 40)
    check_reader(disc.raw, volume(40))
    check_reader(disc.space, volume(40))


@pytest.mark.parametrize("mode", ["MODE1/2352", "MODE2/2352"])
def test_raw_data_without_a_volume_are_sectors_too(mode: str) -> None:
    check_reader(open_bytes(stored(pattern(20), mode)).raw, pattern(20))


@pytest.mark.parametrize("mode", ["MODE1/2048", "MODE1/2352", "MODE2/2336", "MODE2/2352"])
def test_a_stored_pregap_lies_before_lba_0(mode: str) -> None:
    disc = open_bytes(stored(bytes(150 * 2048) + volume(40), mode, first_lba=-150))
    track = only_track(disc)
    assert (track.start, track.length, track.pregap_stored) == (0, 40, 150)
    check_reader(disc.space, volume(40))


@pytest.mark.parametrize("mode", ["MODE1/2352", "MODE2/2448"])
def test_a_pregap_of_zeros_is_looked_behind(mode: str) -> None:
    size = int(mode[-4:])
    disc = open_bytes(bytes(150 * size) + stored(volume(40), mode))
    assert (only_track(disc).start, only_track(disc).length) == (0, 40)
    check_reader(disc.space, volume(40))


@pytest.mark.parametrize("mode", ["MODE1/2048", "MODE1/2352", "MODE2/2336"])
@pytest.mark.parametrize("first", [11_702, 45_000])
def test_the_dump_of_a_later_session_is_placed_where_its_addresses_are(mode: str, first: int) -> None:
    disc = open_bytes(stored(volume(40, first), mode, first_lba=first))
    assert only_track(disc).start == first
    assert disc.space.pread(first * 2048, 40 * 2048) == volume(40, first)
    assert disc.space.size == (first + 40) * 2048
    check_reader(disc.raw, volume(40, first))


def test_headers_that_contradict_the_volume_are_not_believed() -> None:
    assert only_track(open_bytes(stored(volume(40), "MODE1/2352", first_lba=500))).start == 0


def test_a_cut_image_ends_with_its_last_whole_sector() -> None:
    data = stored(volume(40), "MODE1/2352")
    disc = open_bytes(data[:-1000])
    check_reader(disc.raw, volume(40)[: 39 * 2048])


def test_reading_needs_no_copy(tmp_path: Path) -> None:
    source = source_of(tmp_path / "disc.bin", stored(volume(40), "MODE1/2352"))
    disc = FORMAT.open(Candidate(source, "disc.bin"), Options())
    assert isinstance(disc.space, SectorReader)
    assert disc.space.base is source
    assert disc.space.views(0, 10 * 2048) is not None


def test_scrambled_sectors_are_refused_by_name() -> None:
    plain = mode1(1000, pattern(1))
    scrambled = (
        SYNC + bytes(byte ^ key for byte, key in zip(plain[12:16], b"\x01\x80\x00\x60", strict=True)) + plain[16:]
    )
    candidate = Candidate(BytesReader(scrambled * 20), "disc.scm")
    assert FORMAT.probe(candidate) is not None
    with pytest.raises(UnsupportedError, match="scrambled"):
        FORMAT.open(candidate, Options())


OTHERS = {
    "a plain volume": volume(40),
    "a damaged root": volume(40)[: 20 * 2048] + bytes(20 * 2048),
    "a partition table": bytes(510) + b"\x55\xaa" + bytes(300_000),
    "a disk with a volume behind 150 sectors": b"\xeb" * 512 + bytes(150 * 2048 - 512) + volume(40),
    "text": b"TRACK 01 MODE1/2352\n" * 9000,
    "audio": tone(50),
    "zeros": bytes(2_000_000),
    "one sync": SYNC + bytes(100_000),
    "few bytes": b"\0\xff",
    "nothing": b"",
}


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_what_needs_no_unpacking_is_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.bin")) is None


def test_the_name_does_not_matter() -> None:
    data = stored(volume(40), "MODE1/2352")
    assert open_bytes(data, "").raw.size == open_bytes(data, "letter.txt").raw.size == 40 * 2048


class Counting(BytesReader):
    """Counts the bytes that are read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.read = 0

    def pread(self, offset: int, length: int) -> bytes:
        data = super().pread(offset, length)
        self.read += len(data)
        return data


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_probing_reads_little(data: bytes) -> None:
    reader = Counting(data * (1 + 3_000_000 // (len(data) + 1)))
    FORMAT.probe(Candidate(reader))
    assert reader.read < 1_500_000


@pytest.mark.foreign
@pytest.mark.parametrize("mode", ["MODE1/2352", "MODE2/2352", "MODE2/2336", "MODE1/2448"])
def test_iat_takes_off_the_same(tmp_path: Path, need: Callable[..., None], mode: str) -> None:
    need("iat")
    (tmp_path / "disc.bin").write_bytes(stored(volume(300), mode))
    subprocess.run(["iat", "disc.bin", "disc.iso"], cwd=tmp_path, check=False, capture_output=True, timeout=30)
    check_reader(open_bytes((tmp_path / "disc.bin").read_bytes()).raw, (tmp_path / "disc.iso").read_bytes())
