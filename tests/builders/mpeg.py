"""A tiny MPEG-1 stream for tests: packs of 2324 bytes, as a Video CD has them, with a picture that nobody can see."""

import struct

PACK_BYTES = 2324
_RATE = 3528
_SYSTEM = b"\0\0\1\xbb" + struct.pack(">H", 9) + bytes.fromhex("801b9104e1ffe0e02e")


def mpeg(packs: int) -> bytes:
    """A system header, then `packs` with the same video."""
    size = struct.pack(">I", 352 << 20 | 240 << 8 | 12 << 4 | 4)
    sequence = b"\0\0\1\xb3" + size + struct.pack(">I", 2875 << 14 | 1 << 13 | 20 << 3 | 1 << 2)
    group = b"\0\0\1\xb8" + struct.pack(">I", 0x8008_0040)
    picture = b"\0\0\1\0" + struct.pack(">I", 1 << 19 | 0xFFFF << 3) + b"\0\0\1\1" + b"\x13" * 40
    video = sequence + group + picture
    packet = b"\0\0\1\xe0" + struct.pack(">H", len(video) + 1) + b"\x0f" + video
    return _pack(36_000, _SYSTEM) + b"".join(_pack(36_000 + 1200 * number, packet) for number in range(packs))


def _pack(clock: int, content: bytes) -> bytes:
    """A pack header, the content, a padding packet."""
    parts = (
        0x21 | clock >> 29 & 0xE,
        clock >> 22 & 0xFF,
        1 | clock >> 14 & 0xFE,
        clock >> 7 & 0xFF,
        1 | clock << 1 & 0xFE,
    )
    head = (
        b"\0\0\1\xba" + bytes(parts) + bytes((0x80 | _RATE >> 15, _RATE >> 7 & 0xFF, 1 | _RATE << 1 & 0xFF)) + content
    )
    left = PACK_BYTES - len(head) - 6
    return head + b"\0\0\1\xbe" + struct.pack(">H", left) + b"\x0f" + b"\xff" * (left - 1)
