"""gzip files of gzip, pigz and bgzip."""

import gzip
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from imagefs import Options as ImageOptions
from imagefs import limits, open_image
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.readers import BytesReader, Reader
from imagefs.wrappers import _streams
from imagefs.wrappers.gz import FORMAT, GzReader, probe
from tests.conftest import MakeIso
from tests.contract import check_reader
from tests.wrappers.checks import CONTENT, SMALL, check_cut, check_flips, good_bytes, opened, pack, peak_of

PACKED = gzip.compress(CONTENT, 6, mtime=0)


def gz(reader: Reader) -> GzReader:
    assert isinstance(reader, GzReader)
    return reader


@pytest.fixture
def dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints as close as they can be, and pieces that are decoded forward."""
    monkeypatch.setattr(_streams, "SPACING_BYTES", 1 << 16)
    monkeypatch.setattr(_streams, "WHOLE_BYTES", 1 << 10)


class TestContent:
    @pytest.mark.foreign
    @pytest.mark.parametrize("command", ["gzip -1", "gzip -9", "pigz", "pigz -i -b 128", "bgzip -c"])
    def test_packers(self, command: str):
        check_reader(opened(FORMAT, pack(command, CONTENT)), CONTENT, _streams.BLOCK_BYTES)

    @pytest.mark.foreign
    def test_bgzf_needs_no_decoding(self):
        reader = gz(opened(FORMAT, pack("bgzip -c", CONTENT)))
        assert not reader._checkpoints
        assert len(reader.starts) - 1 == -(-len(CONTENT) // 65280)

    @pytest.mark.foreign
    def test_members_of_all_kinds_one_after_the_other(self):
        packed = pack("gzip", CONTENT) + pack("bgzip -c", SMALL) + gzip.compress(b"") + pack("pigz", CONTENT[:-5])
        check_reader(opened(FORMAT, packed), CONTENT + SMALL + CONTENT[:-5], _streams.BLOCK_BYTES)

    def test_forward_from_checkpoints(self, dense: None):
        reader = gz(opened(FORMAT, PACKED))
        assert len(reader._checkpoints) > 5
        check_reader(reader, CONTENT, _streams.BLOCK_BYTES)

    def test_checkpoints_are_bounded(self, dense: None, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(limits, "CHECKPOINTS", 4)
        reader = gz(opened(FORMAT, PACKED + gzip.compress(SMALL)))
        assert 2 <= len(reader._checkpoints) <= 4
        check_reader(reader, CONTENT + SMALL, _streams.BLOCK_BYTES)

    def test_every_field_of_the_header(self):
        head = struct.pack("<2sBBIBB", b"\x1f\x8b", 8, 2 + 4 + 8 + 16, 0, 0, 3)
        head += struct.pack("<H", 40_000) + bytes(40_000) + b"name\0" + b"a comment\0"
        head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
        packed = head + PACKED[10:]
        check_reader(opened(FORMAT, packed), CONTENT)

    def test_zeros_behind_it_are_padding(self):
        assert opened(FORMAT, PACKED + bytes(5000)).pread(0, 1 << 30) == CONTENT

    def test_nothing(self):
        assert opened(FORMAT, gzip.compress(b"")).size == 0


class TestDamage:
    def test_cut(self):
        found = check_cut(FORMAT, PACKED, CONTENT)
        assert found == sorted(found)
        assert found[-1] > len(CONTENT) * 0.8

    def test_cut_where_pieces_are_decoded_forward(self, dense: None):
        assert check_cut(FORMAT, PACKED, CONTENT, cuts=5)[-1] > len(CONTENT) * 0.7

    def test_cut_in_the_trailer(self):
        reader = opened(FORMAT, PACKED[:-1])
        assert good_bytes(reader, CONTENT) == len(CONTENT) < reader.size

    @pytest.mark.foreign
    def test_cut_bgzf(self):
        packed = pack("bgzip -c", CONTENT)
        assert check_cut(FORMAT, packed, CONTENT)[-1] > len(CONTENT) * 0.8
        check_flips(FORMAT, pack("bgzip -c", SMALL), SMALL)

    def test_flips(self):
        check_flips(FORMAT, gzip.compress(SMALL), SMALL)

    def test_a_wrong_checksum_shows_nothing_of_its_member(self):
        broken = bytearray(PACKED)
        broken[-8] ^= 1
        with pytest.raises(DamagedError, match="incorrect data check"):
            opened(FORMAT, bytes(broken))
        reader = opened(FORMAT, gzip.compress(SMALL) + bytes(broken))
        assert good_bytes(reader, SMALL + CONTENT) == len(SMALL) < reader.size

    def test_a_broken_member_of_bgzf_spoils_itself_alone(self):
        parts = [SMALL[at : at + 10_000] for at in range(0, 50_000, 10_000)]
        members = [bgzf(part) for part in parts]
        members[2] = members[2][:40] + bytes([members[2][40] ^ 0x55]) + members[2][41:]
        reader = opened(FORMAT, b"".join(members))
        assert reader.pread(0, 20_000) == SMALL[:20_000]
        assert reader.pread(30_000, 20_000) == SMALL[30_000:]
        for offset, length in [(19_999, 2), (20_000, 1), (29_999, 1), (0, 50_000)]:
            with pytest.raises(DamagedError):
                reader.pread(offset, length)

    def test_what_follows_and_is_no_member(self):
        reader = opened(FORMAT, gzip.compress(SMALL) + b"garbage")
        assert good_bytes(reader, SMALL) == len(SMALL) < reader.size


def bgzf(content: bytes) -> bytes:
    """A member as SAM/BAM's specification has it."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    data = deflate.compress(content) + deflate.flush()
    head = struct.pack("<4BI2BH2sHH", 31, 139, 8, 4, 0, 0, 255, 6, b"BC", 2, len(data) + 25)
    return head + data + struct.pack("<II", zlib.crc32(content), len(content))


