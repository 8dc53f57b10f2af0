"""UIF images and their sheets that are damaged anywhere: an error of ours, a disc, or as many bytes as were asked for, soon.

IMAGEFS_FUZZ_SECONDS makes it last longer than the moment that it takes among the other tests.
"""

import time
from functools import partial

from imagefs.containers.uif import FORMAT
from imagefs.disc import Disc
from imagefs.errors import ImageError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, Reader
from tests.builders.uif import CCD, CUE, MDS, PACKED, PLAIN, ZEROS, ccd_sheet, uif
from tests.containers.test_uif import IMAGE, KINDS, SECTORS, SHEET, mds_sheet, raw_uif
from tests.fuzz.test_discs import SLOWEST_SECONDS, damaged, seconds
from tests.fuzz.test_discs import walk as walk_disc
from tests.fuzz.test_fuzz_cso import walk

IMAGES = [
    uif(IMAGE, types=[PACKED, ZEROS, PLAIN], chunk_sectors=[7, 3, 30], has_packed_head=False),
    KINDS["version 3"],
    KINDS["key 5 and LZMA"],
    KINDS["LZMA of code"],
]
SHEETS = [
    (CUE, SHEET.format(name="x.bin").encode()),
    (MDS, mds_sheet("*.mdf")),
    (
        CCD,
        ccd_sheet(
            b"[CloneCD]\r\nVersion=3\r\n[Entry 0]\r\nPoint=0x01\r\nPLBA=0\r\n[Entry 1]\r\nPoint=0xa2\r\nPLBA=60\r\n"
        ),
    ),
]
TAIL_BYTES = 500
"""Footer, table and sheet lie there."""


def opened(data: bytes) -> Reader | Disc | None:
    candidate = Candidate(BytesReader(data), "disc.uif")
    return FORMAT.open(candidate, Options()) if FORMAT.probe(candidate) else None


def image_in(data: bytes) -> Reader | None:
    found = opened(data)
    return found.raw if isinstance(found, Disc) else found


def test_images() -> None:
    for chance in seconds():
        seed = chance.choice(IMAGES)
        kept = len(seed) - TAIL_BYTES if chance.random() < 0.6 else 0
        walk(partial(image_in, seed[:kept] + damaged(seed[kept:], 0, chance)))


def test_sheets() -> None:
    """Damaged before they are packed, and afterwards."""
    for chance in seconds():
        kind, sheet = chance.choice(SHEETS)
        data = raw_uif(kind, damaged(sheet, 0, chance), image=SECTORS[: 2352 * 20])
        if chance.random() < 0.3:
            data = data[:-TAIL_BYTES] + damaged(data[-TAIL_BYTES:], 0, chance)
        begin = time.monotonic()
        try:
            found = opened(data)
            if isinstance(found, Disc):
                walk_disc(found)
        except ImageError:
            pass
        assert time.monotonic() - begin < SLOWEST_SECONDS
