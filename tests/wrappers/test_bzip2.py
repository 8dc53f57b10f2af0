"""bzip2 files of bzip2 and pbzip2."""

import bz2

import pytest

from imagefs import limits
from imagefs.errors import UnsupportedError
from imagefs.formats import Candidate
from imagefs.readers import BytesReader
from imagefs.wrappers import _streams, bzip2
from imagefs.wrappers.bzip2 import FORMAT, Bz2Reader, probe
from tests.contract import check_reader
from tests.wrappers.checks import CONTENT, SMALL, check_cut, check_flips, good_bytes, opened, pack, peak_of

PACKED = bz2.compress(CONTENT, 1)


class TestContent:
    @pytest.mark.foreign
    @pytest.mark.parametrize("command", ["bzip2 -1", "bzip2 -9", "pbzip2 -1 -b1 -p2"])
    def test_packers(self, command: str):
        check_reader(opened(FORMAT, pack(command, CONTENT)), CONTENT, _streams.BLOCK_BYTES)

    def test_streams_one_after_the_other(self):
        empty = bz2.compress(b"")
        packed = empty + PACKED + empty + empty + bz2.compress(SMALL, 9) + empty + bytes(100)
        check_reader(opened(FORMAT, packed), CONTENT + SMALL, _streams.BLOCK_BYTES)

    def test_blocks_begin_at_every_bit(self):
        reader = opened(FORMAT, PACKED)
        assert isinstance(reader, Bz2Reader)
        assert len({begin % 8 for begin in reader._begins}) > 4

    def test_blocks_across_windows(self, monkeypatch: pytest.MonkeyPatch):
        for window in range(1000, 1024):
            monkeypatch.setattr(bzip2, "WINDOW_BYTES", window)
            found = list(bzip2._search(BytesReader(PACKED), bzip2.BLOCK, 0, len(PACKED)))
            assert found == list(opened(FORMAT, PACKED)._begins)  # type: ignore[attr-defined]

    def test_a_magic_that_is_none(self, monkeypatch: pytest.MonkeyPatch):
        """Once in 30,000 large files the bits of a block hold a magic by chance."""
        search = bzip2._search

        def one_more(reader, magic, start, stop):
            found = list(search(reader, magic, start, stop))
            if magic == bzip2.BLOCK:
                found = sorted([*found, found[3] + 54_321])
            return iter(found)

        monkeypatch.setattr(bzip2, "_search", one_more)
        check_reader(opened(FORMAT, PACKED), CONTENT, _streams.BLOCK_BYTES)

    def test_nothing(self):
        assert opened(FORMAT, bz2.compress(b"")).size == 0


class TestDamage:
    def test_cut(self):
        found = check_cut(FORMAT, PACKED, CONTENT)
        assert found == sorted(found)
        assert found[-1] > len(CONTENT) * 0.8

    def test_cut_in_the_last_checksum(self):
        reader = opened(FORMAT, PACKED[:-2])
        assert len(CONTENT) * 0.8 < good_bytes(reader, CONTENT) < reader.size

    def test_flips(self):
        check_flips(FORMAT, bz2.compress(SMALL), SMALL, 60)
        check_flips(FORMAT, bz2.compress(SMALL[:20_000]) + bz2.compress(SMALL[20_000:]), SMALL, 60)

    def test_the_blocks_before_a_broken_one(self):
        whole = opened(FORMAT, PACKED)
        assert isinstance(whole, Bz2Reader)
        broken = bytearray(PACKED)
        broken[whole._begins[5] // 8 + 3000] ^= 1
        reader = opened(FORMAT, bytes(broken))
        assert good_bytes(reader, CONTENT) == whole.starts[5] < reader.size

    def test_a_checksum_of_the_stream(self):
        """Each block is right, and one is missing."""
        whole = opened(FORMAT, PACKED)
        assert isinstance(whole, Bz2Reader)
        begins, ends = whole._begins, whole._ends
        bits = f"{int.from_bytes(PACKED, 'big'):0{8 * len(PACKED)}b}"
        without = bits[: begins[3]] + bits[ends[3] :]
        without += "0" * (-len(without) % 8)
        packed = int(without, 2).to_bytes(len(without) // 8, "big")
        reader = opened(FORMAT, bz2.compress(SMALL) + packed)
        assert good_bytes(reader, SMALL) == len(SMALL) < reader.size


class TestBounds:
    def test_a_bomb_takes_no_memory(self):
        packed = bz2.compress(bytes(100 << 20))

        def work() -> None:
            assert opened(FORMAT, packed).pread(70 << 20, 4096) == bytes(4096)

        assert peak_of(work) < 40 << 20

    def test_a_bomb_ends_somewhere(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(limits, "UNPACKED_BYTES", 1 << 20)
        with pytest.raises(UnsupportedError, match="a bomb"):
            opened(FORMAT, bz2.compress(bytes(50 << 20)))


@pytest.mark.parametrize("head", [b"", b"BZh9", b"BZh01AY&SY", b"BZh91AY&SX", b"BZip is a text"])
def test_what_it_is_not(head: bytes):
    assert probe(Candidate(BytesReader(head))) is None
