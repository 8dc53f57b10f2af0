"""The codecs of a CHD, by the four letters that its header names them with.

name              a hunk is packed as
zlib, lzma, zstd  one stream: raw deflate; raw LZMA1 without a header (lc 3, lp 0, pb 2) or an end; a zstd frame
huff              a tree of 256 symbols, then the symbols
flac              "L" or "B", the byte order of the samples in the hunk; then FLAC frames
cdzl, cdlz, cdzs  frames of a CD (2352 bytes and 96 of subcode) in two streams: deflate; LZMA and deflate; zstd
cdfl              the same: FLAC frames of big-endian samples, then deflate
avhu              pictures and sound of a laserdisc

A packed CD hunk of n frames begins with a bit for each frame, the first in the lowest, padded to bytes; then the length of
the first stream, in 2 bytes, or 3 when the hunk has 64 KiB or more; then the streams, all main channels and all subcodes. A
bit that is set says that the sync and the ECC of the frame were taken out. `cdfl` has neither bits nor a length.
"""

import functools
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from imagefs import codecs
from imagefs.containers.chd import flac, huffman
from imagefs.disc import ecc
from imagefs.disc.layouts import SYNC
from imagefs.errors import DamagedError, UnsupportedError

FRAME_BYTES, MAIN_BYTES, SUBCODE_BYTES = 2448, 2352, 96
_SAMPLES = MAIN_BYTES // flac.SAMPLE_BYTES

Unpack = Callable[[bytes, int, int], codecs.Content]
"""(stored bytes, size of the content, byte offset for errors) -> content. Raises DamagedError, UnsupportedError."""


def unpacker(name: bytes, hunk_bytes: int) -> Unpack:
    """The decoder of that name. Raises UnsupportedError for one that is not known, DamagedError for impossible hunks."""
    if name == b"avhu":
        raise UnsupportedError(
            "it is a laserdisc: pictures and sound (avhu), no files; `chdman extractld` makes an AVI of it"
        )
    if name not in _CODECS:
        raise UnsupportedError(f"the CHD codec {name.decode('ascii', 'backslashreplace')!r} is not known")
    if name.startswith(b"cd") and hunk_bytes % FRAME_BYTES:
        raise DamagedError(56, f"hunks of {hunk_bytes} bytes, which are no whole frames of a CD")
    if name == b"flac" and hunk_bytes % flac.SAMPLE_BYTES:
        raise DamagedError(56, f"hunks of {hunk_bytes} bytes, which are no whole samples")
    return _CODECS[name]


# --- streams --------------------------------------------------------------------------------------------------------------


def _inflate(data: bytes, size: int, where: int) -> codecs.Content:
    return codecs.inflate(data, size, where=where)


def _unzstd(data: bytes, size: int, where: int) -> codecs.Content:
    return codecs.unzstd(data, size, where=where)


def _unlzma(data: bytes, size: int, where: int) -> codecs.Content:
    """The dictionary's size is not stored; any that holds the whole hunk does."""
    try:
        content = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_lzma_filters(size)).decompress(data, size)
    except (lzma.LZMAError, EOFError) as error:
        raise DamagedError(where, f"the LZMA data is broken ({error})") from error
    if len(content) != size:
        raise DamagedError(where, f"the LZMA data ends after {len(content)} of {size} bytes")
    return content


_LEAST_DICTIONARY = 4096


