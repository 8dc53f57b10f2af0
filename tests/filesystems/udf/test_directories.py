"""Directories and names: what is shown of sound ones, and that what is broken costs no more than it must."""

import random
import time
from binascii import crc_hqx

import pytest

from imagefs.errors import DamagedError, NotFoundError
from imagefs.filesystems.udf import names as rules
from tests.builders import udf
from tests.builders.udf import DELETED, EMBEDDED, HIDDEN, IS_DIRECTORY, PARENT, ROOT, Builder, cs0, dstring, identifier
from tests.contract import check_filesystem
from tests.filesystems.udf.images import find, names, opened, read

BLOCK = 2048


# --- names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"\x08plain.txt", "plain.txt"),
        (b"\x08\xfcnl\xe4ut", "ünläut"),
        (b"\xfeform 254", "form 254"),
        (b"\x10" + "日本語".encode("utf-16-be"), "日本語"),
        (b"\x10" + "😀".encode("utf-16-be"), "😀"),
        (b"\x10\xd8\x3d", "\ufffd"),
        (b"\x10\0a\0", "a\ufffd"),
        (b"\x07ab", "ab"),
        (b"\x08tab\there", "tab\there"),
        (b"\x08two.dots.in.name", "two.dots.in.name"),
    ],
)
def test_names(raw: bytes, name: str) -> None:
    assert rules.name_of(raw) == name.encode()


def mark(raw: bytes) -> str:
    """What UDF 4.2.2.1.5 puts at the end of a name that was changed."""
    return f"#{crc_hqx(raw[1:], 0):04X}"


@pytest.mark.parametrize(
    ("text", "stem", "extension"),
    [
        ("a/b", "a_b", ""),
        ("a//\0b.txt", "a_b", ".txt"),
        ("/.jpeg2", "_", ".jpeg2"),
        ("a/b.toolong", "a_b.toolong", ""),
        (".", ".", ""),
        ("..", "..", ""),
        ("é" * 254, "é" * 125, ""),
        ("漢" * 127, "漢" * 83, ""),
        ("漢" * 120 + ".html", "漢" * 81, ".html"),
    ],
)
def test_names_that_are_changed(text: str, stem: str, extension: str) -> None:
    raw = cs0(text)
    name = rules.name_of(raw)
    assert name.decode() == stem + mark(raw) + extension
    assert len(name) <= 255


def test_longest_names() -> None:
    for text in ("x" * 254, "é" * 127, "漢" * 85):
        assert rules.name_of(cs0(text)) == text.encode()


def test_dstrings() -> None:
    assert rules.dstring(dstring("Größe", 32)) == "Größe"
    assert rules.dstring(dstring("日本", 32)) == "日本"
    assert rules.dstring(bytes(32)) == ""
    assert rules.dstring(b"\x08label".ljust(32, b"\0")) == "label"  # a writer that forgot the length
    assert rules.dstring(b"\x08label".ljust(31, b"\0") + b"\xff") == "label"
    assert rules.dstring(b"\x63label".ljust(31, b"\0") + b"\6") == ""


def test_names_that_stand_twice() -> None:
    made = Builder()
    one, other = made.file(b"1", links=2), made.file(b"2")
    made.directory([("a.txt", one), ("a.txt", one), ("a.txt", other), ("b", other), ("b", one)], block=ROOT)
    filesystem = opened(made.image())
    assert names(filesystem) == ["a.txt", "a (2).txt", "b", "b (2)"]
    assert [read(filesystem, name) for name in names(filesystem)] == [b"1", b"2", b"2", b"1"]


def test_what_is_listed() -> None:
    made = Builder()
    file = made.file(b"x")
    entries = [
        ("hidden", file, HIDDEN),
        ("deleted", file, DELETED),
        ("Non-Allocatable Space", file, HIDDEN),
        ("", file),
    ]
    made.directory(entries, block=ROOT)
    assert names(opened(made.image())) == ["hidden"]


def test_implementation_use_and_odd_padding() -> None:
    made = Builder()
    file = made.file(b"x")
    content = identifier(b"", ROOT, 0, PARENT)
    for length in range(1, 9):
        content += identifier(b"\x08" + b"n" * length, file, use=b"*" * (4 * length))
    made.add(udf.DIRECTORY, len(content), content, block=ROOT)
    assert names(opened(made.image())) == ["n" * length for length in range(1, 9)]


