"""What the path table is good for: directories below a damaged one, a root that the descriptor misses, CD-i discs."""

import re
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imagefs.errors import DamagedError
from imagefs.filesystems.iso9660.filesystem import RootState
from imagefs.filesystems.iso9660.paths import PathTable
from imagefs.readers import BytesReader
from tests.builders import iso
from tests.builders.iso import ROOT, SECTOR, directory, record, volume
from tests.contract import check_filesystem
from tests.filesystems.iso9660.images import find, names, opened, read, survives

MakeIso = Callable[..., Path]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    for folder in ("alpha", "beta/inner", "gamma"):
        (top / folder).mkdir(parents=True)
        (top / folder / "file.txt").write_bytes(folder.encode())
    (top / "top.txt").write_bytes(b"top")
    return top


def by_isoinfo(image: Path) -> dict[int, tuple[int, bytes]]:
    """Number -> (parent, name) of the path table, as isoinfo prints it."""
    lines = subprocess.run(["isoinfo", "-p", "-i", image], check=True, capture_output=True).stdout.splitlines()
    rows = [re.match(rb"\s*(\d+):\s+(\d+)\s+[0-9a-f]+\s+(.*)$", line) for line in lines]
    return {int(row[1]): (int(row[2]), row[3]) for row in rows if row}


def zeroed(image: Path, *addresses: int) -> bytes:
    data = bytearray(image.read_bytes())
    for address in addresses:
        data[address : address + SECTOR] = bytes(SECTOR)
    return bytes(data)


@pytest.mark.foreign
@pytest.mark.parametrize("tool", ["xorriso", "genisoimage"])
@pytest.mark.parametrize("options", [(), ("-R",), ("-J", "-R")])
def test_a_root_that_is_lost(source: Path, make_iso: MakeIso, tool: str, options: tuple[str, ...]) -> None:
    """Its folders can be opened; it cannot be listed, since its files are lost."""
    image = make_iso(source, *options, tool=tool)
    tree = "rr" if options else "iso"
    root = opened(image, tree=tree).root.locator.address
    filesystem = opened(zeroed(image, root), tree=tree)
    (warning,) = filesystem.warnings
    below_root = [name.lower().decode() for parent, name in list(by_isoinfo(image).values())[1:] if parent == 1]
    assert below_root == ["alpha", "beta", "gamma"]
    assert warning.endswith("folders, which can be opened: alpha, beta, gamma")
    assert filesystem.root_state is RootState.PARTIAL
    with pytest.raises(DamagedError):
        filesystem.entries(filesystem.root)
    with pytest.raises(DamagedError):
        find(filesystem, "top.txt")
    assert read(filesystem, "beta/inner/file.txt") == b"beta/inner"
    inner, beta = find(filesystem, "beta/inner"), find(filesystem, "beta")
    assert filesystem.node(inner.ino) == inner
    assert filesystem.node(beta.ino).ino == beta.ino
    assert filesystem.parent(inner).ino == beta.ino
    assert names(filesystem, "beta") == [b"inner"]


@pytest.mark.foreign
def test_another_tree_that_is_whole_comes_first(source: Path, make_iso: MakeIso) -> None:
    image = make_iso(source, "-J", "-R")
    filesystem = opened(zeroed(image, opened(image).root.locator.address))
    assert filesystem.tree == "joliet"
    assert [name for name, _ in filesystem.entries(filesystem.root)] == [b"alpha", b"beta", b"gamma", b"top.txt"]
    root_of_joliet = opened(image, tree="joliet").root.locator.address
    both = bytearray(zeroed(image, root_of_joliet))
    rock_ridge = opened(image).root.locator.address
    both[rock_ridge : rock_ridge + SECTOR] = bytes(SECTOR)
    assert read(opened(bytes(both)), "gamma/file.txt") == b"gamma"


@pytest.mark.foreign
def test_a_directory_that_is_lost(source: Path, make_iso: MakeIso) -> None:
    image = make_iso(source, "-R", tool="genisoimage")
    filesystem = opened(zeroed(image, find(opened(image), "beta").locator.address))
    with pytest.raises(DamagedError):
        names(filesystem, "beta")
    assert read(filesystem, "beta/inner/file.txt") == b"beta/inner"
    assert names(filesystem) == [b"alpha", b"beta", b"gamma", b"top.txt"]


