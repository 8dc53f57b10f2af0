"""The images of the benchmark, made once below build/bench and the same on every machine.

bench.iso     880 MB, Rock Ridge: 1,600 folders with 50,000 files, of which 10,000 small ones in `small` and one of 500 MiB
bench.udf     the same tree, with a UDF side and names without Rock Ridge
bench.erofs   the same tree, uncompressed, for the kernel to mount

About half of every file can be compressed. `twins` makes of the ISO what else there is.
"""

import functools
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

FOLDER = Path("build/bench")
ISO, UDF, EROFS = (FOLDER / f"bench.{kind}" for kind in ("iso", "udf", "erofs"))

SMALL, BIG = "small", "big.bin"
SMALL_FILES, OTHER_FILES = 10_000, 39_999
SMALL_FOLDERS, OTHER_FOLDERS = 100, 1_461
"""With the folders around them (two at the top, one for each 40 others): 1,600."""

BIG_BYTES = 500 << 20
EPOCH = 1_700_000_000
"""Seconds; the modification time of everything."""

SECTOR = 2048
POOL_BYTES = 4 << 20


def prepare() -> None:
    """Make what is not there yet. Raises CalledProcessError when a tool fails, SystemExit when one is missing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    makers = {ISO: (_make_iso, None), EROFS: (_make_erofs, "mkfs.erofs"), UDF: (_make_udf, "genisoimage")}
    lacking = [make for path, (make, tool) in makers.items() if not path.exists() and (not tool or shutil.which(tool))]
    if lacking:
        tree = FOLDER / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        print("bench: making 50,000 files", flush=True)
        _make_tree(tree)
        for make in lacking:
            make(tree)
        shutil.rmtree(tree)


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
    run(*words, "-quiet", "-R", "-V", "BENCH", "-o", part, tree)
    part.rename(ISO)


def _make_erofs(tree: Path) -> None:
    part = EROFS.with_suffix(".part")
    part.unlink(missing_ok=True)
    run("mkfs.erofs", "-T", str(EPOCH), part, tree)
    part.rename(EROFS)


def _make_udf(tree: Path) -> None:
    part = UDF.with_suffix(".part")
    run("genisoimage", "-quiet", "-udf", "-iso-level", "3", "-V", "BENCH", "-o", part, tree)
    part.rename(UDF)


def run(*words: object, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None) -> None:
    """A command of which only the result counts. Raises CalledProcessError."""
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(EPOCH)}
    command = [str(word) for word in words]
    subprocess.run(
        command, check=True, stdin=stdin, stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
