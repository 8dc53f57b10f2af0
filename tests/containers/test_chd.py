"""CHD: what chdman writes, compared with its source and with what chdman reads; what it does not write, by description.

chdman 0.251 cuts off the map of a file of fewer than eight hunks and cannot read it afterwards: all files here have more.
"""

import random
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagefs import limits
from imagefs.containers.chd import FORMAT, flac, open_chd, probe
from imagefs.containers.chd.header import read_header
from imagefs.containers.chd.hunks import content_of
from imagefs.containers.chd.maps import read_map
from imagefs.disc import Disc
from imagefs.errors import DamagedError, ImageError, MissingPartError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, Reader, RunKind
from imagefs.sources import Folder
from tests.builders.chd import PACK, Hunk, Meta, chd5, chd12, chd34, sha1_of, whole
from tests.builders.discs import write_cue
from tests.builders.sectors import form1, form2, mode1, pattern, stored, tone, volume
from tests.contract import check_reader, source_of

CHANCE = random.Random(11)
MIXED = b"".join(
    CHANCE.choice((bytes(2048), CHANCE.randbytes(2048), b"some text %d " % number * 140))[:2048].ljust(2048, b".")
    for number in range(75)
)
"""Content of all kinds, not a whole number of hunks of 4096 bytes."""
AUDIO = tone(21)
TEXT = b"".join(b"hunk number %d. " % number * 300 for number in range(6))[: 5 * 4096]
"""Every hunk of it can be packed."""
DVD = Meta(b"DVD ", b"\0")

Chdman = Callable[..., None]


@pytest.fixture
def chdman(tmp_path: Path) -> Chdman:
    """chdman("createcd", "-i", "disc.cue", "-o", "disc.chd"): run in the test's folder."""
    if not shutil.which("chdman"):
        pytest.skip("chdman is not installed")

    def run(*words: str) -> None:
        subprocess.run(["chdman", *words], cwd=tmp_path, check=True, capture_output=True, timeout=60)

    return run


def opened(path: Path) -> Reader | Disc:
    candidate = Candidate(source_of(path, path.read_bytes()), path.name, Folder(str(path.parent)))
    match = probe(candidate)
    assert match is not None
    assert match.score == 100
    return open_chd(candidate, Options())


def reader_of(image: bytes) -> Reader:
    content = open_chd(Candidate(BytesReader(image), "x.chd"), Options())
    assert isinstance(content, Reader)
    return content


def disc_of(path: Path) -> Disc:
    disc = opened(path)
    assert isinstance(disc, Disc)
    return disc


def frames_of(path: Path) -> Reader:
    """The whole content of a CD: frames with their subcode."""
    base = source_of(path, path.read_bytes())
    header = read_header(base)
    return content_of(base, header, read_map(base, header), None)


# --- what chdman writes -------------------------------------------------------------------------------------------------


@pytest.mark.foreign
class TestRaw:
    @pytest.mark.parametrize("codec", ["none", "zlib", "lzma", "huff", "flac", "huff,flac,zlib,lzma"])
    def test_codecs(self, tmp_path: Path, chdman: Chdman, codec: str):
        (tmp_path / "in").write_bytes(MIXED)
        chdman("createraw", "-i", "in", "-o", "x.chd", "-hs", "4096", "-us", "512", "-c", codec)
        check_reader(opened(tmp_path / "x.chd"), MIXED, 4096)  # type: ignore[arg-type]

    def test_samples_pack_with_flac(self, tmp_path: Path, chdman: Chdman):
        """In either byte order, and in more than one frame a hunk."""
        samples = tone(147)
        for name, content in (("little", samples), ("big", stored_big(samples))):
            (tmp_path / name).write_bytes(content)
            chdman("createraw", "-i", name, "-o", f"{name}.chd", "-hs", "16464", "-us", "588", "-c", "flac")
            reader = opened(tmp_path / f"{name}.chd")
            assert isinstance(reader, Reader)
            assert reader.pread(0, len(content)) == content
            assert (tmp_path / f"{name}.chd").stat().st_size < len(content) // 4

    def test_large_hunks(self, tmp_path: Path, chdman: Chdman):
        (tmp_path / "in").write_bytes(MIXED * 8)
        chdman("createraw", "-i", "in", "-o", "x.chd", "-hs", str(1 << 20), "-us", "512", "-c", "lzma,zlib")
        check_reader(opened(tmp_path / "x.chd"), MIXED * 8, 1 << 20)  # type: ignore[arg-type]

    @pytest.mark.parametrize("codec", ["none", "zlib"])
    def test_a_hard_disk(self, tmp_path: Path, chdman: Chdman, codec: str):
        content = MIXED[: 60 * 2048]
        (tmp_path / "in").write_bytes(content)
        chdman("createhd", "-i", "in", "-o", "x.chd", "-chs", "6,4,10", "-c", codec)
        check_reader(opened(tmp_path / "x.chd"), content, 4096)  # type: ignore[arg-type]

    def test_hunks_that_are_not_packed_lie_in_the_file(self, tmp_path: Path, chdman: Chdman):
        content = MIXED[:40960] + bytes(8192) + MIXED[:40960]
        (tmp_path / "in").write_bytes(content)
        chdman("createraw", "-i", "in", "-o", "x.chd", "-hs", "4096", "-us", "512", "-c", "none")
        reader = opened(tmp_path / "x.chd")
        assert isinstance(reader, Reader)
        kinds = {run.kind for run in reader.runs(0, reader.size)}
        assert kinds == {RunKind.DATA, RunKind.ZERO}

    def test_a_blank_disk(self, tmp_path: Path, chdman: Chdman):
        """8192 hunks in a file of a few hundred bytes."""
        with (tmp_path / "in").open("wb") as file:
            file.truncate(32 << 20)
        chdman("createraw", "-i", "in", "-o", "x.chd", "-hs", "4096", "-us", "512", "-c", "zlib")
        assert (tmp_path / "x.chd").stat().st_size < 500
        reader = opened(tmp_path / "x.chd")
        assert isinstance(reader, Reader)
        assert reader.size == 32 << 20
        assert reader.pread((32 << 20) - 5000, 10_000) == bytes(5000)


