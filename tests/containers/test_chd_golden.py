"""CHD: every kind of input and codec that chdman takes, beside what it takes out of the file again."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import imagefs
from imagefs.disc import Disc
from imagefs.errors import DamagedError, MissingPartError
from imagefs.readers import Reader
from tests.builders.audio import music, run, write_wav
from tests.builders.chd import chd34, deflate
from tests.builders.discs import Cue, Dao, cues, dao, nrg, write_cue
from tests.builders.sectors import stored, tone, volume
from tests.containers.test_chd import MIXED, reader_of
from tests.contract import check_reader

pytestmark = pytest.mark.foreign
Chdman = Callable[..., str]
SHEET = """\
FILE "data.bin" BINARY
  TRACK 01 MODE1/2352
    INDEX 01 00:00:00
FILE "sound.bin" BINARY
  TRACK 02 AUDIO
    INDEX 00 00:00:00
    INDEX 01 00:00:20
"""
DATA, SOUND = stored(volume(70), "MODE1/2352"), tone(60)


@pytest.fixture
def chdman(tmp_path: Path) -> Chdman:
    """chdman("createcd", "-i", "disc.cue", "-o", "disc.chd"): run in the test's folder; what it says."""
    if not shutil.which("chdman"):
        pytest.skip("chdman is not installed")

    def start(*words: str) -> str:
        done = subprocess.run(["chdman", *words], cwd=tmp_path, check=True, capture_output=True, timeout=60)
        return done.stdout.decode()

    return start


def flat(path: Path) -> bytes:
    with imagefs.open_image(str(path)) as image:
        assert isinstance(image.content, Reader)
        return image.raw.pread(0, image.raw.size)


def tracks(path: Path) -> list[tuple[str, int, bytes]]:
    """(kind, LBA, user data) of each track."""
    with imagefs.open_image(str(path)) as image:
        assert isinstance(image.content, Disc)
        return [(track.kind.value, track.start, track.user.pread(0, track.user.size)) for track in image.content.tracks]


# --- hard disks and raw content -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["none", "zlib", "lzma", "huff", "flac", "lzma,zlib,huff,flac"])
def test_hard_disks(tmp_path: Path, chdman: Chdman, codec: str) -> None:
    (tmp_path / "in").write_bytes(MIXED[: 60 * 2048])
    chdman("createhd", "-i", "in", "-o", "x.chd", "-chs", "6,4,10", "-c", codec)
    chdman("extracthd", "-i", "x.chd", "-o", "out")
    assert flat(tmp_path / "x.chd") == (tmp_path / "out").read_bytes() == MIXED[: 60 * 2048]


def test_a_blank_hard_disk(tmp_path: Path, chdman: Chdman) -> None:
    chdman("createhd", "-o", "x.chd", "-chs", "64,16,63", "-c", "none")
    assert flat(tmp_path / "x.chd") == bytes(64 * 16 * 63 * 512)


@pytest.mark.parametrize("codec", ["none", "zlib", "lzma", "huff", "flac"])
def test_a_copy_with_another_codec(tmp_path: Path, chdman: Chdman, codec: str) -> None:
    (tmp_path / "in").write_bytes(MIXED)
    chdman("createraw", "-i", "in", "-o", "one.chd", "-hs", "4096", "-us", "512", "-c", "zlib")
    chdman("copy", "-i", "one.chd", "-o", "two.chd", "-c", codec)
    assert flat(tmp_path / "two.chd") == MIXED


def test_metadata_that_were_added_and_taken_out(tmp_path: Path, chdman: Chdman) -> None:
    (tmp_path / "in").write_bytes(MIXED[: 60 * 2048])
    chdman("createhd", "-i", "in", "-o", "x.chd", "-chs", "6,4,10", "-c", "none")
    chdman("addmeta", "-i", "x.chd", "-t", "TEST", "-vt", "a note")
    chdman("addmeta", "-i", "x.chd", "-t", "MORE", "-vt", "x" * 5000)
    chdman("delmeta", "-i", "x.chd", "-t", "TEST")
    assert flat(tmp_path / "x.chd") == MIXED[: 60 * 2048]


# --- discs ----------------------------------------------------------------------------------------------------------------


