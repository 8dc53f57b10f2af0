"""LZ4 frames: blocks that are packed alone, or each with the 64 KiB before it at hand.

a frame         size     field        meaning (all little-endian)
header          4        magic        04 22 4D 18
                1        flags        bits 6-7 version 1, 5 blocks are independent, 4 they have checksums, 3 size of
                                      the content, 2 checksum of the content, 0 a dictionary
                1        largest      bits 4-6 the most a block gives: 4 to 7 for 64 KiB, 256 KiB, 1 MiB, 4 MiB
                0, 8     size         of the content
                0, 4     dictionary   its number
                1        check        of the header
blocks          4        size         bit 31: the block is plain; 0 ends the frame
                *        data
                0, 4     checksum     XXH32 of the data
end             0, 4     checksum     XXH32 of the content

A frame of the old format has the magic 02 21 4C 18, then blocks of 8 MiB (the last one less), each a size and the data, up
to the end of the file or another magic. A skippable frame has the magic 50 to 5F 2A 4D 18, its size and anything.

No block tells the size of its content, so all of it is decoded once when the image is opened, which is about as fast as
reading it, and the checksums are compared. Then each block that is independent is a place where decoding can begin; of the
others, those where the 64 KiB before are kept. Of a frame that is broken or fails its checksum nothing is shown, unless its
blocks have checksums; of one that ends early the blocks before the end are.
Source: lz4_Frame_format.md 1.6.4.
"""

from array import array
from bisect import bisect_right
from typing import NamedTuple

from imagefs import codecs
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader
from imagefs.wrappers._streams import Index, Stream, StreamReader, before_damage, check_growth

MAGIC, OLD_MAGIC, SKIPPABLE, SKIPPABLE_MASK = 0x184D2204, 0x184C2102, 0x184D2A50, 0xFFFF_FFF0
INDEPENDENT, BLOCK_CHECKSUMS, SIZE, CHECKSUM, DICTIONARY = 0x20, 0x10, 0x08, 0x04, 0x01
PLAIN = 1 << 31
OLD_LARGEST = 8 << 20
WINDOW = 64 << 10
HEADER_BYTES = 19
"""The longest header."""


class _Frame(NamedTuple):
    """A frame's header: its length in the file, the most a block gives, and what its flags say."""

    length: int
    largest: int
    is_independent: bool
    has_block_checksums: bool
    has_checksum: bool
    is_old: bool = False

    @property
    def longest(self) -> int:
        """The most that a block has in the file; what does not shrink is plain, but not in the old format."""
        return self.largest + self.largest // 255 + 16


_OLD = _Frame(4, OLD_LARGEST, is_independent=True, has_block_checksums=False, has_checksum=False, is_old=True)


def _frame(raw: bytes, where: int) -> _Frame:
    """Raises DamagedError, UnsupportedError."""
    magic = int.from_bytes(raw[:4], "little")
    if magic == OLD_MAGIC:
        return _OLD
    if magic != MAGIC or len(raw) < 7:
        raise DamagedError(where, "no LZ4 frame begins there")
    flags, largest = raw[4], raw[5] >> 4 & 7
    if flags >> 6 != 1:
        raise UnsupportedError(f"LZ4 frame version {flags >> 6} is not read")
    if flags & DICTIONARY:
        raise UnsupportedError("it is packed with an LZ4 dictionary, which is not read")
    if largest < 4:
        raise DamagedError(where, f"blocks of no size ({largest}) in an LZ4 frame")
    return _Frame(
        15 if flags & SIZE else 7,
        1 << 8 + 2 * largest,
        bool(flags & INDEPENDENT),
        bool(flags & BLOCK_CHECKSUMS),
        bool(flags & CHECKSUM),
    )


class _Block(NamedTuple):
    """A block in the file: where it begins, its data's place and length, where the next one begins."""

    start: int
    data: int
    length: int
    is_plain: bool
    end: int


