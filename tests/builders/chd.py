"""CHD files written by the format's description, for what chdman 0.251 does not write: old versions, zstd, DVDs, odd maps.

chdman itself verifies in tests/containers/test_chd.py what is made here, as far as it knows it.
"""

import hashlib
import lzma
import struct
import zlib
from binascii import crc_hqx
from collections.abc import Callable, Sequence
from typing import NamedTuple

import zstandard


class Hunk(NamedTuple):
    """One hunk's place in a version 5 map: `kind` 0 to 3 a codec, 4 plain, 5 self, 6 parent, 9 to 13 the short forms."""

    kind: int
    content: bytes = b""
    number: int = 0  # of kinds 5 and 6
    padding: int = 0  # bytes that follow what is packed and count as it


class Meta(NamedTuple):
    tag: bytes
    data: bytes


def deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


def lzma1(data: bytes) -> bytes:
    """Raw LZMA1 without an end: liblzma writes none into a raw stream's last bytes but those that it needs."""
    filters = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 20}]
    return lzma.compress(data, lzma.FORMAT_RAW, filters=filters)


def zstd(data: bytes) -> bytes:
    """As MAME writes it: a frame that does not state its size."""
    stream = zstandard.ZstdCompressor(level=3, write_content_size=False).compressobj()
    return stream.compress(data) + stream.flush()