class TestBounds:
    def test_a_bomb_takes_no_memory(self):
        packed = gzip.compress(bytes(64 << 20))

        def work() -> None:
            assert opened(FORMAT, packed).pread(40 << 20, 4096) == bytes(4096)

        assert peak_of(work) < 24 << 20

    def test_a_bomb_ends_somewhere(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(limits, "UNPACKED_BYTES", 1 << 20)
        with pytest.raises(UnsupportedError, match="a bomb: its 8175 bytes would give more than 4 MiB"):
            opened(FORMAT, gzip.compress(bytes(8 << 20)))

    def test_members_are_counted(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(limits, "PIECES", 3)
        reader = opened(FORMAT, gzip.compress(b"x") * 5)
        assert good_bytes(reader, b"xxxxx") == 3 < reader.size


@pytest.mark.parametrize("head", [b"", b"\x1f\x8b", b"\x1f\x8b\x07" + bytes(20), b"\x1f\x8b\x08\xe0" + bytes(20)])
def test_what_it_is_not(head: bytes):
    assert probe(Candidate(BytesReader(head))) is None


class TestImage:
    def test_an_iso_in_it(self, tree: Path, make_iso: MakeIso):
        iso = make_iso(tree, "-R")
        subprocess.run(["gzip", "-k", iso], check=True)
        with open_image(f"{iso}.gz", ImageOptions()) as image:
            assert [step.name for step in image.steps] == ["gzip"]
            assert image.tree.open(image.find("hello.txt")).pread(0, 100) == b"hello\n"
            assert image.raw.pread(0, image.raw.size) == iso.read_bytes()

    def test_its_parts_lie_beside_it(self, tmp_path: Path, tree: Path, make_iso: MakeIso):
        """The sheet is packed, the data are not."""
        make_iso(tree, "-R", name="disc.bin")
        sheet = b'FILE "disc.bin" BINARY\n  TRACK 01 MODE1/2048\n    INDEX 01 00:00:00\n'
        (tmp_path / "disc.cue.gz").write_bytes(gzip.compress(sheet))
        with open_image(str(tmp_path / "disc.cue.gz"), ImageOptions()) as image:
            assert [step.name for step in image.steps] == ["gzip", "cue"]
            assert image.tree.open(image.find("hello.txt")).pread(0, 100) == b"hello\n"
