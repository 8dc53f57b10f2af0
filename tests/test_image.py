"""What is shown of an image as a whole: sessions, trees, states, and what its name promises."""

import bz2
import errno
import gzip
import importlib
import lzma
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from imagefs.errors import NotAnImageError, NotFoundError
from imagefs.formats import Candidate
from imagefs.image import Image, open_image
from imagefs.nodes import FileSystem
from imagefs.options import Options
from imagefs.sources import Folder
from imagefs.sources.local import FileSource
from imagefs.volumes import Volume
from tests.builders import iso
from tests.builders.chd import chd5, whole
from tests.builders.cso import cso
from tests.builders.dax import dax
from tests.builders.discs import write_cue
from tests.builders.ecm import ecm, plain
from tests.builders.isz import isz
from tests.builders.sectors import stored, tone, volume
from tests.builders.udf import ROOT, Builder
from tests.conftest import MakeIso, RunImagefs
from tests.contract import check_filesystem
from tests.filesystems.udf.test_builds import old_disc, second_table

TREE = Options(layout="tree")


def root(image: Image, path: str = "") -> list[str]:
    """The names in a folder."""
    return [name.decode() for name, _ in image.tree.entries(image.find(path))]


def read(image: Image, path: str) -> bytes:
    node = image.find(path)
    return image.tree.open(node).exactly(0, node.size)


# --- trees and states of one volume ---------------------------------------------------------------------------------------


@pytest.mark.foreign
def test_a_hybrid_disc_shows_its_trees_side_by_side(make_iso: MakeIso, tree: Path) -> None:
    hybrid = make_iso(tree, "-R", "-J", "-joliet-long", "-udf", "-iso-level", "4", tool="genisoimage")
    with open_image(str(hybrid), TREE) as image:
        assert root(image) == ["rr", "joliet", "iso", "evd", "udf"]
        for path in ("rr/hello.txt", "joliet/hello.txt", "udf/hello.txt"):
            assert read(image, path) == b"hello\n"
        check_filesystem(image.tree)
    with open_image(str(hybrid), Options(layout="tree", tree="joliet")) as image:
        assert root(image) == ["joliet"]
    with (
        open_image(str(hybrid), Options(layout="tree", tree="hfs")) as image,
        pytest.raises(NotFoundError, match="tree=hfs"),
    ):
        _ = image.tree


# --- content and name -----------------------------------------------------------------------------------------------------

FILES = {b"PACKED.BIN;1": b"".join(random.Random(7).randbytes(300) + bytes(1748) for _ in range(1000))}
"""2 MB of which most shrinks: what is read of a packed image is easily more than it should be."""


def iso_of(files: dict[bytes, bytes]) -> bytes:
    """A plain ISO 9660 volume, its files behind the root directory."""
    records, blocks, end = [], {}, iso.ROOT + 1
    for name, data in files.items():
        records.append(iso.record(name, end, len(data)))
        blocks[end] = data
        end += -(-len(data) // iso.SECTOR)
    return iso.volume({iso.ROOT: iso.directory(iso.ROOT, iso.ROOT, *records), **blocks}, blocks=max(end, 64))


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "BIN": lambda data: stored(data, "MODE1/2352"),
    "CSO": lambda data: cso(data),
    "DAX": lambda data: dax(data),
    "CHD": lambda data: chd5(data, whole(data), [b"zlib"], unit_bytes=2048),
    "ISZ": lambda data: isz(data, lambda number: "zlib")[0],
    "ECM": lambda data: ecm([plain(data)], data),
    "gzip": lambda data: gzip.compress(data),
    "bzip2": lambda data: bz2.compress(data),
    "xz": lambda data: lzma.compress(data),
    "zstd": zstandard.compress,
    "LZ4": lz4.frame.compress,
}


