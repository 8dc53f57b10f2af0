"""gzip: one or more members, each a deflate stream with its CRC-32 and size.

offset  size  field        meaning (all little-endian)
0       2     magic        1F 8B
2       1     method       8, deflate
3       1     flags        2 header CRC, 4 extra field, 8 name, 16 comment; 1 is text; the others are reserved
4       6     time, what the packer did, its system
10      2+n   extra        with flag 4: length, then fields of id (2), length (2), data
              name, comment, header CRC as the flags say; the deflate stream
end-8   4     crc          CRC-32 of the content
end-4   4     size         of the content modulo 2^32

Nothing tells the size of an image but a pass over all of it, which is made when it is opened. On the way checkpoints are
kept: copies of the decoder every few MiB, farther apart the larger the image is. Decoding goes on from them, and from the
starts of members. BGZF (bgzip) has members of at most 64 KiB that say how long they are (extra field BC): their index is
made without decoding them.

Zeros behind the last member are padding of tapes and blocks. When a member is broken or its check is wrong nothing tells
which of its bytes are right: none of them is shown. Of one that ends early those before the end are.
Source: RFC 1952; SAM/BAM specification §4.1 for BGZF.
"""

import struct
import zlib
from array import array
from collections.abc import Iterator
from typing import Protocol

from imagefs.errors import DamagedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader
from imagefs.wrappers._streams import FEED_BYTES, SKIP_BYTES, Index, Stream, StreamReader, before_damage, check_growth

HEADER = struct.Struct("<2sBB6xH2sHH")
"""Up to the value of an extra field BC, where that is the first."""
MAGIC, DEFLATE, EXTRA, RESERVED = b"\x1f\x8b", 8, 4, 0xE0
BGZF_BYTES = 64 << 10
WITH_HEADER = 31  # of zlib: the stream has the header and the trailer of gzip, and they are checked


class _Inflate(Protocol):
    """The decompression objects of zlib, whose class has no public name."""

    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...
    def copy(self) -> "_Inflate": ...


class _Inflater:
    """zlib in the manner of bz2 and lzma."""

    def __init__(self, inflate: _Inflate) -> None:
        self._inflate = inflate

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflate.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inflate.decompress(data or self._inflate.unconsumed_tail, max_length)


class GzReader(StreamReader):
    """The content of a gzip file."""

    def __init__(self, stored: Reader, index: Index[_Inflate]) -> None:
        super().__init__(stored, array("Q", [*index.starts, index.size]))
        self._stored, self._checkpoints, self._is_cut = index.stored, index.checkpoints, index.is_cut

    def begin(self, piece: int) -> Stream:
        checkpoint = self._checkpoints.get(self.starts[piece])
        inflate = checkpoint.copy() if checkpoint else zlib.decompressobj(WITH_HEADER)
        end = self.starts[piece + 1]
        return Stream(
            _Inflater(inflate),
            self.stored,
            self._stored[piece],
            self.stored.size,
            name="gzip",
            errors=(zlib.error,),
            is_open=end in self._checkpoints or (self._is_cut and end == self.size),
        )


def _add_members(reader: Reader, index: Index[_Inflate]) -> None:
    """Pass over the file once. Raises DamagedError where it is damaged; the index then has what lies before."""
    at = 0
    while at < reader.size:
        head = reader.pread(at, HEADER.size)
        if not _is_member(head):
            if not _is_padding(reader, at):
                raise DamagedError(at, "no gzip member lies there")
            return
        end = _bgzf_end(head, at)
        if end and end <= reader.size:
            size = int.from_bytes(reader.exactly(end - 4, 4), "little")
            if size <= BGZF_BYTES:
                if size:
                    index.add(at)
                    index.size += size
                at = end
                continue
        at = _add_member(reader, at, index)


def _add_member(reader: Reader, at: int, index: Index[_Inflate]) -> int:
    """Decode the member at byte `at`; where it ends."""
    begin, start, inflate = at, index.size, zlib.decompressobj(WITH_HEADER)
    is_new = True
    while not inflate.eof:
        data = reader.pread(at, FEED_BYTES)
        at += len(data)
        before = index.size
        try:
            for part in _inflated(inflate, data):
                if is_new:
                    index.add(begin)
                    is_new = False
                index.size += part
                check_growth(reader.size, index.size)
        except zlib.error as error:
            index.cut(start)
            raise DamagedError(at - len(data), f"the gzip data is broken ({error})") from error
        if not data and index.size == before:
            index.is_cut = True
            raise DamagedError(at, "the gzip data ends early: the file was cut off")
        if not is_new and index.is_due() and not inflate.eof:
            index.add(at, inflate.copy())
    return at - len(inflate.unused_data)


def _inflated(inflate: _Inflate, data: bytes) -> Iterator[int]:
    """How many bytes come of `data`, in parts of at most SKIP_BYTES."""
    while True:
        part = len(inflate.decompress(data, SKIP_BYTES))
        data = inflate.unconsumed_tail
        if part:
            yield part
        if not data:
            return


def _is_member(head: bytes) -> bool:
    return len(head) >= 4 and head[:2] == MAGIC and head[2] == DEFLATE and not head[3] & RESERVED


def _bgzf_end(head: bytes, at: int) -> int | None:
    """Where a member of BGZF ends, None for one that does not tell."""
    if len(head) < HEADER.size:
        return None
    _, _, flags, extra, name, length, last = HEADER.unpack(head)
    return at + last + 1 if flags & EXTRA and extra >= 6 and (name, length) == (b"BC", 2) and last > 25 else None


def _is_padding(reader: Reader, at: int) -> bool:
    """Whether nothing but zeros follows."""
    return not any(any(reader.pread(where, SKIP_BYTES)) for where in range(at, reader.size, SKIP_BYTES))


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(HEADER.size)
    return Match(85, "gzip magic, method deflate") if len(head) == HEADER.size and _is_member(head) else None


def open_gz(candidate: Candidate, options: Options) -> Reader:
    """The content; what cannot be had of a damaged file is missing. Raises DamagedError when that is all, OSError."""
    index, damage = Index[_Inflate]("gzip members"), None
    try:
        _add_members(candidate.reader, index)
    except DamagedError as error:
        damage = error
    return before_damage(GzReader(candidate.reader, index), damage)


FORMAT = Format(
    name="gzip",
    title="a gzip file",
    layer=Layer.WRAPPER,
    extensions=("gz", "bgz"),
    mime=("application/gzip",),
    probe=probe,
    open=open_gz,
    reads="any number of members, BGZF, random access through checkpoints; the content before the end of a cut file",
)
