"""CSO and ZSO, made by the format's description with Python's zlib and lz4; no packaged program reads them."""

import random
import struct
from array import array

import lz4.block
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefs import codecs, limits
from imagefs.containers import cso as module
from imagefs.containers.cso import CsoReader, open_cso, probe
from imagefs.errors import DamagedError, ImageError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, Reader
from tests.builders.cso import MARK, cso, deflate, zso
from tests.contract import check_reader

CHANCE = random.Random(3)
BLOCKS = [CHANCE.choice((bytes(2048), CHANCE.randbytes(2048), (b"%d " % number * 2048)[:2048])) for number in range(41)]
CONTENT = b"".join(BLOCKS)
PARTIAL = CONTENT[:-300]


def opened(image: bytes) -> Reader:
    candidate = Candidate(BytesReader(image), "x.cso")
    match = probe(candidate)
    assert match is not None
    assert match.score == 95
    return open_cso(candidate, Options())


def plain_where(*blocks: int, other: str = "deflate"):
    return lambda block: "plain" if block in blocks else other


def every_third(block: int) -> str:
    return ("deflate", "lz4", "plain")[block % 3]


class TestContent:
    @pytest.mark.parametrize("content", [CONTENT, PARTIAL], ids=["whole", "partial"])
    @pytest.mark.parametrize("shift", [0, 2, 6, 11])
    @pytest.mark.parametrize("version", [0, 1])
    def test_versions_0_and_1(self, content: bytes, shift: int, version: int):
        how = plain_where(0, 7, 8, 20, 40)
        check_reader(opened(cso(content, version=version, shift=shift, how=how)), content)

    @pytest.mark.parametrize("content", [CONTENT, PARTIAL], ids=["whole", "partial"])
    @pytest.mark.parametrize("shift", [0, 1, 3])
    def test_version_2(self, content: bytes, shift: int):
        image = cso(content, version=2, shift=shift, how=every_third)
        check_reader(opened(image), content)

    @pytest.mark.parametrize("content", [CONTENT, PARTIAL], ids=["whole", "partial"])
    @pytest.mark.parametrize("shift", [0, 1, 6])
    def test_zso(self, content: bytes, shift: int):
        how = plain_where(1, 2, 30, other="lz4")
        check_reader(opened(zso(content, shift=shift, how=how)), content)

    @pytest.mark.parametrize("block_bytes", [512, 2048, 8192, 32768, 1 << 20])
    def test_block_sizes(self, block_bytes: int):
        check_reader(opened(cso(PARTIAL, block_bytes=block_bytes)), PARTIAL, block_bytes)

    @pytest.mark.parametrize("how", ["plain", "deflate"])
    @pytest.mark.parametrize("fill_last", [False, True])
    def test_the_last_block_may_be_filled_up(self, how: str, fill_last: bool):
        reader = opened(cso(PARTIAL, how=lambda block: how, fill_last=fill_last))
        assert reader.pread(0, 10**6) == PARTIAL

    @pytest.mark.parametrize("fill_last", [False, True])
    @pytest.mark.parametrize("shift", [0, 3])
    def test_the_last_block_of_a_zso_may_be_filled_up(self, fill_last: bool, shift: int):
        assert opened(zso(PARTIAL, shift=shift, fill_last=fill_last)).pread(0, 10**6) == PARTIAL

    @pytest.mark.parametrize("header_size", [0, 24, 0xDEADBEEF])
    def test_the_header_size_of_version_1_means_nothing(self, header_size: int):
        assert opened(cso(CONTENT, header_size=header_size)).pread(5000, 100) == CONTENT[5000:5100]

    def test_positions_beyond_2_gib(self):
        """A shift of 2 reaches 8 GiB; the file is sparse, so a reader stands for it."""
        far = (5 << 30) >> 2
        stored = deflate(BLOCKS[0])

        class Sparse(BytesReader):
            def pread(self, offset: int, length: int) -> bytes:
                return (stored + bytes(100))[offset - (5 << 30) :][:length]

        base = Sparse(b"")
        base.size = 6 << 30
        reader = CsoReader(base, 2048, 2048, 2, array("I", [far, far + 600]))
        assert reader.pread(0, 2048) == BLOCKS[0]

    @given(
        blocks=st.lists(st.one_of(st.binary(max_size=900), st.integers(0, 255).map(lambda byte: bytes([byte]) * 600))),
        shift=st.integers(0, 7),
        block_bytes=st.sampled_from([256, 512]),
        kind=st.sampled_from(["CISO 1", "CISO 2", "ZISO 1"]),
        ways=st.lists(st.integers(0, 2), min_size=1),
        padding=st.binary(min_size=1, max_size=1),
        data=st.data(),
    )
    def test_any_image(
        self,
        blocks: list[bytes],
        shift: int,
        block_bytes: int,
        kind: str,
        ways: list[int],
        padding: bytes,
        data: st.DataObject,
    ):
        content = b"".join(blocks) or b"x"
        hows = {"CISO 1": ["deflate", "plain"], "CISO 2": ["deflate", "lz4", "plain"], "ZISO 1": ["lz4", "plain"]}[kind]

        def how(block: int) -> str:
            way = hows[ways[block % len(ways)] % len(hows)]
            packed = {"deflate": deflate, "lz4": lambda each: lz4.block.compress(each, store_size=False)}.get(way)
            block_content = content[block * block_bytes :][:block_bytes]
            # As writers do: what does not shrink, padding included, is plain.
            small = packed is not None and len(packed(block_content)) + (1 << shift) < block_bytes
            return way if small else "plain"

        image = cso(
            content,
            magic=kind[:4].encode(),
            version=int(kind[-1]),
            block_bytes=block_bytes,
            shift=shift,
            how=how,
            padding=padding,
        )
        reader = opened(image)
        for _ in range(5):
            offset = data.draw(st.integers(0, len(content)))
            length = data.draw(st.integers(0, 2000))
            assert reader.pread(offset, length) == content[offset : offset + length]


