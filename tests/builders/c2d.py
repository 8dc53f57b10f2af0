"""C2D images written for tests, field by field."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

AUDIO, MODE1, MODE2 = 0, 1, 2
SIGNATURE, ROXIO = b"Adaptec CeQuadrat VirtualCD File", b"Roxio Image File Format 3.0"


class Block(NamedTuple):
    """A track block. `data` are the sectors of the track, empty for all but its first block."""

    point: int
    mode: int
    sector_bytes: int
    first: int
    last: int
    data: bytes = b""
    index: int = 1
    session: int = 1
    flags: int = 4
    compressed: int = 0
    isrc: bytes = b""


def c2d(blocks: Sequence[Block], signature: bytes = SIGNATURE, catalog: bytes = b"", packs: bytes = b"") -> bytes:
    """Header, CD-TEXT, blocks, sectors."""
    blocks_at = 196 + len(packs)
    head = struct.pack(
        "<32sHH13sxHIII128sI",
        signature,
        196,
        bool(catalog),
        catalog,
        len(blocks),
        len(packs),
        blocks_at,
        0,
        b"About it",
        0,
    )
    rows, sectors, at = [], [], blocks_at + 44 * len(blocks)
    for block in blocks:
        offset = at if block.data else (1 << 64) - 1
        fields = (44, block.first, block.last, offset, block.sector_bytes, block.isrc, block.flags, block.session)
        rows.append(struct.pack("<IIIQI12s6BH", *fields, block.point, block.index, block.mode, block.compressed, 0))
        sectors.append(block.data)
        at += len(block.data)
    return b"".join([head, packs, *rows, *sectors])