def inputs(folder: Path) -> dict[str, Path]:
    """The same disc as a sheet of each kind that chdman reads, and others of one track."""
    write_cue(folder, SHEET, {"data.bin": DATA, "sound.bin": SOUND})
    (folder / "disc.toc").write_text(
        'CD_ROM\nTRACK MODE1_RAW\nDATAFILE "data.bin" 00:00:70\nTRACK AUDIO\nAUDIOFILE "sound.bin" SWAP 0 00:00:60\n'
    )
    (folder / "disc.iso").write_bytes(volume(70))
    write_wav(folder / "sound.wav", SOUND)
    write_cue(folder, SHEET.replace('"sound.bin" BINARY', '"sound.wav" WAVE'), {}, "wav.cue")
    table = [Cue(0, 0, -150), Cue(1, 0, -150), Cue(1, 1, 0), Cue(0xAA, 1, 70)]
    at = 150 * 2048
    written = [Dao(0, 2048, 0, at, at + 70 * 2048)]  # chdman 0.251 takes audio from a wrong place of such a file
    (folder / "disc.nrg").write_bytes(nrg(bytes(at) + volume(70), [cues(table), dao(written)]))
    return {name: folder / name for name in ("disc.cue", "disc.toc", "wav.cue", "disc.iso", "disc.nrg")}


@pytest.mark.parametrize("name", ["disc.cue", "disc.toc", "wav.cue", "disc.iso", "disc.nrg"])
def test_every_kind_of_input(tmp_path: Path, chdman: Chdman, name: str) -> None:
    """The disc in the CHD is the one of the input, and what chdman takes out of it again."""
    path = inputs(tmp_path)[name]
    chdman("createcd", "-i", name, "-o", "x.chd")
    chdman("extractcd", "-i", "x.chd", "-o", "out.cue", "-ob", "out.bin")
    found = tracks(tmp_path / "x.chd")
    assert found == tracks(tmp_path / "out.cue")
    if name in ("disc.iso", "disc.nrg"):
        assert found == [("mode1", 0, volume(70))]
    else:
        assert [track[2] for track in found] == [track[2] for track in tracks(path)]


@pytest.mark.parametrize("codec", ["cdzl", "cdlz", "cdfl"])
def test_a_disc_with_a_parent(tmp_path: Path, chdman: Chdman, codec: str) -> None:
    """Not without a codec: chdman cannot open such a child itself, since its parent has no SHA-1."""
    inputs(tmp_path)
    other = SHEET.replace("sound.bin", "other.bin")
    write_cue(tmp_path, other, {"other.bin": SOUND[: 30 * 2352] + tone(30, 5)}, "other.cue")
    chdman("createcd", "-i", "disc.cue", "-o", "parent.chd", "-c", codec)
    chdman("createcd", "-i", "other.cue", "-o", "child.chd", "-op", "parent.chd", "-c", codec)
    assert tracks(tmp_path / "child.chd") == tracks(tmp_path / "other.cue")
    (tmp_path / "parent.chd").unlink()
    with pytest.raises(MissingPartError, match="SHA-1"):
        imagefs.open_image(str(tmp_path / "child.chd"))


# --- FLAC in old versions -------------------------------------------------------------------------------------------------


def flac_frames(folder: Path, hunk: bytes) -> bytes:
    """A hunk of CD frames as `cdfl` packs it: FLAC of the big-endian samples, then deflated subcode."""
    main = b"".join(hunk[at : at + 2352] for at in range(0, len(hunk), 2448))
    subcode = b"".join(hunk[at + 2352 : at + 2448] for at in range(0, len(hunk), 2448))
    wav = write_wav(
        folder / "hunk.wav", bytes(byte for pair in zip(main[1::2], main[::2], strict=True) for byte in pair)
    )
    words = ("-s", "-f", "--no-padding", "--no-seektable", "--lax", "-b", "2352", "-c")
    whole = run("flac", *words, wav)
    at, is_last = 4, False
    while not is_last:
        is_last = bool(whole[at] & 0x80)
        at += 4 + int.from_bytes(whole[at + 1 : at + 4], "big")
    return whole[at:] + deflate(subcode)


@pytest.mark.parametrize("version", [3, 4])
def test_flac_hunks_of_versions_3_and_4(tmp_path: Path, version: int) -> None:
    samples = music(0.6)
    frames = b"".join(samples[at : at + 2352] + bytes(range(96)) for at in range(0, 16 * 2352, 2352))

    def second(hunk: bytes) -> bytes:
        return flac_frames(tmp_path, hunk)

    image = chd34(version, frames, [6, 1, 6, 2], hunk_bytes=4 * 2448, second=second)
    check_reader(reader_of(image), frames, 4 * 2448)
    broken = bytearray(image)
    packed = second(frames[: 4 * 2448])
    broken[image.index(packed) + len(packed) // 2] ^= 1
    with pytest.raises(DamagedError):
        reader_of(bytes(broken)).pread(0, 100)
