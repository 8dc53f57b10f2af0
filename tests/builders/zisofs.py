"""zisofs files, written by their description; version 2 with every algorithm that zisofs2-tools knows."""

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable

import lz4.block
import lz4.frame
import zstandard

from imagefs.filesystems.iso9660.zisofs import ZF
from tests.builders.cso import blocks_of

MAGIC1 = bytes.fromhex("37E45396C9DBD607")
MAGIC2 = bytes.fromhex("EF2255A1BC1B95A0")
PACK: dict[str, tuple[int, bytes, Callable[[bytes], bytes]]] = {
    "zlib": (1, b"PZ", zlib.compress),
    "xz": (2, b"XZ", lzma.compress),
    "lz4": (3, b"L4", lz4.frame.compress),
    "lz4 block": (3, b"L4", lambda data: lz4.block.compress(data, store_size=False)),
    "zstd": (4, b"ZD", lambda data: zstandard.ZstdCompressor().compress(data)),
    "bz2": (5, b"B2", bz2.compress),
}


def zisofs1(data: bytes, log2: int = 15) -> tuple[bytes, ZF]:
    """(the stored file, what its ZF entry says)"""
    header = struct.pack("<8sIBB2x", MAGIC1, len(data), 4, log2)
    return _file(header, "I", data, log2, zlib.compress), ZF(b"pz", 16, log2, len(data), 1)


def zisofs2(data: bytes, algorithm: str = "zlib", log2: int = 17) -> tuple[bytes, ZF]:
    number, letters, pack = PACK[algorithm]
    header = struct.pack("<8sBBBBQ4x", MAGIC2, 0, 6, number, log2, len(data))
    return _file(header, "Q", data, log2, pack), ZF(letters, 24, log2, len(data), 2)


def _file(header: bytes, item: str, data: bytes, log2: int, pack: Callable[[bytes], bytes]) -> bytes:
    stored = [pack(block) if any(block) else b"" for block in blocks_of(data, 1 << log2)]
    at = len(header) + struct.calcsize(item) * (len(stored) + 1)
    pointers = [at]
    for block in stored:
        at += len(block)
        pointers.append(at)
    return header + struct.pack(f"<{len(pointers)}{item}", *pointers) + b"".join(stored)
