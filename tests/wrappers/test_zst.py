"""Zstandard files of zstd and pzstd, and of the seekable format as its description has it."""

import struct
import sys

import pytest
import zstandard

from imagefs import codecs, limits
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.readers import BytesReader
from imagefs.wrappers import _streams
from imagefs.wrappers.zst import FORMAT, ZstReader, probe
from tests.contract import check_reader
from tests.wrappers.checks import CONTENT, SMALL, check_cut, check_flips, good_bytes, opened, pack, peak_of


def compress(content: bytes, *, size: bool = True, checksum: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=size, write_checksum=checksum).compress(content)


def skippable(note: bytes, kind: int = 0) -> bytes:
    return struct.pack("<II", 0x184D2A50 | kind, len(note)) + note


def seekable(content: bytes, frame_bytes: int, *, checksums: bool) -> bytes:
    """A file in the seekable format, version 0.1.0."""
    data, entries, count = b"", b"", 0
    for at in range(0, len(content), frame_bytes):
        part = content[at : at + frame_bytes]
        frame = compress(part, size=False)
        data += frame
        entries += struct.pack("<II", len(frame), len(part)) + bytes(4 * checksums)
        count += 1
    return data + skippable(entries + struct.pack("<IBI", count, checksums << 7, 0x8F92EAB1), 0xE)


def pieces(packed: bytes) -> int:
    reader = opened(FORMAT, packed)
    assert isinstance(reader, ZstReader)
    return len(reader.starts) - 1


PACKED = compress(CONTENT)


class TestContent:
    @pytest.mark.foreign
    @pytest.mark.parametrize("command", ["zstd -1", "zstd -19 --long=27", "zstd --no-check", "pzstd -c -p 2"])
    def test_packers(self, command: str):
        check_reader(opened(FORMAT, pack(command, CONTENT)), CONTENT, _streams.BLOCK_BYTES)

    def test_a_size_that_is_told(self, monkeypatch: pytest.MonkeyPatch):
        """Nothing is decoded to learn it."""
        monkeypatch.setattr("imagefs.wrappers.zst._FrameStream", None)
        assert opened(FORMAT, PACKED).size == len(CONTENT)

    @pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 65_791, 65_792])
    @pytest.mark.parametrize("size", [False, True])
    def test_headers(self, length: int, size: bool):
        content = CONTENT[:length]
        assert opened(FORMAT, compress(content, size=size) + compress(b"end")).pread(0, 10**6) == content + b"end"

    def test_frames_one_after_the_other(self):
        packed = skippable(b"note") + PACKED + compress(b"") + skippable(b"") + compress(SMALL, size=False)
        check_reader(opened(FORMAT, packed), CONTENT + SMALL, _streams.BLOCK_BYTES)

    @pytest.mark.parametrize("checksums", [False, True])
    def test_the_seekable_format(self, checksums: bool, monkeypatch: pytest.MonkeyPatch):
        packed = seekable(CONTENT, 100_000, checksums=checksums)
        monkeypatch.setattr("imagefs.wrappers.zst._walked", None)
        assert pieces(packed) == 15
        check_reader(opened(FORMAT, packed), CONTENT, _streams.BLOCK_BYTES)

    def test_a_table_that_makes_no_sense_is_let_be(self):
        packed = bytearray(seekable(CONTENT, 100_000, checksums=False))
        packed[-9 - 8 * 15] ^= 1
        check_reader(opened(FORMAT, bytes(packed)), CONTENT, _streams.BLOCK_BYTES)

    def test_forward(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(_streams, "WHOLE_BYTES", 1 << 10)
        check_reader(opened(FORMAT, PACKED), CONTENT, _streams.BLOCK_BYTES)

    def test_without_zstandard(self, monkeypatch: pytest.MonkeyPatch):
        """The module of newer Pythons, or none: then the extra is named."""
        monkeypatch.setitem(sys.modules, "zstandard", None)
        monkeypatch.setattr(codecs, "_first_module", lambda *names: None)
        with pytest.raises(UnsupportedError, match=r"imagefs\[zstd\]"):
            opened(FORMAT, PACKED)


class TestDamage:
    @pytest.mark.parametrize("size", [False, True])
    def test_cut(self, size: bool):
        found = check_cut(FORMAT, compress(CONTENT, size=size), CONTENT)
        assert found == sorted(found)
        assert found[-1] > len(CONTENT) * 0.8

    def test_cut_in_the_checksum(self):
        reader = opened(FORMAT, PACKED[:-1])
        assert good_bytes(reader, CONTENT) == len(CONTENT) < reader.size

    def test_flips(self):
        check_flips(FORMAT, compress(SMALL), SMALL)
        check_flips(FORMAT, seekable(SMALL, 20_000, checksums=True), SMALL)

    def test_a_broken_frame_spoils_itself_alone(self):
        parts = [compress(SMALL[at : at + 10_000]) for at in range(0, 50_000, 10_000)]
        parts[2] = parts[2][:-1] + bytes([parts[2][-1] ^ 1])
        reader = opened(FORMAT, b"".join(parts))
        assert reader.pread(0, 20_000) == SMALL[:20_000]
        assert reader.pread(30_000, 20_000) == SMALL[30_000:]
        with pytest.raises(DamagedError):
            reader.pread(29_999, 1)

    def test_what_follows_and_is_no_frame(self):
        reader = opened(FORMAT, PACKED + b"garbage")
        assert good_bytes(reader, CONTENT) == len(CONTENT) < reader.size


class TestBounds:
    @pytest.mark.parametrize("size", [False, True])
    def test_a_bomb_takes_no_memory(self, size: bool):
        packed = compress(bytes(100 << 20), size=size)

        def work() -> None:
            assert opened(FORMAT, packed).pread(70 << 20, 4096) == bytes(4096)

        assert peak_of(work) < 24 << 20

    def test_a_bomb_ends_somewhere(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(limits, "UNPACKED_BYTES", 1 << 20)
        for size in (False, True):
            with pytest.raises(UnsupportedError, match="a bomb"):
                opened(FORMAT, compress(bytes(50 << 20), size=size))

    def test_a_window_beyond_the_limit(self):
        with pytest.raises(UnsupportedError, match="window has 512 MiB"):
            opened(FORMAT, struct.pack("<IBB", 0xFD2FB528, 0, 19 << 3) + PACKED[6:])

    def test_a_dictionary(self):
        header = struct.pack("<IBBB", 0xFD2FB528, 1, 10 << 3, 7)
        with pytest.raises(UnsupportedError, match="dictionary"):
            opened(FORMAT, header + bytes(10))


@pytest.mark.parametrize("head", [b"", b"\x28\xb5\x2f\xfc" + bytes(20), skippable(b"x") + bytes(20), skippable(b"x")])
def test_what_it_is_not(head: bytes):
    assert probe(Candidate(BytesReader(head))) is None
