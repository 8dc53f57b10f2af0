"""UIF images, written by their description."""

import random
import struct
import zlib
from collections.abc import Callable, Sequence

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from tests.builders.bare_lzma import PROPERTIES, bare_lzma

PLAIN, ZEROS, PACKED = 1, 3, 5
NO_SHEET, CUE, MDS, CCD, NRG = range(5)
KEYS = {1: "95b5a1995329736e", 5: "a7c9b48ba33a626c", 8: "0592a7c4779f9a9d", 16: "f0a2ae88c88bb4a6"}
"""key1 -> the DES key, as uif2iso prints it."""


def uif(
    image: bytes,
    version: int = 1,
    *,
    sector_bytes: int = 2048,
    chunk_sectors: Sequence[int] = (16,),
    types: Sequence[int] = (PACKED,),
    sheet: tuple[int, bytes] | None = None,
    key: tuple[int, int] = (0, 0),
    has_packed_head: bool = True,
    has_filter: bool = False,
    has_mark: bool = True,
    keep: Callable[[int], bool] = lambda number: True,
    magic: bytes = b"blhr",
) -> bytes:
    """`types` are those of the chunks in turn, as are their sizes; a chunk of zeros is one by its type.

    The chunks lie in another order than their sectors do. `key` are the fields key1 and key2; `keep` leaves out chunks.
    """
    encrypt = _des(KEYS[key[0]]) if version >= 2 and key[0] in KEYS and key[1] != 2 else bytes

    def pack(data: bytes) -> bytes:
        if version < 3:
            return encrypt(zlib.compress(data))
        stream = bare_lzma(data, has_filter=has_filter, has_mark=has_mark)
        return encrypt(bytes((has_filter,)) + PROPERTIES + len(data).to_bytes(8, "little") + stream)

    def section(name: bytes, content: bytes, items: int, more: bytes = b"") -> bytes:
        stored = pack(content) if has_packed_head and content else content
        return struct.pack("<4sIII", name, len(stored) + 8 + len(more), has_packed_head, items) + more + stored

    rest = -len(image) % sector_bytes
    whole = image + bytes(rest)
    sectors = len(whole) // sector_bytes
    chunks, first, number = [], 0, 0
    while first < sectors:
        count = min(chunk_sectors[number % len(chunk_sectors)], sectors - first)
        chunks.append((first, count, types[number % len(types)]))
        first, number = first + count, number + 1
    random.Random(len(image)).shuffle(chunks)
    data, entries = bytearray(b"UIF"), []
    for number, (first, count, kind) in enumerate(chunks):
        content = whole[first * sector_bytes : (first + count) * sector_bytes]
        stored = pack(content) if kind == PACKED else encrypt(content.rstrip(b"\0")) if kind == PLAIN else b""
        if keep(number):
            entries.append(struct.pack("<QIIII", len(data), len(stored), first, count, kind))
        data += stored
    head = section(magic, b"".join(entries), len(entries))
    if sheet is not None:
        kind, content = sheet
        tracks = bytes(0x40) + b"tracks"
        head += section(b"blms", tracks, len(tracks))
        head += section(b"blss", content, len(content), kind.to_bytes(4, "little"))
    image_type = 8 if sheet is None else 9
    last = sector_bytes - rest if rest else 0
    footer = struct.pack(
        "<4sIHHHHIIIQI", b"bbis", 64, version, image_type, 0, 0, sectors, sector_bytes, last, len(data), 0
    )
    return bytes(data) + head + footer + bytes(16) + bytes((*key, 0, 0)) + bytes(4)


def ccd_sheet(text: bytes, subchannel: bytes = b"") -> bytes:
    """As a UIF holds both."""
    return struct.pack("<II", len(text), len(subchannel)) + text + subchannel


def _des(key: str) -> Callable[[bytes], bytes]:
    cipher = Cipher(TripleDES(3 * bytes.fromhex(key)), modes.ECB())

    def encrypt(data: bytes) -> bytes:
        context, whole = cipher.encryptor(), len(data) - len(data) % 8
        return context.update(data[:whole]) + data[whole:]

    return encrypt
