"""Folders with several names: of a disc that has such all is shown, of an image made to multiply by them no more than a
few times what it holds."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs import limits
from tests.builders import iso, udf, xdvdfs
from tests.cli.conftest import Imagefs

LEVELS = 30
"""Every folder names the next one twice: 2**30 paths lead to the last."""
TOO_OFTEN = f"this folder has more than {limits.DIRECTORY_NAMES} names in the image; it is left out under the others"
OVERLAP = "the folders of the image overlap; this one and those that follow are left out"
DAMAGED = 65


def plain_iso() -> bytes:
    first, last = iso.ROOT, iso.ROOT + LEVELS
    contents = {
        block: iso.directory(
            block, max(first, block - 1), *(iso.record(name, block + 1, 2048, 2) for name in (b"A", b"B"))
        )
        for block in range(first, last)
    }
    contents[last] = iso.directory(last, last - 1, iso.record(b"F", last + 1, 4))
    return iso.volume({**contents, last + 1: b"leaf"})


def moved_iso() -> bytes:
    """The same by the CL entries of Rock Ridge: a placeholder says where the directory was moved to."""

    def placeholders(block: int) -> list[bytes]:
        child = iso.entry(b"CL", iso.both32(block))
        return [iso.record(name, 0, 0, use=iso.px(0o40755) + iso.nm(name) + child) for name in (b"A", b"B")]

    first, last = iso.ROOT, iso.ROOT + LEVELS
    more = {
        block: iso.directory(block, block - 1, *placeholders(block + 1), dot=iso.px(0o40755))
        for block in range(first + 1, last)
    }
    file = iso.record(b"F", last + 1, 4, use=iso.px(0o100644) + iso.nm(b"F"))
    more[last] = iso.directory(last, last - 1, file, dot=iso.px(0o40755))
    return iso.rock_ridge(*placeholders(first + 1), more={**more, last + 1: b"leaf"})


def plain_udf() -> bytes:
    made = udf.Builder()
    folder = made.directory([("F", made.file(b"leaf"))])
    for level in reversed(range(LEVELS)):
        folder = made.directory([("A", folder), ("B", folder)], block=-1 if level else udf.ROOT)
    return made.image()


IMAGES = {
    "iso": (plain_iso, 1),
    "moved": (moved_iso, 1),
    "udf": (plain_udf, 1),
    "xdvdfs": (lambda: xdvdfs.doubled(LEVELS), 2),  # in which each name makes a directory of its own
}


class Hostile:
    """An image, and how often a walk of it enters a folder of each level."""

    def __init__(self, path: Path, most: int) -> None:
        self.path = path
        self.entered = [min(2**level, most) for level in range(LEVELS + 1)]


@pytest.fixture(params=IMAGES)
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Hostile:
    make, names = IMAGES[request.param]
    path = tmp_path / "hostile"
    path.write_bytes(make())
    return Hostile(path, limits.DIRECTORY_NAMES * names)


def test_a_listing_has_an_end(imagefs: Imagefs, hostile: Hostile):
    result = imagefs("ls", "-R", hostile.path)
    assert result.status == DAMAGED
    assert len(re.findall(rb"^\S+:$", result.out, re.MULTILINE)) == sum(hostile.entered)
    assert len(re.findall(rb"^[Ff]$", result.out, re.MULTILINE)) == hostile.entered[-1]
    assert {line.rpartition(": ")[2] for line in result.errors} == {TOO_OFTEN}
    assert len(result.errors) <= 2 * LEVELS  # one for each folder


def test_a_drawing_has_an_end(imagefs: Imagefs, hostile: Hostile):
    result = imagefs("tree", hostile.path)
    folders = sum(2 * count for count in hostile.entered[:-1])
    assert result.status == DAMAGED
    assert result.out.endswith(f"\n{folders} directories, {hostile.entered[-1]} files\n".encode())
    assert {line.rpartition(": ")[2] for line in result.errors} == {TOO_OFTEN}


def test_an_extraction_has_an_end(imagefs: Imagefs, hostile: Hostile, tmp_path: Path):
    result = imagefs("extract", hostile.path, "-C", tmp_path / "out")
    assert result.status == DAMAGED
    assert {line.rpartition(": ")[2] for line in result.errors} == {TOO_OFTEN}
    found = list((tmp_path / "out").rglob("*"))
    assert len([path for path in found if path.is_dir()]) == sum(hostile.entered[1:])
    assert [path.read_bytes() for path in found if path.is_file()] == [b"leaf"] * hostile.entered[-1]


def test_what_an_image_is_needs_no_walk(imagefs: Imagefs, hostile: Hostile):
    result = imagefs("info", hostile.path)
    assert (result.status, result.errors) == (0, [])


def test_the_layout_of_all_trees_has_an_end_as_well(imagefs: Imagefs, hostile: Hostile):
    result = imagefs("ls", "-R", "-o", "layout=tree,meta", hostile.path)
    assert result.status == DAMAGED
    assert {line.rpartition(": ")[2] for line in result.errors} == {TOO_OFTEN}


def wide_xdvdfs(count: int) -> bytes:
    """`count` folders, which are all one folder of `count` files."""
    leaves = xdvdfs.table([xdvdfs.Item(b"f%d" % number, 33, 4) for number in range(count)])
    folders = xdvdfs.table([xdvdfs.Item(b"d%d" % n, 34, len(leaves), xdvdfs.DIRECTORY) for n in range(count)])
    sectors = bytes(32 * xdvdfs.SECTOR) + xdvdfs.descriptor(34 + len(leaves) // xdvdfs.SECTOR, len(folders))
    return sectors + b"leaf".ljust(xdvdfs.SECTOR, b"\0") + leaves + folders


def test_folders_that_share_their_entries_are_not_shown_beyond_what_the_image_has_room_for(
    imagefs: Imagefs, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("imagefs.cli.paths.MADE_UP_ENTRIES", 0)
    image = tmp_path / "wide"
    image.write_bytes(wide_xdvdfs(200))
    result = imagefs("ls", "-R", image)
    most = image.stat().st_size // limits.ENTRY_BYTES
    assert result.status == DAMAGED
    assert [line.rpartition(": ")[2] for line in result.errors] == [OVERLAP]
    assert most <= len(re.findall(rb"^[df]\d+$", result.out, re.MULTILINE)) <= most + 200 < 200 * 200


def test_broken_folders_that_share_their_entries_count_as_well(imagefs: Imagefs, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("imagefs.cli.paths.MADE_UP_ENTRIES", 0)
    data = bytearray(wide_xdvdfs(200))
    data[34 * xdvdfs.SECTOR + 2 : 34 * xdvdfs.SECTOR + 4] = b"\xfe\xff"  # the right half of the tree is nowhere
    image = tmp_path / "wide"
    image.write_bytes(data)
    result = imagefs("ls", "-R", image)
    assert result.status == DAMAGED
    assert result.errors[-1].rpartition(": ")[2] == OVERLAP
    assert len(result.errors) < 200


def test_copies_of_shared_content_are_no_more_than_many_times_the_image(imagefs: Imagefs, tmp_path: Path, monkeypatch):
    records = [iso.record(b"F%02d" % number, iso.ROOT + 1, 10 * 2048) for number in range(30)]
    image = tmp_path / "shared.iso"
    image.write_bytes(iso.volume({iso.ROOT: iso.directory(iso.ROOT, iso.ROOT, *records)}))
    assert imagefs("extract", image, "-C", tmp_path / "all").status == 0
    assert sum(path.stat().st_size for path in (tmp_path / "all").iterdir()) == 30 * 10 * 2048
    monkeypatch.setattr(limits, "COPIED_BYTES", 0)
    monkeypatch.setattr(limits, "COPIED_RATIO", 2)  # 128 sectors
    result = imagefs("extract", image, "-C", tmp_path / "some")
    line = f"imagefs: {image}: its files come to far more than it can hold; the rest is left out"
    assert (result.status, result.errors) == (DAMAGED, [line])
    assert sorted(path.name for path in (tmp_path / "some").iterdir()) == [f"f{number:02}" for number in range(12)]


# --- a disc whose folder has two names ----------------------------------------------------------------------------------


def twice_iso() -> bytes:
    names = (iso.record(name, iso.ROOT + 1, 2048, 2) for name in (b"DEUTSCH", b"ENGLISH"))
    inner = iso.directory(iso.ROOT + 2, iso.ROOT + 1, iso.record(b"G.TXT;1", iso.ROOT + 4, 5))
    shared = [iso.record(b"F.TXT;1", iso.ROOT + 3, 4), iso.record(b"SUB", iso.ROOT + 2, 2048, 2)]
    return iso.volume(
        {
            iso.ROOT: iso.directory(iso.ROOT, iso.ROOT, *names),
            iso.ROOT + 1: iso.directory(iso.ROOT + 1, iso.ROOT, *shared),
            iso.ROOT + 2: inner,
            iso.ROOT + 3: b"leaf",
            iso.ROOT + 4: b"inner",
        }
    )


def twice_udf() -> bytes:
    made = udf.Builder()
    inner = made.directory([("g.txt", made.file(b"inner"))])
    shared = made.directory([("f.txt", made.file(b"leaf")), ("sub", inner)])
    made.directory([("deutsch", shared), ("english", shared)], block=udf.ROOT)
    return made.image()


def twice_xdvdfs() -> bytes:
    """A folder `english` is put beside `deutsch`, and leads to the same table."""
    shared: xdvdfs.Tree = {"f.txt": b"leaf", "sub": {"g.txt": b"inner"}}
    data = xdvdfs.xdvdfs({"deutsch": shared, "english": None})
    entries = [data.index(name) - 14 for name in (b"deutsch", b"english")]
    place = slice(entries[0] + 4, entries[0] + 12)
    return data[: entries[1] + 4] + data[place] + data[entries[1] + 12 :]


TWICE = [twice_iso, twice_udf, twice_xdvdfs]


@pytest.mark.parametrize("make", TWICE)
def test_a_folder_with_two_names_is_listed_under_both(imagefs: Imagefs, tmp_path: Path, make: Callable[[], bytes]):
    image = tmp_path / "twice"
    image.write_bytes(make())
    lines = ".: deutsch english  ./deutsch: f.txt sub  ./deutsch/sub: g.txt  ./english: f.txt sub  ./english/sub: g.txt"
    status, out, errors = imagefs("ls", "-R", image)
    assert (status, errors) == (0, [])
    assert out.decode().replace("\n", " ").replace("./", "").strip() == lines.replace("./", "")


@pytest.mark.parametrize("make", TWICE)
def test_a_folder_with_two_names_is_extracted_whole_under_both(
    imagefs: Imagefs, tmp_path: Path, make: Callable[[], bytes]
):
    image, out = tmp_path / "twice", tmp_path / "out"
    image.write_bytes(make())
    assert imagefs("extract", image, "-C", out) == (0, b"", [])
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert found == {
        "deutsch/f.txt": b"leaf",
        "deutsch/sub/g.txt": b"inner",
        "english/f.txt": b"leaf",
        "english/sub/g.txt": b"inner",
    }


@pytest.mark.foreign
def test_isoinfo_lists_it_under_both_as_well(tmp_path: Path, need):
    image = tmp_path / "twice.iso"
    image.write_bytes(twice_iso())
    need("isoinfo")
    listed = subprocess.run(["isoinfo", "-f", "-i", image], check=True, capture_output=True, text=True).stdout
    assert {"/DEUTSCH/SUB/G.TXT;1", "/ENGLISH/SUB/G.TXT;1"} <= set(listed.split())
