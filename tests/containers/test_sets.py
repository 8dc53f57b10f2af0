"""Images of several files: any of them opens the disc, and one that is not there is named, with where it was looked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import imagefs
from imagefs.errors import MissingPartError, NotAnImageError
from tests.builders import mdx
from tests.builders.audio import music, write_wav
from tests.builders.b6t import MODE1 as B6T_MODE1
from tests.builders.b6t import Block as B6tBlock
from tests.builders.b6t import Entry, b6t
from tests.builders.bwt import Entry as BwtEntry
from tests.builders.bwt import bwt
from tests.builders.ccd import DATA, Row, ccd
from tests.builders.gdi import Line, gdi
from tests.builders.mds import MODE1, Block, mds
from tests.builders.readcd import Row as CloneRow
from tests.builders.readcd import clone
from tests.builders.readcd import toc as clone_toc
from tests.builders.sectors import stored, tone, volume
from tests.builders.toc import Statements, toc
from tests.builders.xcdroast import AUDIO as ROAST_AUDIO
from tests.builders.xcdroast import DATA as ROAST_DATA
from tests.builders.xcdroast import Track as RoastTrack
from tests.builders.xcdroast import xcdroast

SECTORS = stored(volume(40), "MODE1/2352")
PLAIN = volume(40)
MDS_2 = mdx.made([[mdx.Track(1, mdx.MODE1 | mdx.RAW, 2352, 0, SECTORS)]])
HALVES = {"md1": PLAIN[: 15 * 2048], "md2": PLAIN[15 * 2048 :]}


class Set(NamedTuple):
    """`files` are the data, `descriptor` what describes them in the format `kind`; those that can do without are `spare`."""

    kind: str
    descriptor: str
    text: bytes
    files: Mapping[str, bytes]
    spare: tuple[str, ...] = ()


def sheet(name: str, kind: str = "BINARY", mode: str = "MODE1/2352") -> bytes:
    return f'FILE "{name}" {kind}\nTRACK 01 {mode}\nINDEX 01 00:00:00\n'.encode()


def wav() -> bytes:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        return write_wav(Path(folder) / "x.wav", music(0.5)).read_bytes()


def cdrdao(name: str) -> bytes:
    return toc([Statements("MODE1_RAW", [f'DATAFILE "{name}"'])]).encode()


CCD = ccd([Row(1, 1, DATA, 0, 1)], [40]).encode()
CLONE = [CloneRow(1, 1, DATA, 0)]
SETS = {
    "cue and bin": Set("cue", "disc.cue", sheet("disc.bin"), {"disc.bin": SECTORS}),
    "cue and img": Set("cue", "disc.cue", sheet("disc.img"), {"disc.img": SECTORS}),
    "cue and mdf": Set("cue", "disc.cue", sheet("disc.mdf"), {"disc.mdf": SECTORS}),
    "cue and two bins": Set(
        "cue",
        "disc.cue",
        sheet("disc (Track 1).bin") + sheet("disc (Track 2).bin", mode="AUDIO").replace(b"01 AUDIO", b"02 AUDIO"),
        {"disc (Track 1).bin": SECTORS, "disc (Track 2).bin": tone(20)},
    ),
    "cue and wav": Set("cue", "disc.cue", sheet("disc.wav", "WAVE", "AUDIO"), {"disc.wav": wav()}),
    "toc and bin": Set("toc", "disc.toc", cdrdao("disc.bin"), {"disc.bin": SECTORS}),
    "toc and img": Set("toc", "disc.toc", cdrdao("disc.img"), {"disc.img": SECTORS}),
    "gdi and bin": Set("gdi", "disc.gdi", gdi([Line(1, 0, 4, 2352, "track01.bin")]).encode(), {"track01.bin": SECTORS}),
    "mds and mdf": Set("mds", "disc.mds", mds([[Block(1, MODE1, 2352, 0, 0, 40)]]), {"disc.mdf": SECTORS}),
    "mds and two files": Set(
        "mds",
        "disc.mds",
        mds([[Block(1, 2, 2048, 0, 0, 40)]], ["*.md1", "*.md2"], medium=0x10),
        {f"disc.{end}": half for end, half in HALVES.items()},
    ),
    "xmd and xmf": Set("mds", "disc.xmd", mds([[Block(1, MODE1, 2352, 0, 0, 40)]], ["*.xmf"]), {"disc.xmf": SECTORS}),
    "mds of version 2 and mdf": Set("mdx", "disc.mds", MDS_2.file, MDS_2.files),
    "ccd, img and sub": Set("ccd", "disc.ccd", CCD, {"disc.img": SECTORS, "disc.sub": bytes(96 * 40)}, ("disc.sub",)),
    "ccd and bin": Set("ccd", "disc.ccd", CCD, {"disc.bin": SECTORS}),
    "b6t and b6i": Set(
        "b6t",
        "disc.b6t",
        b6t([[Entry(1, B6T_MODE1, 0, 40)]], [B6tBlock("disc.b6i", 0, 40, 2352)]),
        {"disc.b6i": SECTORS},
    ),
    "b5t and b5i": Set(
        "b6t",
        "disc.b5t",
        b6t([[Entry(1, B6T_MODE1, 0, 40)]], [B6tBlock("disc.b5i", 0, 40, 2352)]),
        {"disc.b5i": SECTORS},
    ),
    "bwt, bwi and bws": Set(
        "bwt",
        "disc.bwt",
        bwt([BwtEntry(1, 1, -150, 0, 40, skipped=150)], subchannel=b"disc.bws"),
        {"disc.bwi": SECTORS, "disc.bws": bytes(96 * 40)},
        ("disc.bws",),
    ),
    "readcd -clone": Set("readcd", "disc.toc", clone_toc(CLONE, [40]), {"disc": clone(SECTORS, CLONE)}),
    "toc of X-CD-Roast and two files": Set(
        "xcdroast",
        "disc.toc",
        xcdroast([RoastTrack(ROAST_DATA, "1.img", 192, 0), RoastTrack(ROAST_AUDIO, "2.raw", 20, 192)]).encode(),
        {"1.img": PLAIN, "2.raw": tone(20)},
    ),
    "b6t and two files": Set(
        "b6t",
        "disc.b6t",
        b6t([[Entry(1, 6, 0, 40)]], [B6tBlock("disc.b00", 0, 15, 2048), B6tBlock("disc.b01", 15, 25, 2048)], 16),
        {"disc.b00": HALVES["md1"], "disc.b01": HALVES["md2"]},
    ),
}
FILES = [(name, file) for name, each in SETS.items() for file in (each.descriptor, *each.files)]
NEEDED = [(name, file) for name, each in SETS.items() for file in each.files if file not in each.spare]


def write(folder: Path, name: str, *, without: str = "", upper: bool = False) -> Set:
    """The files of a set; `upper`: the names of the data are not in the case that the descriptor has."""
    each = SETS[name]
    for file, content in {each.descriptor: each.text, **each.files}.items():
        if file != without:
            (folder / (file.upper() if upper and file != each.descriptor else file)).write_bytes(content)
    return each


@pytest.mark.parametrize(("name", "file"), FILES)
def test_any_file_of_a_set_opens_the_disc(tmp_path: Path, name: str, file: str) -> None:
    each = write(tmp_path, name)
    with imagefs.open_image(str(tmp_path / file)) as image:
        assert [step.name for step in image.steps] == [each.kind]
        assert image.disc is not None and image.disc.tracks[0].length > 30
        assert {Path(source.name).name for source in image.sources} >= {each.descriptor, *each.files} - {*each.spare}


@pytest.mark.parametrize("name", SETS)
def test_the_case_of_a_name_does_not_matter(tmp_path: Path, name: str) -> None:
    each = write(tmp_path, name, upper=True)
    for file in each.files:
        with imagefs.open_image(str(tmp_path / file.upper())) as image:
            assert [step.name for step in image.steps] == [each.kind]


@pytest.mark.parametrize(("name", "file"), NEEDED)
def test_a_part_that_is_not_there_is_named_with_where_it_was_looked_for(tmp_path: Path, name: str, file: str) -> None:
    each = write(tmp_path, name, without=file)
    with pytest.raises(MissingPartError) as found:
        imagefs.open_image(str(tmp_path / each.descriptor))
    expected = "disc.img" if name == "ccd and bin" else file
    assert found.value.name == expected
    assert found.value.looked == (str(tmp_path),)
    assert str(found.value) == f"its part {expected!r} is missing (looked in {tmp_path}); put it beside the image"


@pytest.mark.parametrize("name", [name for name, each in SETS.items() if len(each.files) > 1 + len(each.spare)])
def test_a_file_whose_set_is_not_whole_says_what_is_missing(tmp_path: Path, name: str) -> None:
    """It may still be read on its own; then the reason why the descriptor is not used is a warning."""
    first, second = list(SETS[name].files)[:2]
    each = write(tmp_path, name, without=second)
    with imagefs.open_image(str(tmp_path / first)) as image:
        assert each.kind not in [step.name for step in image.steps]
        assert any(each.descriptor in line and second in line for line in image.warnings)


def test_subchannel_alone_is_told_from_an_image(tmp_path: Path) -> None:
    write(tmp_path, "ccd, img and sub", without="disc.img")
    with (
        pytest.raises(MissingPartError, match=r"'disc\.img'"),
        imagefs.open_image(str(tmp_path / "disc.sub")) as image,
    ):
        assert image.tree is None


@pytest.mark.parametrize(
    ("name", "ends"),
    [("x.sub", ".ccd"), ("x.b6i", ".b6t"), ("x.xmf", ".mds"), ("x.bin", ".ccd or .cue or .gdi or .mds or .toc")],
)
def test_data_without_a_descriptor_say_which_one_they_need(tmp_path: Path, name: str, ends: str) -> None:
    (tmp_path / name).write_bytes(tone(20))
    with pytest.raises(NotAnImageError) as found, imagefs.open_image(str(tmp_path / name)) as image:
        assert image.tree is None
    assert str(found.value).endswith(f"put its {ends} beside it (looked in {tmp_path})")