def _block(reader: Reader, at: int, frame: _Frame) -> _Block | None:
    """The block at byte `at`, None at the end of the frame. Raises DamagedError."""
    head = reader.pread(at, 4)
    value = int.from_bytes(head, "little")
    if frame.is_old:
        if not head or value in (MAGIC, OLD_MAGIC) or _is_skippable(value):
            return None
    elif len(head) == 4 and not value:
        return None
    length, is_plain = (value, False) if frame.is_old else (value & ~PLAIN, bool(value & PLAIN))
    end = at + 4 + length + (4 if frame.has_block_checksums else 0)
    if len(head) < 4 or end > reader.size:
        raise _CutError(reader.size, "the LZ4 data ends early: the file was cut off")
    if length > frame.longest:
        raise DamagedError(at, f"an LZ4 block of {length} bytes")
    return _Block(at, at + 4, length, is_plain, end)


class _CutError(DamagedError):
    """The file ends inside a frame."""


class _Blocks:
    """Decodes blocks in a row. `window` is the content before the first of them, None where blocks are independent."""

    unused_data = b""

    def __init__(self, largest: int, window: bytes | None) -> None:
        self._largest, self._window, self._rest = largest, window, b""
        self.is_plain, self.eof = False, False

    @property
    def needs_input(self) -> bool:
        return not self._rest

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        content = self._unpacked(data) if data else self._rest
        self._rest = content[max_length:]
        return content[:max_length]

    def _unpacked(self, data: bytes) -> bytes:
        import lz4.block

        window, content = self._window, data
        if not self.is_plain:
            content = lz4.block.decompress(data, uncompressed_size=self._largest, dict=window or b"")
        if window is not None:
            self._window = (window + content)[-WINDOW:]
        return content


class _BlockStream(Stream):
    """The blocks of a frame from byte `start` of the file on."""

    def __init__(self, stored: Reader, start: int, frame: _Frame, window: bytes | None) -> None:
        self._frame, self._blocks = frame, _Blocks(frame.largest, window)
        _, errors = codecs.unlz4.require()
        super().__init__(self._blocks, stored, start, stored.size, name="LZ4", errors=errors, is_open=True)

    def _feed(self) -> bytes:
        block = _block(self._stored, self.at, self._frame)
        if block is None:
            return b""
        self.at, self._blocks.is_plain = block.end, block.is_plain
        return self._stored.exactly(block.data, block.length)


class _Frames:
    """The headers of frames by the start of their content."""

    def __init__(self) -> None:
        self._starts, self._headers = array("Q"), list[_Frame]()

    def add(self, start: int, header: _Frame) -> None:
        self._starts.append(start)
        self._headers.append(header)

    def at(self, start: int) -> _Frame:
        """The header of the frame that a byte of the content comes from."""
        return self._headers[bisect_right(self._starts, start) - 1]


class Lz4Reader(StreamReader):
    """The content of LZ4 frames. A checkpoint is the content before it."""

    def __init__(self, stored: Reader, index: Index[bytes], frames: _Frames) -> None:
        super().__init__(stored, array("Q", [*index.starts, index.size]))
        self._stored, self._checkpoints, self._frames = index.stored, index.checkpoints, frames

    def begin(self, piece: int) -> Stream:
        start = self.starts[piece]
        frame = self._frames.at(start)
        window = None if frame.is_independent else self._checkpoints.get(start, b"")
        return _BlockStream(self.stored, self._stored[piece], frame, window)


# --- the first pass -------------------------------------------------------------------------------------------------


def _is_skippable(magic: int) -> bool:
    return magic & SKIPPABLE_MASK == SKIPPABLE


