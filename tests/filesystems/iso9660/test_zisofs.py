"""zisofs: packed by mkzftree and xorriso, read by bsdtar and xorriso beside us; other algorithms by our own writer."""

import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import imagefs
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.filesystems.iso9660.zisofs import ZF, open_zisofs
from imagefs.readers import BytesReader, Reader, Run, RunKind
from tests.builders.zisofs import PACK, zisofs1, zisofs2
from tests.conftest import MakeIso
from tests.contract import check_reader

CHANCE = random.Random(8)
KIB = 1 << 10
CONTENT = (
    CHANCE.randbytes(40 * KIB)
    + b"imagefs " * (20 * KIB)
    + bytes(300 * KIB)
    + CHANCE.randbytes(3)
    + b"end " * (30 * KIB)
    + bytes(40 * KIB)
    + b"!"
)


def opened(made: tuple[bytes, ZF]) -> Reader:
    return open_zisofs(BytesReader(made[0]), made[1])


class TestContent:
    @pytest.mark.parametrize("log2", [15, 16, 17])
    @pytest.mark.parametrize("cut", [0, 1, 50_000])
    def test_version_1(self, log2: int, cut: int):
        content = CONTENT[: len(CONTENT) - cut]
        check_reader(opened(zisofs1(content, log2)), content, 1 << log2)

    @pytest.mark.parametrize("algorithm", PACK)
    @pytest.mark.parametrize("log2", [15, 17, 20])
    def test_version_2(self, algorithm: str, log2: int):
        check_reader(opened(zisofs2(CONTENT, algorithm, log2)), CONTENT, 1 << log2)

    def test_blocks_of_zeros_are_holes(self):
        content = bytes(70_000) + b"x" + bytes(100_000)
        reader = opened(zisofs1(content))
        assert list(reader.runs(0, 10**6)) == [
            Run(RunKind.ZERO, 65536),
            Run(RunKind.PACKED, 32768),
            Run(RunKind.ZERO, len(content) - 98304),
        ]

    def test_a_file_of_zeros_without_end(self):
        """1 TiB in 8 MiB of equal pointers."""
        size, log2 = 1 << 40, 20
        table = struct.pack("<Q", 24 + 8 * ((size >> log2) + 1)) * ((size >> log2) + 1)
        header = struct.pack("<8sBBBBQ4x", bytes.fromhex("EF2255A1BC1B95A0"), 0, 6, 1, log2, size)
        reader = open_zisofs(BytesReader(header + table), ZF(b"PZ", 24, log2, size, 2))
        assert reader.pread(size - 5, 10) == bytes(5)
        assert reader.pread(size // 2 - 100, 3 << 20) == bytes(3 << 20)

    def test_an_empty_file(self):
        assert open_zisofs(BytesReader(b""), ZF(b"pz", 16, 15, 0, 1)).pread(0, 10) == b""

    @given(content=st.lists(st.sampled_from([bytes(32768), bytes(5), b"abc" * 11000, b"x"])), data=st.data())
    def test_any_file(self, content: list[bytes], data: st.DataObject):
        whole = b"".join(content) + b"."
        reader = opened(
            data.draw(st.sampled_from([zisofs1(whole), zisofs2(whole, "zlib", 15), zisofs2(whole, "zstd")]))
        )
        for _ in range(3):
            offset, length = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 100_000))
            assert reader.pread(offset, length) == whole[offset : offset + length]