def _lzma_filters(size: int) -> list[Mapping[str, Any]]:
    return [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": max(size, _LEAST_DICTIONARY)}]


_TREE_BYTES = 1024
"""24 lengths in 3 bits each, then at most 256 symbols in 7 bits with 3 + 8 more for a run."""


def _unhuff(data: bytes, size: int, where: int) -> codecs.Content:
    bits = huffman.Bits(data[:_TREE_BYTES], where)
    codes = huffman.coded_tree(bits, 256, 16, where)
    return huffman.decode(codes, data, bits.place, size, where)


def _unflac(data: bytes, size: int, where: int) -> codecs.Content:
    orders = {b"L": "little", b"B": "big"}
    if data[:1] not in orders:
        raise DamagedError(where, f"FLAC data that begin with {data[:1]!r} instead of a byte order")
    return flac.to_bytes(flac.decode(data[1:], size // flac.SAMPLE_BYTES, where), orders[data[:1]])


# --- frames of a CD -------------------------------------------------------------------------------------------------------


class CdCodec:
    """Frames of a CD in two streams. `in_rows` is the codec of the first, where it takes many at once."""

    def __init__(self, main: Unpack, subcode: Unpack, in_rows: codecs.Codec | None = None) -> None:
        self._main, self._subcode, self.in_rows = main, subcode, in_rows

    def __call__(self, data: bytes, size: int, where: int) -> codecs.Content:
        """Whole frames, as `Unpack` says."""
        frames = size // FRAME_BYTES
        content, bits, end = self.main(data, size, where)
        if bits:
            content = _with_ecc(bytearray(content), bits, frames)
        return _frames(content, self._subcode(data[end:], frames * SUBCODE_BYTES, where + end))

    def main(self, data: bytes, size: int, where: int) -> tuple[codecs.Content, int, int]:
        """(main channels as they are packed, the bits of the frames without sync and ECC, where the subcode begins).

        Raises DamagedError, UnsupportedError.
        """
        bits_end, begin = _head(size)
        end = begin + int.from_bytes(data[bits_end:begin], "big")
        if end > len(data):
            raise DamagedError(where, f"a hunk of {len(data)} bytes whose first stream ends at {end}")
        content = self._main(data[begin:end], size // FRAME_BYTES * MAIN_BYTES, where + begin)
        return content, int.from_bytes(data[:bits_end], "little"), end

    def mains(self, hunks: Sequence[bytes], size: int, where: int) -> Iterator[tuple[codecs.Content, int]]:
        """What `main` gives of each of many hunks, but for where the subcode begins; of codecs with `in_rows` alone.

        Raises DamagedError, UnsupportedError.
        """
        assert self.in_rows is not None
        bits_end, begin = _head(size)
        streams = [data[begin : begin + int.from_bytes(data[bits_end:begin], "big")] for data in hunks]
        contents = self.in_rows.each(streams, size // FRAME_BYTES * MAIN_BYTES, where=where)
        return zip(contents, [int.from_bytes(data[:bits_end], "little") for data in hunks], strict=True)


def _head(size: int) -> tuple[int, int]:
    """Where in a packed hunk of `size` bytes the bits of its frames end, and where the first stream begins."""
    bits_end = -(-size // FRAME_BYTES // 8)
    return bits_end, bits_end + (2 if size < 1 << 16 else 3)


def _with_ecc(content: bytearray, bits: int, frames: int) -> bytearray:
    """With sync and ECC in those frames of the main channel whose bit is set."""
    starts = [frame * MAIN_BYTES for frame in range(frames) if bits >> frame & 1]
    bodies = []
    for start in starts:
        content[start : start + len(SYNC)] = SYNC
        is_mode2 = content[start + 15] == 2
        bodies += [bytes(4) if is_mode2 else content[start + 12 : start + 16]]
        bodies += [content[start + 16 : start + ecc.PARITY_OFFSET]]
    parity = ecc.parity(b"".join(bodies))
    for number, start in enumerate(starts):
        here = number * ecc.PARITY_BYTES
        content[start + ecc.PARITY_OFFSET : start + MAIN_BYTES] = parity[here : here + ecc.PARITY_BYTES]
    return content


def _frames(main: codecs.Content, subcode: codecs.Content) -> bytes:
    """Each frame's main channel with its subcode behind it."""
    mains, subcodes, parts = memoryview(main), memoryview(subcode), []
    for frame in range(len(subcode) // SUBCODE_BYTES):
        parts.append(mains[frame * MAIN_BYTES : (frame + 1) * MAIN_BYTES])
        parts.append(subcodes[frame * SUBCODE_BYTES : (frame + 1) * SUBCODE_BYTES])
    return b"".join(parts)


def _uncdfl(data: bytes, size: int, where: int) -> codecs.Content:
    frames = size // FRAME_BYTES
    main = flac.to_bytes(flac.decode(data, frames * _SAMPLES, where), "big")
    return _frames(main, _subcode_behind_flac(data, frames * SUBCODE_BYTES, where))


def _subcode_behind_flac(data: bytes, size: int, where: int) -> bytes:
    """Nothing says where the frames end. Most discs have no subcode, which everybody's zlib packs in the same bytes."""
    if data.endswith(_packed_zeros(size)):
        return bytes(size)
    for end in flac.ends(data):
        stream = zlib.decompressobj(-15)
        try:
            content = stream.decompress(data[end:], size + 1)
        except zlib.error:
            continue
        if len(content) == size and stream.eof and not stream.unused_data:
            return content
    raise DamagedError(where, "there is no subcode behind the FLAC data")


@functools.cache
def _packed_zeros(size: int) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(bytes(size)) + stream.flush()


IN_ROWS = {b"zlib": codecs.inflate, b"zstd": codecs.unzstd}
"""Codecs that take many hunks at once: Python's part of a hunk of 4 KiB would cost more than the decoding."""

_CODECS: dict[bytes, Unpack] = {
    b"zlib": _inflate,
    b"lzma": _unlzma,
    b"zstd": _unzstd,
    b"huff": _unhuff,
    b"flac": _unflac,
    b"cdzl": CdCodec(_inflate, _inflate, codecs.inflate),
    b"cdlz": CdCodec(_unlzma, _inflate),
    b"cdzs": CdCodec(_unzstd, _unzstd, codecs.unzstd),
    b"cdfl": _uncdfl,
}