@pytest.mark.parametrize(
    "name", ["disc", "disc.iso", "disc.bin", "disc.cso", "disc.gz", "disc.cue", "disc.vdi", "disc.txt"]
)
@pytest.mark.parametrize("how", PACKED)
def test_what_a_file_is_called_does_not_matter(tmp_path: Path, how: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED[how](iso_of({b"A.TXT;1": b"content"})))
    with open_image(str(path)) as image:
        assert root(image) == ["a.txt"]
        assert read(image, "a.txt") == b"content"


@pytest.mark.parametrize("how", PACKED)
def test_reading_a_file_in_small_pieces_reads_the_image_about_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Some programs read a packed image from its beginning for each piece of a file, in quadratic time."""
    path, taken = tmp_path / "disc", 0
    path.write_bytes(PACKED[how](iso_of(FILES)))

    def pread(source: FileSource, offset: int, length: int) -> bytes:
        nonlocal taken
        data = whole_pread(source, offset, length)
        taken += len(data)
        return data

    whole_pread = FileSource.pread
    monkeypatch.setattr(FileSource, "pread", pread)
    (content,) = FILES.values()
    with open_image(str(path)) as image:
        reader = image.tree.open(image.find("packed.bin"))
        taken = 0
        for offset in range(0, len(content), 5000):
            assert reader.pread(offset, 5000) == content[offset : offset + 5000]
    assert taken <= 1.5 * path.stat().st_size + 100_000


@pytest.fixture
def three(tmp_path: Path, need: Callable[..., None]) -> Path:
    """Three sessions in an image without a table of contents; each adds a file."""
    need("xorriso")
    image = tmp_path / "three.iso"
    for number in (1, 2, 3):
        file = tmp_path / f"{number}.txt"
        file.write_text(f"session {number}")
        words = ["xorriso", "-dev", f"stdio:{image}", "-map", str(file), f"/{file.name}", "-commit"]
        subprocess.run(words, check=True, capture_output=True)
    return image


@pytest.mark.foreign
def test_every_session_is_a_folder(three: Path) -> None:
    with open_image(str(three), TREE) as image:
        assert root(image) == ["session1", "session2", "session3"]
        assert [len(root(image, f"session{n}/rr")) for n in (1, 2, 3)] == [1, 2, 3]
        assert read(image, "session3/iso/3.txt") == b"session 3"
    with open_image(str(three), Options(layout="tree", session=2)) as image:
        assert root(image) == ["rr", "iso"]
        assert len(root(image, "rr")) == 2
    with open_image(str(three)) as image:
        assert len(root(image)) == 3  # the newest


def test_a_sector_that_the_disk_cannot_give_spoils_its_volume_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = "".join(f'FILE "{n}.iso" BINARY\n  TRACK 0{n} MODE1/2048\n    INDEX 01 00:00:00\n' for n in (1, 2))
    path = write_cue(tmp_path, sheet, {"1.iso": volume(40), "2.iso": volume(40, 40)})
    bad = OSError(errno.EIO, "Input/output error")
    opened = Image.open_filesystem

    def open_but_one(image: Image, where: Volume) -> FileSystem | None:
        if where.number == 1:
            raise bad
        return opened(image, where)

    monkeypatch.setattr(Image, "open_filesystem", open_but_one)
    with open_image(str(path)) as image:
        assert [where.number for where, _ in image.filesystems] == [2]
        assert "volume 1: Input/output error" in image.warnings
    monkeypatch.setattr(Image, "open_filesystem", lambda *_: (_ for _ in ()).throw(bad))
    with open_image(str(path)) as image, pytest.raises(OSError, match="Input/output"):
        _ = image.tree


@pytest.mark.foreign
def test_of_too_many_trees_the_newest_are_shown(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagefs.image.MOST_MEMBERS", 3)
    states: list[object] = []
    trees = Image._trees
    monkeypatch.setattr(Image, "_trees", lambda *of: (states.append(of[2].name), trees(*of))[1])
    with open_image(str(three), TREE) as image:
        assert (root(image), root(image, "session3")) == (["session2", "session3"], ["rr", "iso"])
        assert states == ["session3", "session2"]  # the oldest is not even opened
        assert "of more than 3 trees the newest are shown" in image.warnings


def test_every_build_of_a_write_once_disc_is_a_folder(tmp_path: Path) -> None:
    made, first, block = old_disc(0x0201)
    path = tmp_path / "disc.udf"
    path.write_bytes(second_table(first, made, block))
    with open_image(str(path), TREE) as image:
        assert root(image) == ["build1", "build2"]
        assert (read(image, "build1/old"), read(image, "build2/new")) == (b"first", b"later")
        check_filesystem(image.tree)
    with open_image(str(path)) as image:
        assert root(image) == ["new"]
    with open_image(str(path), Options(session=1)) as image:
        assert root(image) == ["old"]
    track = 'FILE "disc.udf" BINARY\n  TRACK 01 MODE1/2048\n    INDEX 01 00:00:00\n'
    with open_image(str(write_cue(tmp_path, track, {})), TREE) as image:
        assert root(image) == ["build1", "build2"]


def test_the_states_of_a_disc_are_searched_once_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, first, block = old_disc(0x0201)
    path = tmp_path / "disc.udf"
    path.write_bytes(second_table(first, made, block))
    searched: list[Candidate] = []
    module = importlib.import_module("imagefs.filesystems.udf.builds")
    find = module.session_origins

    def counted(candidate: Candidate) -> list[int]:
        searched.append(candidate)
        found: list[int] = find(candidate)
        return found

    monkeypatch.setattr(module, "session_origins", counted)
    with open_image(str(path), TREE) as image:
        assert (root(image), len(searched)) == (["build1", "build2"], 1)


# --- sessions of a disc with a table of contents --------------------------------------------------------------------------

EXTRA = """\
REM SESSION 01
FILE "disc.bin" BINARY
  TRACK 01 AUDIO
    TITLE "Song"
    INDEX 01 00:00:00
