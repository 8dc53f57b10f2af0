"""MDX images, and MDS of version 2 with their data, written for tests; encrypted as TrueCrypt 4 would.

Only AES comes from a library; its modes, the password in the salt and the packing are written here once more, the other way
round, so that what reads them is not judged by itself.
"""

import functools
import hashlib
import itertools
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.builders.sectors import edc

AUDIO, MODE1, MODE2, FORM1, FORM2 = 1, 2, 3, 4, 5
SYNC, SUBHEADER, HEADER, EDC = 0x80, 0x40, 0x20, 8
RAW = SYNC | HEADER | EDC
"""Of a sector of 2352 bytes in mode 1; in mode 2 without EDC, in form 1 and 2 with the subheader."""
SECTORS_AT = 64
"""of an MDX"""
COPYRIGHT = {0: b"\xa9 2000-2010 DT Soft Ltd.", 1: b"\xa9 2000-2015 Disc Soft Ltd."}
SALT, DATA_SALT = (bytes((seed * number + 11) & 0xFF for number in range(64)) for seed in (37, 91))
KEYS, DATA_KEYS = (bytes((seed * number + 5) & 0xFF for number in range(64)).ljust(256, b"\0") for seed in (53, 29))


class Track(NamedTuple):
    """`data` are its stored sectors; the first is LBA `first`. Packed `group` by `group`, where that is not 0.

    `lengths` are the sectors from index 1 to 2 and so on; without them, all that are stored. `cut`: sectors of each file.
    """

    point: int
    mode: int
    sector_bytes: int
    first: int
    data: bytes
    pregap: int = 0
    lengths: tuple[int, ...] = ()
    group: int = 0
    cut: tuple[int, ...] = ()
    subchannel: int = 0
    control: int = 0x14

    @property
    def sectors(self) -> int:
        return len(self.data) // self.sector_bytes

    @property
    def spans(self) -> tuple[int, ...]:
        return self.lengths or (self.sectors,)


class Made(NamedTuple):
    """The image's file, the files of its data where they are apart, and the descriptor in the clear."""

    file: bytes
    files: dict[str, bytes]
    descriptor: bytes


# --- encryption -----------------------------------------------------------------------------------------------------------