class TestProbe:
    @pytest.mark.parametrize("image", [b"", b"CISO", b"CISO" + bytes(19), b"ISO9" + bytes(60), b"cISO" + bytes(60)])
    def test_no(self, image: bytes):
        assert probe(Candidate(BytesReader(image))) is None

    def test_a_gamecube_ciso_is_another_format(self):
        image = struct.pack("<4sI", b"CISO", 1 << 21) + b"\1\1\0\1" + bytes(0x8000 - 12) + bytes(100)
        assert probe(Candidate(BytesReader(image))) is None

    def test_nonsense_is_recognised_but_trusted_less(self):
        match = probe(Candidate(BytesReader(cso(CONTENT)[:16] + b"\0\0\0\0" + bytes(100))))
        assert match is not None
        assert match.score == 70


class TestRefused:
    def refusal(self, image: bytes) -> ImageError:
        with pytest.raises(ImageError) as raised:
            open_cso(Candidate(BytesReader(image)), Options())
        return raised.value

    def patched(self, offset: int, data: bytes) -> bytes:
        image = bytearray(cso(CONTENT))
        image[offset : offset + len(data)] = data
        return bytes(image)

    @pytest.mark.parametrize("block_bytes", [0, 1000, 2049, 1 << 31, limits.BLOCK_BYTES * 2])
    def test_block_sizes(self, block_bytes: int):
        error = self.refusal(self.patched(16, struct.pack("<I", block_bytes)))
        assert str(error).startswith(f"damaged at byte 16: a block size of {block_bytes} bytes")

    @pytest.mark.parametrize("size", [10**9, 1 << 60, (1 << 64) - 1])
    def test_a_size_whose_index_cannot_lie_in_the_file(self, size: int):
        error = self.refusal(self.patched(8, struct.pack("<Q", size)))
        assert isinstance(error, DamagedError)
        assert error.where == 24

    def test_a_size_of_nothing(self):
        assert isinstance(self.refusal(self.patched(8, bytes(8))), DamagedError)

    def test_an_index_that_is_cut_off(self):
        assert isinstance(self.refusal(cso(CONTENT)[:100]), DamagedError)

    def test_a_header_that_is_cut_off(self):
        assert isinstance(self.refusal(cso(CONTENT)[:23]), DamagedError)

    def test_a_shift_without_sense(self):
        assert isinstance(self.refusal(self.patched(21, b"\x40")), DamagedError)

    @pytest.mark.parametrize("version", [3, 255])
    def test_versions(self, version: int):
        error = self.refusal(self.patched(20, bytes([version])))
        assert (type(error), str(error)) == (UnsupportedError, f"CISO version {version} is not read")

    def test_a_header_size_of_version_2(self):
        assert isinstance(self.refusal(cso(CONTENT, version=2, header_size=0)), DamagedError)

    def test_zso_without_lz4_is_refused_at_once(self, monkeypatch: pytest.MonkeyPatch):
        def missing() -> None:
            raise UnsupportedError("needs lz4")

        monkeypatch.setattr(codecs.unlz4, "require", missing)
        assert isinstance(self.refusal(zso(CONTENT)), UnsupportedError)


def index_of(image: bytes) -> list[int]:
    return list(struct.unpack_from("<42I", image, 24))


def with_entry(image: bytes, number: int, entry: int) -> bytes:
    return image[: 24 + 4 * number] + struct.pack("<I", entry) + image[28 + 4 * number :]


