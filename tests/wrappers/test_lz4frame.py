"""LZ4 files of lz4."""

import struct

import lz4.block
import lz4.frame
import pytest

from imagefs import limits
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader
from imagefs.wrappers import _streams
from imagefs.wrappers.lz4frame import FORMAT, Lz4Reader, probe
from tests.contract import check_reader
from tests.wrappers.checks import CONTENT, SMALL, check_cut, check_flips, good_bytes, opened, pack, peak_of


def compress(content: bytes, *, linked: bool = False, checksums: bool = False, largest: int = 4) -> bytes:
    return lz4.frame.compress(
        content, block_size=largest, block_linked=linked, block_checksum=checksums, content_checksum=True
    )


PACKED, LINKED = compress(CONTENT), compress(CONTENT, linked=True)


class TestContent:
    @pytest.mark.foreign
    @pytest.mark.parametrize(
        "command",
        ["lz4", "lz4 -B4 -9", "lz4 -B5 -BD", "lz4 -BX --content-size", "lz4 -l", "lz4 --no-frame-crc -B4 -BD"],
    )
    def test_packers(self, command: str):
        check_reader(opened(FORMAT, pack(command, CONTENT)), CONTENT, _streams.BLOCK_BYTES)

    @pytest.mark.foreign
    def test_frames_one_after_the_other(self):
        note = struct.pack("<II", 0x184D2A53, 4) + b"note"
        packed = note + pack("lz4 -l", SMALL) + LINKED + compress(b"") + note + pack("lz4 -l", SMALL)
        check_reader(opened(FORMAT, packed), SMALL + CONTENT + SMALL, _streams.BLOCK_BYTES)

    def test_blocks_that_are_not_full(self):
        """As programs write them that flush: no block but the last could be trusted to be full."""
        with lz4.frame.LZ4FrameCompressor(auto_flush=True, block_size=4) as compressor:
            packed = compressor.begin()
            for at in range(0, len(SMALL), 999):
                packed += compressor.compress(SMALL[at : at + 999])
            packed += compressor.flush()
        check_reader(opened(FORMAT, packed), SMALL)

    def test_linked_blocks_from_checkpoints(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(_streams, "SPACING_BYTES", 1 << 16)
        monkeypatch.setattr(_streams, "WHOLE_BYTES", 1 << 10)
        monkeypatch.setattr(limits, "CHECKPOINTS", 8)
        reader = opened(FORMAT, LINKED)
        assert isinstance(reader, Lz4Reader)
        assert 3 < len(reader._checkpoints) <= 8
        check_reader(reader, CONTENT, _streams.BLOCK_BYTES)

    def test_blocks_of_the_old_format_that_do_not_shrink(self):
        block = lz4.block.compress(CONTENT, store_size=False)
        packed = struct.pack("<II", 0x184C2102, len(block)) + block
        check_reader(opened(FORMAT, packed), CONTENT, _streams.BLOCK_BYTES)


class TestDamage:
    @pytest.mark.parametrize("packed", [PACKED, LINKED], ids=["independent", "linked"])
    def test_cut(self, packed: bytes):
        found = check_cut(FORMAT, packed, CONTENT)
        assert found == sorted(found)
        assert found[-1] > len(CONTENT) * 0.8

    def test_cut_before_the_end_mark_and_in_the_checksum(self):
        for length in (1, 4, 8):
            reader = opened(FORMAT, PACKED[:-length])
            assert good_bytes(reader, CONTENT) == len(CONTENT) < reader.size

    @pytest.mark.parametrize("linked", [False, True])
    @pytest.mark.parametrize("checksums", [False, True])
    def test_flips(self, linked: bool, checksums: bool):
        check_flips(FORMAT, compress(SMALL, linked=linked, checksums=checksums), SMALL, 80)

    def test_blocks_with_checksums_before_a_broken_one(self):
        packed = bytearray(compress(CONTENT, checksums=True))
        packed[len(packed) // 2] ^= 1
        reader = opened(FORMAT, bytes(packed))
        assert len(CONTENT) * 0.4 < good_bytes(reader, CONTENT) < len(CONTENT) * 0.6

    def test_a_wrong_checksum_shows_nothing_of_its_frame(self):
        broken = PACKED[:-1] + bytes([PACKED[-1] ^ 1])
        with pytest.raises(DamagedError, match="contentChecksum"):
            opened(FORMAT, broken)
        reader = opened(FORMAT, compress(SMALL) + broken)
        assert good_bytes(reader, SMALL + CONTENT) == len(SMALL) < reader.size


class TestBounds:
    def test_a_bomb_takes_no_memory(self):
        packed = compress(bytes(100 << 20), largest=7)

        def work() -> None:
            assert opened(FORMAT, packed).pread(70 << 20, 4096) == bytes(4096)

        assert peak_of(work) < 48 << 20

    def test_a_bomb_ends_somewhere(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(limits, "UNPACKED_BYTES", 1 << 20)
        monkeypatch.setattr(limits, "UNPACKED_RATIO", 100)
        with pytest.raises(UnsupportedError, match="a bomb"):
            opened(FORMAT, compress(bytes(50 << 20)))

    @pytest.mark.parametrize(("flags", "what"), [(0x61, "an LZ4 dictionary"), (0x80, "version 2")])
    def test_what_is_not_read(self, flags: int, what: str):
        with pytest.raises(UnsupportedError, match=what):
            FORMAT.open(Candidate(BytesReader(PACKED[:4] + bytes([flags]) + PACKED[5:])), Options())


@pytest.mark.parametrize(
    "head", [b"", b"\x04\x22\x4d\x19" + bytes(20), b"\x02\x21\x4c\x18", b"\x02\x21\x4c\x18" + bytes(9)]
)
def test_what_it_is_not(head: bytes):
    assert probe(Candidate(BytesReader(head))) is None
