"""ISZ files written for tests, by the format's specification."""

import bz2
import struct
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise

KINDS = ("zeros", "plain", "zlib", "bzip2")


def hidden(table: bytes) -> bytes:
    """A table as it stands in the file."""
    return bytes(byte ^ (0xB6, 0x8C, 0xA5, 0xDE)[at % 4] for at, byte in enumerate(table))


def packed(content: bytes, kind: str) -> bytes:
    if kind == "bzip2":
        return b"xyz" + bz2.compress(content)[3:]
    return {"zeros": b"", "plain": content, "zlib": zlib.compress(content)}[kind]


def header(
    content_bytes: int,
    chunk_bytes: int,
    *,
    pointer: int = 3,
    number: int = 0,
    chunk_table: int = 64,
    files_table: int = 0,
    data: int = 64,
    encryption: int = 0,
    segment: int = 0,
) -> bytes:
    return struct.pack(
        "<4sBBIHIBQIIBBIIIx16x", b"IsZ!", 64, 1, 0x1234, 2048, content_bytes // 2048, encryption, segment,
        -(-content_bytes // chunk_bytes), chunk_bytes, pointer, number, chunk_table, files_table, data,
    )  # fmt: skip


def chunk_table(chunks: Sequence[tuple[str, int]], pointer: int) -> bytes:
    entries = [KINDS.index(kind) << 8 * pointer - 2 | length for kind, length in chunks]
    return hidden(b"".join(entry.to_bytes(pointer, "little") for entry in entries))


def isz(
    content: bytes, how: Callable[[int], str], chunk_bytes: int = 16384, pointer: int = 3, cuts: Sequence[int] = ()
) -> list[bytes]:
    """An image as its files: the data are cut at the bytes `cuts`, which may lie inside of chunks."""
    parts = [content[at : at + chunk_bytes] for at in range(0, len(content), chunk_bytes)]
    stored = [packed(part, how(number)) for number, part in enumerate(parts)]
    lengths = [
        (how(number), chunk_bytes if how(number) == "zeros" else len(data)) for number, data in enumerate(stored)
    ]
    table = chunk_table(lengths, pointer)
    data = b"".join(stored)
    if not cuts:
        return [header(len(content), chunk_bytes, pointer=pointer, data=64 + len(table)) + table + data]
    borders = [0, *cuts, len(data)]
    starts = [sum(map(len, stored[:number])) for number in range(len(stored))]
    first_data = 64 + len(table) + 24 * len(borders)
    rows, files, first = b"", [], 0
    for number, (begin, end) in enumerate(pairwise(borders)):
        chunks = [at for at, start in enumerate(starts) if at >= first and (start < end or end == len(data))]
        after = starts[first + len(chunks)] if first + len(chunks) < len(starts) else len(data)
        place = (first_data if number == 0 else 64) + (starts[first] - begin if first < len(starts) else 0)
        rows += struct.pack("<QIIII", end - begin + 64, len(chunks), first, place, after - end)
        files.append(header(len(content), chunk_bytes, pointer=pointer, number=number) + data[begin:end])
        first += len(chunks)
    head = header(len(content), chunk_bytes, pointer=pointer, files_table=64 + len(table), data=first_data, segment=1)
    return [head + table + hidden(rows + bytes(24)) + data[: cuts[0]], *files[1:]]
