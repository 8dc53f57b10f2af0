"""What is made of the benchmark's ISO: the same in other containers and wrappers.

bench.cso         in blocks of 2 KiB, raw deflate, level 6
bench.bin         in sectors of 2352 bytes, mode 1, with bench.cue
twin.mds, .mdf    the same sectors as Alcohol has them (one file with bench.bin)
twin.bin.ecm      the same without what ECM can compute
slice.iso         the first 160 MiB of the ISO; what is slow to pack is made of it:
disc.bin          the same as sectors, with disc.cue
disc-*.chd        that disc by chdman, with cdlz and cdzl
slice-*.chd       hunks of 16 KiB: with lzma by chdman, with zstd, which chdman 0.251 lacks, by our own builder
slice.iso.gz, .xz one stream of deflate; blocks of 8 MiB
far.iso.xz        the slice with zeros behind it up to 4 GiB, in blocks of 32 MiB
"""

import multiprocessing
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.material import FOLDER, ISO, SECTOR, run
from imagefs.disc import ecc
from imagefs.disc.layouts import SYNC
from tests.builders import chd, ecm, mds

CSO, BIN, CUE = (FOLDER / f"bench.{kind}" for kind in ("cso", "bin", "cue"))
MDS, MDF, ECM = FOLDER / "twin.mds", FOLDER / "twin.mdf", FOLDER / "twin.bin.ecm"
SLICE = FOLDER / "slice.iso"
SLICE_BIN, SLICE_CUE = (FOLDER / f"disc.{kind}" for kind in ("bin", "cue"))
SECTORS = {CUE: BIN, MDS: MDF}
"""What lies in another file than the image is opened by."""
CHD_CODECS = ("cdlz", "cdzl", "zstd", "lzma")
CHDS = {codec: FOLDER / f"{'disc' if codec.startswith('cd') else 'slice'}-{codec}.chd" for codec in CHD_CODECS}
GZ, XZ, FAR = FOLDER / "slice.iso.gz", FOLDER / "slice.iso.xz", FOLDER / "far.iso.xz"

SLICE_BYTES, FAR_BYTES = 160 << 20, 4 << 30
RAW_SECTOR, HUNK_BYTES = 2352, 16 << 10
PIECE = 1 << 20
"""What one process compresses at a time, in bytes."""


def prepare() -> None:
    """Make what is not there yet; what needs a tool that is missing is left out. Raises CalledProcessError."""
    _write_cue(CUE, BIN)
    _write_cue(SLICE_CUE, SLICE_BIN)
    makers: dict[Path, Callable[[Path], None]] = {
        CSO: _make_cso, BIN: lambda path: _make_bin(ISO, path), MDF: _link_mdf, MDS: _make_mds, ECM: _make_ecm,
        SLICE: _make_slice, SLICE_BIN: lambda path: _make_bin(SLICE, path), CHDS["zstd"]: _make_zstd,
    }  # fmt: skip
    if shutil.which("chdman"):
        for codec in ("cdlz", "cdzl"):
            makers[CHDS[codec]] = lambda path, codec=codec: _chdman(path, "createcd", SLICE_CUE, codec)  # type: ignore[misc]
        makers[CHDS["lzma"]] = lambda path: _chdman(
            path, "createraw", SLICE, "lzma", "-hs", str(HUNK_BYTES), "-us", str(SECTOR)
        )
    makers[GZ] = lambda path: _pack(path, SLICE, "gzip", "-6", "-c")
    makers[XZ] = lambda path: _pack(path, SLICE, "xz", "-1", "-T2", "--block-size=8MiB", "-c")
    makers[FAR] = _make_far
    for target, make in makers.items():
        if not target.exists():
            print(f"bench: making {target.name}", flush=True)
            part = target.with_suffix(".part")
            part.unlink(missing_ok=True)
            make(part)
            part.rename(target)


def _write_cue(cue: Path, image: Path) -> None:
    cue.write_text(f'FILE "{image.name}" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n')


# --- CSO ------------------------------------------------------------------------------------------------------------


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


# --- sectors --------------------------------------------------------------------------------------------------------


def _addresses() -> Iterator[bytes]:
    """The addresses of sectors from 00:02:00 on, in BCD."""
    bcd = bytes(value // 10 << 4 | value % 10 for value in range(100))
    for sector in range(150, 100 * 4500):
        yield bytes((bcd[sector // 4500], bcd[sector // 75 % 60], bcd[sector % 75]))


def _make_bin(image: Path, target: Path) -> None:
    """Sectors of 2352 bytes: sync, address, mode 1, user data, EDC and ECC, without which chdman packs all as it is."""
    addresses = _addresses()
    with open(image, "rb") as source, open(target, "wb") as file:
        while data := source.read(PIECE):
            sectors = []
            for at in range(0, len(data), SECTOR):
                sector = SYNC + next(addresses) + b"\1" + data[at : at + SECTOR]
                sectors.append(sector + ecc.edc(sector) + bytes(8))
            parity = ecc.parity(b"".join([sector[len(SYNC) :] for sector in sectors]))
            size = ecc.PARITY_BYTES
            file.write(b"".join([sector + parity[n * size : (n + 1) * size] for n, sector in enumerate(sectors)]))


def _link_mdf(target: Path) -> None:
    os.link(BIN, target)


def _make_mds(target: Path) -> None:
    block = mds.Block(1, mds.MODE1, RAW_SECTOR, 0, 0, BIN.stat().st_size // RAW_SECTOR)
    target.write_bytes(mds.mds([[block]]))


def _make_ecm(target: Path) -> None:
    """One record of all sectors. The EDC of the whole, which readers of a part cannot check, is left zero."""
    addresses = _addresses()
    with open(ISO, "rb") as source, open(target, "wb") as file:
        file.write(b"ECM\0" + ecm.head(1, ISO.stat().st_size // SECTOR))
        while data := source.read(PIECE):
            file.write(b"".join([next(addresses) + data[at : at + SECTOR] for at in range(0, len(data), SECTOR)]))
        file.write(ecm.END + bytes(4))


# --- the slice ------------------------------------------------------------------------------------------------------


def _make_slice(target: Path) -> None:
    with open(ISO, "rb") as source, open(target, "wb") as file:
        for _ in range(SLICE_BYTES // PIECE):
            file.write(source.read(PIECE))


def _chdman(target: Path, command: str, source: Path, codec: str, *more: str) -> None:
    run("chdman", command, "-f", "-i", source, "-o", target, "-c", codec, *more)


def _make_zstd(target: Path) -> None:
    data = SLICE.read_bytes()
    hunks = chd.whole(data, HUNK_BYTES, b"zstd")
    target.write_bytes(chd.chd5(data, hunks, [b"zstd"], hunk_bytes=HUNK_BYTES, unit_bytes=SECTOR))


def _pack(target: Path, source: Path, *words: str) -> None:
    with open(source, "rb") as file, open(target, "wb") as packed:
        run(*words, stdin=file, stdout=packed)


def _make_far(target: Path) -> None:
    whole = target.with_suffix(".whole")
    with open(SLICE, "rb") as source, open(whole, "wb") as file:
        while data := source.read(PIECE):
            file.write(data)
        file.truncate(FAR_BYTES)
    _pack(target, whole, "xz", "-0", "-T2", "--block-size=32MiB", "-c")
    whole.unlink()