class TestDamage:
    def check(self, image: bytes, bad: set[int]) -> None:
        """Exactly the `bad` blocks cannot be read, alone or within a longer read."""
        reader = opened(image)
        for number, block in enumerate(BLOCKS):
            if number in bad:
                for offset, length in [(0, 2048), (2047, 5000), (-1000, 1001)]:
                    with pytest.raises(DamagedError):
                        reader.pread(max(0, number * 2048 + offset), length)
            else:
                assert reader.pread(number * 2048, 2048) == block

    @pytest.mark.parametrize("make", [cso, zso], ids=["cso", "zso"])
    def test_cut_off(self, make):
        image = make(CONTENT)
        index = index_of(image)
        self.check(image[: index[25] + 3], set(range(25, 41)))

    def test_a_plain_block_that_is_cut_off(self):
        image = cso(CONTENT, how=lambda block: "plain")
        self.check(image[:-1], {40})

    def test_padding_that_is_cut_off_is_no_damage(self):
        image = cso(CONTENT, shift=8)
        assert image.endswith(b"X")
        self.check(image.rstrip(b"X"), set())

    @pytest.mark.parametrize("block", [0, 13, 40])
    def test_a_broken_block(self, block: int):
        image = bytearray(cso(CONTENT))
        start, stop = index_of(image)[block : block + 2]
        image[start:stop] = b"\xff" * (stop - start)
        self.check(bytes(image), {block})

    def test_an_offset_that_goes_back(self):
        image = cso(CONTENT)
        index = index_of(image)
        self.check(with_entry(image, 10, index[5]), {9, 10})  # block 10 would show the content of block 5

    def test_an_offset_that_goes_back_a_little(self):
        image = cso(CONTENT)
        index = index_of(image)
        self.check(with_entry(image, 10, index[9] - 1), {9, 10})

    def test_an_offset_that_goes_forward(self):
        image = cso(CONTENT)
        self.check(with_entry(image, 10, index_of(image)[15]), {10})

    def test_an_offset_beyond_the_file(self):
        self.check(with_entry(cso(CONTENT), 10, MARK - 1), {10})

    def test_a_block_of_nothing(self):
        image = cso(CONTENT)
        self.check(with_entry(image, 11, index_of(image)[10]), {10, 11})

    def test_a_mark_where_nothing_is_plain(self):
        image = cso(CONTENT)
        index = index_of(image)
        packed = next(number for number in range(41) if index[number + 1] - index[number] < 1000)
        self.check_only_errors_or_original(with_entry(image, packed, index[packed] | MARK), CONTENT, {packed})

    def check_only_errors_or_original(self, image: bytes, content: bytes, may_differ: set[int]) -> None:
        reader = opened(image)
        for number in set(range(41)) - may_differ:
            assert reader.pread(number * 2048, 2048) == content[number * 2048 :][:2048]

    def test_a_block_that_gives_too_much(self):
        """A stream of 4 KiB where 2 KiB belong is an error, not the first half of it."""
        stored = deflate(bytes(4096))
        image = struct.pack("<4sIQIBB2x2I", b"CISO", 24, 2048, 2048, 1, 0, 32, 32 + len(stored)) + stored
        with pytest.raises(DamagedError):
            opened(image).pread(0, 1)

    @pytest.mark.parametrize("make", [cso, zso], ids=["cso", "zso"])
    def test_a_bomb(self, make):
        """A block that would give 64 MiB, in a file whose index claims all of it for one block."""
        packed = deflate(bytes(64 << 20)) if make is cso else lz4.block.compress(bytes(64 << 20), store_size=False)
        magic = b"CISO" if make is cso else b"ZISO"
        image = struct.pack("<4sIQIBB2x2I", magic, 24, 2048, 2048, 1, 0, 32, 32 + len(packed)) + packed
        with pytest.raises(DamagedError):
            opened(image).pread(0, 1)

    @given(flip=st.integers(0, 23 + 42 * 4), value=st.integers(1, 255))
    def test_one_byte_of_header_or_index(self, flip: int, value: int):
        """An error, or nothing but bytes of the image in their place; deflate cannot tell a block from another."""
        image = bytearray(cso(CONTENT, how=plain_where(3)))
        image[flip] ^= value
        candidate = Candidate(BytesReader(bytes(image)))
        if probe(candidate) is None:
            assert flip < 4
            return
        try:
            reader = open_cso(candidate, Options())
        except ImageError:
            return
        assert reader.size <= len(CONTENT) or flip < 24
        touched = {(flip - 24) // 4, (flip - 24) // 4 - 1} if flip >= 24 else set(range(41))
        # Of two blocks that begin at one place either may be the wrong one.
        touched |= {block + 1 for block in range(40) if len(set(reader.positions(block, 1))) == 1}
        for number in set(range(41)) - touched:
            assert reader.pread(number * 2048, 2048) == BLOCKS[number]

    @given(flip=st.integers(24 + 42 * 4, 24 + 42 * 4 + 20_000), value=st.integers(1, 255))
    def test_one_byte_of_a_block(self, flip: int, value: int):
        image = bytearray(IMAGE)
        if flip >= len(image):
            return
        image[flip] ^= value
        index = index_of(IMAGE)
        hit = max(number for number in range(41) if index[number] <= flip)
        reader = opened(bytes(image))
        for number in range(41):
            if number != hit:
                assert reader.pread(number * 2048, 2048) == BLOCKS[number]


IMAGE = cso(CONTENT)


def test_the_index_stays_packed():
    """128 GiB of CSO have 67 million entries: 4 bytes each, not 40."""
    reader = opened(cso(CONTENT))
    assert isinstance(reader, CsoReader)
    assert isinstance(reader._index, array)
    assert reader._index.itemsize == 4


def test_format():
    assert module.FORMAT.extensions == ("cso", "ciso", "zso", "ziso")
