"""The images of the benchmark, made once below build/bench and the same on every machine.

bench.iso     880 MB, Rock Ridge: 1,600 folders with 50,000 files, of which 10,000 small ones in `small` and one of 500 MiB
bench.cso     the same in blocks of 2 KiB, raw deflate, level 6
bench.bin     the same in sectors of 2352 bytes, mode 1, with bench.cue; EDC and ECC are left zero
bench.erofs   the same tree, uncompressed, for the kernel to mount

About half of every file can be compressed.
"""

import functools
import multiprocessing
import os
import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("build/bench")
ISO, CSO, BIN, CUE, EROFS = (FOLDER / f"bench.{kind}" for kind in ("iso", "cso", "bin", "cue", "erofs"))

SMALL, BIG = "small", "big.bin"
SMALL_FILES, OTHER_FILES = 10_000, 39_999
SMALL_FOLDERS, OTHER_FOLDERS = 100, 1_461
"""With the folders around them (two at the top, one for each 40 others): 1,600."""

BIG_BYTES = 500 << 20
EPOCH = 1_700_000_000
"""Seconds; the modification time of everything."""

SECTOR = 2048
POOL_BYTES = 4 << 20
PIECE = 1 << 20
"""What one process compresses at a time, in bytes."""


def prepare() -> None:
    """Make what is not there yet. Raises CalledProcessError when a tool fails, SystemExit when one is missing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not ISO.exists() or (shutil.which("mkfs.erofs") and not EROFS.exists()):
        tree = FOLDER / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        print("bench: making 50,000 files", flush=True)
        _make_tree(tree)
        _make_iso(tree)
        _make_erofs(tree)
        shutil.rmtree(tree)
    for target, make in ((CSO, _make_cso), (BIN, _make_bin)):
        if not target.exists():
            print(f"bench: making {target.name}", flush=True)
            part = target.with_suffix(".part")
            make(part)
            part.rename(target)
    CUE.write_text(f'FILE "{BIN.name}" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n')


# --- the tree -------------------------------------------------------------------------------------------------------


@functools.cache
def _pool() -> bytes:
    """Bytes to cut files from: 1 KiB of noise, 1 KiB of repetition, and so on."""
    chance = random.Random(2024)
    pieces = (chance.randbytes(1024) + bytes([chance.randrange(256)]) * 1024 for _ in range(POOL_BYTES // 2048))
    return b"".join(pieces) * 2


def _sizes() -> Iterator[tuple[str, int]]:
    """(path, bytes) of every file but the big one."""
    chance = random.Random(42)
    for index in range(SMALL_FILES):
        yield f"{SMALL}/{index % SMALL_FOLDERS:02d}/file-{index:05d}.txt", chance.randrange(200, 9_000)
    for index in range(OTHER_FILES):
        folder = index % OTHER_FOLDERS
        yield f"tree/{folder // 40:02d}/{folder % 40:02d}/item-{index:05d}.dat", chance.randrange(100, 14_000)


def _make_tree(tree: Path) -> None:
    pool, chance, made = _pool(), random.Random(7), set()
    for name, size in _sizes():
        path = tree / name
        if path.parent not in made:
            path.parent.mkdir(parents=True)
            made.add(path.parent)
        start = chance.randrange(POOL_BYTES)
        path.write_bytes(name.encode() + pool[start : start + size - len(name)])
    with open(tree / BIG, "wb") as file:
        for _ in range(BIG_BYTES >> 20):
            start = chance.randrange(POOL_BYTES)
            file.write(pool[start : start + (1 << 20)])
    for folder, folders, files in os.walk(tree, topdown=False):
        for name in (*files, *folders):
            os.utime(os.path.join(folder, name), (EPOCH, EPOCH))
    os.utime(tree, (EPOCH, EPOCH))


def _make_iso(tree: Path) -> None:
    program = next((name for name in ("xorriso", "genisoimage", "mkisofs") if shutil.which(name)), None)
    if program is None:
        raise SystemExit("bench: xorriso or genisoimage is needed to make the image")
    part = ISO.with_suffix(".part")
    words = [program, "-as", "mkisofs"] if program == "xorriso" else [program]
    _run(*words, "-quiet", "-R", "-V", "BENCH", "-o", part, tree)
    part.rename(ISO)


def _make_erofs(tree: Path) -> None:
    if shutil.which("mkfs.erofs"):
        part = EROFS.with_suffix(".part")
        part.unlink(missing_ok=True)
        _run("mkfs.erofs", "-T", str(EPOCH), part, tree)
        part.rename(EROFS)


def _run(*words: object) -> None:
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(EPOCH)}
    subprocess.run([str(word) for word in words], check=True, capture_output=True, env=environment)


# --- its twins ------------------------------------------------------------------------------------------------------


def _deflate_piece(offset: int) -> list[tuple[bytes, bool]]:
    """The blocks of one piece of the ISO: (bytes to store, whether they are as they were)."""
    with open(ISO, "rb") as file:
        data = os.pread(file.fileno(), PIECE, offset)
    blocks = []
    for at in range(0, len(data), SECTOR):
        block = data[at : at + SECTOR]
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = packer.compress(block) + packer.flush()
        blocks.append((block, True) if len(packed) >= len(block) else (packed, False))
    return blocks


def _make_cso(target: Path) -> None:
    """CSO version 1: header of 24 bytes, 32-bit offsets with the plain flag on top, raw deflate."""
    size = ISO.stat().st_size
    count = -(-size // SECTOR)
    at, index = 24 + 4 * (count + 1), []
    with open(target, "wb") as file, multiprocessing.Pool(2) as pool:
        file.write(struct.pack("<4sIQIBBH", b"CISO", 24, size, SECTOR, 1, 0, 0))
        file.seek(at)
        for blocks in pool.imap(_deflate_piece, range(0, size, PIECE)):
            for data, plain in blocks:
                index.append(at | (plain << 31))
                at += len(data)
            file.write(b"".join(data for data, _ in blocks))
        file.seek(24)
        file.write(struct.pack(f"<{count + 1}I", *index, at))


def _make_bin(target: Path) -> None:
    """Sectors of 2352 bytes: sync, address in BCD from 00:02:00, mode 1, user data, 288 zeros for EDC and ECC."""
    sync, check = b"\0" + b"\xff" * 10 + b"\0", bytes(288)
    bcd = bytes(value // 10 << 4 | value % 10 for value in range(100))
    sector = 150
    with open(ISO, "rb") as source, open(target, "wb") as file:
        while data := source.read(PIECE):
            parts: list[bytes] = []
            for at in range(0, len(data), SECTOR):
                minute, second, frame = sector // 4500, sector // 75 % 60, sector % 75
                parts += sync, bytes((bcd[minute], bcd[second], bcd[frame], 1)), data[at : at + SECTOR], check
                sector += 1
            file.write(b"".join(parts))