@pytest.mark.foreign
@pytest.mark.parametrize("tool", ["xorriso", "genisoimage"])
def test_a_root_record_that_leads_nowhere(source: Path, make_iso: MakeIso, tool: str) -> None:
    image = bytearray(make_iso(source, tool=tool).read_bytes())
    image[16 * SECTOR + 156 + 2 : 16 * SECTOR + 156 + 18] = iso.both32(17) + iso.both32(SECTOR)
    filesystem = opened(bytes(image))
    assert filesystem.warnings == ("the root directory is where the path table says, not where its record does",)
    assert check_filesystem(filesystem)[b"/beta/inner/file.txt"] == b"beta/inner"


# --- tables that lie ------------------------------------------------------------------------------------------------


def path_record(name: bytes, block: int, parent: int, order: str = "<") -> bytes:
    return struct.pack(order + "BBIH", len(name), 0, block, parent) + name + bytes(len(name) % 2)


def with_table(contents: dict[int, bytes], table: bytes, *, block: int = 18, big_endian: bool = False) -> bytes:
    """A volume whose descriptor names a path table in `block`."""
    head = bytearray(iso.descriptor(1, ROOT))
    head[132:140] = iso.both32(len(table))
    head[148 if big_endian else 140 : 152 if big_endian else 144] = struct.pack(">I" if big_endian else "<I", block)
    return volume({**contents, 18: table}, bytes(head))


GOOD = path_record(b"\0", ROOT, 1) + path_record(b"SUB", 22, 1) + path_record(b"DEEP", 23, 2)
SUB = {22: directory(22, ROOT, record(b"IN.;1", 30, 2)), 23: directory(23, 22), 30: b"in"}


def test_only_real_directories_are_recovered() -> None:
    table = GOOD + path_record(b"NONE", 25, 1) + path_record(b"FAR", 5000, 1) + path_record(b"SELF", ROOT, 1)
    filesystem = opened(with_table(SUB, table))
    assert "folders, which can be opened: sub" in filesystem.warnings[0]
    assert read(filesystem, "sub/in") == b"in"


def test_the_table_in_the_other_byte_order() -> None:
    table = path_record(b"\0", ROOT, 1, ">") + path_record(b"SUB", 22, 1, ">")
    assert read(opened(with_table(SUB, table, big_endian=True)), "sub/in") == b"in"


@pytest.mark.parametrize(
    "table",
    [
        b"", bytes(100), GOOD[8:], GOOD[:10] + GOOD[20:], b"\xff" * 100, path_record(b"\0", ROOT, 2),
        path_record(b"\0", ROOT, 1) + path_record(b"SUB", 22, 3), path_record(b"\0", ROOT, 1) + b"\xff\0\x16\0\0\0\1\0SUB",
    ],
)  # fmt: skip
def test_a_table_that_is_broken_is_no_help(table: bytes) -> None:
    with pytest.raises(DamagedError):
        opened(with_table(SUB, table))


def test_a_sound_tree_does_not_care_for_its_table() -> None:
    """Nor does a name in it that the tree does not have add anything."""
    root = directory(ROOT, ROOT, record(b"A.;1", 30, 2))
    for table in (GOOD, bytes(100), b"\xff" * 100):
        filesystem = opened(with_table({ROOT: root, **SUB}, table))
        assert check_filesystem(filesystem) == {b"/a": b"in"}
        assert filesystem.warnings == ()


# --- CD-i -----------------------------------------------------------------------------------------------------------

CDI_DIRECTORY, CDI_FILE = 0x8555, 0x0555


def cdi_record(name: bytes, block: int, size: int, attributes: int = CDI_FILE, flags: int = 0) -> bytes:
    """A directory record as the Green Book has it: big-endian halves, a date without a zone, a system area of 10 bytes."""
    fixed = bytes(5) + struct.pack(">I", block) + bytes(4) + struct.pack(">I", size) + iso.TIME[:6] + b"\0"
    fixed += bytes((flags, 0, 0, 0, 0, 0, 1, len(name)))
    body = fixed + name + bytes(1 - len(name) % 2) + struct.pack(">HHHHBB", 0, 0, attributes, 0, 0, 0)
    return bytes((len(body) + 1,)) + body