def stored_big(samples: bytes) -> bytes:
    swapped = bytearray(samples)
    swapped[::2], swapped[1::2] = samples[1::2], samples[::2]
    return bytes(swapped)


SHEET = """FILE "data.bin" BINARY
  TRACK 01 MODE1/2352
    INDEX 01 00:00:00
FILE "a.bin" BINARY
  TRACK 02 AUDIO
    PREGAP 00:02:00
    INDEX 01 00:00:00
FILE "b.bin" BINARY
  TRACK 03 AUDIO
    INDEX 00 00:00:00
    INDEX 01 00:00:10
"""
DATA = volume(70)
CD_CODECS = ["none", "cdzl", "cdlz", "cdfl", "cdlz,cdzl,cdfl"]


@pytest.mark.foreign
class TestCd:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        write_cue(tmp_path, SHEET, {"data.bin": stored(DATA, "MODE1/2352"), "a.bin": AUDIO, "b.bin": tone(30, 9)})
        return tmp_path

    @pytest.mark.parametrize("codec", CD_CODECS)
    def test_codecs(self, folder: Path, chdman: Chdman, codec: str):
        chdman("createcd", "-i", "disc.cue", "-o", "x.chd", "-c", codec)
        disc = disc_of(folder / "x.chd")
        assert disc.warnings == ()
        one, two, three = disc.tracks
        assert [track.mode for track in disc.tracks] == ["mode1/2352", "audio", "audio"]
        assert [(track.start, track.length, track.pregap) for track in disc.tracks] == [
            (0, 70, 0),
            (70 + 150, 21, 150),
            (70 + 150 + 21 + 10, 20, 10),
        ]
        check_reader(one.user, DATA)
        check_reader(two.user, AUDIO, 2352)
        assert three.user.pread(0, 10**6) == tone(30, 9)[10 * 2352 :]
        assert one.stored.pread(0, 10**6) == stored(DATA, "MODE1/2352")

    @pytest.mark.parametrize("codec", CD_CODECS)
    def test_frames_are_what_chdman_reads(self, folder: Path, chdman: Chdman, codec: str):
        """All 2448 bytes, sync, ECC and padding included."""
        chdman("createcd", "-i", "disc.cue", "-o", "x.chd", "-c", codec)
        chdman("extractraw", "-i", "x.chd", "-o", "frames")
        check_reader(frames_of(folder / "x.chd"), (folder / "frames").read_bytes(), 19584)

    @pytest.mark.parametrize("frames", [1, 3, 12, 28])
    @pytest.mark.parametrize("codec", ["cdzl", "cdfl"])
    def test_hunk_sizes(self, tmp_path: Path, chdman: Chdman, codec: str, frames: int):
        """28 frames make a hunk of more than 64 KiB."""
        sheet = 'FILE "d.bin" BINARY\n TRACK 01 MODE1/2352\n  INDEX 01 00:00:00\n TRACK 02 AUDIO\n  INDEX 01 00:00:70\n'
        write_cue(tmp_path, sheet, {"d.bin": stored(DATA, "MODE1/2352") + tone(230)})
        chdman("createcd", "-i", "disc.cue", "-o", "x.chd", "-c", codec, "-hs", str(frames * 2448))
        chdman("extractraw", "-i", "x.chd", "-o", "frames")
        check_reader(frames_of(tmp_path / "x.chd"), (tmp_path / "frames").read_bytes(), frames * 2448)

    @pytest.mark.parametrize("codec", ["cdzl", "cdlz", "cdfl"])
    def test_subcode(self, tmp_path: Path, chdman: Chdman, codec: str):
        """Where the FLAC frames end and the subcode begins is told by nothing."""
        chance = random.Random(3)
        samples = b"".join(
            sector + chance.choice((bytes(96), chance.randbytes(96)))
            for sector in sectors_of(stored_big(tone(40)), 2352)
        )
        data = b"".join(sector + chance.randbytes(96) for sector in sectors_of(stored(pattern(41), "MODE1/2352"), 2352))
        (tmp_path / "disc.bin").write_bytes(data + samples)
        (tmp_path / "disc.toc").write_text(
            f'CD_ROM\nTRACK MODE1_RAW RW_RAW\nDATAFILE "disc.bin" 00:00:41\n'
            f'TRACK AUDIO RW_RAW\nFILE "disc.bin" #{len(data)} 0 00:00:40\n'
        )
        chdman("createcd", "-i", "disc.toc", "-o", "x.chd", "-c", codec)
        chdman("extractraw", "-i", "x.chd", "-o", "frames")
        expected = (tmp_path / "frames").read_bytes()
        assert expected[: len(data)] == data
        check_reader(frames_of(tmp_path / "x.chd"), expected, 19584)
        assert disc_of(tmp_path / "x.chd").tracks[0].user.pread(0, 10**6) == pattern(41)

    @pytest.mark.parametrize("mode", ["MODE1/2048", "MODE1/2352", "MODE2/2336", "MODE2/2352"])
    def test_modes(self, tmp_path: Path, chdman: Chdman, mode: str):
        sheet = f'FILE "d.bin" BINARY\n TRACK 01 {mode}\n  INDEX 01 00:00:00\n'
        write_cue(tmp_path, sheet, {"d.bin": stored(DATA, mode)})
        chdman("createcd", "-i", "disc.cue", "-o", "x.chd")
        (track,) = disc_of(tmp_path / "x.chd").tracks
        assert track.mode == mode.lower()
        check_reader(track.user, DATA)

    def test_forms(self, tmp_path: Path, chdman: Chdman):
        """ECC is taken out of form 1 sectors alone, and not of those that have a wrong one."""
        chance = random.Random(4)
        sectors = [form1(lba, chance.randbytes(2048)) for lba in range(9)] + [form2(9, chance.randbytes(2324))]
        sectors += [mode1(10, bytes(2048))[:-1] + b"!", form1(11, bytes(2048))[:2100] + bytes(252), bytes(2352)]
        sheet = 'FILE "d.bin" BINARY\n TRACK 01 MODE2/2352\n  INDEX 01 00:00:00\n'
        write_cue(tmp_path, sheet, {"d.bin": b"".join(sectors)})
        chdman("createcd", "-i", "disc.cue", "-o", "x.chd", "-c", "cdzl")
        (track,) = disc_of(tmp_path / "x.chd").tracks
        assert track.stored.pread(0, 10**6) == b"".join(sectors)

    def test_the_first_pregap(self, tmp_path: Path, chdman: Chdman):
        """Of 150 sectors, stored: it lies before LBA 0."""
        sheet = 'FILE "d.bin" BINARY\n TRACK 01 MODE1/2352\n  INDEX 00 00:00:00\n  INDEX 01 00:02:00\n'
        content = stored(pattern(150) + DATA, "MODE1/2352", -150)
        write_cue(tmp_path, sheet, {"d.bin": content})
        chdman("createcd", "-i", "disc.cue", "-o", "x.chd", "-c", "cdzl")
        disc = disc_of(tmp_path / "x.chd")
        (track,) = disc.tracks
        assert (track.start, track.length, track.pregap, track.pregap_stored) == (0, 70, 150, 150)
        assert disc.space.pread(0, 10**6) == DATA

    def test_the_data_of_a_later_session(self, tmp_path: Path, chdman: Chdman):
        """chdman forgets sessions; the volume tells where it begins."""
        sheet = (
            'FILE "a.bin" BINARY\n TRACK 01 AUDIO\n  INDEX 01 00:00:00\n'
            'FILE "d.bin" BINARY\n TRACK 02 MODE2/2352\n  INDEX 01 00:00:00\n'
        )
        content = volume(70, first_lba=21 + 11400)
        write_cue(tmp_path, sheet, {"a.bin": AUDIO, "d.bin": stored(content, "MODE2/2352", 21 + 11400)})
        chdman("createcd", "-i", "disc.cue", "-o", "x.chd")
        disc = disc_of(tmp_path / "x.chd")
        assert [track.start for track in disc.tracks] == [0, 21 + 11400]
        assert disc.space.pread((21 + 11400) * 2048, 10**6) == content

    def test_a_gd_rom(self, tmp_path: Path, chdman: Chdman):
        low, high = volume(60), volume(50, first_lba=45000)
        for name, content in (
            ("1.bin", stored(low, "MODE1/2352")),
            ("2.raw", AUDIO),
            ("3.bin", stored(high, "MODE1/2352", 45000)),
        ):
            (tmp_path / name).write_bytes(content)
        (tmp_path / "disc.gdi").write_text("3\n1 0 4 2352 1.bin 0\n2 300 0 2352 2.raw 0\n3 45000 4 2352 3.bin 0\n")
        chdman("createcd", "-i", "disc.gdi", "-o", "x.chd", "-c", "cdzl,cdfl")
        disc = disc_of(tmp_path / "x.chd")
        assert [(session.number, len(session.tracks)) for session in disc.sessions] == [(1, 2), (2, 1)]
        assert [(track.start, track.length) for track in disc.tracks] == [(0, 60), (300, 21), (45000, 50)]
        assert [track.user.pread(0, 10**6) for track in disc.tracks] == [low, AUDIO, high]
        assert disc.space.pread(45016 * 2048, 2048) == high[16 * 2048 : 17 * 2048]
        assert disc.medium == "GD-ROM"


