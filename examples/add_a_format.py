"""PlopDisk: fixed 64 KiB blocks placed by a table of 32-bit block numbers.

offset  size  field         meaning
0       8     magic         b"PLOPDISK"
8       4     version       LE u32: 1; anything else is refused
12      4     block_count   LE u32: entries in the table, one per virtual block
16      8     disk_size     LE u64: bytes; the last block may be partial
24      4*n   table         LE u32 index of the stored block, 0xFFFFFFFF = hole

This is all that a new format takes: what the bytes mean (above), how they are recognised (`probe`) and what they open to
(`open_plop`). As `imagefs/containers/plop.py` it would be found without another line anywhere, every command and mount
would read it, and `imagefs formats` would list it; here it is registered for this run.

    add_a_format.py DISK PLOP    pack the file DISK as the PlopDisk PLOP, open that and list what is in it
"""

import sys
from struct import Struct

import imagefs
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match, register
from imagefs.options import Options
from imagefs.readers import MapReader, Reader

HEADER = Struct("<8sIIQ")
MAGIC, VERSION, HOLE, BLOCK_BYTES = b"PLOPDISK", 1, 0xFFFF_FFFF, 64 << 10


def probe(candidate: Candidate) -> Match | None:
    return Match(90, "PLOPDISK magic") if candidate.head(len(MAGIC)) == MAGIC else None


def open_plop(candidate: Candidate, options: Options) -> Reader:
    _, version, block_count, disk_size = HEADER.unpack(candidate.exactly(0, HEADER.size))
    if version != VERSION:
        raise UnsupportedError(f"PlopDisk version {version}")
    if block_count * BLOCK_BYTES < disk_size:
        raise DamagedError(12, f"{block_count} blocks cannot hold {disk_size} bytes")
    table = candidate.table("<I", offset=HEADER.size, count=block_count)  # checked against the file's size first
    data_start = HEADER.size + 4 * block_count

    def locate(block: int) -> int | None:
        return None if table[block] == HOLE else data_start + table[block] * BLOCK_BYTES

    return MapReader(
        candidate.reader, disk_size, BLOCK_BYTES, locate
    )  # reads, bounds and holes are written there, once


FORMAT = Format(
    name="plop",
    title="PlopDisk image",
    layer=Layer.CONTAINER,
    extensions=("plop",),
    probe=probe,
    open=open_plop,
    reads="version 1",
)


def pack(disk: bytes) -> bytes:
    """A PlopDisk of `disk`: zero blocks are holes, the others are stored last block first."""
    blocks = [disk[at : at + BLOCK_BYTES] for at in range(0, len(disk), BLOCK_BYTES)]
    kept = [index for index in reversed(range(len(blocks))) if any(blocks[index])]
    places = {index: place for place, index in enumerate(kept)}
    table = Struct(f"<{len(blocks)}I").pack(*(places.get(index, HOLE) for index in range(len(blocks))))
    body = b"".join(blocks[index].ljust(BLOCK_BYTES, b"\0") for index in kept)
    return HEADER.pack(MAGIC, VERSION, len(blocks), len(disk)) + table + body


def main(disk: str, plop: str) -> None:
    register(FORMAT)
    with open(disk, "rb") as source, open(plop, "wb") as target:
        target.write(pack(source.read()))
    with imagefs.open_image(plop) as image:
        print(" > ".join(step.title for step in image.steps))
        for name, node in image.tree.entries(image.tree.root):
            print(node.size, name.decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
