"""Stored sectors made from user data, as ECMA-130 §14 and §21-22 have them; and the smallest volume that has addresses.

Written for the tests alone, so that what reads sectors is not judged by itself; its known answers are in
tests/builders/test_sectors.py.
"""

import struct

SYNC = b"\0" + b"\xff" * 10 + b"\0"


def _edc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0xD8018001 if value & 1 else value >> 1
        table.append(value)
    return table


def _ecc_tables() -> tuple[bytes, bytes]:
    forward = bytes(value << 1 & 0xFF ^ (0x1D if value & 0x80 else 0) for value in range(256))
    backward = bytearray(256)
    for value in range(256):
        backward[value ^ forward[value]] = value
    return forward, bytes(backward)


_EDC = _edc_table()
_FORWARD, _BACKWARD = _ecc_tables()


def edc(data: bytes) -> bytes:
    """The 4 bytes of error detection code over `data`."""
    crc = 0
    for byte in data:
        crc = crc >> 8 ^ _EDC[(crc ^ byte) & 0xFF]
    return struct.pack("<I", crc)


def _parity(sector: bytearray, major: int, minor: int, major_step: int, minor_step: int, to: int) -> None:
    size = major * minor
    for column in range(major):
        index = (column >> 1) * major_step + (column & 1)
        first = second = 0
        for _ in range(minor):
            value = sector[12 + index]
            index = (index + minor_step) % size
            first = _FORWARD[first ^ value]
            second ^= value
        first = _BACKWARD[_FORWARD[first] ^ second]
        sector[to + column], sector[to + column + major] = first, first ^ second


def with_ecc(sector: bytearray) -> bytes:
    """The sector with P and Q over what else it has."""
    _parity(sector, 86, 24, 2, 86, 2076)
    _parity(sector, 52, 43, 86, 88, 2248)
    return bytes(sector)


def header(lba: int, mode: int) -> bytes:
    """Minute, second, frame in BCD, and the mode."""
    frames = lba + 150
    parts = (frames // 4500, frames // 75 % 60, frames % 75)
    return bytes([*(value // 10 << 4 | value % 10 for value in parts), mode])


def mode1(lba: int, user: bytes) -> bytes:
    """A mode 1 sector of 2352 bytes around 2048 bytes of user data."""
    head = SYNC + header(lba, 1) + user
    return with_ecc(bytearray(head + edc(head) + bytes(284)))


def form1(lba: int, user: bytes, subheader: bytes = b"\0\0\x08\0") -> bytes:
    """A mode 2 form 1 sector of 2352 bytes around 2048 bytes of user data."""
    body = subheader * 2 + user
    sector = bytearray(SYNC + bytes(4) + body + edc(body) + bytes(276))
    with_ecc(sector)  # the header counts as zeros
    sector[12:16] = header(lba, 2)
    return bytes(sector)


def form2(lba: int, user: bytes, subheader: bytes = b"\0\0\x20\0") -> bytes:
    """A mode 2 form 2 sector of 2352 bytes around 2324 bytes of user data."""
    body = subheader * 2 + user
    return SYNC + header(lba, 2) + body + edc(body)


def stored(user: bytes, mode: str, first_lba: int = 0) -> bytes:
    """User data (2048 bytes a sector) as a track of `mode`, written as CUE sheets write it: MODE1/2352, MODE2/2336 ..."""
    word, _, size = mode.partition("/")
    encode = mode1 if word == "MODE1" else form1
    begin, extra = _CUT[int(size)] if int(size) in _CUT else _CUT[word, int(size)]
    end = begin + int(size) - extra
    sectors = []
    for number in range(0, len(user), 2048):
        raw = encode(first_lba + number // 2048, user[number : number + 2048])
        sectors.append(raw[begin:end] + b"\xee" * extra)
    return b"".join(sectors)


_CUT: dict[int | tuple[str, int], tuple[int, int]] = {
    # stored size: (where it begins in the raw sector, bytes that follow the raw sector)
    ("MODE1", 2048): (16, 0),
    ("MODE2", 2048): (24, 0),
    2052: (12, 0),
    2056: (16, 0),
    2060: (12, 0),
    2324: (24, 0),
    2328: (24, 0),
    2332: (16, 0),
    2336: (16, 0),
    2340: (12, 0),
    2352: (0, 0),
    2368: (0, 16),
    2448: (0, 96),
    2646: (0, 294),
}


def pattern(sectors: int, seed: int = 1) -> bytes:
    """User data in which every sector says its number and is like no other."""
    return b"".join(struct.pack(">II", seed, number) * 256 for number in range(sectors))


def volume(sectors: int = 40, first_lba: int = 0) -> bytes:
    """User data that begin with an empty ISO 9660 volume whose first sector is `first_lba`: its root is in sector 20."""
    root = first_lba + 20
    record = struct.pack("<BBI4xI4x7xBBBHHBB", 34, 0, root, 2048, 2, 0, 0, 1, 0, 1, 0)
    primary = b"\x01CD001\x01\0".ljust(156, b" ") + record
    data = bytearray(pattern(sectors))
    data[: 16 * 2048] = bytes(16 * 2048)
    for number, sector in ((16, primary), (17, b"\xffCD001\x01"), (20, record + record[:33] + b"\x01")):
        data[number * 2048 : (number + 1) * 2048] = sector.ljust(2048, b"\0")
    return bytes(data)


def tone(sectors: int, seed: int = 7) -> bytes:
    """Little-endian samples, no two sectors alike."""
    return b"".join(struct.pack("<HH", seed, number) * 588 for number in range(sectors))