def _xor(data: bytes, other: bytes) -> bytes:
    """With `other` over and over."""
    other = other * (len(data) // len(other))
    return (int.from_bytes(data, "big") ^ int.from_bytes(other, "big")).to_bytes(len(data), "big")


def _aes(key: bytes) -> Callable[[bytes], bytes]:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update


def encrypt_cbc(data: bytes, key: bytes, iv: bytes) -> bytes:
    """Whole blocks of 16 bytes; the chain begins anew every 512."""
    aes, found, chain = _aes(key), b"", iv
    for at in range(0, len(data), 16):
        chain = aes(_xor(data[at : at + 16], iv if at % 512 == 0 else chain))
        found += _xor(chain, iv[8:])
    return found


def encrypt_lrw(data: bytes, key: bytes, tweak: bytes, first: int) -> bytes:
    """Whole blocks of 16 bytes; the rest stays as it is."""
    aes, found, power = _aes(key), b"", int.from_bytes(tweak, "big")
    for at in range(0, len(data) // 16 * 16, 16):
        mask = _times(power, first + at // 16).to_bytes(16, "big")
        found += _xor(aes(_xor(data[at : at + 16], mask)), mask)
    return found + data[len(found) :]


@functools.lru_cache(1 << 16)
def _times(power: int, number: int) -> int:
    """In GF(2^128), bit by bit from the highest on."""
    product = 0
    for bit in range(number.bit_length() - 1, -1, -1):
        product <<= 1
        product ^= (1 << 128 | 0x87) if product >> 128 else 0
        product ^= power if number >> bit & 1 else 0
    return product


def password_in(salt: bytes) -> bytes:
    """What is taken for the password where the user gave none."""
    state = int.from_bytes(edc(salt), "little") ^ 0x567372FF
    found = b""
    for at in range(0, 64, 4):
        state = (state * 0x35E85A6D + 0x1548DCE9) % (1 << 32)
        word = int.from_bytes(salt[at : at + 4], "little") ^ state ^ 0xEC564717
        found += bytes(byte or 0x5F for byte in word.to_bytes(4, "little"))
    return found


@functools.lru_cache
def _derived(password: bytes, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("ripemd160", password, salt, 2000, 152)


@functools.lru_cache
def key_block(
    salt: bytes, keys: bytes, *, password: bytes | None = None, lrw: bool = False, sizes: tuple[int, int] = (0, 0)
) -> bytes:
    """512 bytes; `sizes` are those of the descriptor, packed and not."""
    content = struct.pack("<I4sHHI256sII", zlib.crc32(keys), b"EURT", 1, 256, 0, keys, *sizes).ljust(448, b"\0")
    derived = _derived(password_in(salt) if password is None else password, salt)
    if lrw:
        return salt + encrypt_lrw(content, derived[32:64], derived[:16], 1)
    return salt + encrypt_cbc(content, derived[32:64], derived[:16])


# --- data -----------------------------------------------------------------------------------------------------------------


class _Stored(NamedTuple):
    """A part of a track as it is stored; the table of its groups begins at `table_at` of it."""

    data: bytes
    sectors: int
    table_at: int


def _stored(data: bytes, track: Track, *, encrypted: bool) -> _Stored:
    size, count = track.sector_bytes, len(data) // track.sector_bytes
    blocks = size // 16

    def hidden(unit: bytes, sector: int) -> bytes:
        return encrypt_lrw(unit, DATA_KEYS[32:64], DATA_KEYS[:16], 1 + sector * blocks) if encrypted else unit

    if not track.group:
        return _Stored(b"".join(hidden(data[n * size : (n + 1) * size], n) for n in range(count)), count, 0)
    parts, table = [], []
    for first in range(0, count, track.group):
        unit = data[first * size : (first + track.group) * size]
        packed = _deflated(unit)
        if len(set(unit)) == 1:
            table.append(0x8000 | unit[0])
            continue
        table.append(len(packed) if len(packed) < min(len(unit), 0x8000) else 0)
        parts.append(hidden(packed if table[-1] else unit, first))
    groups = b"".join(parts)
    return _Stored(groups + zlib.compress(struct.pack(f"<{len(table)}H", *table)), count, len(groups))


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def _parts(track: Track) -> list[bytes]:
    """The data of each file."""
    ends = list(itertools.accumulate(track.cut or (track.sectors,)))
    size = track.sector_bytes
    return [track.data[first * size : end * size] for first, end in zip([0, *ends], ends, strict=False)]


# --- descriptor -----------------------------------------------------------------------------------------------------------


def made(
    sessions: Sequence[Sequence[Track]],
    *,
    one_file: bool = False,
    minor: int = 1,
    medium: int = 0,
    names: Sequence[str] = ("*.mdf", "*.md1", "*.md2"),
    encrypted: bool = False,
    password: bytes | None = None,
    cdtext: bytes = b"",
) -> Made:
    """An MDX, or an MDS with its data in disc.mdf, disc.md1, disc.md2."""
    files = [bytearray(SECTORS_AT if one_file else 0), bytearray(), bytearray()]
    rows = [
        [_stored(part, track, encrypted=encrypted) for part in _parts(track)] for track in itertools.chain(*sessions)
    ]
    offsets = []
    for stored in rows:
        offsets.append(len(files[0]))
        for file, part in zip(files, stored, strict=False):
            file += part.data
    descriptor = bytearray(_descriptor(sessions, rows, offsets, () if one_file else names, medium, cdtext, minor))
    if encrypted:
        struct.pack_into("<I", descriptor, 88, len(descriptor))
        descriptor += key_block(DATA_SALT, DATA_KEYS, password=password, lrw=True)
    if one_file:
        return Made(sealed(bytes(descriptor), bytes(files[0][SECTORS_AT:])), {}, bytes(descriptor))
    data = {f"disc.{end}": bytes(file) for end, file in zip(("mdf", "md1", "md2"), files, strict=True) if file}
    return Made(sealed(bytes(descriptor)), data, bytes(descriptor))


def sealed(descriptor: bytes, sectors: bytes | None = None, *, key_sizes: tuple[int, int] | None = None) -> bytes:
    """The file around the descriptor: with the sectors an MDX. `key_sizes` are said to be those of the descriptor."""
    body = descriptor[18:]
    packed = zlib.compress(body, 9)
    hidden = encrypt_cbc(packed.ljust(-(-len(packed) // 16) * 16, b"\0"), KEYS[32:64], KEYS[:16])
    keys = key_block(SALT, KEYS, sizes=key_sizes or (len(packed), len(body)))
    head = descriptor[:18] + COPYRIGHT[descriptor[17]].ljust(26, b"\0")
    if sectors is None:
        return head + struct.pack("<I", 48 + len(hidden)) + hidden + keys
    place = struct.pack("<IQQ", 0xFFFFFFFF, SECTORS_AT + len(sectors), len(hidden) + 64)
    return head + place + sectors + hidden + keys


def _descriptor(
    sessions: Sequence[Sequence[Track]],
    rows: Sequence[Sequence[_Stored]],
    offsets: Sequence[int],
    names: Sequence[str],
    medium: int,
    cdtext: bytes,
    minor: int,
) -> bytes:
    tracks = [track for session in sessions for track in session]
    blocks_at = 96 + 32 * len(sessions)
    extras_at = blocks_at + 80 * (len(tracks) + len(sessions))
    extras = [struct.pack(f"<{1 + len(track.spans)}I", track.pregap, *track.spans) for track in tracks]
    files_at = extras_at + sum(map(len, extras))
    names_at = files_at + 32 * sum(map(len, rows))
    raw = [(name + "\0").encode("utf-16-le") for name in names]
    places = [names_at + sum(map(len, raw[:number])) for number in range(len(raw))] or [0]
    text_at = names_at + sum(map(len, raw))
    head = struct.pack(
        "<16sBBHH8xH8xI20xI12xIIII",
        *(b"MEDIA DESCRIPTOR", 2, minor, medium, len(sessions), len(cdtext), text_at if cdtext else 0),
        *(0, 96, 0, 0, 0),
    )
    body, extra_at, file_at, number = [], extras_at, files_at, 0
    starts, blocks = [], 0
    for session in sessions:
        starts.append(blocks_at + 80 * blocks)
        blocks += len(session) + 1
        body.append(struct.pack("<BBBxB75x", 0, 0, 0x14, 0xA0))
        for track in session:
            body.append(_block(track, extra_at if medium < 3 else 0, offsets[number], len(rows[number]), file_at))
            extra_at += len(extras[number])
            file_at += 32 * len(rows[number])
            number += 1
    heads = [
        struct.pack("<qHBBHHIIq", -150, count, len(session) + 1, 1, 1, 1, 0, at, 0)
        for count, (session, at) in enumerate(zip(sessions, starts, strict=True), 1)
    ]
    feet = [
        struct.pack(
            "<IBBHIIQQ",
            places[min(at, len(places) - 1)],
            bool(track.group),
            0,
            0,
            0,
            track.group,
            part.sectors,
            part.table_at,
        )
        for track, stored in zip(tracks, rows, strict=True)
        for at, part in enumerate(stored)
    ]
    return b"".join([head, *heads, *body, *extras, *feet, *raw, cdtext])


def _block(track: Track, extra_at: int, offset: int, files: int, file_at: int) -> bytes:
    lengths = track.spans
    has_pregap = track.sectors == track.pregap + sum(lengths)
    start = track.first + (track.pregap if has_pregap else 0)
    frames = start + 150
    return struct.pack(
        "<BBBBB4xBBBIHB17xiQIIqQ8x",
        *(track.mode, track.subchannel, track.control, 0, track.point),
        *(frames // 4500 & 0xFF, frames // 75 % 60, frames % 75),
        *(extra_at, track.sector_bytes, 1 + len(lengths), start, offset, files, file_at),
        *(track.first, 0 if extra_at else sum(lengths)),
    )
