"""DAX images, written by their description with Python's own zlib."""

import struct
import zlib
from collections.abc import Sequence

from tests.builders.cso import blocks_of, lay_out

FRAME_BYTES = 8192


def dax(data: bytes, *, version: int = 0, plain: Sequence[tuple[int, int]] = (), fill_last: bool = False) -> bytes:
    """`plain` are areas: (first frame, count)."""
    inside = {frame for first, count in plain for frame in range(first, first + count)}
    frames = blocks_of(data, FRAME_BYTES, fill_last)
    stored = [frame if number in inside else zlib.compress(frame, 9) for number, frame in enumerate(frames)]
    start = 32 + 6 * len(frames) + 8 * len(plain)
    positions, body = lay_out(start, stored, 0, b"")
    header = struct.pack("<4sIII16x", b"DAX\0", len(data), version, len(plain))
    offsets = struct.pack(f"<{len(frames)}I", *positions[:-1])
    lengths = struct.pack(f"<{len(frames)}H", *map(len, stored))
    return header + offsets + lengths + b"".join(struct.pack("<II", *area) for area in plain) + body
