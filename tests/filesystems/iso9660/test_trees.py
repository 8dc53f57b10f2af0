"""Images by genisoimage and xorriso, shown as their source, as libarchive and as 7-Zip read them."""

import hashlib
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from imagefs.errors import NotFoundError, UnsupportedError
from tests.filesystems.iso9660.images import Seen, by_bsdtar, by_source, find, names, opened, read, walk

EPOCH = 1_136_214_245
pytestmark = pytest.mark.foreign


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that POSIX can say of files and Rock Ridge can keep."""
    top = tmp_path_factory.mktemp("source")
    (top / "empty").mkdir()
    (top / "many").mkdir()
    for number in range(60):
        (top / "many" / f"File number {number}.data").write_bytes(bytes([number]) * number)
    (top / "nothing").write_bytes(b"")
    (top / "block.bin").write_bytes(random.Random(1).randbytes(2048))
    (top / "blocks.bin").write_bytes(random.Random(2).randbytes(10_001))
    (top / "Ünïcode 日本語 😀.txt").write_bytes(b"unicode\n")
    (top / ("n" * 200 + ".txt")).write_bytes(b"long\n")
    (top / ".hidden").write_bytes(b"h")
    (top / "no.version;1").write_bytes(b"v")
    (top / "script").write_bytes(b"#!/bin/sh\n")
    (top / "script").chmod(0o4751)
    (top / "links").mkdir(0o711)
    for name, target in {
        "relative": "../block.bin", "absolute": "/etc/../usr", "root": "/", "dots": "././../..", "here": ".",
        "long": "/".join(f"component{number}" for number in range(60)), "unicode": "日本/語",
        "huge": "/".join(["x" * 200] * 5), "one": "y" * 250,
    }.items():  # fmt: skip
        (top / "links" / name).symlink_to(target)
    os.link(top / "blocks.bin", top / "links" / "hard")
    os.mkfifo(top / "pipe", 0o620)
    deep = top
    for level in range(12):
        deep = deep / f"level{level}"
        deep.mkdir()
    (deep / "leaf").write_bytes(b"leaf\n")
    for path in (*top.rglob("*"), top):
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    os.utime(top / ".hidden", (-86400, -86400))
    return top


def made(source: Path, image: Path, *words: str) -> Path:
    """An image of a folder by the tool and with the options named."""
    tool = ["xorriso", "-as", "mkisofs"] if words[0] == "xorriso" else [words[0]]
    if not shutil.which(tool[0]):
        pytest.skip(f"{tool[0]} is not installed")
    done = subprocess.run([*tool, "-quiet", *words[1:], "-o", image, source], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return image


@pytest.mark.parametrize(
    "words",
    [
        ("genisoimage", "-R"),
        ("genisoimage", "-R", "-D", "-J", "-joliet-long"),
        ("genisoimage", "-R", "-iso-level", "4", "-allow-multidot", "-T"),
        ("xorriso", "-R"),
        ("xorriso", "-R", "-J", "-joliet-long", "--hardlinks"),
        ("xorriso", "-R", "-iso-level", "3", "-rr_reloc_dir", "/moved"),
        ("xorriso", "-R", "-iso-level", "4"),
    ],
    ids=" ".join,
)
def test_rock_ridge_gives_the_source_back(source: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    filesystem = opened(made(source, tmp_path / "disc.iso", *words))
    found, expected = walk(filesystem), by_source(source)
    if "-T" in words:  # TRANS.TBL files are its own
        found = {path: entry for path, entry in found.items() if not path.endswith("TRANS.TBL")}
    for extra in ("rr_moved", "moved"):
        found.pop(extra, None)
    assert filesystem.tree == "rr"
    assert found.keys() == expected.keys()
    for path, entry in found.items():
        wanted = expected[path]
        if entry.kind == "d":  # the folders' times and, in moved ones, modes are the writer's
            entry, wanted = entry._replace(mtime=0), wanted._replace(mtime=0)
        assert entry == wanted, path


def test_rock_ridge_is_what_libarchive_reads(source: Path, tmp_path: Path) -> None:
    image = made(source, tmp_path / "disc.iso", "xorriso", "-R", "-J")
    found, expected = walk(opened(image)), by_bsdtar(image)
    assert found.keys() == expected.keys()
    broken = {"links/long", "links/huge"}  # targets that fill several SL entries: it keeps the last one alone
    assert {path: found[path] for path in found.keys() - broken} == {
        path: expected[path] for path in found.keys() - broken
    }


def test_moved_directories_are_in_their_own_places(source: Path, tmp_path: Path) -> None:
    image = made(source, tmp_path / "disc.iso", "genisoimage", "-R")
    filesystem = opened(image)
    path = "/".join(f"level{level}" for level in range(12))
    assert read(filesystem, f"{path}/leaf") == b"leaf\n"
    assert b"rr_moved" not in names(filesystem)
    node = find(filesystem, path)
    for level in reversed(range(12)):
        node = filesystem.parent(node)
        above = "/".join(f"level{number}" for number in range(level))
        assert node.ino == (find(filesystem, above).ino if above else filesystem.root.ino)


def test_hard_links_share_their_number(source: Path, tmp_path: Path) -> None:
    for words in (("genisoimage", "-R"), ("xorriso", "-R", "--hardlinks")):
        filesystem = opened(made(source, tmp_path / "disc.iso", *words))
        one, other = find(filesystem, "blocks.bin"), find(filesystem, "links/hard")
        assert one.ino == other.ino
        assert one.nlink == other.nlink == 2
        assert filesystem.node(one.ino).size == 10_001
        assert find(filesystem, "block.bin").nlink == 1


def test_owners_and_modes_of_rock_ridge(source: Path, tmp_path: Path) -> None:
    kept = opened(made(source, tmp_path / "kept.iso", "xorriso", "-R"))
    assert (find(kept, "script").uid, find(kept, "script").gid) == (os.getuid(), os.getgid())
    rational = opened(made(source, tmp_path / "rational.iso", "genisoimage", "-r"))
    node = find(rational, "script")
    assert (node.uid, node.gid, node.mode) == (0, 0, 0o100555)
    assert find(rational, "links").mode == 0o040555


def joliet_of(source: Path) -> dict[str, Seen]:
    """What Joliet can keep: files and folders, readable and executable for all."""
    return {
        path: entry._replace(mode=0o555)
        for path, entry in by_source(source).items()
        if entry.kind in "-d"
    }  # fmt: skip


def test_joliet_is_what_7zip_reads(source: Path, tmp_path: Path) -> None:
    image = made(source, tmp_path / "disc.iso", "xorriso", "--norock", "-J", "-joliet-long")
    filesystem = opened(image)
    assert filesystem.tree == "joliet"
    found = walk(filesystem)
    output = subprocess.run(["7zz", "l", "-slt", "-ba", image], check=True, capture_output=True).stdout.decode()
    blocks = [
        dict(line.split(" = ", 1) for line in block.splitlines() if " = " in line) for block in output.split("\n\n")
    ]
    listed = {block["Path"]: int(block.get("Size") or 0) for block in blocks if block}
    assert {path: entry.size for path, entry in found.items()} == listed
    assert found["Ünïcode 日本語 _.txt"].content == hashlib.sha256(b"unicode\n").digest()


def test_dots_at_the_end_of_joliet_names(tmp_path: Path) -> None:
    for name in ("end.", "ends..", "...", "....", "a...b"):
        (tmp_path / "source" / name).mkdir(parents=True)
    image = made(tmp_path / "source", tmp_path / "disc.iso", "genisoimage", "-J")
    assert sorted(names(opened(image, tree="joliet"))) == [b"...", b"....", b"a...b", b"end", b"ends"]


def test_joliet_with_pairs_of_surrogates(source: Path, tmp_path: Path) -> None:
    image = tmp_path / "disc.iso"
    words = [
        "xorriso",
        "-compliance",
        "joliet_utf16",
        "-joliet",
        "on",
        "-rockridge",
        "off",
        "-outdev",
        str(image),
        "-map",
    ]
    subprocess.run(
        [*words, str(source / "many"), "/a", "-map", str(source / "nothing"), "/e 😀 f"],
        check=True,
        capture_output=True,
    )
    assert names(opened(image)) == [b"a", "e 😀 f".encode()]


@pytest.mark.parametrize("level", ["1", "2", "3"])
def test_levels_of_joliet(source: Path, tmp_path: Path, level: str) -> None:
    image = made(source / "many", tmp_path / "disc.iso", "genisoimage", "-J", "-ucs-level", level)
    filesystem = opened(image)
    assert filesystem.details()["joliet_level"] == int(level)
    assert walk(filesystem).keys() == joliet_of(source / "many").keys()


@pytest.mark.parametrize("level", ["1", "2", "3"])
def test_plain_names_are_those_of_linux(source: Path, tmp_path: Path, level: str) -> None:
    image = made(source, tmp_path / "disc.iso", "xorriso", "-iso-level", level, "-R", "-J")
    plain = opened(image, tree="iso")
    extracted = tmp_path / "extracted"
    extracted.mkdir()
    words = ["bsdtar", "--options", "iso9660:!rockridge,iso9660:!joliet", "-xf", image, "-C", extracted]
    subprocess.run(words, check=True, capture_output=True)
    expected = {path.lower(): entry._replace(mode=0o555) for path, entry in by_source(extracted).items()}
    found = walk(plain)
    assert found.keys() == expected.keys()
    for path, entry in found.items():
        assert entry == expected[path]._replace(mtime=entry.mtime if entry.kind == "d" else expected[path].mtime), path


def test_plain_names_as_recorded(source: Path, tmp_path: Path) -> None:
    image = made(source, tmp_path / "disc.iso", "genisoimage")
    listed = subprocess.run(["isoinfo", "-f", "-i", image], check=True, capture_output=True).stdout.decode().split()
    found = walk(opened(image, map="off"))
    assert sorted("/" + path for path in found) == sorted(listed)
    assert "BLOCK.BIN;1" in found


def test_the_enhanced_tree_keeps_case(source: Path, tmp_path: Path) -> None:
    image = tmp_path / "disc.iso"
    words = ["xorriso", "-compliance", "iso_9660_1999", "-rockridge", "off", "-outdev", str(image), "-map"]
    subprocess.run([*words, str(source / "many"), "/Many Files"], check=True, capture_output=True)
    enhanced = opened(image)
    assert enhanced.tree == "evd"
    assert names(enhanced) == [b"Many Files"]
    assert read(enhanced, "Many Files/File number 7.data") == b"\7" * 7
    assert names(opened(image, tree="iso")) == [b"many_files"]


def test_level_4_of_genisoimage_has_one_tree_under_two_descriptors(source: Path, tmp_path: Path) -> None:
    image = made(source / "many", tmp_path / "disc.iso", "genisoimage", "-iso-level", "4")
    filesystem = opened(image)
    assert filesystem.tree == "iso"
    assert b"file number 7.data" in names(filesystem)
    assert b"File number 7.data" in names(opened(image, tree="evd"))


def test_the_tree_may_be_chosen(source: Path, tmp_path: Path) -> None:
    image = made(source / "many", tmp_path / "disc.iso", "genisoimage", "-R", "-J", "-V", "THE_LABEL")
    for tree, name in {None: b"File number 7.data", "joliet": b"File number 7.data", "iso": b"file_num.dat"}.items():
        filesystem = opened(image, tree=tree)
        assert filesystem.tree == (tree or "rr")
        assert (name in names(filesystem)) or tree == "iso"
        assert len(names(filesystem)) == 60
        assert filesystem.label == "THE_LABEL"
    with pytest.raises(NotFoundError, match=r"no ISO 9660:1999 tree.*it has: rr, joliet, iso"):
        opened(image, tree="evd")
    for tree in ("udf", "hfs"):
        with pytest.raises(UnsupportedError, match=tree.upper()):
            opened(image, tree=tree)


def test_names_in_another_character_set(tmp_path: Path) -> None:
    top = tmp_path / "source"
    top.mkdir()
    with open(os.fsencode(top) + b"/gr\xfc\xdfe", "wb") as file:
        file.write(b"x")
    image = made(
        top, tmp_path / "disc.iso", "xorriso", "-R", "-input-charset", "ISO-8859-1", "-output-charset", "ISO-8859-1"
    )
    assert names(opened(image)) == [b"gr\xfc\xdfe"]
    assert names(opened(image, iocharset="latin-1")) == ["grüße".encode()]


def test_zisofs_is_unpacked(tmp_path: Path) -> None:
    top = tmp_path / "source"
    top.mkdir()
    content = b"packed well\n" * 40_000 + bytes(100_000)
    (top / "packed").write_bytes(content)
    (top / "small").write_bytes(b"too small to pack")
    image = tmp_path / "disc.iso"
    for version in ("level=9", "version_2=on:block_size_v2=128k"):
        words = [
            "xorriso",
            "-zisofs",
            version,
            "-outdev",
            str(image),
            "-map",
            str(top),
            "/",
            "-set_filter_r",
            "--zisofs",
            "/",
        ]
        image.unlink(missing_ok=True)
        subprocess.run(words, check=True, capture_output=True)
        filesystem = opened(image)
        node = find(filesystem, "packed")
        assert node.size == len(content)
        assert node.blocks * 512 < 20_000
        assert read(filesystem, "packed") == content
        assert read(filesystem, "small") == b"too small to pack"
        stored = opened(image, tree="iso")
        assert find(stored, "packed").size < 20_000