@pytest.mark.parametrize("block_bytes", [512, 2048])
def test_identifiers_across_blocks(block_bytes: int) -> None:
    made = Builder(block_bytes=block_bytes)
    file = made.file(b"x", links=100)
    wanted = [f"{'n' * (index % 50)}{index}" for index in range(100)]
    made.directory([(name, file) for name in wanted], block=ROOT)
    filesystem = opened(made.image())
    assert names(filesystem) == wanted


def test_empty_directories() -> None:
    made = Builder()
    nothing = made.add(udf.DIRECTORY, 0, b"")
    made.directory([("empty", made.directory([])), ("nothing", nothing, IS_DIRECTORY)], block=ROOT)
    filesystem = opened(made.image())
    assert names(filesystem, "empty") == names(filesystem, "nothing") == []


# --- damage -------------------------------------------------------------------------------------------------------------


def ten() -> Builder:
    made = Builder()
    files = [(f"file {index}", made.file(b"%d" % index, EMBEDDED)) for index in range(10)]
    made.directory([("sub", made.directory(files)), ("whole", made.file(b"w"))], block=ROOT)
    return made


def test_a_broken_identifier_spoils_the_listing_and_no_other_entry() -> None:
    image = bytearray(ten().image())
    at = image.index(b"\x08file 4") - 38
    image[at] ^= 0xFF
    filesystem = opened(bytes(image))
    sub = find(filesystem, "sub")
    with pytest.raises(DamagedError, match="the directory is broken at its byte"):
        filesystem.entries(sub)
    for index in (0, 3, 5, 9):
        assert read(filesystem, f"sub/file {index}") == b"%d" % index
    with pytest.raises(DamagedError):
        filesystem.lookup(sub, b"file 4")
    assert names(filesystem) == ["sub", "whole"]


def test_an_identifier_that_is_too_long() -> None:
    image = bytearray(ten().image())
    image[image.index(b"\x08file 4") - 19] = 255
    filesystem = opened(bytes(image))
    with pytest.raises(DamagedError):
        filesystem.entries(find(filesystem, "sub"))
    assert read(filesystem, "sub/file 0") == b"0"


def test_a_lost_file_entry_spoils_that_file() -> None:
    made = Builder()
    lost, folder = made.file(b"lost", EMBEDDED), made.directory([])
    made.directory([("lost", lost), ("folder", folder), ("whole", made.file(b"w"))], block=ROOT)
    del made.blocks[lost], made.blocks[folder]
    filesystem = opened(made.image())
    assert names(filesystem) == ["lost", "folder", "whole"]
    assert read(filesystem, "whole") == b"w"
    node, directory = find(filesystem, "lost"), find(filesystem, "folder")
    assert node.is_file and node.size > 0, "an empty file is not read by anybody"
    assert directory.is_directory
    with pytest.raises(DamagedError):
        filesystem.open(node)
    with pytest.raises(DamagedError):
        filesystem.entries(directory)
    assert filesystem.xattrs(node) == filesystem.xattrs(directory) == {}
    for each in (node, directory):
        assert filesystem.node(each.ino) == each._replace(locator=filesystem.node(each.ino).locator)


def test_an_entry_without_its_name_or_its_extent_is_not_left_out() -> None:
    """Deleted entries alone may lead nowhere, and that of the directory above alone has no name."""
    made = Builder()
    file = made.file(b"x", EMBEDDED)
    extent = udf.long_ad(BLOCK, file)
    lost = udf.identifier(cs0("lost"), file).replace(extent, bytes(4) + extent[4:])
    made.add(udf.DIRECTORY, len(lost), lost, block=ROOT)
    assert read(opened(made.image()), "lost") == b"x"

    nameless = udf.identifier(cs0("a"), file) + udf.identifier(b"", file)
    made.add(udf.DIRECTORY, len(nameless), nameless, block=ROOT)
    filesystem = opened(made.image())
    with pytest.raises(DamagedError, match="no name"):
        filesystem.entries(filesystem.root)
    assert read(filesystem, "a") == b"x"


