"""Ogg Vorbis: packets in pages, each telling the number of the sample behind its last packet. Integers are little-endian.

page, 27 bytes and a table                       Vorbis packets
0    4  "OggS"                                   1  "\\x01vorbis", u32 0, u8 channels, u32 rate, 12 bytes, u8 sizes of short
4    1  version      0                              and long blocks (powers of 2, 4 bits each), u8 1
5    1  flags        1 goes on with a packet,    2  "\\x03vorbis", comments
                     2 first page, 4 last        3  "\\x05vorbis", codebooks and more; its last bits: 6 bits modes - 1, for
6    8  position     samples up to its end;         each 1 bit long, 16 bits 0, 16 bits 0, 8 bits mapping; a 1
                     -1: no packet ends here     4  from here on sound: a 0 bit, the mode in as many bits as it takes; of a
14   4  stream                                      long block 1 bit: the block before is long, 1 bit: the one after is
18   4  number
22   4  CRC-32       polynomial 0x04C11DB7, initial 0, over the page with 0 here
26   1  n            bytes of the table: lengths; a packet ends with the first below 255

Two neighbouring blocks overlap: a packet gives a quarter of the sizes of its block and of the one before. So a piece is
decoded from the packet before it on, in pages that are made anew. stb_vorbis, the decoder in miniaudio, leaves out samples
behind a first block that is long where the next one is short: such a packet stands there twice. The position of the page
before tells where the samples belong.

The samples of a file are those from position 0 to that of the last page; where its first page begins later (a cut-out), from
there on, and where it has less than its packets give, their first ones are left out, as in the specification.
Sources: RFC 3533; Vorbis I specification §4, §A.2.
"""

import itertools
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imagefs.disc.audio.decoder import BLOCK_BYTES, CHANNELS, RATE, SAMPLE_BYTES, decode, little_endian, need
from imagefs.disc.audio.seeking import last_at, scan
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.packed import PackedReader
from imagefs.readers import Reader

MAGIC = b"OggS"
_PAGE = struct.Struct("<4sBBqIIIB")
_CRC_AT = slice(22, 26)
_USUAL_PAGE, _LONGEST_PAGE = 8192, _PAGE.size + 255 + 255 * 255
_GOES_ON, _FIRST, _LAST = 1, 2, 4
_IDENTIFICATION = struct.Struct("<7sIBI12xBB")
_NAMES = (b"\x01vorbis", b"\x03vorbis", b"\x05vorbis")
_NO_COMMENTS = _NAMES[1] + struct.pack("<II", 0, 0) + b"\1"
_OTHERS = ((b"OpusHead", "Opus"), (b"\x7fFLAC", "Ogg FLAC"), (b"Speex", "Speex"), (b"\x80theora", "Theora"))
_HEADER_PAGES = 1024
_SETUP_BYTES = 1 << 20
_PIECE_BYTES = 16 << 20
"""of compressed pages that may be decoded at once: 1 MiB of samples takes 400 KiB at the highest quality"""
_BESIDE_SAMPLES = 1 << 22
"""What may have to be decoded besides what is asked for: what a page has at both ends, 255 blocks of 8192 samples each."""
_LEAST_BLOCK = 64
_MOST_MAGICS = 16
"""What is looked at in 32 KiB: chance makes none that is no page."""
_MODE_BITS, _COUNT_BITS = 41, 6
_EVERY = 1 << 62


class _Page(NamedTuple):
    """A page at byte `offset`; `sample` is its position."""

    offset: int
    sample: int
    size: int
    flags: int
    stream: int
    table: bytes

    @property
    def packets(self) -> int:
        """How many end on it."""
        return sum(length < 255 for length in self.table)