def _add_frames(reader: Reader, index: Index[bytes], frames: _Frames) -> None:
    """Decode all once. Raises DamagedError where the file is damaged; the index then has what lies before."""
    at = 0
    while at < reader.size:
        raw = reader.pread(at, HEADER_BYTES)
        if len(raw) >= 8 and _is_skippable(int.from_bytes(raw[:4], "little")):
            at += 8 + int.from_bytes(raw[4:8], "little")
            if at > reader.size:
                raise _CutError(reader.size, "the LZ4 data ends early: the file was cut off")
            continue
        frame, start = _frame(raw, at), index.size
        frames.add(start, frame)
        try:
            at = _add_frame(reader, at, frame, index)
        except _CutError:
            raise
        except DamagedError:
            if not frame.has_block_checksums:
                index.cut(start)
            raise


def _add_frame(reader: Reader, at: int, frame: _Frame, index: Index[bytes]) -> int:
    """Decode the frame at byte `at`; where it ends."""
    check = _Check(frame, reader.exactly(at, frame.length), at)
    at += frame.length
    window, is_first = b"", True
    while block := _block(reader, at, frame):
        content = check.decompress(reader.exactly(block.start, block.end - block.start), at)
        if content:
            if frame.is_independent or is_first:
                index.add(at)
                is_first = False
            elif index.is_due():
                index.add(at, window)
            index.size += len(content)
            check_growth(reader.size, index.size)
        if not frame.is_independent:
            window = (window + content)[-WINDOW:]
        at = block.end
    if frame.is_old:
        return at
    end = at + (8 if frame.has_checksum else 4)
    if end > reader.size:
        raise _CutError(reader.size, "the LZ4 data ends early: the file was cut off")
    check.decompress(reader.exactly(at, end - at), at)
    return end


class _Check:
    """Decodes a frame block by block, comparing its checksums."""

    def __init__(self, frame: _Frame, header: bytes, where: int) -> None:
        import lz4.frame

        self._blocks, self._largest = _Blocks(frame.largest, None), frame.largest
        self._decompressor = None if frame.is_old else lz4.frame.LZ4FrameDecompressor()
        self._errors: tuple[type[Exception], ...] = (*codecs.unlz4.require().errors, RuntimeError, EOFError)
        if not frame.is_old:
            self.decompress(header, where)

    def decompress(self, data: bytes, where: int) -> bytes:
        """The content of the next bytes of the frame, a block or what lies around blocks. Raises DamagedError."""
        try:
            if self._decompressor is None:
                return self._blocks.decompress(data[4:], self._largest)
            content: bytes = self._decompressor.decompress(data, self._largest)
        except self._errors as error:
            raise DamagedError(where, f"the LZ4 data is broken ({error})") from error
        return content


def probe(candidate: Candidate) -> Match | None:
    """A skippable frame has a magic that is no great proof: a frame must follow the first of them."""
    head = candidate.head(HEADER_BYTES)
    magic = int.from_bytes(head[:4], "little")
    if _is_skippable(magic):
        head = candidate.at(8 + int.from_bytes(head[4:8], "little"), HEADER_BYTES)
        magic = int.from_bytes(head[:4], "little")
    if magic == MAGIC and len(head) >= 7 and head[4] >> 6 == 1:
        return Match(85, "LZ4 frame magic")
    if magic == OLD_MAGIC and len(head) > 8 and 0 < int.from_bytes(head[4:8], "little") <= _OLD.longest:
        return Match(85, "LZ4 magic of the old format")
    return None


def open_lz4(candidate: Candidate, options: Options) -> Reader:
    """The content; what cannot be had of a damaged file is missing.

    Raises DamagedError when that is all, UnsupportedError, OSError.
    """
    codecs.unlz4.require()
    index, frames, damage = Index[bytes]("LZ4 blocks"), _Frames(), None
    try:
        _add_frames(candidate.reader, index, frames)
    except DamagedError as error:
        damage = error
    return before_damage(Lz4Reader(candidate.reader, index, frames), damage)


FORMAT = Format(
    name="lz4",
    title="an LZ4 file",
    layer=Layer.WRAPPER,
    extensions=("lz4",),
    mime=("application/x-lz4",),
    probe=probe,
    open=open_lz4,
    reads="frames of both formats, random access by block; the blocks before the end of a cut file",
    lacks="dictionaries",
)
