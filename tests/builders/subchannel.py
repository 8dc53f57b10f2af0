"""Subchannel written for tests: frames of the Q channel as ECMA-130 §22 has them, and P to W of a sector around them."""

from binascii import crc_hqx


def _bcd(value: int) -> int:
    return value // 10 << 4 | value % 10


def _msf(frames: int) -> bytes:
    return bytes(map(_bcd, (frames // 4500, frames // 75 % 60, frames % 75)))


def _frame(told: bytes) -> bytes:
    return told + (crc_hqx(told, 0) ^ 0xFFFF).to_bytes(2, "big")


def position(lba: int, track: int, index: int, control: int = 4, relative: int = 0) -> bytes:
    """The frame of most sectors."""
    head = bytes((control << 4 | 1, _bcd(track), _bcd(index)))
    return _frame(head + _msf(relative) + b"\0" + _msf(lba + 150))


def catalog(lba: int, digits: str, control: int = 4) -> bytes:
    """The frame of adr 2."""
    return _frame(bytes((control << 4 | 2,)) + bytes.fromhex(digits + "000") + _msf(lba + 150)[2:])


def isrc(lba: int, code: str, control: int = 0) -> bytes:
    """The frame of adr 3: five letters or digits in 6 bits each, two zero bits, seven digits in 4 bits each."""
    bits = "".join(f"{ord(letter) - 0x30:06b}" for letter in code[:5]) + "00"
    bits += "".join(f"{int(digit):04b}" for digit in code[5:]) + "0000"
    return _frame(bytes((control << 4 | 3,)) + int(bits, 2).to_bytes(8, "big") + _msf(lba + 150)[2:])


def interleaved(q: bytes, p: int = 0, others: int = 0x15) -> bytes:
    """P to W of a sector as a drive gives them: a bit of each channel in every byte. `others` are the bits of R to W."""
    bits = f"{int.from_bytes(q, 'big'):096b}"
    return bytes(p << 7 | int(bit) << 6 | others for bit in bits)


def linear(q: bytes, p: int = 0) -> bytes:
    """The same, one channel after the other."""
    return bytes((-p & 0xFF,)) * 12 + q + bytes(72)
