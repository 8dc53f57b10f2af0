"""`.imagefs/`: what is in an image besides its files."""

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from imagefs.cli import main
from imagefs.containers.cue import FORMAT
from imagefs.disc import Disc
from imagefs.image import Image, open_image
from imagefs.options import Options
from imagefs.readers import Reader
from tests.builders.b6t import Block, Entry, b6t
from tests.builders.c2d import Block as C2dBlock
from tests.builders.c2d import c2d
from tests.builders.ccd import AUDIO, DATA, Row, ccd
from tests.builders.cdi import Cut, cdi
from tests.builders.descriptors import open_path, run_tool
from tests.builders.discs import Tao, chunk, nrg, tao, write_cue
from tests.builders.sectors import pattern, stored, tone, volume
from tests.conftest import MakeIso
from tests.disc.test_cdtext import PERFORMER, SONGWRITER, TITLE, packs

META = Options(meta=True)
SUBCHANNEL = tone(4, 3)[: 90 * 96]
PACKS = packs(TITLE, 0, b"An Album\0Data\0First\0Second\0") + packs(PERFORMER, 0, b"Somebody\0\t\0\t\0\t\0")
PACKS += packs(SONGWRITER, 2, b"You\0")
CUT_PACKS = [PACKS[at : at + 16] for at in range(0, len(PACKS), 18)]
IMAGE = stored(volume(40), "MODE1/2352") + tone(50)
ROWS = [
    Row(1, 1, DATA, 0, 1),
    Row(1, 2, AUDIO | 1, 45, 0, {"INDEX 0": 40, "INDEX 1": 45, "INDEX 2": 50, "ISRC": "ABCDE1234567"}),
    Row(1, 3, AUDIO, 60, 0),
]


