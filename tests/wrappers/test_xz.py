"""xz files of xz and pixz, and of Python's lzma where it takes one that they do not write."""

import lzma
import zlib

import pytest

from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.readers import BytesReader
from imagefs.wrappers import _streams, xz
from imagefs.wrappers.xz import FORMAT, XzReader, probe
from tests.contract import check_reader
from tests.wrappers.checks import CONTENT, SMALL, check_cut, check_flips, good_bytes, opened, pack

PACKED = lzma.compress(CONTENT, preset=1)
FILTERS = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_DELTA, "dist": 4}, {"id": lzma.FILTER_LZMA2, "preset": 0}]


def pieces(packed: bytes) -> int:
    reader = opened(FORMAT, packed)
    assert isinstance(reader, XzReader)
    return len(reader.starts) - 1


class TestContent:
    @pytest.mark.foreign
    @pytest.mark.parametrize(
        ("command", "blocks"),
        [
            ("xz -1", 1),
            ("xz -0 -T2 --block-size=100KiB", 15),
            ("xz -0 --block-list=1KiB,500KiB,3,0", 4),
            ("xz -0 -C crc32", 1),
            ("xz -0 -C sha256", 1),
            ("xz -0 -C none", 1),
            ("pixz -0", 3),
        ],
    )
    def test_packers(self, command: str, blocks: int):
        packed = pack(command, CONTENT)
        assert pieces(packed) == blocks
        check_reader(opened(FORMAT, packed), CONTENT, _streams.BLOCK_BYTES)

    @pytest.mark.foreign
    def test_streams_one_after_the_other(self):
        packed = pack("xz -0 -T2 --block-size=300KiB", CONTENT) + bytes(8) + lzma.compress(b"") + PACKED + bytes(4)
        check_reader(opened(FORMAT, packed), CONTENT + CONTENT, _streams.BLOCK_BYTES)

    def test_filters(self):
        check_reader(opened(FORMAT, lzma.compress(CONTENT, filters=FILTERS)), CONTENT, _streams.BLOCK_BYTES)

    def test_forward(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(_streams, "WHOLE_BYTES", 1 << 10)
        check_reader(opened(FORMAT, PACKED), CONTENT, _streams.BLOCK_BYTES)

    def test_forward_decodes_nothing_twice(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(_streams, "WHOLE_BYTES", 1 << 10)
        reader = opened(FORMAT, PACKED)
        assert isinstance(reader, XzReader)
        begun = []
        begin = reader.begin
        monkeypatch.setattr(reader, "begin", lambda piece: begun.append(piece) or begin(piece))
        for offset in range(0, len(CONTENT), 30_000):
            assert reader.pread(offset, 30_000) == CONTENT[offset : offset + 30_000]
        assert begun == [0]

    def test_nothing(self):
        assert opened(FORMAT, lzma.compress(b"")).size == 0

    def test_opening_decodes_nothing(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(xz, "_Xz", None)
        assert opened(FORMAT, PACKED).size == len(CONTENT)


class TestDamage:
    def test_cut(self):
        found = check_cut(FORMAT, PACKED, CONTENT)
        assert found == sorted(found)
        assert found[-1] > len(CONTENT) * 0.8

    def test_cut_in_the_second_stream(self):
        packed = lzma.compress(SMALL) + PACKED
        reader = opened(FORMAT, packed[:-2000])
        assert len(SMALL) + len(CONTENT) * 0.9 < good_bytes(reader, SMALL + CONTENT) < reader.size

    @pytest.mark.foreign
    def test_flips(self):
        check_flips(FORMAT, lzma.compress(SMALL), SMALL)
        check_flips(FORMAT, pack("xz -0 --block-list=20KiB,5KiB,0", SMALL), SMALL)

    @pytest.mark.foreign
    def test_a_broken_block_spoils_itself_alone(self):
        packed = bytearray(pack("xz -0 -T2 --block-size=100KiB", CONTENT))
        reader = opened(FORMAT, bytes(packed))
        assert isinstance(reader, XzReader)
        packed[reader._stored_blocks[3].stored + 500] ^= 0x10
        reader, size = opened(FORMAT, bytes(packed)), 100 << 10
        assert reader.pread(0, 3 * size) == CONTENT[: 3 * size]
        assert reader.pread(4 * size, 1 << 30) == CONTENT[4 * size :]
        for offset in (3 * size, 4 * size - 1):
            with pytest.raises(DamagedError):
                reader.pread(offset, 1)

    def test_a_wrong_check_of_a_large_block(self, monkeypatch: pytest.MonkeyPatch):
        """It is met at the block's end; from then on nothing of the block is given."""
        monkeypatch.setattr(_streams, "WHOLE_BYTES", 1 << 10)
        index_bytes = (int.from_bytes(PACKED[-8:-4], "little") + 1) * 4
        broken = bytearray(PACKED)
        broken[-12 - index_bytes - 1] ^= 1  # the last byte of the block's check
        reader = opened(FORMAT, bytes(broken))
        for _ in range(2):
            with pytest.raises(DamagedError):
                reader.pread(len(CONTENT) - 1, 1)
        with pytest.raises(DamagedError):
            reader.pread(len(CONTENT) // 2, 1)

    @pytest.mark.parametrize(("size", "error"), [((1 << 63) - 1, UnsupportedError), (len(CONTENT) + 1, DamagedError)])
    def test_an_index_that_claims_more_than_can_be(self, size: int, error: type[Exception]):
        footer_at = len(PACKED) - 12
        index_bytes = (int.from_bytes(PACKED[-8:-4], "little") + 1) * 4
        block = xz._Block(12, footer_at - index_bytes - 12, size, PACKED[6:8])
        with pytest.raises(error):
            opened(FORMAT, PACKED[: footer_at - index_bytes] + xz._ending(block)).exactly(0, size)

    def test_a_dictionary_beyond_the_limit(self):
        small = bytearray(lzma.compress(SMALL, filters=FILTERS[2:]))
        at = small.index(b"\x21\x01")  # the filter's number and the length of its properties
        small[at + 2] = 34  # 512 MiB; packing with such a dictionary would need the memory here
        header_bytes = (small[12] + 1) * 4
        small[12 + header_bytes - 4 : 12 + header_bytes] = zlib.crc32(small[12 : 12 + header_bytes - 4]).to_bytes(
            4, "little"
        )
        with pytest.raises(UnsupportedError, match="needs more than 96 MiB"):
            opened(FORMAT, bytes(small)).pread(0, 1)


def test_what_it_is_not():
    assert probe(Candidate(BytesReader(b"\xfd7zXY\0" + bytes(30)))) is None


def test_the_end_of_a_long_block_is_far(monkeypatch: pytest.MonkeyPatch):
    """A probe does not look for a footer there, when the name says that there is none."""
    monkeypatch.setattr(_streams, "FAR_BYTES", 1 << 20)
    reader = opened(FORMAT, PACKED)
    assert [reader.is_far(offset) for offset in (0, 1 << 20, len(CONTENT) - 1)] == [False, False, True]
    assert Candidate(reader, "disc.iso").tail(100) == b""
    assert Candidate(reader, "disc.nrg").tail(100) == CONTENT[-100:]