REM SESSION 02
FILE "data.bin" BINARY
  TRACK 02 MODE1/2352
    INDEX 01 00:00:00
"""
SECOND = 300 + 11400


@pytest.fixture
def extra(tmp_path: Path) -> Path:
    """A CD-Extra: audio in the first session, data in the second."""
    data = stored(volume(40, SECOND), "MODE1/2352", SECOND)
    return write_cue(tmp_path, EXTRA, {"disc.bin": tone(300), "data.bin": data})


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (Options(), ["track01.wav"]),  # the volume is empty
        (Options(session=1), ["01 - Song.wav", "disc.cue"]),
        (Options(session=2), []),
        (Options(volume=2), []),
        (Options(layout="flat"), []),
        (Options(layout="tree"), ["session1", "session2"]),
        (Options(layout="tree", session=1), ["audio"]),
        (Options(layout="tree", session=2), ["iso"]),
        (Options(session=1, meta=True, audio="flac"), ["01 - Song.flac", "disc.cue", ".imagefs"]),
    ],
)
def test_sessions_of_a_disc(extra: Path, options: Options, names: list[str]) -> None:
    with open_image(str(extra), options) as image:
        assert root(image) == names
        check_filesystem(image.tree)


def test_the_folders_of_the_sessions(extra: Path) -> None:
    with open_image(str(extra), TREE) as image:
        assert root(image, "session1/audio") == ["01 - Song.wav", "disc.cue"]
        assert root(image, "session2") == ["iso"]


def test_a_session_that_is_not_there(extra: Path) -> None:
    with open_image(str(extra), Options(session=3)) as image, pytest.raises(NotFoundError, match="the disc has 2"):
        _ = image.tree


def test_a_session_is_shown_as_it_was_when_it_was_closed(tmp_path: Path) -> None:
    """The second session of this disc holds another volume, which the first must not see."""
    sheet = EXTRA.replace("AUDIO", "MODE1/2352").replace('    TITLE "Song"\n', "")
    begin = 40 + 11400
    first, second = stored(volume(40), "MODE1/2352"), stored(volume(50, begin), "MODE1/2352", begin)
    path = write_cue(tmp_path, sheet, {"disc.bin": first, "data.bin": second})
    with open_image(str(path), TREE) as image:
        assert [volume.reader.size // 2048 for volume in image.volumes] == [begin + 50, 40]
        assert root(image) == ["session1", "session2"]


# --- names that promise something -----------------------------------------------------------------------------------------


def test_an_image_that_lost_its_footer_is_read_with_a_warning(tmp_path: Path) -> None:
    """Sectors alone tell nothing of the tracks behind the first; the name tells that something is amiss."""
    path = tmp_path / "cut.nrg"
    why = "by its name it is a Nero image, but has no mark of one (is it cut off?); it is read as plain sectors"
    for content in (volume(40), stored(volume(40), "MODE1/2352")):
        path.write_bytes(content)
        with open_image(str(path)) as image:
            assert image.warnings[0] == why
    path = path.rename(tmp_path / "whole.iso")
    with open_image(str(path)) as image:
        assert why not in image.warnings


def test_what_is_nothing_else_than_its_name_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cut.cdi"
    path.write_bytes(b"x" * 10_000)
    why = "nothing in it is known to imagefs; by its name it is a DiscJuggler image, but has no mark of one"
    with open_image(str(path)) as image, pytest.raises(NotAnImageError, match=why):
        _ = image.tree


def test_a_folder_of_many_images_is_listed_once_and_searched_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cue(
        tmp_path, 'FILE "data.iso" BINARY\nTRACK 01 MODE1/2048\nINDEX 01 00:00:00\n', {"data.iso": volume(40)}, "z.cue"
    )
    for number in range(9):
        (tmp_path / f"{number}.iso").write_bytes(b"x")
    listed: list[Folder] = []
    names = Folder.names
    monkeypatch.setattr(Folder, "names", lambda folder: (listed.append(folder), names(folder))[1])
    monkeypatch.setattr("imagefs.limits.DISC_TRACKS", 5)
    with open_image(str(tmp_path / "data.iso")) as image:
        assert [step.name for step in image.steps] == ["cue"]
    assert len(listed) == 1


def test_nothing_to_show(tmp_path: Path) -> None:
    path = tmp_path / "poem.txt"
    path.write_text("roses are red\n")
    for options in (Options(), TREE, Options(layout="flat"), Options(meta=True)):
        with open_image(str(path), options) as image, pytest.raises(NotAnImageError):
            _ = image.tree


def test_df_counts_the_files_of_a_volume_that_does(tmp_path: Path) -> None:
    """The logical volume integrity descriptor of this one has 3 files and 1 directory (UDF 2.60, 2.2.6.4)."""
    made = Builder()
    made.directory([("file", made.file(b"x"))], block=ROOT)
    path = tmp_path / "disc.udf"
    path.write_bytes(made.image())
    for options in (Options(), TREE, Options(meta=True)):
        with open_image(str(path), options) as image:
            assert image.tree.usage().files == 4


@pytest.mark.fuse
def test_all_of_it_on_a_mount(extra: Path, run_imagefs: RunImagefs) -> None:
    options = ("-o", "layout=tree,meta,audio=flac")
    listed = run_imagefs("run", *options, extra, "--", "sh", "-c", 'cd "$IMAGEFS" && find . -type f -size +0 | sort')
    assert listed.stdout.decode().splitlines() == [
        "./.imagefs/cdtext.txt",
        "./.imagefs/info.json",
        "./.imagefs/tracks/01.bin",
        "./.imagefs/tracks/02.bin",
        "./.imagefs/tracks/disc.cue",
        "./session1/audio/01 - Song.flac",
        "./session1/audio/disc.cue",
    ]
    shown = run_imagefs("run", *options, extra, "--", "sh", "-c", 'cat "$IMAGEFS/.imagefs/info.json"').stdout
    assert shown == run_imagefs("info", "--json", extra).stdout