def inside(image: Image, folder: str = ".imagefs") -> dict[str, bytes]:
    """Name -> content of the files in a folder, b"" of folders."""
    found = {}
    for name, node in image.tree.entries(image.find(folder)):
        found[name.decode()] = image.tree.open(node).exactly(0, node.size) if node.is_file else b""
    return found


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A CloneCD image of data and two audio tracks, with subchannel and CD-TEXT."""
    text = ccd(ROWS, [90], packs=CUT_PACKS)
    return write_cue(tmp_path, text, {"disc.img": IMAGE, "disc.sub": SUBCHANNEL}, "disc.ccd")


def test_everything_that_a_disc_has(mixed: Path) -> None:
    with open_image(str(mixed), META) as image:
        meta, tracks = inside(image), inside(image, ".imagefs/tracks")
    assert list(meta) == ["info.json", "tracks", "cdtext.bin", "cdtext.txt"]
    assert meta["cdtext.bin"] == PACKS
    assert meta["cdtext.txt"].decode().splitlines() == [
        "00\tTITLE\tAn Album", "00\tPERFORMER\tSomebody", "01\tTITLE\tData", "01\tPERFORMER\tSomebody",
        "02\tTITLE\tFirst", "02\tPERFORMER\tSomebody", "02\tSONGWRITER\tYou",
        "03\tTITLE\tSecond", "03\tPERFORMER\tSomebody",
    ]  # fmt: skip
    assert list(tracks) == ["01.bin", "01.sub", "02.bin", "02.sub", "03.bin", "03.sub", "disc.cue"]
    assert b"".join(tracks[f"0{n}.bin"] for n in (1, 2, 3)) == IMAGE
    assert b"".join(tracks[f"0{n}.sub"] for n in (1, 2, 3)) == SUBCHANNEL
    assert len(tracks["02.bin"]) == 20 * 2352  # with the pregap


ONE, TWO = tone(12), tone(8, 9)
BOTH = ONE + TWO
SHEET = """\
CDTEXTFILE "disc.cdt"
FILE "disc.bin" BINARY
  TRACK 01 AUDIO
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    INDEX 01 00:00:12
"""
WITH_PACKS: dict[str, tuple[str | bytes, dict[str, bytes]]] = {
    "disc.cue": (SHEET, {"disc.bin": BOTH, "disc.cdt": PACKS}),
    "disc.nrg": (nrg(BOTH, [tao([Tao(7, 0, len(ONE)), Tao(7, len(ONE), len(TWO))]), chunk(b"CDTX", PACKS)]), {}),
    "disc.ccd": (ccd([Row(1, 1, AUDIO, 0, 0), Row(1, 2, AUDIO, 12, 0)], [20], packs=CUT_PACKS), {"disc.img": BOTH}),
    "disc.cdi": (cdi([[Cut(ONE, 0, 2, 0, 12, 0, control=0), Cut(TWO, 0, 2, 12, 8, 0, control=0)]], packs=PACKS), {}),
    "disc.c2d": (c2d([C2dBlock(1, 0, 2352, 0, 11, ONE), C2dBlock(2, 0, 2352, 12, 19, TWO)], packs=PACKS), {}),
    "disc.b6t": (
        b6t(
            [[Entry(1, 1, 0, 12, control=0), Entry(2, 1, 12, 8, control=0)]],
            [Block("disc.b6i", 0, 20, 2352)],
            cdtext=PACKS,
        ),
        {"disc.b6i": BOTH},
    ),
}


@pytest.mark.parametrize("name", WITH_PACKS)
def test_cd_text_is_the_same_whatever_image_it_is_in(tmp_path: Path, name: str) -> None:
    content, files = WITH_PACKS[name]
    with open_image(str(write_cue(tmp_path, content, files, name)), META) as image:
        assert [step.name for step in image.steps][-1] == name[-3:]
        meta = inside(image)
    assert meta["cdtext.bin"] == PACKS
    assert meta["cdtext.txt"].decode().splitlines() == [
        "00\tTITLE\tAn Album", "00\tPERFORMER\tSomebody", "01\tTITLE\tData", "01\tPERFORMER\tSomebody",
        "02\tTITLE\tFirst", "02\tPERFORMER\tSomebody", "02\tSONGWRITER\tYou",
    ]  # fmt: skip


def test_a_missing_subchannel_is_no_loss_and_a_strange_one_a_warning(mixed: Path) -> None:
    (mixed.parent / "disc.sub").unlink()
    with open_image(str(mixed), META) as image:
        assert "01.sub" not in inside(image, ".imagefs/tracks")
        assert not [line for line in image.warnings if "subchannel" in line]
    (mixed.parent / "disc.sub").symlink_to("/etc/passwd")
    with open_image(str(mixed), META) as image:
        assert "01.sub" not in inside(image, ".imagefs/tracks")
        why = "its subchannel is left out: its part 'disc.sub' is a link that leaves the image's folder"
        assert image.warnings[0] == why


def test_the_raw_tracks_and_their_sheet_are_the_disc_again(mixed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    with open_image(str(mixed), META) as image:
        for name, content in inside(image, ".imagefs/tracks").items():
            (copy / name).write_bytes(content)
        assert image.disc is not None
        want = facts(image.disc)
    assert facts(open_path(FORMAT, copy / "disc.cue")) == want
    assert (copy / "disc.cue").read_text().splitlines()[:4] == [
        'TITLE "An Album"', 'PERFORMER "Somebody"', 'FILE "01.bin" BINARY', "  TRACK 01 MODE1/2352",
    ]  # fmt: skip


def facts(disc: Disc) -> Sequence[object]:
    return [
        (
            t.number,
            t.mode,
            t.start,
            t.length,
            t.pregap,
            t.flags,
            t.isrc,
            t.title,
            t.indexes,
            t.user.pread(0, t.user.size),
        )
        for t in disc.tracks
    ]


@pytest.mark.foreign
def test_cdrdao_reads_the_sheet_of_the_raw_tracks(mixed: Path, tmp_path: Path, need: Callable[..., None]) -> None:
    need("cdrdao")
    with open_image(str(mixed), META) as image:
        for name, content in inside(image, ".imagefs/tracks").items():
            (tmp_path / name).write_bytes(content)
    lines = [
        " ".join(line.split()) for line in run_tool("cdrdao", "show-toc", "disc.cue", folder=tmp_path).splitlines()
    ]
    assert [line for line in lines if line.startswith(("TRACK", "START", "PRE-E"))] == [
        "TRACK 1 Mode MODE1_RAW:", "START 00:00:00( 0)", "TRACK 2 Mode AUDIO:", "PRE-EMPHASIS", "START 00:00:45( 45)",
        "TRACK 3 Mode AUDIO:", "START 00:00:60( 60)",
    ]  # fmt: skip


def test_info_is_what_the_command_tells(mixed: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with open_image(str(mixed), META) as image:
        told = inside(image)["info.json"]
    assert main(["info", "--json", str(mixed)]) == 0
    assert told == capfdbinary.readouterr().out
    assert json.loads(told)["disc"]["title"] == "An Album"


def test_a_data_track_without_a_file_system_is_there_too(tmp_path: Path) -> None:
    sheet = 'FILE "d.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n'
    path = write_cue(tmp_path, sheet, {"d.bin": stored(pattern(9), "MODE1/2352")})
    with open_image(str(path), META) as image:
        assert [name for name, _ in image.tree.entries(image.tree.root)] == [b".imagefs"]
        tracks = inside(image, ".imagefs/tracks")
    assert tracks["01.iso"] == pattern(9)
    assert tracks["01.bin"] == stored(pattern(9), "MODE1/2352")


def test_nothing_is_read_before_somebody_looks(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_image(str(mixed), META) as image:
        tree = image.tree
        read: list[Reader] = []
        for track in image.disc.tracks if image.disc else ():
            monkeypatch.setattr(track.stored, "pread", lambda *_, which=track.stored: read.append(which))
        folder = tree.lookup(tree.root, b".imagefs")
        assert folder is not None and read == []


@pytest.mark.foreign
def test_boot_images_have_the_size_and_the_content_of_their_files(make_iso: MakeIso, tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    floppy, efi = tone(700)[: 1440 << 10], pattern(30)
    (top / "floppy.img").write_bytes(floppy)
    (top / "efi.img").write_bytes(efi)
    image = make_iso(
        top, "-R", "-b", "floppy.img", "-c", "boot.cat", "-eltorito-alt-boot", "-e", "efi.img", "-no-emul-boot"
    )
    with open_image(str(image), META) as opened:
        assert inside(opened, ".imagefs/boot") == {"1-bios.img": floppy, "2-efi.img": efi}
    listed = subprocess.run(
        ["xorriso", "-indev", image, "-report_el_torito", "plain"], capture_output=True, text=True, check=True
    ).stdout
    assert "BIOS" in listed and "UEFI" in listed


@pytest.mark.foreign
def test_a_bridge_disc_has_the_boot_images_of_its_iso_side(tmp_path: Path, need: Callable[..., None]) -> None:
    need("genisoimage")
    top = tmp_path / "top"
    top.mkdir()
    (top / "boot.img").write_bytes(pattern(2))
    options = ("-udf", "-b", "boot.img", "-no-emul-boot", "-boot-load-size", "8")
    subprocess.run(
        ["genisoimage", "-quiet", *options, "-o", "b.iso", "top"], cwd=tmp_path, check=True, capture_output=True
    )
    for tree in ("udf", "iso"):
        with open_image(str(tmp_path / "b.iso"), Options(meta=True, tree=tree)) as image:
            assert inside(image, ".imagefs/boot") == {"1-bios.img": pattern(2)}
