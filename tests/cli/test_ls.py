"""`imagefs ls` and `imagefs tree`, beside what other programs list."""

import json
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from imagefs.cli.listing import when
from imagefs.cli.paths import LINK_HOPS, resolve
from imagefs.errors import NotFoundError
from imagefs.nodes import ROOT_INO, Node
from tests.builders.memory import TIME, MemoryFileSystem
from tests.cli.conftest import Imagefs
from tests.conftest import EPOCH

STAMP = time.strftime("%Y-%m-%d %H:%M", time.localtime(EPOCH))
LONG_NAME = "a long name " + "x" * 60 + ".text"


@pytest.fixture
def image(make_iso, tree: Path) -> Path:
    return make_iso(tree, "-R")


# --- on an image that a foreign tool made -------------------------------------------------------------------------------


@pytest.mark.foreign
def test_names_are_sorted_one_a_line(imagefs: Imagefs, image: Path):
    assert imagefs("ls", image) == (0, b"docs\nempty\nhello.txt\nlink\nrandom.bin\nrun.sh\n", [])


@pytest.mark.foreign
def test_long_form_says_what_bsdtar_says(imagefs: Imagefs, image: Path, need):
    need("bsdtar")
    listed = subprocess.run(
        ["bsdtar", "-tvf", image], check=True, capture_output=True, text=True, env={"LANG": "C.UTF-8"}
    )
    want = set()
    for line in listed.stdout.splitlines():
        mode, _, owner, group, size, *_ = line.split()
        name = line.split(maxsplit=8)[8].split(" -> ")[0]
        size = "-" if mode[0] != "-" else size
        want.add((mode, owner, group, size, name))
    got = set()
    for row in json.loads(imagefs("ls", "-R", "--json", image).out):
        kind = {"file": stat.S_IFREG, "directory": stat.S_IFDIR, "link": stat.S_IFLNK}[row["type"]]
        size = str(row["size"]) if row["type"] == "file" else "-"
        got.add((stat.filemode(kind | int(row["mode"], 8)), str(row["uid"]), str(row["gid"]), size, row["path"]))
    assert got == {entry for entry in want if entry[4] != "."}


@pytest.mark.foreign
def test_long_form_in_columns(imagefs: Imagefs, image: Path):
    lines = imagefs("ls", "-l", image).out.decode().splitlines()
    assert [line[:10] for line in lines] == [
        "drwxr-xr-x",
        "-rw-r--r--",
        "-rw-r--r--",
        "lrwxrwxrwx",
        "-rw-r--r--",
        "-rwxr-xr-x",
    ]
    ends = [f"{STAMP} {name}" for name in ("empty", "hello.txt", "random.bin", "run.sh")]
    assert [line[-len(end) :] for line, end in zip([lines[1], lines[2], lines[4], lines[5]], ends, strict=True)] == ends
    assert lines[3].endswith(f"{STAMP} link -> docs/Grüße.txt")
    assert len({line.index(STAMP) for line in lines}) == 1


@pytest.mark.foreign
def test_owners_and_modes_are_those_of_a_mount_with_these_options(imagefs: Imagefs, image: Path):
    words = ("-o", "uid=7,umask=022", "-o", "gid=8,fmask=0177")
    rows = json.loads(imagefs("ls", "--json", *words, image, "docs", "run.sh", "link", "-l").out)
    named = {row["path"]: (row["mode"], row["uid"], row["gid"]) for row in rows if "/" not in row["path"]}
    assert named == {"run.sh": ("0600", 7, 8), "link": ("0777", 7, 8)}
    (line,) = imagefs("ls", "-l", *words, image, "run.sh").out.decode().splitlines()
    assert line.startswith("-rw------- 1 7 8 ")
    folder = json.loads(imagefs("ls", "--json", "-o", "dmask=05", image).out)[0]
    assert (folder["path"], folder["mode"]) == ("docs", "0750")


@pytest.mark.foreign
def test_recursive_has_a_heading_for_each_folder(imagefs: Imagefs, image: Path):
    want = f"""\
.:
docs
empty
hello.txt
link
random.bin
run.sh

docs:
Grüße.txt
deep

docs/deep:
er

docs/deep/er:
{LONG_NAME}
"""
    assert imagefs("ls", "-R", image).out.decode() == want


@pytest.mark.foreign
def test_named_files_come_before_folders(imagefs: Imagefs, image: Path):
    want = "hello.txt\nrun.sh\n\ndocs:\nGrüße.txt\ndeep\n\ndocs/deep:\ner\n"
    assert imagefs("ls", image, "docs", "/hello.txt", "docs//deep/", "./run.sh").out.decode() == want
    assert imagefs("ls", image, "docs").out.decode() == "Grüße.txt\ndeep\n"