def sectors_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.foreign
class TestParents:
    @pytest.fixture
    def folder(self, tmp_path: Path, chdman: Chdman) -> Path:
        """one.chd, two.chd which is the difference to it, and a file that is neither."""
        (tmp_path / "1").write_bytes(MIXED)
        (tmp_path / "2").write_bytes(MIXED[:50_000] + b"changed!" + MIXED[50_008:])
        words = ("-hs", "4096", "-us", "512")
        chdman("createraw", "-i", "1", "-o", "one.chd", *words)
        chdman("createraw", "-i", "2", "-o", "two.chd", "-op", "one.chd", *words)
        (tmp_path / "notes.chd").write_bytes(b"no CHD at all")
        return tmp_path

    def test_a_child(self, folder: Path):
        content = (folder / "2").read_bytes()
        assert (folder / "two.chd").stat().st_size < 6000
        check_reader(opened(folder / "two.chd"), content, 4096)  # type: ignore[arg-type]

    def test_the_parent_may_have_any_name(self, folder: Path):
        (folder / "one.chd").rename(folder / "Ω.CHD")
        reader = opened(folder / "two.chd")
        assert isinstance(reader, Reader)
        assert reader.pread(0, 10**6) == (folder / "2").read_bytes()

    def test_no_parent(self, folder: Path):
        (folder / "one.chd").unlink()
        with pytest.raises(MissingPartError, match=r"'a CHD with the SHA-1 [0-9a-f]{40}' is missing \(looked in "):
            opened(folder / "two.chd")

    def test_a_parent_elsewhere_is_not_followed(self, folder: Path):
        away = folder / "away"
        away.mkdir()
        (folder / "two.chd").rename(away / "two.chd")
        (away / "one.chd").symlink_to(folder / "one.chd")
        with pytest.raises(MissingPartError):
            opened(away / "two.chd")


