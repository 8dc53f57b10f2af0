"""Video CDs that vcdimager makes, in each of its image types, read whole beside what its own ripper takes out."""

import random
from pathlib import Path

import pytest

import imagefs
from tests.builders.audio import run
from tests.builders.descriptors import run_tool
from tests.builders.mpeg import PACK_BYTES, mpeg

pytestmark = pytest.mark.foreign
HELLO = random.Random(1).randbytes(30_000)
MIXED = random.Random(2).randbytes(10 * 2336)
"""Sectors of which the file holds all that is behind the header."""
MOVIE = mpeg(40)
XML = """\
<?xml version="1.0"?>
<!DOCTYPE videocd PUBLIC "-//GNU//DTD VideoCD//EN" "http://www.gnu.org/software/vcdimager/videocd.dtd">
<videocd xmlns="http://www.gnu.org/software/vcdimager/1.0/" class="vcd" version="2.0">
  <info>
    <album-id>ALBUM</album-id><volume-count>1</volume-count><volume-number>1</volume-number><restriction>0</restriction>
  </info>
  <pvd>
    <volume-id>VIDEOCD</volume-id><system-id>CD-RTOS CD-BRIDGE</system-id><application-id/><preparer-id/><publisher-id/>
  </pvd>
  <filesystem><folder><name>DATA</name>
    <file src="hello.txt" format="form1"><name>HELLO.TXT</name></file>
    <file src="mixed.bin" format="mixed"><name>MIXED.BIN</name></file>
  </folder></filesystem>
  <sequence-items><sequence-item src="movie.mpg" id="sequence-00"/></sequence-items>
</videocd>
"""
TYPES = {
    "bincue": ("videocd.cue", "bincue"),
    "bincue of 2336": ("videocd.cue", "bincue", "--sector-2336"),
    "nrg": ("videocd.nrg", "nrg"),
    "cdrdao": ("videocd.toc", "cdrdao"),
}


@pytest.fixture(params=TYPES)
def disc(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The path of an image of a Video CD."""
    for name, content in {"hello.txt": HELLO, "mixed.bin": MIXED, "movie.mpg": MOVIE, "disc.xml": XML.encode()}.items():
        (tmp_path / name).write_bytes(content)
    name, kind, *more = TYPES[request.param]
    run("vcdxbuild", "--version")
    run_tool("vcdxbuild", f"--image-type={kind}", *more, "disc.xml", folder=tmp_path)
    return tmp_path / name


def content(image: imagefs.Image, path: str) -> bytes:
    node = image.find(path)
    return image.tree.open(node).pread(0, node.size)


def test_the_whole_disc(disc: Path) -> None:
    with imagefs.open_image(str(disc)) as image:
        assert image.disc is not None
        assert [(track.start, track.kind.value) for track in image.disc.tracks] == [(0, "mode2"), (450, "mode2")]
        assert image.filesystems[0][1].label == "VIDEOCD"
        assert content(image, "data/hello.txt") == HELLO
        assert content(image, "vcd/info.vcd")[:8] == b"VIDEO_CD"
        assert content(image, "data/mixed.bin") == b"".join(
            MIXED[at + 8 : at + 8 + 2048] for at in range(0, len(MIXED), 2336)
        )
        cut = b"".join(MOVIE[at : at + 2048] for at in range(0, len(MOVIE), PACK_BYTES))
        assert cut in content(image, "mpegav/avseq01.dat")


def test_the_movie_is_in_its_track(disc: Path) -> None:
    """In the 2324 bytes of a form 2 sector, of which a file system shows 2048."""
    with imagefs.open_image(str(disc)) as image:
        assert image.disc is not None
        track = image.disc.tracks[1]
        stored = track.stored.pread(0, track.stored.size)
        first = track.user_offset
        packs = [stored[at + first : at + first + PACK_BYTES] for at in range(0, len(stored), track.sector_bytes)]
        assert MOVIE in b"".join(packs)


@pytest.mark.parametrize("disc", ["bincue", "nrg"], indirect=True)
def test_vcdxrip_takes_out_the_same(disc: Path) -> None:
    """It reads no other of vcdxbuild's types."""
    source = {".cue": "--cue-file", ".nrg": "--nrg-file"}[disc.suffix]
    out = disc.parent / "out"
    out.mkdir()
    run_tool("vcdxrip", f"{source}={disc}", folder=out)
    assert (out / "avseq01.mpg").read_bytes() == MOVIE
    with imagefs.open_image(str(disc)) as image:
        assert content(image, "data/hello.txt") == (out / "_data_hello.txt").read_bytes()
