"""`imagefs info`: what an image is, and why."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.builders.sectors import mode1
from tests.cli.conftest import Imagefs

SHEET = """\
CATALOG 1234567890123
TITLE "An Album"
PERFORMER "Somebody"
FILE "disc.bin" BINARY
  TRACK 01 MODE1/2352
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    TITLE "First"
    SONGWRITER "Somebody Else"
    FLAGS DCP
    ISRC ABCDE1234567
    INDEX 00 00:01:00
    INDEX 01 00:03:00
    INDEX 02 00:03:50
"""


@pytest.fixture
def cue(tmp_path: Path, monkeypatch) -> str:
    """A disc of 75 sectors of data that hold no file system, 150 of pregap and 150 of audio."""
    monkeypatch.chdir(tmp_path)
    data = b"".join(mode1(lba, bytes(2048)) for lba in range(75))
    Path("disc.bin").write_bytes(data + bytes(300 * 2352))
    Path("disc.cue").write_text(SHEET)
    return "disc.cue"


def test_a_disc_and_its_tracks(imagefs: Imagefs, cue: str):
    status, out, errors = imagefs("info", cue)
    assert (status, errors) == (0, [])
    lines = out.decode().splitlines()
    assert lines[0] == "image      disc.cue"
    assert 'disc       CD, "An Album", "Somebody"' in lines
    assert "catalog    1234567890123" in lines
    table = lines.index('disc       CD, "An Album", "Somebody"') + 2
    assert lines[table : table + 5] == [
        f"{'':11}session  track  mode           start        msf   sectors     length  pregap  isrc          flags, title",
        "                 1      1  mode1/2352         0   00:02:00        75   00:01:00       0",
        "                 1      2  audio            225   00:05:00       150   00:02:00     150  ABCDE1234567  "
        'DCP "First" by "Somebody Else"',
        "                 1    out                   375   00:07:00",
        "volume 1   no file system that imagefs reads",
    ]


def test_the_same_for_programs(imagefs: Imagefs, cue: str):
    facts = json.loads(imagefs("info", "--json", cue).out)
    assert list(facts) == [
        "path", "files", "formats", "size", "disc", "volumes", "warnings", "error", "error_class",
    ]  # fmt: skip
    assert [file["size"] for file in facts["files"]] == [len(SHEET), 375 * 2352]
    assert [step["name"] for step in facts["formats"]] == ["cue"]
    assert facts["size"] == 75 * 2048 + 150 * 2352
    disc = facts["disc"]
    assert (disc["medium"], disc["title"], disc["performer"], disc["catalog"]) == (
        "CD",
        "An Album",
        "Somebody",
        "1234567890123",
    )
    (session,) = disc["sessions"]
    assert (session["number"], session["lead_out"], session["lead_out_msf"]) == (1, 375, "00:07:00")
    assert session["tracks"][1] == {
        "number": 2,
        "mode": "audio",
        "start": 225,
        "start_msf": "00:05:00",
        "length": 150,
        "length_msf": "00:02:00",
        "pregap": 150,
        "indexes": [275],
        "flags": ["DCP"],
        "subchannel": False,
        "isrc": "ABCDE1234567",
        "title": "First",
        "performer": "",
        "songwriter": "Somebody Else",
    }
    (volume,) = facts["volumes"]
    assert volume == {
        "number": 1, "session": 1, "kind": "mode1/2352", "origin": 0, "filesystem": None, "trees": [], "states": [],
        "error": None,
    }  # fmt: skip
    assert (facts["error"], facts["error_class"]) == (None, None)


def test_why_has_every_probe(imagefs: Imagefs, cue: str):
    plain, why = imagefs("info", cue).out, imagefs("info", "--why", cue).out
    assert why.startswith(plain)
    probes = why[len(plain) :].decode().splitlines()
    assert any(line.split()[:4] == ["probe", "disc.cue", "cue", "50"] for line in probes)
    assert any(line.split() == ["probe", "disc.cue", "raw", "no"] for line in probes)
    rows = json.loads(imagefs("info", "--why", "--json", cue).out)["probes"]
    assert {"candidate", "format", "score", "reason", "error"} == set(rows[0])
    assert [row["score"] for row in rows if row["format"] == "raw"] == [None] * sum(r["format"] == "raw" for r in rows)


def test_what_matches_and_cannot_be_opened_says_why(imagefs: Imagefs, cue: str):
    Path("disc.bin").unlink()
    result = imagefs("info", "--why", cue)
    folder = Path.cwd()
    why = f"its part 'disc.bin' is missing (looked in {folder}); put it beside the image"
    assert (result.status, result.errors) == (66, [f"imagefs: disc.cue: {why}"])
    assert "recognised a CUE sheet: FILE and TRACK lines of a CUE sheet" in result.out.decode().splitlines()
    assert any("cue" in line and line.endswith(why) for line in result.out.decode().splitlines())
    assert json.loads(imagefs("info", "--json", cue).out) == {
        "path": "disc.cue",
        "error": why,
        "error_class": "MissingPartError",
        "recognised": [
            {
                "candidate": "disc.cue",
                "name": "cue",
                "title": "a CUE sheet",
                "reason": "FILE and TRACK lines of a CUE sheet",
            }
        ],
    }


def test_what_does_not_exist(imagefs: Imagefs, tmp_path: Path):
    facts = json.loads(imagefs("info", "--json", tmp_path / "no.iso").out)
    assert (facts["error_class"], facts["recognised"]) == ("NotFoundError", [])


def test_what_nothing_recognises(imagefs: Imagefs, tmp_path: Path):
    path = tmp_path / "poem.txt"
    path.write_text("roses are red\n")
    why = "nothing in it is known to imagefs; `imagefs info --why` tells what was tried"
    status, out, errors = imagefs("info", "--why", path)
    assert (status, errors) == (65, [f"imagefs: {path}: {why}"])
    lines = out.decode().splitlines()
    assert lines[:4] == [
        f"image      {path}",
        f"file       {path}, 14 bytes",
        "format     none: plain sectors",
        "content    14 bytes",
    ]
    assert all(line.split()[3] == "no" for line in lines if line.startswith("probe"))
    facts = json.loads(imagefs("info", "--json", path).out)
    assert (facts["formats"], facts["disc"], facts["error"]) == ([], None, why)
    assert facts["error_class"] == "NotAnImageError"


@pytest.mark.foreign
def test_a_volume_as_other_programs_describe_it(imagefs: Imagefs, make_iso, tree: Path, need):
    need("blkid")
    image = make_iso(tree, "-R", "-V", "Some_Label")
    probed = subprocess.run(["blkid", "-p", "-o", "export", image], check=True, capture_output=True, text=True)
    want = dict(line.split("=", 1) for line in probed.stdout.splitlines())
    (volume,) = json.loads(imagefs("info", "--json", image).out)["volumes"]
    got = volume["filesystem"]
    assert (got["kind"], got["label"], got["uuid"]) == (want["TYPE"], want["LABEL"], want["UUID"])
    assert got["tree"] == "rr"
    assert (volume["trees"], volume["states"]) == (["rr", "iso"], [])
    assert "volume 1   iso9660 (rr), label Some_Label, " in imagefs("info", image).out.decode()