class TestRefused:
    @pytest.mark.parametrize(
        "wrong",
        [{"size": 5}, {"block_log2": 16}, {"header_bytes": 20}, {"size": 1 << 40}],
        ids=["size", "block", "header", "huge"],
    )
    @pytest.mark.parametrize("make", [zisofs1, zisofs2])
    def test_a_header_that_disagrees_with_the_entry(self, make: Callable[[bytes], tuple[bytes, ZF]], wrong: dict):
        stored, entry = make(CONTENT)
        with pytest.raises(DamagedError):
            open_zisofs(BytesReader(stored), entry._replace(**wrong))

    def test_another_algorithm_than_the_entry_says(self):
        stored, entry = zisofs2(CONTENT, "xz")
        with pytest.raises(DamagedError):
            open_zisofs(BytesReader(stored), entry._replace(algorithm=b"PZ"))

    @pytest.mark.parametrize("version", [1, 2])
    def test_no_magic(self, version: int):
        stored, entry = zisofs1(CONTENT) if version == 1 else zisofs2(CONTENT)
        for data in (b"", stored[:10], b"\0" + stored[1:], CONTENT):
            with pytest.raises(DamagedError):
                open_zisofs(BytesReader(data), entry)

    @pytest.mark.parametrize("log2", [0, 14, 21, 63, 255])
    def test_block_sizes(self, log2: int):
        stored = bytearray(zisofs1(CONTENT)[0])
        stored[13] = log2
        with pytest.raises(DamagedError):
            open_zisofs(BytesReader(bytes(stored)), ZF(b"pz", 16, log2, len(CONTENT), 1))

    @pytest.mark.parametrize("size", [10**9, 1 << 50, (1 << 64) - 1])
    def test_a_table_larger_than_the_file(self, size: int):
        stored = bytearray(zisofs2(CONTENT)[0])
        stored[12:20] = struct.pack("<Q", size)
        with pytest.raises(DamagedError, match="the file ends at"):
            open_zisofs(BytesReader(bytes(stored)), ZF(b"PZ", 24, 17, size, 2))

    @pytest.mark.parametrize(
        "entry", [ZF(b"pz", 16, 15, 9, 3), ZF(b"XZ", 16, 15, 9, 1), ZF(b"??", 24, 15, 9, 2)], ids=str
    )
    def test_unknown_kinds(self, entry: ZF):
        with pytest.raises(UnsupportedError):
            open_zisofs(BytesReader(bytes(100)), entry)


