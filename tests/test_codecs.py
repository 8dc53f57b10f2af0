"""Every codec gives exactly the bytes that are wanted, or DamagedError. The inputs are made by other bindings."""

import bz2
import gzip
import lzma
import random
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import lz4.block
import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from imagefs import codecs, limits
from imagefs.codecs import Codec
from imagefs.errors import DamagedError, UnsupportedError
from tests.builders.cso import deflate, lz4_block

CONTENT = bytes(3000) + random.Random(1).randbytes(1000) + b"imagefs " * 500
Pack = Callable[[bytes], bytes]


def zstd_without_size(data: bytes) -> bytes:
    packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return packer.compress(data) + packer.flush()


ALL: list[tuple[Codec, Pack]] = [
    (codecs.inflate, deflate),
    (codecs.inflate, lambda data: gzip.compress(data)[10:]),  # raw deflate, and 8 bytes after its end
    (codecs.unzlib, zlib.compress),
    (codecs.unzlib_whole, zlib.compress),
    (codecs.unlz4, lz4_block),
    (codecs.unlz4_frame, lz4.frame.compress),
    (codecs.unxz, lzma.compress),
    (codecs.unbz2, bz2.compress),
    (codecs.unzstd, zstandard.ZstdCompressor().compress),
    (codecs.unzstd, zstd_without_size),
]
NAMES = [
    "inflate",
    "inflate gzip",
    "unzlib",
    "unzlib_whole",
    "unlz4",
    "unlz4_frame",
    "unxz",
    "unbz2",
    "unzstd",
    "unzstd unsized",
]
every_codec = pytest.mark.parametrize(("codec", "pack"), ALL, ids=NAMES)