def cdi_directory(own: int, parent: int, *records: bytes) -> bytes:
    dots = (cdi_record(b"\0", own, SECTOR, CDI_DIRECTORY), cdi_record(b"\1", parent, SECTOR, CDI_DIRECTORY))
    return b"".join((*dots, *records)).ljust(SECTOR, b"\0")


def cdi_image() -> bytes:
    head = bytearray(SECTOR)
    head[0:8] = b"\1CD-I \1\0"
    head[8:40], head[40:72] = b"CD-RTOS CD-BRIDGE".ljust(32), b"A_DISC".ljust(32)
    head[84:88], head[122:124], head[126:128], head[130:132] = struct.pack(">I", 64), b"\0\1", b"\0\1", b"\x08\0"
    table = path_record(b"\0", ROOT, 1, ">") + path_record(b"CMDS", 22, 1, ">")
    head[136:140], head[148:152] = struct.pack(">I", len(table)), struct.pack(">I", 18)
    head[813:829] = b"1994073112000000"
    end = b"\xffCD-I \1".ljust(SECTOR, b"\0")
    root = cdi_directory(
        ROOT, ROOT, cdi_record(b"CMDS", 22, SECTOR, CDI_DIRECTORY), cdi_record(b"Abstract", 30, 3),
        cdi_record(b"hidden.txt", 31, 2, flags=1),
    )  # fmt: skip
    contents = {
        16: bytes(head),
        17: end,
        18: table,
        ROOT: root,
        22: cdi_directory(22, ROOT, cdi_record(b"play", 32, 5000)),
    }
    image = bytearray(64 * SECTOR)
    for block, data in {**contents, 30: b"abc", 31: b"xy", 32: b"\6" * 5000}.items():
        image[block * SECTOR : block * SECTOR + len(data)] = data
    return bytes(image)


def test_a_cd_i_disc() -> None:
    """Names as they are recorded: their case is meant, and they have no versions."""
    filesystem = opened(cdi_image())
    assert filesystem.label == "A_DISC"
    assert filesystem.warnings == ()
    assert check_filesystem(filesystem) == {
        b"/CMDS": b"", b"/CMDS/play": b"\6" * 5000, b"/Abstract": b"abc", b"/hidden.txt": b"xy",
    }  # fmt: skip
    assert find(filesystem, "Abstract").mtime == iso.TIME_NS
    assert filesystem.usage()[:2] == (SECTOR, 64)
    assert filesystem.details()["format"] == "CD-i"
    assert filesystem.details()["dates"] == {"created": "1994-07-31T12:00:00.00Z"}


def test_a_cd_i_disc_whose_root_is_damaged() -> None:
    image = bytearray(cdi_image())
    image[ROOT * SECTOR + 150] = 7  # inside the third record
    filesystem = opened(bytes(image))
    assert read(filesystem, "CMDS/play") == b"\6" * 5000
    image[18 * SECTOR : 19 * SECTOR] = bytes(SECTOR)
    with pytest.raises(DamagedError):
        opened(bytes(image))


@pytest.mark.parametrize("start", [16 * SECTOR, ROOT * SECTOR, 22 * SECTOR, 18 * SECTOR])
def test_a_cd_i_disc_survives_changes(start: int) -> None:
    whole = cdi_image()
    for at in range(start, start + 200):
        for value in (0, 0xFF, whole[at] ^ 0x80):
            image = bytearray(whole)
            image[at] = value
            if image[16 * SECTOR : 16 * SECTOR + 6] == b"\1CD-I ":
                survives(bytes(image))


def test_a_table_of_more_directories_than_numbers_ends_there() -> None:
    """A record takes thirty times as much memory as it has bytes."""
    records = path_record(b"\0", ROOT, 1) + path_record(b"x", 22, 1) * 70_000
    descriptor = replace(opened(with_table(SUB, GOOD))._descriptor, path_table_bytes=len(records))
    assert len(PathTable(BytesReader(bytes(18 * SECTOR) + records), descriptor).records) == 65_535
