"""`imagefs extract`: what comes out, what must not, and what is left when it goes wrong."""

import itertools
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.cli.extract import folder_for
from imagefs.cli.progress import Progress, clock, line_of, size_text
from imagefs.cli.unpack import PIECE_BYTES, pieces
from imagefs.errors import DamagedError
from imagefs.nodes import Node
from imagefs.readers import BytesReader, Extent, ExtentReader, Reader, Run, ZeroReader
from tests.builders.memory import TIME, MemoryFileSystem
from tests.cli.conftest import Imagefs
from tests.conftest import EPOCH, RunImagefs


def contents(folder: Path) -> dict[str, tuple[str, bytes | str]]:
    """Every entry below a folder: mode as ls shows it, and content or target."""
    found: dict[str, tuple[str, bytes | str]] = {}
    for path in folder.rglob("*"):
        info = path.lstat()
        what: bytes | str = ""
        if stat.S_ISLNK(info.st_mode):
            what = os.readlink(path)
        elif stat.S_ISREG(info.st_mode):
            what = path.read_bytes()
        found[str(path.relative_to(folder))] = (stat.filemode(info.st_mode), what)
    return found


class Acting(Reader):
    """Two pieces; reading the second one does something."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.size, self._act = 2 * PIECE_BYTES, act

    def pread(self, offset: int, length: int) -> bytes:
        if offset + length > PIECE_BYTES:
            self._act()
        return bytes(length)

    def runs(self, offset, length):
        yield Run(2, min(length, self.size - offset))


def raising(error: BaseException) -> Reader:
    def act() -> None:
        raise error

    return Acting(act)


class Listed(MemoryFileSystem):
    """A file system whose root has exactly the entries that the test gives."""

    def __init__(self, tree, backing, names: list[tuple[bytes, str]]) -> None:
        super().__init__(tree, backing)
        children = dict(super().entries(self.root))
        self._root = [(name, children[key.encode()]) for name, key in names]

    def entries(self, directory: Node):
        return self._root if directory.ino == self.root.ino else super().entries(directory)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "work" / "out"


# --- what comes out -----------------------------------------------------------------------------------------------------


@pytest.mark.foreign
def test_a_whole_image_comes_out_as_it_went_in(imagefs: Imagefs, make_iso, tree: Path, out: Path):
    image = make_iso(tree, "-R")
    assert imagefs("extract", image, "-C", out) == (0, b"", [])
    assert contents(out) == contents(tree)
    for path in [out, *out.rglob("*")]:
        assert path.lstat().st_mtime == EPOCH


@pytest.mark.foreign
def test_bsdtar_extracts_the_same(imagefs: Imagefs, make_iso, tree: Path, out: Path, tmp_path: Path, need):
    need("bsdtar")
    image = make_iso(tree, "-J", tool="genisoimage")
    (tmp_path / "bsdtar").mkdir()
    subprocess.run(["bsdtar", "-xf", image, "-C", tmp_path / "bsdtar"], check=True, env={"LANG": "C.UTF-8"})
    assert imagefs("extract", image, "-C", out).status == 0
    ours, theirs = contents(out), contents(tmp_path / "bsdtar")
    assert {name: what for name, (_, what) in ours.items()} == {name: what for name, (_, what) in theirs.items()}


@pytest.mark.foreign
def test_named_paths_keep_their_folders(imagefs: Imagefs, make_iso, tree: Path, out: Path):
    image = make_iso(tree, "-R")
    assert imagefs("extract", image, "docs/deep", "hello.txt", "-C", out).status == 0
    assert contents(out) == {
        name: entry
        for name, entry in contents(tree).items()
        if name.startswith("docs/deep") or name in ("docs", "hello.txt")
    }
    assert (out / "docs").stat().st_mtime == EPOCH


def test_a_path_named_twice_comes_out_once(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    shown(MemoryFileSystem({"d": {"a": b"a"}, "dd": b"dd", "e": b"e"}, tmp_path / "b"))
    assert imagefs("extract", "disc", "d/a", "dd", "d", "/d/", "dd", "-C", out) == (0, b"", [])
    assert set(contents(out)) == {"d", "d/a", "dd"}
    assert imagefs("extract", "disc", "d", "/", "-C", out / "all") == (0, b"", [])
    assert set(contents(out / "all")) == {"d", "d/a", "dd", "e"}


def test_a_path_that_is_not_there(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    shown(MemoryFileSystem({"a": b"a"}, tmp_path / "b"))
    result = imagefs("extract", "disc", "-C", out, "a/b", "a", "nowhere")
    why = "there is no such file in the image"
    assert result == (66, b"", [f"imagefs: disc: a/b: {why}", f"imagefs: disc: nowhere: {why}"])
    assert contents(out) == {"a": ("-rw-r-----", b"a")}


def test_without_c_the_folder_is_named_after_the_image(imagefs: Imagefs, shown, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown(MemoryFileSystem({"a": b"a"}, tmp_path / "b"))
    assert imagefs("extract", "/x/disc.iso").status == 0
    assert (tmp_path / "disc" / "a").read_bytes() == b"a"
    again = imagefs("extract", "/x/disc.iso")
    line = "imagefs: /x/disc.iso: 'disc' is there already; name a folder with -C, or add --overwrite"
    assert again == (64, b"", [line])
    assert imagefs("extract", "-f", "/x/disc.iso").status == 0


@pytest.mark.parametrize(
    ("image", "folder"),
    (
        ("disc.iso", "disc"),
        ("/a/b/disc.v2.cue", "disc.v2"),
        ("disc.iso.001", "disc"),
        ("disc.001", "disc"),
        ("disc", "disc-files"),
        (".iso", ".iso-files"),
        ("/dev/sr0", "sr0-files"),
    ),
)
def test_folder_names(image: str, folder: str):
    assert folder_for(image) == folder


def test_modes_lose_what_others_could_misuse(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    class Modes(MemoryFileSystem):
        def entries(self, directory):
            root = [(b"suid", 0o104755, 1), (b"all", 0o101666, 1), (b"none", 0o100444, -1), (b"dir", 0o43777, 1)]
            return [
                (name, Node(20 + i, mode, 0, TIME, TIME, TIME, uid, uid, start=0))
                for i, (name, mode, uid) in enumerate(root if directory.ino == 1 else [])
            ]

    shown(Modes({}, tmp_path / "b"))
    before = os.umask(0o022)
    try:
        assert imagefs("extract", "disc", "-C", out).status == 0
    finally:
        os.umask(before)
    assert {name: mode for name, (mode, _) in contents(out).items()} == {
        "suid": "-rwxr-xr-x",
        "all": "-rw-r--r--",
        "none": "-rw-r--r--",  # the image names no owner: its modes are made up, so the owner may write
        "dir": "drwxr-xr-x",
    }


def test_times_have_nanoseconds(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    shown(MemoryFileSystem({"d": {"a": b"a", "l": "a"}}, tmp_path / "b"))
    assert imagefs("extract", "disc", "-C", out).status == 0
    assert {path.lstat().st_mtime_ns for path in [out, *out.rglob("*")]} == {TIME}


def test_a_folder_that_was_there_keeps_its_mode_and_time(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    (out / "d").mkdir(parents=True, mode=0o700)
    os.utime(out, (1, 1))
    shown(MemoryFileSystem({"d": {"a": b"a"}}, tmp_path / "b"))
    assert imagefs("extract", "disc", "-C", out).status == 0
    assert stat.S_IMODE((out / "d").stat().st_mode) == 0o700
    assert out.stat().st_mtime == 1


def test_folders_that_may_not_be_written_are_filled_first(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    class ReadOnly(MemoryFileSystem):
        def entries(self, directory):
            return [(name, node._replace(mode=node.mode & ~0o222)) for name, node in super().entries(directory)]

    shown(ReadOnly({"d": {"e": {"a": b"a"}}}, tmp_path / "b"))
    assert imagefs("extract", "disc", "-C", out) == (0, b"", [])
    assert {name: mode for name, (mode, _) in contents(out).items()} == {
        "d": "dr-xr-xr-x",
        "d/e": "dr-xr-xr-x",
        "d/e/a": "-r--r-----",
    }


@pytest.mark.foreign
def test_hard_links_stay_one_file(imagefs: Imagefs, make_iso, tree: Path, out: Path):
    os.link(tree / "random.bin", tree / "docs" / "same.bin")
    image = make_iso(tree, "--hardlinks", "-R")
    assert imagefs("extract", image, "-C", out).status == 0
    assert (out / "random.bin").samefile(out / "docs" / "same.bin")
    assert (out / "random.bin").stat().st_nlink == 2
    assert contents(out) == contents(tree)


def test_hard_links_where_there_are_none_become_copies(imagefs: Imagefs, shown, tmp_path: Path, out: Path, monkeypatch):
    class Linked(MemoryFileSystem):
        def entries(self, directory):
            (_, node), *_ = super().entries(directory)
            return [(b"a", node._replace(nlink=2)), (b"b", node._replace(nlink=2))]

    def refuse(*words, **more):
        raise PermissionError(1, "Operation not permitted")

    shown(Linked({"a": b"same"}, tmp_path / "b"))
    monkeypatch.setattr(os, "link", refuse)
    assert imagefs("extract", "disc", "-C", out) == (0, b"", [])
    assert [(out / name).read_bytes() for name in "ab"] == [b"same"] * 2


def test_holes_stay_holes(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    size = 1 << 30
    reader = ExtentReader(
        [
            Extent(0, 5000, BytesReader(b"a" * 5000)),
            Extent(5000, size - 10_000, None),
            Extent(size - 5000, 5000, BytesReader(b"z" * 5000)),
        ],
        size,
    )
    shown(MemoryFileSystem({"sparse": reader, "nothing": ZeroReader(1 << 40)}, tmp_path / "b"))
    assert imagefs("extract", "disc", "-C", out).status == 0
    info = (out / "sparse").stat()
    assert info.st_size == size
    assert info.st_blocks * 512 < 100_000
    with (out / "sparse").open("rb") as file:
        assert file.read(5001) == b"a" * 5000 + b"\0"
        file.seek(size - 5001)
        assert file.read() == b"\0" + b"z" * 5000
    assert ((out / "nothing").stat().st_size, (out / "nothing").stat().st_blocks) == (1 << 40, 0)


def test_pieces_cover_a_reader_and_find_its_holes():
    data = [Extent(i * 8192, 4096, BytesReader(b"x" * 4096)) for i in range(4)]
    holes = [Extent(i * 8192 + 4096, 4096, None) for i in range(4)]
    reader = ExtentReader(sorted(data + holes, key=lambda extent: extent.position), 4 * 8192)
    want = [(i * 4096, 4096, bool(i % 2)) for i in range(8)]
    assert list(pieces(reader, None)) == want
    assert list(pieces(BytesReader(bytes(10)), 16)) == [(0, 10, False)]
    assert list(pieces(BytesReader(b""), 16)) == []
    wide = ExtentReader(
        [Extent(0, 3 * PIECE_BYTES, None), Extent(3 * PIECE_BYTES, 9, BytesReader(b"x" * 9))], 3 * PIECE_BYTES + 9
    )
    assert list(pieces(wide, None)) == [(0, 3 * PIECE_BYTES, True), (3 * PIECE_BYTES, 9, False)]
    big = ExtentReader([Extent(i * 4096, 4096, BytesReader(b"y" * 4096)) for i in range(600)], 600 * 4096)
    steps = [0, PIECE_BYTES, 2 * PIECE_BYTES, big.size]
    whole = [(a, b - a, False) for a, b in itertools.pairwise(steps)]
    assert list(pieces(big, 16)) == whole
    assert list(pieces(big, None)) == whole


def test_a_piece_costs_no_look_at_what_lies_behind_it():
    """Readers of packed blocks look at each block of a range to say where its runs end."""
    asked = []

    class Packed(BytesReader):
        def runs(self, offset, length):
            asked.append(length)
            return super().runs(offset, length)

    assert len(list(pieces(Packed(bytes(3 * PIECE_BYTES + 5)), None))) == 4
    assert asked == [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, 5]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
def test_root_makes_device_nodes(imagefs: Imagefs, shown, special, out: Path):
    shown(special)
    assert imagefs("extract", "disc", "-C", out).status == 0
    info = (out / "null").stat()
    assert (stat.filemode(info.st_mode), info.st_rdev) == ("crw-r--r--", os.makedev(1, 3))
    assert stat.S_ISFIFO((out / "pipe").stat().st_mode)


def test_others_are_told_that_device_nodes_are_left_out(imagefs: Imagefs, shown, special, out: Path, monkeypatch):
    shown(special)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    line = "imagefs: disc: null: warning: it is a device node, which only root can make: left out"
    assert imagefs("extract", "disc", "-C", out) == (0, b"", [line])
    assert [path.name for path in out.iterdir()] == ["pipe"]


@pytest.fixture
def special(tmp_path: Path) -> MemoryFileSystem:
    class Special(MemoryFileSystem):
        def entries(self, directory):
            return [
                (b"null", Node(11, stat.S_IFCHR | 0o644, 0, TIME, TIME, TIME, 0, 0, rdev=os.makedev(1, 3))),
                (b"pipe", Node(12, stat.S_IFIFO | 0o600, 0, TIME, TIME, TIME, 0, 0)),
            ]

    return Special({}, tmp_path / "b")


# --- what is there already ----------------------------------------------------------------------------------------------


def test_existing_files_stay_unless_told(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    out.mkdir(parents=True)
    (out / "a").write_text("mine")
    (out / "l").write_text("mine too")
    shown(MemoryFileSystem({"a": b"new", "l": "a", "z": b"z"}, tmp_path / "b"))
    result = imagefs("extract", "disc", "-C", out)
    why = "it is there already; --overwrite replaces it"
    assert result == (71, b"", [f"imagefs: disc: a: {why}", f"imagefs: disc: l: {why}"])
    assert contents(out) == {
        "a": (stat.filemode((out / "a").stat().st_mode), b"mine"),
        "l": (stat.filemode((out / "l").stat().st_mode), b"mine too"),
        "z": ("-rw-r-----", b"z"),
    }
    assert imagefs("extract", "-f", "disc", "-C", out) == (0, b"", [])
    assert contents(out) == {"a": ("-rw-r-----", b"new"), "l": ("lrwxrwxrwx", "a"), "z": ("-rw-r-----", b"z")}


def test_overwriting_a_link_replaces_the_link_itself(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    out.mkdir(parents=True)
    (tmp_path / "precious").write_text("mine")
    (out / "a").symlink_to(tmp_path / "precious")
    shown(MemoryFileSystem({"a": b"new"}, tmp_path / "b"))
    assert imagefs("extract", "disc", "--overwrite", "-C", out) == (0, b"", [])
    assert (tmp_path / "precious").read_text() == "mine"
    assert contents(out) == {"a": ("-rw-r-----", b"new")}


def test_a_damaged_file_does_not_cost_the_old_one(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    out.mkdir(parents=True)
    (out / "a").write_text("mine")
    shown(MemoryFileSystem({"a": raising(DamagedError(7, "torn"))}, tmp_path / "b"))
    assert imagefs("extract", "disc", "-f", "-C", out).status == 65
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("a", "mine")]


@pytest.mark.parametrize("overwrite", ([], ["-f"]))
def test_files_and_folders_do_not_replace_each_other(imagefs: Imagefs, shown, tmp_path: Path, out: Path, overwrite):
    (out / "file").mkdir(parents=True)
    (out / "folder").write_text("mine")
    shown(MemoryFileSystem({"file": b"x", "folder": {"deep": {"y": b"y"}}, "z": b"z"}, tmp_path / "b"))
    result = imagefs("extract", "disc", *overwrite, "-C", out)
    assert result.status == 71
    assert result.errors[1] == "imagefs: disc: folder: a file or link is there already, not a folder"
    assert result.errors[0].startswith("imagefs: disc: file: ")
    assert len(result.errors) == 2
    assert (out / "folder").read_text() == "mine"
    assert sorted(path.name for path in out.iterdir()) == ["file", "folder", "z"]


def test_a_target_that_is_a_file(imagefs: Imagefs, shown, tmp_path: Path):
    shown(MemoryFileSystem({"a": b"a"}, tmp_path / "b"))
    (tmp_path / "file").write_text("mine")
    result = imagefs("extract", "disc", "-C", tmp_path / "file")
    assert (result.status, len(result.errors)) == (71, 1)
    assert (tmp_path / "file").read_text() == "mine"


# --- hostile images -----------------------------------------------------------------------------------------------------


def test_nothing_goes_through_a_link_of_the_image(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    """The name `a` twice: a link that leads out, and a folder with a file."""
    outside = tmp_path / "outside"
    outside.mkdir()
    tree = {"link": str(outside), "folder": {"b": b"gotcha"}}
    for names in ([(b"a", "link"), (b"a", "folder")], [(b"a", "folder"), (b"a", "link")]):
        shown(Listed(tree, tmp_path / "b", names))
        result = imagefs("extract", "disc", "-C", out)
        assert result.status == 71
        assert list(outside.iterdir()) == []
        assert (out / "a" / "b").read_bytes() == b"gotcha"
        assert not (out / "a").is_symlink()


@pytest.mark.foreign
def test_the_same_in_a_real_image(imagefs: Imagefs, make_iso, tmp_path: Path, out: Path):
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.mkdir()
    (tree / "b").mkdir(parents=True)
    (tree / "a").symlink_to(outside)
    (tree / "b" / "file").write_text("gotcha")
    image = make_iso(tree, "-R")
    data = image.read_bytes()
    name_a, name_b = b"NM\x06\x01\x00a", b"NM\x06\x01\x00b"
    assert data.count(name_a) == data.count(name_b) == 1
    image.write_bytes(data.replace(name_b, name_a))
    imagefs("extract", image, "-C", out)
    imagefs("extract", image, "-f", "-C", out)
    assert list(outside.iterdir()) == []
    assert [path.read_text() for path in out.rglob("file") if not path.is_symlink()] == ["gotcha"]


def test_nothing_goes_through_a_link_that_was_there(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    out.mkdir(parents=True)
    (out / "a").symlink_to(outside)
    shown(MemoryFileSystem({"a": {"b": b"gotcha"}, "c": b"c"}, tmp_path / "b"))
    line = "imagefs: disc: a: a file or link is there already, not a folder"
    for more in ([], ["-f"]):
        assert imagefs("extract", "disc", *more, "a", "-C", out) == (71, b"", [line])
    assert list(outside.iterdir()) == []


def test_links_say_what_the_image_says(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    """As tar does it: a link may point anywhere, since nothing is written through it."""
    links = {"absolute": "/etc/passwd", "up": "../../../x", "dangling": "nowhere"}
    shown(MemoryFileSystem(links, tmp_path / "b"))
    assert imagefs("extract", "disc", "-C", out) == (0, b"", [])
    assert {path.name: os.readlink(path) for path in out.iterdir()} == links


@pytest.mark.parametrize("name", (b"..", b".", b"", b"../x", b"/tmp/x", b"a/b", b"nul\0"))
@pytest.mark.parametrize("kind", ("file", "folder", "link"))
def test_names_that_are_paths_are_refused(imagefs: Imagefs, shown, tmp_path: Path, out: Path, name: bytes, kind: str):
    tree = {"file": b"gotcha", "folder": {"b": b"gotcha"}, "link": "/etc", "fine": b"fine"}
    shown(Listed(tree, tmp_path / "b", [(name, kind), (b"fine", "fine")]))
    before = sorted(tmp_path.rglob("*"))
    result = imagefs("extract", "disc", "-C", out)
    assert result.status == 65
    assert len(result.errors) == 1
    assert result.errors[0].endswith("its name is not one that a file can have")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, out.parent, out, out / "fine"])


def test_a_folder_that_contains_itself_comes_out_once(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    class Loop(MemoryFileSystem):
        def entries(self, directory):
            return [*super().entries(self.root), (b"again", self.root)]

    shown(Loop({"a": b"a"}, tmp_path / "b"))
    line = "imagefs: disc: again: the directory contains itself"
    assert imagefs("extract", "disc", "-C", out) == (65, b"", [line])
    assert set(contents(out)) == {"a"}


# --- damage and interruption --------------------------------------------------------------------------------------------


def test_damaged_files_are_left_out_and_told(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    tree = {
        "a": b"a",
        "bad": raising(DamagedError(4096, "a checksum is wrong")),
        "d": {"worse": raising(OSError(5, "Input/output error"))},
        "broken": {"x": b"x"},
        "z": b"z",
    }
    shown(MemoryFileSystem(tree, tmp_path / "b", broken=["broken"]))
    result = imagefs("extract", "disc", "-C", out)
    assert result == (
        65,
        b"",
        [
            "imagefs: disc: bad: damaged at byte 4096: a checksum is wrong",
            "imagefs: disc: d/worse: Input/output error",
            "imagefs: disc: broken: damaged at byte 0: a broken directory",
        ],
    )
    assert sorted(contents(out)) == ["a", "d", "z"]


def test_an_input_error_alone_is_74(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    shown(MemoryFileSystem({"bad": raising(OSError(5, "Input/output error"))}, tmp_path / "b"))
    assert imagefs("extract", "disc", "-C", out).status == 74


def test_a_full_target_ends_it_at_once(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    full = raising(OSError(28, "No space left on device"))
    shown(MemoryFileSystem({"a": full, "b": full}, tmp_path / "b"))
    assert imagefs("extract", "disc", "-C", out) == (71, b"", [f"imagefs: disc: No space left on device: {out}"])
    assert contents(out) == {}


def test_a_target_that_may_not_be_written_is_told_once(imagefs: Imagefs, shown, tmp_path: Path, out: Path, monkeypatch):
    """Root may write everywhere, so the system is made to say no. The name that nobody knows is not told."""
    denied = raising(PermissionError(13, "Permission denied", b".imagefs-1.part"))
    shown(MemoryFileSystem({"a": denied, "b": denied}, tmp_path / "b"))
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert imagefs("extract", "disc", "-C", out) == (71, b"", [f"imagefs: disc: Permission denied: {out}"])


def test_what_alone_may_not_be_written_does_not_cost_the_rest(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    denied = raising(PermissionError(13, "Permission denied", b".imagefs-1.part"))
    shown(MemoryFileSystem({"a": denied, "b": b"b"}, tmp_path / "b"))
    assert imagefs("extract", "disc", "-C", out) == (71, b"", ["imagefs: disc: a: Permission denied"])
    assert list(contents(out)) == ["b"]


def test_an_interrupt_leaves_no_half_file(imagefs: Imagefs, shown, tmp_path: Path, out: Path):
    shown(MemoryFileSystem({"a": b"a", "big": raising(KeyboardInterrupt()), "z": b"z"}, tmp_path / "b"))
    assert imagefs("extract", "disc", "-C", out) == (130, b"", [])
    assert contents(out) == {"a": ("-rw-r-----", b"a")}


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGHUP))
def test_so_do_signals(imagefs: Imagefs, shown, tmp_path: Path, out: Path, number: int):
    before = signal.getsignal(number)
    shown(MemoryFileSystem({"a": b"a", "big": Acting(lambda: os.kill(os.getpid(), number))}, tmp_path / "b"))
    assert imagefs("extract", "disc", "-C", out) == (128 + number, b"", [])
    assert contents(out) == {"a": ("-rw-r-----", b"a")}
    assert signal.getsignal(number) is before


@pytest.mark.foreign
def test_an_interrupted_process_leaves_no_half_file(run_imagefs: RunImagefs, make_iso, tmp_path: Path, out: Path):
    """The process is stopped in the middle of a file, as on a slow disk, where it counts what is done."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "big").write_bytes(bytes(range(256)) * (32 << 12))
    image = make_iso(tmp_path / "tree", "-R")
    code = (
        "import os, signal, sys, imagefs.cli, imagefs.cli.unpack as unpack\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored by whoever runs the tests\n"
        "class Slow(unpack.Progress):\n"
        "    def add(self, count, name):\n"
        "        print('.', flush=True); sys.stdin.read(1)\n"
        "import imagefs.cli.extract as extract; extract.Progress = Slow\n"
        "sys.exit(imagefs.cli.main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, "extract", image, "-C", out]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stdout.read(1) == b"."
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, b"")
    assert contents(out) == {}