# --- what chdman does not write -------------------------------------------------------------------------------------------


def verified(tmp_path: Path, image: bytes, chdman: Chdman) -> None:
    """chdman finds every checksum right, the SHA-1 of the content among them."""
    (tmp_path / "built.chd").write_bytes(image)
    chdman("verify", "-i", "built.chd")


class TestBuilt:
    @pytest.mark.parametrize("codec", [b"zlib", b"lzma", b"zstd"])
    def test_codecs(self, codec: bytes):
        hunks = whole(MIXED, 4096, codec)
        hunks[3] = hunks[3]._replace(kind=4)
        check_reader(reader_of(chd5(MIXED, hunks, [codec, bytes(4), bytes(4), bytes(4)], meta=[DVD])), MIXED, 4096)

    @pytest.mark.parametrize("kinds", [[0] * 5, [1] * 5, [2] * 5, [0, 1, 1, 0, 1], [1, 4, 0, 2, 1]])
    def test_cd_codecs(self, kinds: list[int]):
        """Each alone; those that take many hunks at once in a row; and with others and a plain hunk between them."""
        frames = b"".join(sector + b"s" * 96 for sector in sectors_of(stored(DATA[: 40 * 2048], "MODE1/2352"), 2352))
        hunks = [hunk._replace(kind=kind) for hunk, kind in zip(whole(frames, 19584, b"cdzl"), kinds, strict=True)]
        text = b"TRACK:1 TYPE:MODE1_RAW SUBTYPE:RW_RAW FRAMES:40 PREGAP:0 PGTYPE:MODE1 PGSUB:NONE POSTGAP:0\0"
        image = chd5(
            frames,
            hunks,
            [b"cdzl", b"cdzs", b"cdlz", bytes(4)],
            hunk_bytes=19584,
            unit_bytes=2448,
            meta=[Meta(b"CHT2", text)],
        )
        disc = open_chd(Candidate(BytesReader(image)), Options())
        assert isinstance(disc, Disc)
        assert disc.tracks[0].user.pread(0, 10**6) == DATA[: 40 * 2048]

    def test_a_row_of_hunks_in_many_ways(self):
        """zlib, zstd and plain in turns, with a gap in the row, and lzma, which takes one at a time, behind it."""
        kinds = [0, 0, 1, 4, 4, 1, 0, 0, 0, 4, 1, 1, 0, 2, 0]
        content = (TEXT * 3)[: len(kinds) * 4096]
        hunks = [Hunk(kind, content[at * 4096 : (at + 1) * 4096]) for at, kind in enumerate(kinds)]
        hunks[7] = hunks[7]._replace(padding=3)
        image = chd5(content, hunks, [b"zlib", b"zstd", b"lzma", bytes(4)])
        check_reader(reader_of(image), content, 4096)
        damaged = image.replace(content[3 * 4096 :][:4096], bytes(4096))
        reader = reader_of(damaged)
        with pytest.raises(DamagedError, match="hunk 3 does not have its checksum"):
            reader.pread(2 * 4096, 3 * 4096)
        assert reader.pread(4 * 4096, 10**6) == content[4 * 4096 :]

    @pytest.mark.foreign
    @pytest.mark.parametrize("codec", [b"zlib", b"lzma"])
    def test_the_builder_writes_what_chdman_takes(self, tmp_path: Path, chdman: Chdman, codec: bytes):
        image = chd5(MIXED, whole(MIXED, 4096, codec), [codec, *[bytes(4)] * 3], meta=[Meta(b"ABCD", b"text\0")])
        verified(tmp_path, image, chdman)

    @pytest.mark.foreign
    def test_hunks_that_are_the_same(self, tmp_path: Path, chdman: Chdman):
        a, b, c = TEXT[:4096], TEXT[4096:8192], TEXT[8192:12288]
        hunks = [Hunk(0, a), Hunk(4, b), Hunk(0, c), Hunk(5, number=1), Hunk(9), Hunk(10), Hunk(9), Hunk(5, number=0)]
        content = a + b + c + b + b + c + c + a
        image = chd5(content, hunks, CODECS)
        check_reader(reader_of(image), content, 4096)
        verified(tmp_path, image, chdman)

    @pytest.mark.parametrize("times", [3, 18, 19, 35, 274])
    def test_runs_in_the_map(self, times: int):
        """Symbol 7 is 3 to 18 hunks, 8 is 19 to 274."""
        content = TEXT[:4096] * (times + 1) + TEXT[4096:8192]
        run = [7, times - 3] if times < 19 else [8, times - 19 >> 4, times - 19 & 15]
        hunks = whole(content)
        image = chd5(content, hunks, CODECS, symbols=[0, *run, 0])
        check_reader(reader_of(image), content, 4096)

    def test_a_run_before_any_type(self):
        hunks = whole(TEXT[: 4 * 4096])
        assert reader_of(chd5(MIXED[: 4 * 4096], hunks, CODECS, symbols=[7, 1])).pread(0, 10**5) == TEXT[: 4 * 4096]

    def test_hunks_of_the_parent(self, tmp_path: Path):
        """By unit, across its hunks, and with each of the short forms."""
        parent = chd5(MIXED, whole(MIXED, 8192), CODECS, hunk_bytes=8192)
        (tmp_path / "parent.chd").write_bytes(parent)
        places = [3 * 512, 1 * 4096, 1 * 4096, 2 * 4096, 5 * 512, 5 * 512, 5 * 512 + 4096]
        hunks = [Hunk(6, number=3), Hunk(11), Hunk(12), Hunk(13), Hunk(6, number=5), Hunk(12), Hunk(13)]
        content = b"".join(MIXED[place : place + 4096] for place in places) + b"own".ljust(4096)
        image = chd5(content, [*hunks, Hunk(0, b"own".ljust(4096))], CODECS, parent=sha1_of(parent))
        (tmp_path / "child.chd").write_bytes(image)
        check_reader(opened(tmp_path / "child.chd"), content, 4096)  # type: ignore[arg-type]

    def test_a_parent_that_is_not_packed(self, tmp_path: Path):
        """Hunks that a child without packing does not have are the parent's, and zeros behind its end."""
        parent = chd5(MIXED, whole(MIXED), CODECS)
        (tmp_path / "parent.chd").write_bytes(parent)
        own, size = CHANCE.randbytes(4096), len(MIXED) + 3 * 4096
        count = -(-size // 4096)
        header = struct.pack(
            ">8sII16sQQQII20s20s20s", b"MComprHD", 124, 5, b"", size, 124, 0, 4096, 512, b"", b"", sha1_of(parent)
        )
        table = struct.pack(f">{count}I", *([0] * 5 + [1] + [0] * (count - 6)))
        (tmp_path / "child.chd").write_bytes((header + table).ljust(4096, b"\0") + own)
        content = (MIXED[: 5 * 4096] + own + MIXED[6 * 4096 :]).ljust(size, b"\0")
        check_reader(opened(tmp_path / "child.chd"), content, 4096)  # type: ignore[arg-type]

    def test_a_parent_that_has_a_parent(self, tmp_path: Path):
        two = TEXT[4096:8192] + b"2" * 4096 + TEXT[8192:]
        three = two[:8192] + b"3" * 4096 + two[12288:]
        first = chd5(TEXT, whole(TEXT), CODECS)
        own = [Hunk(6, number=8), Hunk(0, b"2" * 4096), Hunk(11), Hunk(11), Hunk(11)]
        second = chd5(two, own, CODECS, parent=sha1_of(first))
        own = [Hunk(11), Hunk(11), Hunk(0, b"3" * 4096), Hunk(11), Hunk(11)]
        third = chd5(three, own, CODECS, parent=sha1_of(second))
        for name, image in (("1", first), ("2", second), ("3", third)):
            (tmp_path / f"{name}.chd").write_bytes(image)
        check_reader(opened(tmp_path / "3.chd"), three, 4096)  # type: ignore[arg-type]
        (tmp_path / "1.chd").unlink()
        with pytest.raises(MissingPartError, match=sha1_of(first).hex()):
            opened(tmp_path / "3.chd")

    def test_parents_without_end(self, tmp_path: Path):
        """Two files that name each other, as nobody could write them."""
        for name, own, other in (("a", b"A" * 20, b"B" * 20), ("b", b"B" * 20, b"A" * 20)):
            image = bytearray(chd5(bytes(4096), [Hunk(11)], CODECS, parent=other))
            image[84:104] = own
            (tmp_path / f"{name}.chd").write_bytes(image)
        with pytest.raises(DamagedError, match="parents"):
            opened(tmp_path / "a.chd")

    def test_chgt_has_little_endian_samples(self):
        frames = b"".join(sector + bytes(96) for sector in sectors_of(AUDIO[: 8 * 2352], 2352))
        for tag, samples in ((b"CHGT", AUDIO[: 8 * 2352]), (b"CHGD", stored_big(AUDIO[: 8 * 2352]))):
            text = b"TRACK:1 TYPE:AUDIO SUBTYPE:NONE FRAMES:8 PAD:2 PREGAP:0 PGTYPE:X PGSUB:NONE POSTGAP:0\0"
            image = chd5(
                frames,
                whole(frames, 19584, b"cdzl"),
                [b"cdzl", *[bytes(4)] * 3],
                hunk_bytes=19584,
                unit_bytes=2448,
                meta=[Meta(tag, text)],
            )
            disc = open_chd(Candidate(BytesReader(image)), Options())
            assert isinstance(disc, Disc)
            assert disc.tracks[0].user.pread(0, 10**6) == samples[: 6 * 2352]

    @pytest.mark.parametrize("order", [">", "<"])
    def test_the_table_of_contents_of_early_files(self, order: str):
        data, samples = stored(DATA[: 22 * 2048], "MODE1/2352"), tone(8)
        sectors = sectors_of(data, 2352) + [bytes(2352)] * 2 + sectors_of(stored_big(samples), 2352)
        frames = b"".join(sector + bytes(96) for sector in sectors)
        rows = [(1, 2, 2352, 0, 22, 2), (7, 2, 2352, 0, 8, 0)] + [(0,) * 6] * 97
        toc = struct.pack(f"{order}I", 2) + b"".join(struct.pack(f"{order}6I", *row) for row in rows)
        image = chd34(3, frames, [1] * 4, hunk_bytes=19584, meta=[Meta(b"CHCD", toc)])
        disc = open_chd(Candidate(BytesReader(image)), Options())
        assert isinstance(disc, Disc)
        assert [(track.mode, track.start) for track in disc.tracks] == [("mode1/2352", 0), ("audio", 22)]
        assert disc.raw.pread(0, 10**6) == DATA[: 22 * 2048] + samples


CODECS = [b"zlib", b"lzma", bytes(4), bytes(4)]


class TestOldVersions:
    @pytest.mark.foreign
    @pytest.mark.parametrize("version", [3, 4])
    def test_versions_3_and_4(self, tmp_path: Path, chdman: Chdman, version: int):
        content = MIXED[:20_480] + b"8 bytes." * 512 + MIXED[:4096] + bytes(4096) + MIXED[30_000:40_001]
        kinds = [1, 2, 1, 2, 1, 3, 4, 3, 1, 2, 1]
        meta = [Meta(b"ABCD", b"text\0")] if version == 4 else []
        image = chd34(version, content, kinds, meta=meta)
        check_reader(reader_of(image), content, 4096)
        (tmp_path / "x.chd").write_bytes(image)
        chdman("extractraw", "-i", "x.chd", "-o", "out")
        assert (tmp_path / "out").read_bytes() == content
        verified(tmp_path, image, chdman)

    @pytest.mark.parametrize("version", [3, 4])
    def test_a_parent(self, tmp_path: Path, version: int):
        parent = chd34(version, MIXED, [1] * 38)
        (tmp_path / "parent.chd").write_bytes(parent)
        name = read_header(BytesReader(parent)).names[0]
        content = MIXED[4096:8192] + MIXED[:4096]
        child = chd34(version, content, [5, 5], parent=name, numbers={0: 1, 1: 0})
        (tmp_path / "child.chd").write_bytes(child)
        check_reader(opened(tmp_path / "child.chd"), content, 4096)  # type: ignore[arg-type]

    def test_hunks_without_a_checksum(self):
        assert reader_of(chd34(4, MIXED, [1] * 38, crc=False)).pread(0, 10**6) == MIXED

    @pytest.mark.parametrize("version", [1, 2])
    def test_versions_1_and_2(self, version: int):
        sector_bytes = 512 if version == 1 else 1024
        content = MIXED[: 6 * 4 * 5 * sector_bytes]
        check_reader(reader_of(chd12(version, content, (6, 4, 5), sector_bytes)), content, 8 * sector_bytes)

    def test_a_table_that_does_not_end(self):
        image = chd34(4, MIXED, [1] * 38).replace(b"EndOfListCookie", b"endOfListCookie")
        with pytest.raises(DamagedError, match="does not end there"):
            reader_of(image)


# --- recognising and refusing ---------------------------------------------------------------------------------------------

IMAGE = chd5(MIXED, whole(MIXED), CODECS, meta=[DVD, Meta(b"ABCD", b"x\0")])


def patched(offset: int, data: bytes, image: bytes = IMAGE) -> bytes:
    return image[:offset] + data + image[offset + len(data) :]


def refusal(image: bytes) -> ImageError:
    with pytest.raises(ImageError) as raised:
        open_chd(Candidate(BytesReader(image), "x.chd"), Options())
    return raised.value


class TestRefused:
    @pytest.mark.parametrize("image", [b"", b"MComprH", b"mcomprhd" + bytes(200)])
    def test_no_chd(self, image: bytes):
        assert probe(Candidate(BytesReader(image))) is None

    def test_an_odd_header_is_still_a_chd(self):
        match = probe(Candidate(BytesReader(patched(15, b"\x09"))))
        assert match is not None
        assert match.score == 80

    @pytest.mark.parametrize(
        ("offset", "data", "what"),
        [
            (12, struct.pack(">I", 9), "CHD version 9"),
            (16, b"avhu", "laserdisc"),
            (20, b"abcd", "the CHD codec 'abcd'"),
        ],
    )
    def test_what_is_not_read(self, offset: int, data: bytes, what: str):
        error = refusal(patched(offset, data))
        assert isinstance(error, UnsupportedError)
        assert what in str(error)

    @pytest.mark.parametrize(
        ("offset", "data"),
        [
            (8, struct.pack(">I", 120)),
            (16, b"cdzl"),  # the hunks are no frames
            (32, bytes(8)),
            (32, struct.pack(">Q", 1 << 60)),
            (32, struct.pack(">Q", (1 << 64) - 1)),
            (40, struct.pack(">Q", 1 << 50)),
            (48, struct.pack(">Q", 1 << 50)),
            (48, struct.pack(">Q", len(IMAGE) - 5)),
            (56, bytes(4)),
            (56, struct.pack(">I", limits.BLOCK_BYTES * 2)),
            (56, struct.pack(">I", 1000)),
            (60, bytes(4)),
            (60, struct.pack(">I", 8192)),
        ],
    )
    def test_numbers_that_cannot_be(self, offset: int, data: bytes):
        assert isinstance(refusal(patched(offset, data)), DamagedError)

    def test_a_laserdisc(self):
        assert isinstance(refusal(chd5(MIXED, whole(MIXED), CODECS, meta=[Meta(b"AVAV", b"x")])), UnsupportedError)

    def test_metadata_in_a_circle(self):
        image = patched(124 + 16 + 1 + 8, struct.pack(">Q", 124))
        assert "does not end" in str(refusal(image))

    @pytest.mark.parametrize("length", [0, 45, 123, 130, 2000, len(IMAGE) - 1])
    def test_cut_off(self, length: int):
        """The map is the last thing in the file."""
        assert isinstance(refusal(IMAGE[:length]), DamagedError)

    @pytest.mark.parametrize(
        "text",
        [
            b"TRACK:2 TYPE:MODE1 SUBTYPE:NONE FRAMES:8",
            b"TRACK:1 TYPE:MODE1 SUBTYPE:NONE FRAMES:99999999999",
            b"TRACK:1 TYPE:MODE1 SUBTYPE:NONE FRAMES:9",
            b"TRACK:1 TYPE:MODE1",
            b"TRACK:1 TYPE:MODE9 SUBTYPE:NONE FRAMES:8",
            b"\xff\xfe",
        ],
    )
    def test_tracks_that_cannot_be(self, text: bytes):
        frames = bytes(8 * 2448)
        image = chd5(
            frames, whole(frames, 19584), CODECS, hunk_bytes=19584, unit_bytes=2448, meta=[Meta(b"CHT2", text)]
        )
        assert isinstance(refusal(image), DamagedError | UnsupportedError)


class TestDamage:
    MAP_AT = struct.unpack_from(">Q", IMAGE, 40)[0]

    def check(self, image: bytes, bad: set[int]) -> None:
        """Exactly the `bad` hunks cannot be read, alone or within a longer read."""
        reader = reader_of(image)
        for number in range(38):
            if number in bad:
                with pytest.raises(DamagedError):
                    reader.pread(number * 4096, 4096)
                with pytest.raises(DamagedError):
                    reader.pread(max(0, number * 4096 - 5000), 10_000)
            else:
                assert reader.pread(number * 4096, 4096) == MIXED[number * 4096 :][:4096]

    @settings(deadline=None)  # each reads the whole image
    @given(flip=st.integers(124, MAP_AT - 1), value=st.integers(1, 255))
    def test_one_byte_of_a_hunk(self, flip: int, value: int):
        """That hunk is an error, unless its content is the same; never other bytes."""
        reader = reader_of_or_none(patched(flip, bytes([IMAGE[flip] ^ value])))
        if reader is None:
            return
        wrong = 0
        for number in range(38):
            try:
                assert reader.pread(number * 4096, 4096) == MIXED[number * 4096 :][:4096]
            except DamagedError:
                wrong += 1
        assert wrong <= 1

    @settings(deadline=None)  # each reads the whole image
    @given(flip=st.integers(MAP_AT, len(IMAGE) - 1), value=st.integers(1, 255))
    def test_one_byte_of_the_map(self, flip: int, value: int):
        """Its checksum sees that; padding bits at the end, the reserved byte and widths that nobody needs may change."""
        reader = reader_of_or_none(patched(flip, bytes([IMAGE[flip] ^ value])))
        assert reader is None or reader.pread(0, 10**6) == MIXED

    @settings(deadline=None)  # each reads the whole image
    @given(flip=st.integers(0, 123), value=st.integers(1, 255))
    def test_one_byte_of_the_header(self, flip: int, value: int):
        image = patched(flip, bytes([IMAGE[flip] ^ value]))
        if probe(Candidate(BytesReader(image))) is None:
            assert flip < 8
            return
        reader = reader_of_or_none(image)
        if reader is None:
            return
        try:
            assert MIXED.startswith(reader.pread(0, 50_000))
        except DamagedError:
            assert flip < 64

    def test_a_stored_hunk_without_measure(self):
        """One that claims half of the file is not read; the others are."""
        image = chd5(MIXED[:4096] * 2, [Hunk(0, TEXT[:4096]), Hunk(0, TEXT[:4096], padding=20_000)], CODECS)
        reader = reader_of(image)
        with pytest.raises(DamagedError, match="a packed hunk of 20"):
            reader.pread(4096, 1)
        assert reader.pread(0, 4096) == TEXT[:4096]

    def test_the_same_as_a_later_hunk(self):
        image = chd5(bytes(8192), [Hunk(5, number=1), Hunk(5, number=0)], CODECS)
        for offset in (0, 4096):
            with pytest.raises(DamagedError, match="later hunk"):
                reader_of(image).pread(offset, 10)

    def test_a_long_chain_of_hunks(self):
        chain = [Hunk(0, MIXED[:4096])] + [Hunk(5, number=number) for number in range(200)]
        reader = reader_of(chd5(bytes(201 * 4096), chain, CODECS))
        assert reader.pread(60 * 4096, 4096) == MIXED[:4096]
        with pytest.raises(DamagedError, match="each the same"):
            reader.pread(200 * 4096, 4096)

    def test_a_type_that_there_is_not(self):
        with pytest.raises(DamagedError, match="type 14"):
            reader_of(chd5(bytes(8192), whole(bytes(8192)), CODECS, symbols=[0, 14]))

    def test_a_codec_without_a_name(self):
        content = chd5(MIXED[:4096], [Hunk(1, MIXED[:4096])], CODECS)
        with pytest.raises(DamagedError, match="codec 1"):
            reader_of(patched(20, bytes(4), content)).pread(0, 10)

    def test_a_map_of_a_million_hunks_in_no_time(self):
        """All of them the first; a file of 3 KiB may not cost more than that."""
        hunks = 1 << 20
        runs = [0] + [8, 15, 15] * (hunks // 274 + 1)
        image = bytearray(chd5(MIXED[:4096], [Hunk(0, MIXED[:4096])], CODECS, symbols=runs))
        image[32:40] = struct.pack(">Q", hunks * 4096)
        assert isinstance(refusal(bytes(image)), DamagedError)  # the fields are not there
        image[32:40] = struct.pack(">Q", 100 * hunks * 4096)
        assert "in a file of" in str(refusal(bytes(image)))

    @pytest.mark.parametrize("cut", [1, 5, 40])
    def test_frames_of_flac_that_are_cut(self, cut: int):
        with pytest.raises(DamagedError):
            flac.decode(b"\xff\xf8\xc9\x18\0\xc2"[: cut + 1], 100, 0)


def reader_of_or_none(image: bytes) -> Reader | None:
    try:
        return reader_of(image)
    except ImageError:
        return None


def test_flac_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "miniaudio", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'imagefs\[audio\]'"):
        flac.decode(b"", 1, 0)


def test_format():
    assert FORMAT.extensions == ("chd",)
    assert set(PACK) == {b"zlib", b"lzma", b"zstd", b"cdzl", b"cdlz", b"cdzs"}
