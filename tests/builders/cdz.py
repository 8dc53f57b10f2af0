"""CDZ images written for tests, as psx-spx has the chunks of each version of cdztool."""

import struct
import zlib

BLOCK = 1 << 16


def _blocks(content: bytes) -> list[bytes]:
    pieces = [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]
    packed = [zlib.compress(piece) for piece in pieces]
    return [struct.pack("<II", len(p), len(piece)) + p for p, piece in zip(packed, pieces, strict=True)]


def chunk(content: bytes, tool: int, name: bytes = b"", *, is_sectors: bool = False) -> bytes:
    """A chunk as version `tool` of cdztool writes it; that of the sectors ends with the directory of its blocks."""
    blocks = _blocks(content)
    sizes = [len(block) for block in blocks]
    body = struct.pack("<I", len(blocks)) + b"".join(blocks)
    if tool == 0:
        directory = struct.pack(f"<{len(sizes)}I", *sizes) if is_sectors else b""
        return struct.pack("<I", len(content)) + body + directory
    directory = struct.pack(f"<{len(sizes) - 1}IB", *sizes[1:], 4) if is_sectors else b""
    body = b"ZLIB" + struct.pack("<Q", len(content)) + body + directory
    return body if tool == 1 else name + struct.pack("<Q", len(body)) + body


def cdz(
    sectors: bytes, descriptor: str | bytes | None, tool: int = 5, kind: bytes = b"CUE\0", *, last: int = 0
) -> bytes:
    """A whole image. `last` is the last byte of the name of the sectors' chunk: 1 with subchannel."""
    text = descriptor.encode() if isinstance(descriptor, str) else descriptor
    first = b"" if text is None else chunk(text, tool, kind)
    return b"CDZ" + bytes((tool > 1,)) + first + chunk(sectors, tool, b"BIN" + bytes((last,)), is_sectors=True)