def test_a_directory_of_no_size_is_damaged_when_its_entry_is() -> None:
    made = Builder()
    wiped = made.directory([("a", made.file(b"x", EMBEDDED))])
    made.directory([("wiped", wiped), ("empty", made.add(udf.DIRECTORY, 0, b""))], block=ROOT)
    made.blocks[wiped] = made.blocks[wiped][:56] + bytes(8) + made.blocks[wiped][64:]
    filesystem = opened(made.image())
    assert filesystem.entries(find(filesystem, "empty")) == []
    with pytest.raises(DamagedError, match="is lost"):
        filesystem.entries(find(filesystem, "wiped"))


def test_entries_in_a_partition_that_the_volume_lacks_are_lost() -> None:
    made = Builder()
    content = udf.identifier(cs0("folder"), 5, 7, IS_DIRECTORY) + udf.identifier(cs0("file"), 5, 7)
    made.add(udf.DIRECTORY, len(content), content, block=ROOT)
    filesystem = opened(made.image())
    assert names(filesystem) == ["folder", "file"]
    for _, node in filesystem.entries(filesystem.root):
        again = filesystem.node(node.ino)
        assert again == node._replace(locator=again.locator)


def test_directories_in_circles() -> None:
    made = Builder()
    sub = made.block()
    made.directory([("self", sub, IS_DIRECTORY), ("root", ROOT, IS_DIRECTORY)], block=sub)
    made.directory([("sub", sub)], block=ROOT)
    filesystem = opened(made.image())
    for path in ("sub/self", "sub/root"):
        node = find(filesystem, path)
        with pytest.raises(DamagedError, match="contains itself"):
            filesystem.entries(node)
        assert filesystem.node(node.ino).ino == node.ino
        with pytest.raises(DamagedError, match="contains itself"):
            filesystem.entries(filesystem.node(node.ino))
    assert find(filesystem, "sub").ino != find(filesystem, "sub/self").ino


def test_a_directory_below_two_others_is_shown_in_both() -> None:
    made = Builder()
    shared = made.directory([("file", made.file(b"x"))])
    made.directory([("a", made.directory([("s", shared)])), ("b", made.directory([("s", shared)]))], block=ROOT)
    filesystem = opened(made.image())
    assert read(filesystem, "a/s/file") == read(filesystem, "b/s/file") == b"x"


def test_entries_that_are_something_else() -> None:
    """The file entry decides what an entry is, not the identifier."""
    made = Builder()
    sub = made.directory([])
    entries = [("file", made.file(b"x"), IS_DIRECTORY), ("sub", sub, 0), ("vat", made.add(248, 0, b""))]
    made.directory(entries, block=ROOT)
    filesystem = opened(made.image())
    kinds = [(name, node.is_directory) for name, node in filesystem.entries(filesystem.root)]
    assert kinds == [(b"file", False), (b"sub", True), (b"vat", False)]
    with pytest.raises(DamagedError):
        filesystem.open(find(filesystem, "vat")).pread(0, 1)


def test_inode_numbers_that_were_never_given() -> None:
    filesystem = opened(ten().image())
    for ino in (0, 2, 3, 5, 1 << 40, (1 << 56) - 1):
        with pytest.raises(NotFoundError):
            filesystem.node(ino)


def test_a_root_that_is_none() -> None:
    made = Builder()
    made.file(b"x", EMBEDDED, block=ROOT)
    with pytest.raises(DamagedError, match="no directory"):
        opened(made.image())
    made.blocks[ROOT] = bytes(16)
    with pytest.raises(DamagedError, match="no file entry"):
        opened(made.image())


@pytest.mark.parametrize("noise", [b"\1\1", b"\1\1\0\0", b"\1\1\3\0\6\0\0\0\0\0\0\0\0\0\1\1", b""])
def test_a_directory_of_garbage_ends_soon(noise: bytes) -> None:
    made = Builder()
    size = 200 * BLOCK
    content = noise * (size // len(noise)) if noise else random.Random(1).randbytes(size)
    first = made.put(content)
    ads = udf.short_ad(size, first) * 200
    made.directory([("big", made.add(udf.DIRECTORY, 200 * size, ads, udf.SHORT), IS_DIRECTORY)], block=ROOT)
    filesystem = opened(made.image())
    begin = time.monotonic()
    with pytest.raises(DamagedError):
        filesystem.entries(find(filesystem, "big"))
    assert time.monotonic() - begin < 1


def test_the_whole_is_sound() -> None:
    assert len(check_filesystem(opened(ten().image()))) == 12
