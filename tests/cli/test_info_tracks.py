"""The track table of `imagefs info` beside those of cd-info, chdman and cdrdao, for the same disc in several images."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagefs.image import open_image
from imagefs.options import Options
from tests.builders.descriptors import run_tool
from tests.builders.discs import Cue, Dao, cues, dao, nrg, write_cue
from tests.builders.sectors import stored, tone, volume
from tests.cli.conftest import Imagefs

pytestmark = pytest.mark.foreign

DATA, AUDIO = stored(volume(300), "MODE1/2352"), tone(900)
SHEET = """\
CATALOG 1234567890123
FILE "disc.bin" BINARY
  TRACK 01 MODE1/2352
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    FLAGS DCP PRE
    ISRC ABCDE1234567
    INDEX 00 00:04:00
    INDEX 01 00:06:00
  TRACK 03 AUDIO
    INDEX 01 00:10:00
"""
TOC = """\
CD_ROM
CATALOG "1234567890123"
TRACK MODE1_RAW
DATAFILE "disc.bin" 00:04:00
TRACK AUDIO
COPY
PRE_EMPHASIS
ISRC "ABCDE1234567"
FILE "disc.bin" #705600 00:00:00 00:06:00
START 00:02:00
TRACK AUDIO
FILE "disc.bin" #705600 00:06:00 00:06:00
"""


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    """One disc, as a CUE sheet, a TOC file and a Nero image."""
    cue = write_cue(tmp_path, SHEET, {"disc.bin": DATA + AUDIO})
    (tmp_path / "disc.toc").write_text(TOC)
    a, b, c, d, e, f = (sector * 2352 for sector in (0, 150, 450, 600, 900, 1350))
    isrc = b"ABCDE1234567"
    tracks = [Dao(5, 2352, a, b, c), Dao(7, 2352, c, d, e, isrc), Dao(7, 2352, e, e, f)]
    table = cues(
        [
            *(Cue(0, 0, -150), Cue(1, 0, -150), Cue(1, 1, 0)),
            *(Cue(2, 0, 300), Cue(2, 1, 450), Cue(3, 0, 750), Cue(3, 1, 750), Cue(0xAA, 1, 1200)),
        ]
    )
    pregap = stored(bytes(150 * 2048), "MODE1/2352", -150)
    chunks = [table, dao(tracks, catalog=b"1234567890123")]
    (tmp_path / "disc.nrg").write_bytes(nrg(pregap + DATA + AUDIO, chunks))
    return {"cue": cue, "toc": tmp_path / "disc.toc", "nrg": tmp_path / "disc.nrg"}


def told(imagefs: Imagefs, image: Path) -> dict[str, Any]:
    facts = json.loads(imagefs("info", "--json", image).out)
    disc: dict[str, Any] = facts["disc"]
    return disc


_ROW = re.compile(r"^ *(\d+): (\d\d:\d\d:\d\d) +(\d+) (\w+) *(\w+)? *(\w+)? *(\d+)? *(\w+)?", re.MULTILINE)


def by_cd_info(image: Path) -> list[tuple[str, ...]]:
    """Number, MSF, LSN, type, -, copy, channels, pre-emphasis of each track, and of the lead-out as track 170."""
    kind = image.suffix[1:]
    shown = run_tool("cd-info", f"--{kind}-file={image}", "--no-header", "--no-analyze", "-q", folder=image.parent)
    return _ROW.findall(shown)


def rows_of(session: dict[str, Any]) -> list[tuple[str, ...]]:
    """What `by_cd_info` gives up to the type, of our own table."""
    rows = [
        (str(t["number"]), t["start_msf"], f"{t['start']:06}", "audio" if t["mode"] == "audio" else "data")
        for t in session["tracks"]
    ]
    return [*rows, ("170", session["lead_out_msf"], f"{session['lead_out']:06}", "leadout")]


@pytest.mark.parametrize("kind", ["cue", "nrg"])
def test_cd_info_has_the_same_table(
    imagefs: Imagefs, images: dict[str, Path], kind: str, need: Callable[..., None]
) -> None:
    need("cd-info")
    disc = told(imagefs, images[kind])
    (session,) = disc["sessions"]
    theirs = by_cd_info(images[kind])
    assert [row[:3] for row in rows_of(session)] == [row[:3] for row in theirs]
    if kind == "cue":  # of a Nero image cd-info has neither types nor flags
        assert [row[3] for row in rows_of(session)] == [row[3] for row in theirs]
        flags = [("DCP" in t["flags"], "PRE" in t["flags"]) for t in session["tracks"][1:]]
        assert flags == [(row[5] == "yes", row[7] == "yes") for row in theirs[1:3]] == [(True, True), (False, False)]
    assert (disc["catalog"], session["tracks"][1]["isrc"]) == ("1234567890123", "ABCDE1234567")
    assert [t["pregap"] for t in session["tracks"]][1:] == [150, 0]


def test_cdrdao_has_the_same_table(imagefs: Imagefs, images: dict[str, Path], need: Callable[..., None]) -> None:
    need("cdrdao")
    shown = run_tool("cdrdao", "show-toc", images["toc"], folder=images["toc"].parent)
    pattern = r"^ *(TRACK +\d+|START|END|PREGAP|PRE-EMPHASIS|COPY PERMITTED) *(?:\S+ *(\d+)\))?"
    lines = [(" ".join(name.split()), number) for name, number in re.findall(pattern, shown, re.MULTILINE)]
    ours: list[tuple[str, str]] = []
    tracks = told(imagefs, images["toc"])["sessions"][0]["tracks"]
    for track in tracks:
        ours.append((f"TRACK {track['number']}", ""))
        ours += [("COPY PERMITTED", "")] * ("DCP" in track["flags"]) + [("PRE-EMPHASIS", "")] * (
            "PRE" in track["flags"]
        )
        ours += [("PREGAP", str(track["pregap"]))] * bool(track["pregap"])
        ours += [("START", str(track["start"])), ("END", str(track["start"] + track["length"]))]
    assert lines == ours


def test_control_bits_and_indexes_of_a_nero_image(imagefs: Imagefs, tmp_path: Path) -> None:
    """As the Q channel has them (ECMA-130, 22.3.1): 1 pre-emphasis, 2 copying permitted, 8 four channels."""
    body = bytearray(cues([Cue(1, 1, 0), Cue(1, 2, 100), Cue(1, 3, 150), Cue(2, 1, 300)]))
    for row, control in enumerate((0x3, 0x3, 0x3, 0x8)):
        body[8 + 8 * row] = control << 4 | 1
    tracks = [Dao(7, 2352, 0, 0, 300 * 2352), Dao(7, 2352, 300 * 2352, 300 * 2352, 900 * 2352)]
    path = tmp_path / "disc.nrg"
    path.write_bytes(nrg(AUDIO, [bytes(body), dao(tracks)]))
    first, second = told(imagefs, path)["sessions"][0]["tracks"]
    assert (first["flags"], second["flags"]) == (["PRE", "DCP"], ["4CH"])
    assert (first["indexes"], second["indexes"]) == ([100, 150], [])


_CHD_TRACK = re.compile(r"TRACK:(\d+) TYPE:(\w+) SUBTYPE:(\w+) FRAMES:(\d+) PREGAP:(\d+)")


def test_chdman_has_the_same_tracks(imagefs: Imagefs, images: dict[str, Path], need: Callable[..., None]) -> None:
    need("chdman")
    folder = images["cue"].parent
    run_tool("chdman", "createcd", "-i", "disc.cue", "-o", "disc.chd", folder=folder)
    rows = _CHD_TRACK.findall(run_tool("chdman", "info", "-v", "-i", "disc.chd", folder=folder))
    types = {"mode1/2352": "MODE1_RAW", "audio": "AUDIO"}
    tracks = told(imagefs, folder / "disc.chd")["sessions"][0]["tracks"]
    assert rows == [  # its frames have the stored pregap among them
        (str(t["number"]), types[t["mode"]], "NONE", str(t["length"] + t["pregap"]), str(t["pregap"])) for t in tracks
    ]
    assert tracks[1]["start_msf"] == "00:08:00"


def test_the_subchannel_that_chdman_keeps(imagefs: Imagefs, tmp_path: Path, need: Callable[..., None]) -> None:
    need("chdman")
    subchannel = tone(60, 5)[: 300 * 96]
    sectors = (DATA[2352 * k :][:2352] + subchannel[96 * k :][:96] for k in range(300))
    (tmp_path / "disc.bin").write_bytes(b"".join(sectors))
    (tmp_path / "disc.toc").write_text('CD_ROM\nTRACK MODE1_RAW RW_RAW\nDATAFILE "disc.bin" 00:04:00\n')
    run_tool("chdman", "createcd", "-i", "disc.toc", "-o", "disc.chd", folder=tmp_path)
    for name in ("disc.toc", "disc.chd"):
        (track,) = told(imagefs, tmp_path / name)["sessions"][0]["tracks"]
        assert track["subchannel"]
        with open_image(str(tmp_path / name), Options(meta=True)) as image:
            node = image.find(".imagefs/tracks/01.sub")
            assert image.tree.open(node).exactly(0, node.size) == subchannel
            node = image.find(".imagefs/tracks/01.bin")
            assert image.tree.open(node).exactly(0, node.size) == DATA


def test_iso_info_has_the_same_volume(imagefs: Imagefs, tree: Path, tmp_path: Path, need: Callable[..., None]) -> None:
    need("iso-info", "genisoimage")
    words = [
        "genisoimage",
        "-quiet",
        "-R",
        "-J",
        "-V",
        "LABEL",
        "-A",
        "APP",
        "-p",
        "PREPARER",
        "-o",
        "disc.iso",
        str(tree),
    ]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    shown = run_tool("iso-info", "-i", "disc.iso", folder=tmp_path)
    want = dict(re.findall(r"^(\w+)\s*: (.*?)\s*$", shown, re.MULTILINE))
    details = json.loads(imagefs("info", "--json", tmp_path / "disc.iso").out)["volumes"][0]["filesystem"]["details"]
    assert want["Application"] == details["application_id"]
    assert want["Preparer"] == details["preparer_id"]
    assert want["Volume"] == details["volume_id"]
