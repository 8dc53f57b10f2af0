"""CHDs of laserdiscs, which `chdman createld` makes of a film: one line says what they are and what to do with them."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from imagefs.cli import main

RATE, FPS, FRAMES = 48_000, 30, 20
"""chdman 0.251 writes files that it cannot read itself of films of four frames."""
SAYS = "it is a CHD of a laserdisc: pictures and sound, no files; `chdman extractld` makes an AVI of it"


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _list(name: bytes, *parts: bytes) -> bytes:
    return _chunk(b"LIST", name + b"".join(parts))


def _stream(kind: bytes, codec: bytes, rate: int, length: int, sample_bytes: int, layout: bytes) -> bytes:
    head = struct.pack(
        "<4s4sIHHIIIIIIIIQ", kind, codec, 0, 0, 0, 0, 1, rate, 0, length, 0, 0xFFFF_FFFF, sample_bytes, 0
    )
    return _list(b"strl", _chunk(b"strh", head), _chunk(b"strf", layout))


def avi(width: int, height: int) -> bytes:
    """Plain pictures (YUY2, two bytes a pixel) and 16-bit stereo sound. Source: Microsoft, AVI RIFF file reference."""
    size, samples = width * height * 2, RATE // FPS
    picture = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 16, b"YUY2", size, 0, 0, 0, 0)
    sound = struct.pack("<HHIIHH", 1, 2, RATE, RATE * 4, 4, 16)
    header = struct.pack("<14I", 1_000_000 // FPS, 0, 0, 0x10, FRAMES, 0, 2, size, width, height, 0, 0, 0, 0)
    content, index = b"movi", b""
    for frame in range(FRAMES):
        pieces = (
            (b"00dc", bytes([frame, 128]) * (width * height)),
            (b"01wb", struct.pack("<hh", frame, -frame) * samples),
        )
        for name, piece in pieces:
            index += struct.pack("<4sIII", name, 0x10, len(content), len(piece))
            content += _chunk(name, piece)
    streams = (
        _stream(b"vids", b"YUY2", FPS, FRAMES, 0, picture),
        _stream(b"auds", bytes(4), RATE, FRAMES * samples, 4, sound),
    )
    hdrl = _list(b"hdrl", _chunk(b"avih", header), *streams)
    return _chunk(b"RIFF", b"AVI " + hdrl + _chunk(b"LIST", content) + _chunk(b"idx1", index))


@pytest.fixture(
    params=[(16, 8, ["AVAV"]), (16, 524, ["AVAV", "AVLD"])], ids=["a film", "a disc with its frame numbers"]
)
def laserdisc(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What chdman makes of a film, and knows as what it is. Pictures as high as a laserdisc's have its frame numbers."""
    if not shutil.which("chdman"):
        pytest.skip("chdman is not installed")
    width, height, tags = request.param
    (tmp_path / "film.avi").write_bytes(avi(width, height))

    def chdman(*words: str) -> str:
        done = subprocess.run(["chdman", *words], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60)
        return done.stdout

    chdman("createld", "-i", "film.avi", "-o", "film.chd")
    told = chdman("info", "-i", "film.chd")
    assert "avhu (A/V Huffman)" in told
    assert [tag for tag in ("AVAV", "AVLD") if f"Tag='{tag}'" in told] == tags
    return tmp_path / "film.chd"


@pytest.mark.foreign
@pytest.mark.parametrize("command", [["info"], ["cat", "--raw"], ["ls"], ["extract"]])
def test_what_it_is_and_what_to_do_is_one_line(
    laserdisc: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(laserdisc.parent)
    assert main([*command, str(laserdisc)]) == 69
    told = capfd.readouterr()
    assert told.err == f"imagefs: {laserdisc}: {SAYS}\n"
    assert ("recognised a MAME CHD" in told.out) == (command == ["info"])


@pytest.mark.foreign
def test_the_remedy_gives_the_film_back(laserdisc: Path) -> None:
    again = laserdisc.with_suffix(".again.avi")
    command = ("chdman", "extractld", "-i", str(laserdisc), "-o", str(again))
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    content = again.read_bytes()
    assert content[8:12] == b"AVI "
    assert bytes([FRAMES - 1, 128]) * 16 in content