class _BlockSizes(NamedTuple):
    """The sizes of short and long blocks, and which modes have long ones."""

    short: int
    long: int
    is_long: Sequence[bool]

    def size(self, packet: bytes) -> int:
        """The block's size; 0 for a packet that is no sound."""
        mode = packet[0] >> 1 & (1 << self._bits) - 1 if packet and not packet[0] & 1 else len(self.is_long)
        return 0 if mode >= len(self.is_long) else self.long if self.is_long[mode] else self.short

    def when_doubled(self, packet: bytes) -> int:
        """What the decoder gives of the second of two that are the same, the first in their stream, up to the middle."""
        size = self.size(packet)
        return (size + (size if self._flag(packet, 1) else self.short)) // 4 - self.beyond(packet)

    def beyond(self, packet: bytes) -> int:
        """The samples behind the middle of its block that the decoder gives at once: a short block overlaps little of it."""
        size = self.size(packet)
        return 0 if self._flag(packet, 2) else (size - self.short) // 4

    def _flag(self, packet: bytes, number: int) -> bool:
        """Whether the block before (1), or after (2), is long; of a short block it does not matter."""
        bits = int.from_bytes(packet[:2], "little") >> self._bits
        return self.size(packet) == self.short or bool(bits >> number & 1)

    @property
    def _bits(self) -> int:
        return (len(self.is_long) - 1).bit_length()


def is_ogg(head: bytes) -> bool:
    """Whether a file that begins so is in Ogg's pages."""
    return head.startswith(MAGIC)


def samples_in_ogg(source: Reader) -> Reader:
    """The samples. Raises UnsupportedError for another coding than Vorbis, stereo at 44100 Hz; DamagedError."""
    need("vorbis")
    return _VorbisReader(source)


