"""Descriptors of all kinds out of thin air and out of damaged real ones: an error of ours or a disc, soon.

IMAGEFS_FUZZ_SECONDS makes it last longer than the moment that it takes among the other tests.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from imagefs.containers import b6t, bwt, c2d, ccd, cdi, cif, gdi, mds, mdx, readcd, toc, xcdroast
from imagefs.errors import ImageError
from imagefs.formats import Candidate, Format
from imagefs.readers import BytesReader
from imagefs.sources import Folder
from tests.builders.cdi import VERSIONS
from tests.builders.cdi import cdi as make_cdi
from tests.builders.cif import AUDIO, MODE1, Track
from tests.builders.cif import cif as make_cif
from tests.builders.gdi import gdi as make_gdi
from tests.builders.sectors import tone, volume
from tests.containers.test_b6t import WHOLE as B6T
from tests.containers.test_bwt import WHOLE as BWT
from tests.containers.test_c2d import WHOLE as C2D
from tests.containers.test_ccd import MIXED as CCD
from tests.containers.test_cdi import selfboot
from tests.containers.test_gdi import FILES, LINES
from tests.containers.test_mds import IMAGE
from tests.containers.test_mds import WHOLE as MDS
from tests.containers.test_mdx import MDX
from tests.containers.test_readcd import IMAGE as CLONE
from tests.containers.test_readcd import TOC as CLONE_TOC
from tests.containers.test_toc import MIXED as TOC
from tests.containers.test_xcdroast import FILES as ROAST_FILES
from tests.containers.test_xcdroast import TEXT as ROAST
from tests.containers.test_xcdroast import TEXTS as ROAST_TEXTS
from tests.fuzz.test_discs import damaged, seconds, try_open

Seeds = Sequence[tuple[bytes, int]]
"""(descriptor, the byte from which on it is damaged)."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("discs")
    for name, content in (FILES | ROAST_FILES | ROAST_TEXTS | {"disc": CLONE}).items():
        (path / name).write_bytes(content)
    for name in ("disc.bin", "disc.img", "disc.mdf", "disc.b6i", "disc.bwi"):
        (path / name).write_bytes(IMAGE)
    return path


def texts(*seeds: str) -> Callable[[], Seeds]:
    """The texts, and their lines shuffled into each other."""
    lines = [line for seed in seeds for line in seed.splitlines()]
    return lambda: [*((seed.encode(), 0) for seed in seeds), ("\n".join(lines + lines[::-1]).encode(), 0)]


def images_of_all_versions() -> Seeds:
    data_bytes = sum(len(cut.data) for session in selfboot() for cut in session)
    return [(make_cdi(selfboot(), version), data_bytes) for version in VERSIONS]


def easy_cd() -> Seeds:
    tracks = [Track(MODE1, volume(40), 40, filling=False), Track(AUDIO, tone(9), 9, b"ABCDE1234567", filling=False)]
    image = make_cif([tracks, tracks[1:]], b"Title", b"Artist")
    return [(image, image.index(b"disc") - 8), (image, 0)]


@pytest.mark.parametrize(
    ("entry", "name", "seeds"),
    [
        (gdi.FORMAT, "disc.gdi", texts(make_gdi(LINES), "1\n1 0 4 2048 disc.bin 99\n")),
        (
            toc.FORMAT,
            "disc.toc",
            texts(TOC, 'CD_ROM\nTRACK MODE1 RW\nZERO MODE1 RW 00:02:00\nDATAFILE "disc.bin" #9\nSTART\n'),
        ),
        (ccd.FORMAT, "disc.ccd", texts(CCD)),
        (mds.FORMAT, "disc.mds", lambda: [(MDS, 16)]),
        (b6t.FORMAT, "disc.b6t", lambda: [(B6T, 16)]),
        (bwt.FORMAT, "disc.bwt", lambda: [(BWT, 19)]),
        (cdi.FORMAT, "disc.cdi", images_of_all_versions),
        (mdx.FORMAT, "disc.mdx", lambda: [(MDX.file, 17)]),
        (c2d.FORMAT, "disc.c2d", lambda: [(C2D[:500], 32)]),
        (cif.FORMAT, "disc.cif", easy_cd),
        (readcd.FORMAT, "disc.toc", lambda: [(CLONE_TOC, 0)]),
        (xcdroast.FORMAT, "disc.toc", texts(ROAST, ROAST.replace("startsec", "other"))),
    ],
    ids=["gdi", "toc", "ccd", "mds", "b6t", "bwt", "cdi", "mdx", "c2d", "cif", "readcd", "xcdroast"],
)
def test_damaged_descriptors(folder: Path, entry: Format, name: str, seeds: Callable[[], Seeds]) -> None:
    whole = seeds()
    for chance in seconds():
        seed, first = chance.choice(whole)
        parts = Folder(str(folder))
        candidate = Candidate(BytesReader(damaged(seed, first, chance)), name, parts)
        try_open(entry, candidate)
        if entry.parts is not None and entry.probe(candidate):
            try_parts(entry, candidate)
        parts.close()


def try_parts(entry: Format, candidate: Candidate) -> None:
    """The names that a damaged descriptor gives lie in its folder, or it is refused."""
    assert entry.parts is not None and candidate.folder is not None
    try:
        names = entry.parts(candidate)
    except ImageError:
        return
    assert all(candidate.folder.find(name) == name for name in names)