# --- progress -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("done", "total", "seconds", "line"),
    (
        (0, 1 << 30, 0.0, "  0%  0 B of 1.0 GiB  0 B/s  0:00 left"),
        (512 << 20, 1 << 30, 4.0, " 50%  512.0 MiB of 1.0 GiB  128.0 MiB/s  0:04 left"),
        (1 << 30, 1 << 30, 100.0, "100%  1.0 GiB of 1.0 GiB  10.2 MiB/s  0:00 left"),
        (3 << 20, 0, 1.5, "3.0 MiB  2.0 MiB/s"),
    ),
)
def test_the_line_of_progress(done: int, total: int, seconds: float, line: str):
    assert line_of(done, total, seconds) == line


def test_times_and_sizes_for_people():
    assert [clock(s) for s in (0.4, 59.6, 750, 3723)] == ["0:00", "1:00", "12:30", "1:02:03"]
    assert [size_text(n) for n in (1023, 1024, 1536, (1 << 20) - 1, 5 << 40)] == [
        "1023 B",
        "1.0 KiB",
        "1.5 KiB",
        "1.0 MiB",
        "5.0 TiB",
    ]


def test_progress_is_for_terminals_that_are_awake(monkeypatch, capsys):
    assert not Progress().shown
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")  # it has none
    assert Progress().shown
    assert not Progress(quiet=True).shown
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress()
    progress.total = 4096
    progress.add(1024, b"early")
    now[0] += 1
    progress.add(1024, b"na\x1bme")
    progress.add(1024, b"too soon")
    progress.clear()
    assert capsys.readouterr().err == "\r 50%  2.0 KiB of 4.0 KiB  2.0 KiB/s  0:01 left  na\\x1bme\033[K\r\033[K"