class _VorbisReader(PackedReader):
    """Any block is decoded from the pages that hold it and the packet before."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._stream, self._begin, identification, setup = _headers(source)
        self._sizes = _block_sizes(identification, setup)
        self._head = _stream_of((identification, _NO_COMMENTS, setup))
        first = self._find(self._begin, source.size)
        if first is None:
            raise DamagedError(self._begin, "an Ogg file without sound")
        self._first, last = first, last_at(first, source.size, _EVERY, self._find)
        self._origin = self._start_of_first(is_only=last == first)
        self._base = max(0, self._origin)
        behind = _page_in(source.pread(last.offset + last.size, _LONGEST_PAGE), 0, 0)
        if behind is not None and behind.flags & _FIRST:
            raise UnsupportedError("an Ogg file of several streams, one behind the other")
        samples = last.sample - self._base
        if samples <= 0:
            raise DamagedError(last.offset, "an Ogg file whose last page comes before its first")
        super().__init__(samples * SAMPLE_BYTES, BLOCK_BYTES)

    def _start_of_first(self, *, is_only: bool) -> int:
        """The position at which the first page begins: 0, more in a cut-out; below 0 where samples are to be left out."""
        if is_only and self._first.flags & _LAST:
            return 0
        packets = [packet for packet, _ in self._packets(self._begin, self._first.offset + 1)]
        return self._first.sample - sum(self._lengths(packets))

    def _find(self, begin: int, end: int) -> _Page | None:
        """The first page of the stream on which a packet ends, between two byte offsets."""
        return scan(self._source, begin, end, _LONGEST_PAGE, self._look)

    def _look(self, window: bytes, start: int) -> _Page | None:
        at = window.find(MAGIC)
        left = _MOST_MAGICS
        while at >= 0 and left:
            page = _page_in(window, at, start)
            if page is not None and page.stream == self._stream and page.sample >= 0:
                return page
            left -= page is None
            at = window.find(MAGIC, at + 1 if page is None else at + page.size)
        return None

    def _pages(self, begin: int) -> Iterator[tuple[_Page, bytes]]:
        """The pages of the stream from byte `begin` on, with their content. Raises DamagedError between broken ones."""
        while begin < self._source.size:
            page, content = _page_at(self._source, begin)
            if page.stream == self._stream:
                yield page, content
            begin += page.size

    def _packets(self, begin: int, end: int) -> Iterator[tuple[bytes, _Page]]:
        """The packets, with the page that each ends on, of the pages from byte `begin` to `end`; whole ones alone."""
        part: bytearray | None = None
        taken = 0
        for page, content in self._pages(begin):
            if page.offset >= end:
                return
            taken += page.size
            if taken > _PIECE_BYTES:
                raise DamagedError(begin, "the pages of an Ogg file have far more bytes than samples")
            if not page.flags & _GOES_ON:
                part = bytearray()
            for piece, is_end in _pieces(page, content):
                if part is not None:
                    part += piece
                if is_end:
                    if part:
                        yield bytes(part), page
                    part = bytearray()

    def _lengths(self, packets: Sequence[bytes]) -> list[int]:
        """The samples of all packets but the first."""
        sizes = [self._sizes.size(packet) for packet in packets]
        return [before // 4 + size // 4 for before, size in itertools.pairwise(sizes)]

    def unpack(self, first: int, count: int) -> bytes:
        begin = self._base + first * BLOCK_BYTES // SAMPLE_BYTES
        end = begin + min(count * BLOCK_BYTES, self.size - first * BLOCK_BYTES) // SAMPLE_BYTES
        packets, origin = self._from(begin, end)
        lengths = self._lengths(packets)
        if sum(lengths) < end - origin:
            raise DamagedError(self._first.offset, f"the packets of samples {begin} to {end} are not all there")
        primer, before, behind = packets[0], 0, self._sizes.beyond(packets[-1])
        if self._sizes.beyond(primer):
            packets, before = [primer, *packets], self._sizes.when_doubled(primer)
        stream = self._head + _stream_of(packets, first=3)
        samples = decode("vorbis", stream, self._first.offset, before + sum(lengths) + behind)
        return little_endian(samples, before + begin - origin, end - begin)

    def _from(self, begin: int, end: int) -> tuple[list[bytes], int]:
        """The packet before sample `begin` and those up to sample `end`, and the sample behind the first of them."""
        source, first = self._source, self._first
        found: list[bytes] = []
        if first.sample > begin:
            start, origin = self._begin, self._origin
        else:
            page = last_at(first, source.size, begin, self._find)
            origin = page.sample
            start = page.offset
            if page.flags & _GOES_ON and page.packets == 1:  # its packet begins on a page before
                above = last_at(first, source.size, origin - 1, self._find) if first.sample < origin else None
                start = above.offset if above else self._begin
        last, left = -1, end - begin + _BESIDE_SAMPLES
        for packet, page in self._packets(start, source.size):
            if page.sample == origin and first.sample <= begin:
                found = [packet]  # the last one that ends there
                continue
            if last >= end and page.sample != last:
                break
            found.append(packet)
            last = page.sample
            left -= max(self._sizes.size(packet), _LEAST_BLOCK) // 2
            if left < 0:
                raise DamagedError(page.offset, f"there are far more samples than from {begin} to {end}")
        self.count_in(sum(map(len, found)))
        if not found:
            raise DamagedError(first.offset, f"there are no packets of sample {begin}")
        return found, origin


def _page_in(raw: bytes, at: int, start: int) -> _Page | None:
    """The page at byte `at` of what lies at byte `start` of the file, None when there is no whole one."""
    if at + _PAGE.size > len(raw):
        return None
    magic, version, flags, position, stream, _, crc, entries = _PAGE.unpack_from(raw, at)
    table = raw[at + _PAGE.size : at + _PAGE.size + entries]
    size = _PAGE.size + entries + sum(table)
    page = raw[at : at + size]
    if magic != MAGIC or version or len(table) != entries or len(page) != size:
        return None
    if _crc(page[: _CRC_AT.start] + bytes(4) + page[_CRC_AT.stop :]) != crc:
        return None
    return _Page(start + at, position, size, flags, stream, table)


def _page_at(source: Reader, offset: int) -> tuple[_Page, bytes]:
    """The page at a byte offset, and its content. Raises DamagedError."""
    for length in (_USUAL_PAGE, _LONGEST_PAGE):
        raw = source.pread(offset, length)
        page = _page_in(raw, 0, offset)
        if page is not None:
            return page, raw[page.size - sum(page.table) : page.size]
    raise DamagedError(offset, "a page of the Ogg file is broken")


def _pieces(page: _Page, content: bytes) -> Iterator[tuple[bytes, bool]]:
    """What a page has of each of its packets, and whether the packet ends there."""
    at = end = 0
    for length in page.table:
        end += length
        if length < 255:
            yield content[at:end], True
            at = end
    if at < end:
        yield content[at:], False


def _headers(source: Reader) -> tuple[int, int, bytes, bytes]:
    """(number of the stream, byte offset of the sound, identification packet, setup packet)."""
    packets: list[bytes] = []
    part, at, stream = bytearray(), 0, -1
    for _ in range(_HEADER_PAGES):
        page, content = _page_at(source, at)
        stream = page.stream if stream < 0 else stream
        if page.stream != stream:
            raise UnsupportedError("an Ogg file of several streams")
        for piece, is_end in _pieces(page, content):
            if len(packets) != 1 or not part:  # comments hold pictures, and are not needed
                part += piece
            if len(part) > _SETUP_BYTES:
                raise DamagedError(at, "a header of the Ogg file is far too long")
            if is_end:
                packets.append(bytes(part))
                part.clear()
                _check(packets, at)
        at += page.size
        if len(packets) >= len(_NAMES):
            return stream, at, packets[0], packets[2]
    raise DamagedError(at, "the headers of the Ogg file do not end")


def _check(packets: Sequence[bytes], at: int) -> None:
    """Whether the last of the packets is the one that should stand there."""
    packet, number = packets[-1], len(packets) - 1
    if not number:
        for magic, name in _OTHERS:
            if packet.startswith(magic):
                raise UnsupportedError(f"{name} audio is not read")
    if number < len(_NAMES) and not packet.startswith(_NAMES[number]):
        raise DamagedError(at, f"packet {number} of the Ogg file is none of Vorbis")


def _block_sizes(identification: bytes, setup: bytes) -> _BlockSizes:
    """What the headers say of blocks. Raises UnsupportedError for another coding than stereo at 44100 Hz."""
    if len(identification) < _IDENTIFICATION.size:
        raise DamagedError(0, "the first packet of the Ogg file is cut short")
    _, _, channels, rate, sizes, _ = _IDENTIFICATION.unpack_from(identification)
    if (channels, rate) != (CHANNELS, RATE):
        raise UnsupportedError(f"Ogg audio of {channels} channels, {rate} Hz is not read; stereo at 44100 Hz is")
    return _BlockSizes(1 << (sizes & 15), 1 << (sizes >> 4), _modes(setup))


def _modes(setup: bytes) -> list[bool]:
    """Which modes have long blocks, the first first.

    They stand at the very end, their number before them. Read from there, of several numbers that fit the largest is right:
    what is before the modes does not look like one.
    """
    bits = int.from_bytes(setup, "little")
    end = bits.bit_length() - 1  # of the modes; above is the framing bit
    found: list[bool] = []
    modes: list[bool] = []
    while end >= _MODE_BITS + _COUNT_BITS and len(modes) < 64:
        mode = bits >> end - _MODE_BITS & (1 << _MODE_BITS) - 1
        if mode >> 1 & 0xFFFF_FFFF or mode >> 33 > 63:
            break
        modes.insert(0, bool(mode & 1))
        end -= _MODE_BITS
        if (bits >> end - _COUNT_BITS & 63) + 1 == len(modes):
            found = list(modes)
    if not found:
        raise DamagedError(0, "the modes in the setup of the Ogg file are broken")
    return found


def _stream_of(packets: Sequence[bytes], first: int = 0) -> bytes:
    """Pages that hold the packets, one in as many as it takes, without positions. `first` is the first page's number."""
    pages, number = [], first
    for packet in packets:
        table = b"\xff" * (len(packet) // 255) + bytes((len(packet) % 255,))
        for at in range(0, len(table), 255):
            piece = table[at : at + 255]
            flags = (_GOES_ON if at else 0) | (0 if number else _FIRST)
            content = packet[at * 255 : (at + 255) * 255]
            page = _PAGE.pack(MAGIC, 0, flags, -1, 1, number, 0, len(piece)) + piece + content
            crc = struct.pack("<I", _crc(page))
            pages.append(page[: _CRC_AT.start] + crc + page[_CRC_AT.stop :])
            number += 1
    return b"".join(pages)


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ONES = 0xFFFF_FFFF


def _crc(data: bytes) -> int:
    """The CRC-32 of a page. It is zlib's with all bits in the other order, from 0 on and not inverted."""
    code = zlib.crc32(data.translate(_MIRRORED), _ONES) ^ _ONES
    return int.from_bytes(code.to_bytes(4, "little").translate(_MIRRORED), "big")