class TestDamage:
    stored, entry = zisofs1(CONTENT)
    count = -(-len(CONTENT) // 32768)

    def readable(self, stored: bytes) -> set[int]:
        """The blocks that can be read; whatever can is right. Two equal pointers say that a block is zeros."""
        reader = open_zisofs(BytesReader(stored), self.entry)
        pointers = struct.unpack_from(f"<{self.count + 1}I", stored, 16)
        good = set()
        for block in range(self.count):
            content = CONTENT[block * 32768 :][:32768]
            expected = bytes(len(content)) if pointers[block] == pointers[block + 1] else content
            try:
                assert reader.pread(block * 32768, 32768) == expected
                good.add(block)
            except DamagedError:
                continue
        return good

    def pointer(self, number: int) -> int:
        return int(struct.unpack_from("<I", self.stored, 16 + 4 * number)[0])

    def test_cut_off(self):
        at = self.pointer(3) + 5
        zeros = {block for block in range(self.count) if self.pointer(block) == self.pointer(block + 1) <= at}
        assert self.readable(self.stored[:at]) == {0, 1, 2} | zeros

    def test_a_table_that_was_wiped_is_no_file_of_zeros(self):
        table = 4 * (self.count + 1)
        assert self.readable(self.stored[:16] + bytes(table) + self.stored[16 + table :]) == set()

    @pytest.mark.parametrize("value", [0, 16, 10**9])
    def test_a_pointer(self, value: int):
        stored = bytearray(self.stored)
        struct.pack_into("<I", stored, 16 + 4 * 2, value)
        assert self.readable(bytes(stored)) >= set(range(self.count)) - {1, 2}

    @given(flip=st.integers(16, len(stored) - 1), value=st.integers(1, 255))
    def test_one_byte(self, flip: int, value: int):
        stored = bytearray(self.stored)
        stored[flip] ^= value
        assert len(self.readable(bytes(stored))) >= self.count - 2

    def test_a_bomb(self):
        """A block that gives 64 MiB where 32 KiB belong."""
        import zlib

        packed = zlib.compress(bytes(64 << 20))[:32768]
        stored = self.stored[:8] + struct.pack("<IBB2x2I", 9, 4, 15, 24, 24 + len(packed)) + packed
        with pytest.raises(DamagedError):
            open_zisofs(BytesReader(stored), ZF(b"pz", 16, 15, 9, 1)).pread(0, 9)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that are worth packing, and some that are not."""
    top = tmp_path / "tree"
    (top / "deep").mkdir(parents=True)
    (top / "mixed").write_bytes(CONTENT)
    (top / "zeros").write_bytes(bytes(450_000))
    (top / "deep" / "text").write_bytes(b"once upon a time\n" * 20_000)
    (top / "one block").write_bytes(b"a" * 32768)
    (top / "small").write_bytes(b"small")
    (top / "random").write_bytes(CHANCE.randbytes(70_000))
    return top


def files_of(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def shown(image: Path) -> dict[str, bytes]:
    """What imagefs shows, and that something in it is packed."""
    found = {}
    packed = 0
    with imagefs.open_image(str(image)) as opened:
        for path in ("mixed", "zeros", "deep/text", "one block", "small", "random"):
            reader = opened.tree.open(opened.find(path))
            packed += any(run.kind is not RunKind.DATA for run in reader.runs(0, reader.size))
            found[path] = b"".join(reader.pread(at, 50_000) for at in range(0, reader.size, 50_000))
    assert packed >= 4
    return found


@pytest.mark.foreign
class TestForeign:
    """What we show is the tree that was packed, and what the other program extracts."""

    def bsdtar(self, image: Path) -> dict[str, bytes]:
        """Files, not a pipe: into that, libarchive does not write the zeros that end a file."""
        back = image.parent / "bsdtar"
        back.mkdir()
        subprocess.run(["bsdtar", "-xf", image, "-C", back], check=True)
        return files_of(back)

    def osirrox(self, image: Path) -> dict[str, bytes]:
        back = image.parent / "osirrox"
        subprocess.run(["osirrox", "-indev", image, "-extract", "/", back], check=True, capture_output=True)
        return files_of(back)

    def xorriso(self, folder: Path, parameters: str) -> Path:
        image = folder.parent / "disc.iso"
        words = ["-zisofs", parameters, "-outdev", image, "-map", folder, "/", "-set_filter_r", "--zisofs", "/"]
        subprocess.run(["xorriso", *words], check=True, capture_output=True)
        return image

    @pytest.mark.parametrize("block", ["32k", "64k", "128k"])
    def test_xorriso_version_1(self, folder: Path, need: Callable[..., None], block: str):
        need("xorriso", "bsdtar")
        image = self.xorriso(folder, f"level=9:block_size={block}")
        assert shown(image) == files_of(folder) == self.osirrox(image) == self.bsdtar(image)

    @pytest.mark.parametrize("block", ["32k", "128k", "1024k"])
    @pytest.mark.parametrize("name", ["off", "on"])
    def test_xorriso_version_2(self, folder: Path, need: Callable[..., None], block: str, name: str):
        """With the entry named ZF, and named Z2. bsdtar knows version 1 alone."""
        need("xorriso")
        image = self.xorriso(folder, f"level=9:version_2=on:block_size_v2={block}:susp_z2={name}")
        assert shown(image) == files_of(folder) == self.osirrox(image)

    def test_mkzftree(self, folder: Path, tmp_path: Path, make_iso: MakeIso, need: Callable[..., None]):
        need("mkzftree", "genisoimage", "bsdtar")
        packed = tmp_path / "packed"
        subprocess.run(["mkzftree", folder, packed], check=True, capture_output=True)
        image = make_iso(packed, "-R", "-z", tool="genisoimage")
        assert shown(image) == files_of(folder) == self.bsdtar(image)
