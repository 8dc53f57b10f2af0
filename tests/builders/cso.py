"""CSO, ZSO and JSO images, written by their descriptions with Python's own zlib and lz4."""

import struct
import zlib
from collections.abc import Callable, Sequence

import lz4.block

MARK = 1 << 31
How = Callable[[int], str]
"""The number of a block -> "plain", "deflate" or "lz4"."""


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def lz4_block(data: bytes) -> bytes:
    return lz4.block.compress(data, mode="high_compression", store_size=False)


PACK: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "deflate": deflate, "lz4": lz4_block}


def blocks_of(data: bytes, block_bytes: int, fill_last: bool = False) -> list[bytes]:
    blocks = [data[at : at + block_bytes] for at in range(0, len(data), block_bytes)]
    if fill_last:
        blocks[-1] = blocks[-1].ljust(block_bytes, b"\0")
    return blocks


def lay_out(start: int, stored: Sequence[bytes], shift: int, padding: bytes) -> tuple[list[int], bytes]:
    """(positions of the blocks and of the end, in units of 1 << shift; the bytes from `start` on)."""
    body = padding * (-start % (1 << shift))
    positions = []
    for block in stored:
        positions.append((start + len(body)) >> shift)
        body += block
        body += padding * (-(start + len(body)) % (1 << shift))
    return [*positions, (start + len(body)) >> shift], body


def cso(
    data: bytes,
    *,
    magic: bytes = b"CISO",
    version: int = 1,
    block_bytes: int = 2048,
    shift: int = 0,
    how: How = lambda block: "deflate",
    fill_last: bool = False,
    padding: bytes = b"X",
    header_size: int = 24,
) -> bytes:
    """The marks follow the version: plain for CSO 0 and 1 and ZSO, LZ4 for CSO 2.

    Version 2 knows plain blocks by their length, so a block that does not become shorter is plain there, and filled up.
    """
    marked = "lz4" if version == 2 else "plain"
    hows = [how(number) for number in range(-(-len(data) // block_bytes))]
    stored = [PACK[way](block) for way, block in zip(hows, blocks_of(data, block_bytes, fill_last), strict=True)]
    if version == 2:
        for number, block in enumerate(blocks_of(data, block_bytes, fill_last=True)):
            if hows[number] == "plain" or len(stored[number]) + (1 << shift) > block_bytes:
                hows[number], stored[number] = "plain", block
    positions, body = lay_out(24 + 4 * (len(stored) + 1), stored, shift, padding)
    marks = [MARK if way == marked else 0 for way in hows]
    index = [position | mark for position, mark in zip(positions, [*marks, 0], strict=True)]
    header = struct.pack("<4sIQIBB2x", magic, header_size, len(data), block_bytes, version, shift)
    return header + struct.pack(f"<{len(index)}I", *index) + body


def zso(data: bytes, *, how: How = lambda block: "lz4", shift: int = 0, **more: object) -> bytes:
    return cso(data, magic=b"ZISO", how=how, shift=shift, **more)  # type: ignore[arg-type]


def jso(
    data: bytes,
    *,
    block_bytes: int = 2048,
    headers: bool = False,
    method: int = 1,
    how: How = lambda block: "deflate",
) -> bytes:
    prefix = b"HEAD" if headers else b""
    blocks = blocks_of(data, block_bytes, fill_last=True)
    stored = [prefix + PACK[how(number)](block) for number, block in enumerate(blocks)]
    positions, body = lay_out(48 + 4 * (len(stored) + 1), stored, 0, b"")
    header = struct.pack("<4sBBHBxBxI16sI12x", b"JISO", 3, 1, block_bytes, headers, method, len(data), bytes(16), 48)
    return header + struct.pack(f"<{len(positions)}I", *positions) + body