@pytest.fixture(params=["libraries", "standard library"])
def bindings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with libdeflate and zstandard, once with what stands in for them."""
    if request.param == "standard library":
        for name in ("deflate", "zstandard"):
            monkeypatch.setitem(sys.modules, name, None)
    for codec in (codecs.inflate, codecs.unzlib, codecs.unzlib_whole, codecs.unzstd):
        monkeypatch.setattr(codec, "_binding", None)


@every_codec
@pytest.mark.usefixtures("bindings")
class TestExactness:
    def test_content(self, codec: Codec, pack: Pack):
        assert codec(pack(CONTENT), len(CONTENT)) == CONTENT

    def test_more_than_wanted_is_an_error(self, codec: Codec, pack: Pack):
        with pytest.raises(DamagedError):
            codec(pack(CONTENT), len(CONTENT) - 1)

    def test_less_than_wanted_is_an_error(self, codec: Codec, pack: Pack):
        with pytest.raises(DamagedError, match=r"damaged at byte 77: .* ends after 8000 of 8001 bytes"):
            codec(pack(CONTENT), len(CONTENT) + 1, where=77)

    def test_less_may_be_allowed(self, codec: Codec, pack: Pack):
        assert codec(pack(CONTENT), len(CONTENT) + 100, least=len(CONTENT)) == CONTENT
        with pytest.raises(DamagedError):
            codec(pack(CONTENT), len(CONTENT) + 100, least=len(CONTENT) + 1)

    @pytest.mark.parametrize("kept", [0, 1, 10, 0.5, 0.9])
    def test_truncated(self, codec: Codec, pack: Pack, kept: float):
        packed = pack(CONTENT)
        cut = packed[: kept if isinstance(kept, int) else int(len(packed) * kept)]
        with pytest.raises(DamagedError):
            codec(cut, len(CONTENT))

    def test_garbage(self, codec: Codec, pack: Pack):
        with pytest.raises(DamagedError):
            codec(b"\xff" * 500, 4096)

    def test_a_bomb_ends_at_the_bound(self, codec: Codec, pack: Pack):
        with pytest.raises(DamagedError):
            codec(pack(bytes(8 << 20)), 4096)

    def test_many_at_once(self, codec: Codec, pack: Pack):
        blocks = [CONTENT[at : at + 2000] for at in range(0, 8000, 2000)]
        assert codec.each(map(pack, blocks), 2000) == blocks

    def test_many_of_which_one_is_short(self, codec: Codec, pack: Pack):
        blocks = [CONTENT[:2000], CONTENT[2000:3999], CONTENT[4000:6000]]
        with pytest.raises(DamagedError):
            codec.each(map(pack, blocks), 2000)

    def test_many_that_are_too_large(self, codec: Codec, pack: Pack):
        with pytest.raises(DamagedError, match="the limit is"):
            codec.each([pack(b"")], (64 << 20) + 1)

    def test_threads(self, codec: Codec, pack: Pack):
        packed = [pack(bytes([number]) * 5000) for number in range(8)]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda number: codec(packed[number % 8], 5000), range(200)))
        assert found == [bytes([number % 8]) * 5000 for number in range(200)]


@pytest.mark.parametrize(("codec", "pack"), ALL[3:], ids=NAMES[3:])
@pytest.mark.usefixtures("bindings")
def test_nothing_may_follow(codec: Codec, pack: Pack):
    with pytest.raises(DamagedError):
        codec(pack(CONTENT) + b"garbage", len(CONTENT))


@pytest.mark.parametrize(("codec", "pack"), ALL[:3], ids=NAMES[:3])
@pytest.mark.usefixtures("bindings")
def test_padding_may_follow(codec: Codec, pack: Pack):
    assert codec(pack(CONTENT) + b"padding", len(CONTENT)) == CONTENT


def test_a_block_is_bounded():
    with pytest.raises(DamagedError, match="the limit is"):
        codecs.inflate(deflate(b"x"), limits.BLOCK_BYTES + 1)


def test_zstd_does_not_allocate_what_a_header_states():
    """The frame states 1 TiB of content in 8 bytes; the data that follow do not matter."""
    header = bytes.fromhex("28B52FFD E0") + (1 << 40).to_bytes(8, "little")
    with pytest.raises(DamagedError, match="states 1099511627776 bytes"):
        codecs.unzstd(header + b"\1\0\0", 4096)


@pytest.mark.parametrize(
    ("codec", "modules", "remedy"),
    [
        (codecs.unlz4, ["lz4", "lz4.block"], "imagefs[lz4]"),
        (codecs.unlz4_frame, ["lz4", "lz4.frame"], "imagefs[lz4]"),
        (codecs.unzstd, ["zstandard", "compression.zstd", "backports.zstd"], "imagefs[zstd]"),
    ],
    ids=["unlz4", "unlz4_frame", "unzstd"],
)
def test_a_missing_library_is_named(codec: Codec, modules: list[str], remedy: str, monkeypatch: pytest.MonkeyPatch):
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(codec, "_binding", None)
    with pytest.raises(UnsupportedError) as raised:
        codec(b"", 1)
    assert f"pip install '{remedy}'" in str(raised.value)


class TestPaddedLz4:
    @given(
        content=st.binary(max_size=300).map(lambda data: data * 7 + b"end"),
        padding=st.binary(max_size=63),
    )
    def test_any_padding(self, content: bytes, padding: bytes):
        found = codecs.unlz4_padded(lz4_block(content) + padding, len(content), 63)
        assert found == content

    @given(content=st.binary(min_size=1, max_size=3000), more=st.integers(1, 100))
    def test_a_short_last_block(self, content: bytes, more: int):
        data = lz4_block(content) + b"X" * 7
        assert codecs.unlz4_padded(data, len(content) + more, 7, least=len(content)) == content

    def test_long_runs(self):
        """Lengths beyond 15 and beyond 270 go on in further bytes."""
        chance = random.Random(2)
        content = b"".join(
            chance.randbytes(literals) + b"-" * match for literals, match in [(1, 18), (15, 19), (300, 600), (14, 4)]
        ) + chance.randbytes(20)
        assert codecs.unlz4_padded(lz4_block(content) + bytes(31), len(content), 31) == content

    def test_more_than_padding_is_an_error(self):
        with pytest.raises(DamagedError):
            codecs.unlz4_padded(lz4_block(CONTENT) + bytes(8), len(CONTENT), 7)

    @pytest.mark.parametrize("kept", [0, 1, 2, 100, -1])
    def test_truncated(self, kept: int):
        with pytest.raises(DamagedError):
            codecs.unlz4_padded(lz4_block(CONTENT)[:kept], len(CONTENT), 15)