def _cd(main: Callable[[bytes], bytes], subcode: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Frames without any ECC taken out."""

    def pack(data: bytes) -> bytes:
        frames = range(0, len(data), 2448)
        first = main(b"".join(data[at : at + 2352] for at in frames))
        second = subcode(b"".join(data[at + 2352 : at + 2448] for at in frames))
        bits = bytes(-(-len(frames) // 8))
        return bits + len(first).to_bytes(2 if len(data) < 65536 else 3, "big") + first + second

    return pack


PACK = {
    b"zlib": deflate,
    b"lzma": lzma1,
    b"zstd": zstd,
    b"cdzl": _cd(deflate, deflate),
    b"cdlz": _cd(lzma1, deflate),
    b"cdzs": _cd(zstd, zstd),
}


def whole(content: bytes, hunk_bytes: int = 4096, name: bytes = b"zlib") -> list[Hunk]:
    """All hunks of a content, the last filled up with zeros; plain where codec 0, called `name`, makes them no smaller."""
    hunks = [content[at : at + hunk_bytes].ljust(hunk_bytes, b"\0") for at in range(0, len(content), hunk_bytes)]
    return [Hunk(0 if len(PACK[name](hunk)) < hunk_bytes else 4, hunk) for hunk in hunks]


def _bits(numbers: Sequence[tuple[int, int]]) -> bytes:
    """(value, width in bits) one after the other, from the most significant on."""
    text = "".join(f"{value:0{width}b}" for value, width in numbers if width)
    text += "0" * (-len(text) % 8)
    return int("1" + text, 2).to_bytes(len(text) // 8 + 1, "big")[1:]


def chd5(
    content: bytes,
    hunks: Sequence[Hunk],
    codecs: Sequence[bytes],
    *,
    hunk_bytes: int = 4096,
    unit_bytes: int = 512,
    meta: Sequence[Meta] = (),
    parent: bytes = b"",
    symbols: Sequence[int] | None = None,
) -> bytes:
    """Version 5. `symbols` are the types as the map has them, runs included; they are the kinds where that is not given."""
    metadata = _metadata(meta, 124)
    place = first = 124 + len(metadata)
    entries, fields, stored = bytearray(), [], bytearray()  # they grow in place
    last_self = last_unit = 0
    units = hunk_bytes // unit_bytes
    for index, hunk in enumerate(hunks):
        if hunk.kind <= 4:
            packed = PACK[codecs[hunk.kind]](hunk.content) if hunk.kind < 4 else hunk.content
            packed += bytes(hunk.padding)
            crc = crc_hqx(hunk.content, 0xFFFF)
            entries += struct.pack(">IQ", hunk.kind << 24 | len(packed), place << 16 | crc)
            fields += [(len(packed), 16)] if hunk.kind < 4 else []
            fields.append((crc, 16))
            stored += packed
            place += len(packed)
            continue
        if hunk.kind in (5, 9, 10):
            last_self = {5: hunk.number, 9: last_self, 10: last_self + 1}[hunk.kind]
            entries += struct.pack(">IQ", 5 << 24, last_self << 16)
        else:
            last_unit = {6: hunk.number, 11: index * units, 12: last_unit, 13: last_unit + units}[hunk.kind]
            entries += struct.pack(">IQ", 6 << 24, last_unit << 16)
        fields += {5: [(hunk.number, 12)], 6: [(hunk.number, 14)]}.get(hunk.kind, [])
    # 16 codes of 4 bits are the symbols themselves.
    types = [(symbol, 4) for symbol in (symbols or [hunk.kind for hunk in hunks])]
    packed_map = _bits([(4, 4)] * 16 + types + fields)
    head = struct.pack(">I6sHBBBx", len(packed_map), first.to_bytes(6, "big"), crc_hqx(entries, 0xFFFF), 16, 12, 14)
    raw_sha1 = hashlib.sha1(content).digest()
    header = struct.pack(
        ">8sII16sQQQII20s20s20s",
        b"MComprHD",
        124,
        5,
        b"".join(codecs),
        len(content),
        place,
        124 if meta else 0,
        hunk_bytes,
        unit_bytes,
        raw_sha1,
        _sha1(raw_sha1, meta),
        parent,
    )
    return header + metadata + stored + head + packed_map


def _metadata(meta: Sequence[Meta], at: int) -> bytes:
    found = b""
    for entry in meta:
        at += 16 + len(entry.data)
        following = 0 if entry is meta[-1] else at
        found += struct.pack(">4sIQ", entry.tag, 1 << 24 | len(entry.data), following) + entry.data
    return found


def _sha1(raw: bytes, meta: Sequence[Meta]) -> bytes:
    """SHA-1 of content and metadata together."""
    rows = sorted(entry.tag + hashlib.sha1(entry.data).digest() for entry in meta)
    return hashlib.sha1(raw + b"".join(rows)).digest()


def sha1_of(image: bytes) -> bytes:
    """What a child of a version 5 file calls it."""
    return image[84:104]


def chd34(
    version: int,
    content: bytes,
    kinds: Sequence[int],
    *,
    hunk_bytes: int = 4096,
    meta: Sequence[Meta] = (),
    parent: bytes = b"",
    numbers: dict[int, int] | None = None,
    crc: bool = True,
    second: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """Version 3 or 4. `kinds`: 1 deflate, 2 plain, 3 eight bytes, 4 as hunk numbers[n], 5 as the parent's, 6 by `second`."""
    length = {3: 120, 4: 108}[version]
    place = length + 16 * (len(kinds) + 1)
    metadata = _metadata(meta, place)
    meta_offset, place = place if meta else 0, place + len(metadata)
    table, stored = b"", b""
    for index, kind in enumerate(kinds):
        hunk = content[index * hunk_bytes : (index + 1) * hunk_bytes].ljust(hunk_bytes, b"\0")
        packed = {1: deflate(hunk), 2: hunk, 6: second(hunk) if second and kind == 6 else b""}.get(kind, b"")
        where = {3: int.from_bytes(hunk[:8], "big"), 4: (numbers or {}).get(index, 0), 5: (numbers or {}).get(index, 0)}
        low, high = len(packed) & 0xFFFF, len(packed) >> 16
        flags = kind if crc else kind | 0x10
        table += struct.pack(">QIHBB", where.get(kind, place), zlib.crc32(hunk), low, high, flags)
        stored += packed
        place += len(packed)
    table += b"EndOfListCookie\0"
    raw_sha1, md5 = hashlib.sha1(content).digest(), hashlib.md5(content).digest()
    start = struct.pack(
        ">8sIIIIIQQ", b"MComprHD", length, version, bool(parent), 1, len(kinds), len(content), meta_offset
    )
    if version == 3:
        # Of version 3 the SHA-1 is that of the content alone.
        header = start + struct.pack(">16s16sI20s20s", md5, b"", hunk_bytes, raw_sha1, parent)
    else:
        header = start + struct.pack(">I20s20s20s", hunk_bytes, _sha1(raw_sha1, meta), parent, raw_sha1)
    return header + table + metadata + stored


def chd12(
    version: int, content: bytes, geometry: tuple[int, int, int], sector_bytes: int = 512, sectors: int = 8
) -> bytes:
    """Version 1 or 2: a hard disk of (cylinders, heads, sectors), every third hunk plain."""
    length, hunk_bytes = {1: 76, 2: 80}[version], sectors * sector_bytes
    hunks = [content[at : at + hunk_bytes].ljust(hunk_bytes, b"\0") for at in range(0, len(content), hunk_bytes)]
    place = length + 8 * (len(hunks) + 1)
    table, stored = b"", b""
    for index, hunk in enumerate(hunks):
        packed = deflate(hunk) if index % 3 else hunk
        table += struct.pack(">Q", len(packed) << 44 | place)
        stored += packed
        place += len(packed)
    md5 = hashlib.md5(content).digest()
    header = struct.pack(">8sII7I16s16s", b"MComprHD", length, version, 0, 1, sectors, len(hunks), *geometry, md5, b"")
    header += struct.pack(">I", sector_bytes) if version == 2 else b""
    return header + table + b"EndOfListCookie"[:8] + stored