@pytest.mark.foreign
def test_a_path_that_is_not_there_does_not_hide_the_others(imagefs: Imagefs, image: Path):
    result = imagefs("ls", image, "nope", "empty", "hello.txt/x")
    assert (result.status, result.out) == (66, b"empty\n")
    why = "there is no such file in the image"
    assert result.errors == [f"imagefs: {image}: nope: {why}", f"imagefs: {image}: hello.txt/x: {why}"]


@pytest.mark.foreign
def test_json_has_stable_keys(imagefs: Imagefs, image: Path, tree: Path):
    rows = json.loads(imagefs("ls", "--json", image, "link", "-l").out)
    assert len(rows) == 1
    ino = rows[0].pop("ino")
    assert isinstance(ino, int)
    assert rows[0] == {
        "path": "link",
        "type": "link",
        "mode": "0777",
        "size": len("docs/Grüße.txt".encode()),
        "mtime_ns": EPOCH * 10**9,
        "uid": tree.stat().st_uid,
        "gid": tree.stat().st_gid,
        "nlink": 1,
        "target": "docs/Grüße.txt",
    }


@pytest.mark.foreign
def test_tree(imagefs: Imagefs, image: Path):
    want = f"""\
{image}
├── docs
│   ├── Grüße.txt
│   └── deep
│       └── er
│           └── {LONG_NAME}
├── empty
├── hello.txt
├── link -> docs/Grüße.txt
├── random.bin
└── run.sh

3 directories, 7 files
"""
    assert imagefs("tree", image).out.decode() == want
    assert imagefs("tree", image, "docs/deep").out.decode().splitlines()[0] == "docs/deep"


def test_what_is_no_folder_is_not_drawn(imagefs: Imagefs, shown, tmp_path: Path):
    shown(MemoryFileSystem({"a": b"a"}, tmp_path / "backing"))
    assert imagefs("tree", "disc", "a") == (64, b"", ["imagefs: disc: a: it is a file, tree draws folders"])
    assert imagefs("tree", "disc", "b") == (66, b"", ["imagefs: disc: b: there is no such file in the image"])


@pytest.mark.foreign
def test_another_tree_of_the_same_image(imagefs: Imagefs, image: Path, need):
    """`tree=iso` shows plain ISO 9660, as isoinfo does without -R, and Linux' way of writing its names."""
    need("isoinfo")
    listed = subprocess.run(["isoinfo", "-f", "-i", image], check=True, capture_output=True, text=True).stdout
    want = {line.lstrip("/").removesuffix(";1").rstrip(".").lower() for line in listed.splitlines()}
    got = {row["path"] for row in json.loads(imagefs("ls", "-R", "--json", "-o", "tree=iso", image).out)}
    assert got == want
    assert LONG_NAME not in "".join(got)


# --- on made-up trees ---------------------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_told_and_the_rest_is_shown(imagefs: Imagefs, shown, tmp_path: Path):
    shown(MemoryFileSystem({"a": {"x": b""}, "bad": {"y": b""}, "c": {"z": b""}}, tmp_path / "b", broken=["bad"]))
    result = imagefs("ls", "-R", "disc")
    assert (result.status, result.out) == (65, b".:\na\nbad\nc\n\na:\nx\n\nc:\nz\n")
    assert result.errors == ["imagefs: disc: bad: damaged at byte 0: a broken directory"]
    assert [row["path"] for row in json.loads(imagefs("ls", "-R", "--json", "disc").out)] == [
        "a",
        "bad",
        "c",
        "a/x",
        "c/z",
    ]
    drawn = imagefs("tree", "disc")
    assert drawn.status == 65
    assert drawn.out.decode() == "disc\n├── a\n│   └── x\n├── bad\n└── c\n    └── z\n\n3 directories, 2 files\n"


def test_an_empty_image(imagefs: Imagefs, shown, tmp_path: Path):
    shown(MemoryFileSystem({}, tmp_path / "b"))
    assert imagefs("ls", "disc") == imagefs("ls", "-l", "disc") == (0, b"", [])
    assert imagefs("ls", "--json", "disc").out == b"[]\n"
    assert imagefs("tree", "disc").out == b"disc\n\n0 directories, 0 files\n"


def test_names_that_are_no_text_come_out_as_they_are(imagefs: Imagefs, shown, tmp_path: Path):
    class Bytes(MemoryFileSystem):
        def entries(self, directory):
            return [(b"\xff\n\x1b[2J", self.root._replace(ino=9, mode=stat.S_IFREG))]

    shown(Bytes({}, tmp_path / "b"))
    assert imagefs("ls", "disc").out == b"\xff\n\x1b[2J\n"
    assert json.loads(imagefs("ls", "--json", "disc").out)[0]["path"] == "\udcff\n\x1b[2J"


def test_devices_owners_and_odd_times(imagefs: Imagefs, shown, tmp_path: Path):
    class Odd(MemoryFileSystem):
        def entries(self, directory):
            ns = TIME
            return [
                (b"tape", Node(11, stat.S_IFCHR | 0o620, 0, ns, ns, ns, 0, 5, rdev=os.makedev(9, 128))),
                (b"plain", Node(12, stat.S_IFREG | 0o444, 7, 1 << 90, ns, ns)),
            ]

    shown(Odd({}, tmp_path / "b"))
    date = time.strftime("%Y-%m-%d %H:%M", time.localtime(TIME // 10**9))
    want = f"-r--r--r-- 1 - -      7 ?                plain\ncrw--w---- 1 0 5 9, 128 {date} tape\n"
    assert imagefs("ls", "-l", "disc").out.decode() == want
    assert [row["uid"] for row in json.loads(imagefs("ls", "--json", "disc").out)] == [None, 0]


def test_times_before_1970(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert when(-1) == "1969-12-31 23:59"
    monkeypatch.undo()
    time.tzset()


def test_a_folder_that_contains_itself_is_entered_once(imagefs: Imagefs, shown, tmp_path: Path):
    class Loop(MemoryFileSystem):
        def entries(self, directory):
            return [(b"again", self.root)]

    shown(Loop({}, tmp_path / "b"))
    why = ["imagefs: disc: again: the directory contains itself"]
    assert imagefs("ls", "-R", "disc") == (65, b".:\nagain\n", why)
    assert imagefs("tree", "disc") == (65, "disc\n└── again\n\n1 directory, 0 files\n".encode(), why)


def test_folders_have_a_greatest_depth(imagefs: Imagefs, shown, tmp_path: Path):
    class Deep(MemoryFileSystem):
        def entries(self, directory):
            return [(b"d", directory._replace(ino=directory.ino + 1))]

    shown(Deep({}, tmp_path / "b"))
    for command in ("tree", "ls"):
        result = imagefs(command, *(["-R"] if command == "ls" else []), "disc")
        assert result.status == 65
        assert len(result.errors) == 1
        assert result.errors[0].endswith("d: folders lie more than 1000 deep")


# --- paths --------------------------------------------------------------------------------------------------------------

LINKS = {
    "docs": {"a.txt": b"a", "up": "../top.txt", "deep": {"root": "/top.txt"}},
    "top.txt": b"top",
    "dir": "docs",
    "loop": "loop",
    "gone": "nowhere",
    "out": "../../../../top.txt",
}


@pytest.mark.parametrize(
    ("path", "name"),
    (
        (b"dir/a.txt", b"a"),
        (b"docs/up", b"top"),
        (b"dir/deep/root", b"top"),
        (b"docs/deep/../../top.txt", b"top"),
        (b"out", b"top"),
        (b"../top.txt", b"top"),
    ),
)
def test_links_are_followed_inside_the_image(tmp_path: Path, path: bytes, name: bytes):
    tree = MemoryFileSystem(LINKS, tmp_path / "b")
    assert tree.open(resolve(tree, path, follow=True)).pread(0, 9) == name


def test_the_last_link_is_followed_when_asked(tmp_path: Path):
    tree = MemoryFileSystem(LINKS, tmp_path / "b")
    assert resolve(tree, b"dir", follow=False).is_link
    assert resolve(tree, b"dir", follow=True).is_directory
    assert resolve(tree, b"dir/", follow=False).is_directory
    assert resolve(tree, b"", follow=False).ino == ROOT_INO


@pytest.mark.parametrize("path", (b"loop", b"gone", b"top.txt/x", b"docs/a.txt/..", b"x/../top.txt"))
def test_paths_that_lead_nowhere(tmp_path: Path, path: bytes):
    tree = MemoryFileSystem(LINKS, tmp_path / "b")
    with pytest.raises(NotFoundError):
        resolve(tree, path, follow=True)


def test_a_chain_of_links_has_an_end(tmp_path: Path):
    chain = {f"l{i}": f"l{i + 1}" for i in range(LINK_HOPS + 1)} | {f"l{LINK_HOPS + 1}": b"end"}
    tree = MemoryFileSystem(chain, tmp_path / "b")
    assert resolve(tree, b"l2", follow=True).is_file
    with pytest.raises(NotFoundError, match="loop"):
        resolve(tree, b"l0", follow=True)
