"""Volumes that have ISO 9660 and UDF: which of their trees is shown."""

import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import imagefs
from imagefs.errors import DamagedError, NotFoundError
from imagefs.options import Options
from tests.builders import iso, udf
from tests.builders.udf import ROOT, Builder
from tests.contract import check_filesystem

MakeIso = Callable[..., Path]


def bridge(
    tmp_path: Path, *records: bytes, damaged: Iterable[int] = (), joliet: bytes = b"", made: Builder | None = None
) -> str:
    """The UDF volume, else one with the file `udf.txt`, before it ISO 9660 descriptors whose root holds the records."""
    if made is None:
        made = Builder(revision=0x0102)
        made.directory([("udf.txt", made.file(b"by UDF"))], block=ROOT)
    image = bytearray(made.image("UDF_LABEL"))
    heads = [iso.descriptor(1, 40, blocks=len(image) // 2048)]
    if joliet:
        heads.append(iso.descriptor(2, 50, blocks=len(image) // 2048, escapes=b"%/E"))
        image[50 * 2048 : 51 * 2048] = iso.directory(50, 50, joliet)
    heads.append(iso.TERMINATOR)
    for index, head in enumerate((*heads, bytes(image[16 * 2048 : 19 * 2048])), 16):
        image[index * 2048 : index * 2048 + len(head)] = head
    root = iso.directory(40, 40, *records)
    image[40 * 2048 : 40 * 2048 + len(root)] = root
    image[60 * 2048 : 60 * 2048 + 10] = b"by ISO9660"
    for block in damaged:
        image[block * 2048 : (block + 1) * 2048] = b"\xaa" * 2048
    path = tmp_path / "disc.iso"
    path.write_bytes(image)
    return str(path)


def shown(path: str, tree: str | None = None) -> tuple[str, list[bytes], str]:
    """(tree, names in the root, warnings)"""
    with imagefs.open_image(path, Options(tree=tree)) as image:
        root = image.tree.entries(image.tree.root)
        return image.tree.tree, [name for name, _ in root], "; ".join(image.warnings)


FILE = iso.record(b"FILE.TXT;1", 60, 10)
STUB = iso.record(b"README.TXT;1", 60, 10)
JOLIET = iso.record("Joliet".encode("utf-16-be"), 60, 10)
ANCHORS = (udf.ANCHOR, udf.START + udf.PHYSICAL_BLOCKS)
UDF_ROOT = udf.START + 3


def test_udf_is_richer_than_plain_names_and_joliet(tmp_path: Path) -> None:
    path = bridge(tmp_path, FILE, joliet=JOLIET)
    assert shown(path) == ("udf", [b"udf.txt"], "")
    assert shown(path, "udf") == ("udf", [b"udf.txt"], "")
    assert shown(path, "joliet") == ("joliet", [b"Joliet"], "")
    assert shown(path, "iso") == ("iso", [b"file.txt"], "")
    with pytest.raises(NotFoundError, match="no Rock Ridge tree"):
        shown(path, "rr")
    with pytest.raises(NotFoundError, match="no tree=hfs is found in the volume; it is "):
        shown(path, "hfs")


def test_a_stub_is_not_shown_for_the_files(tmp_path: Path) -> None:
    assert shown(bridge(tmp_path, STUB)) == ("udf", [b"udf.txt"], "")
    damaged = bridge(tmp_path, STUB, damaged=ANCHORS)
    with pytest.raises(DamagedError, match="no anchor leads to the descriptors of its UDF volume"):
        shown(damaged)
    assert shown(damaged, "iso") == ("iso", [b"readme.txt"], "")


def test_a_stub_is_not_shown_for_a_damaged_root(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="directory is broken"):
        shown(bridge(tmp_path, STUB, damaged=(UDF_ROOT,)))


def test_a_damaged_udf_side_gives_way(tmp_path: Path) -> None:
    tree, names, warning = shown(bridge(tmp_path, FILE, joliet=JOLIET, damaged=ANCHORS))
    assert (tree, names) == ("joliet", [b"Joliet"])
    assert warning.startswith("its UDF side cannot be read: ")
    tree, names, warning = shown(bridge(tmp_path, FILE, damaged=(UDF_ROOT,)))
    assert (tree, names) == ("iso", [b"file.txt"])
    assert warning == "its udf side (udf) is not shown: the root directory is damaged or empty"


def test_a_damaged_iso_side_gives_way(tmp_path: Path) -> None:
    assert shown(bridge(tmp_path, FILE, damaged=(40,)))[:2] == ("udf", [b"udf.txt"])


def test_a_volume_without_udf(tmp_path: Path) -> None:
    image = iso.volume({iso.ROOT: iso.directory(iso.ROOT, iso.ROOT, STUB)}, blocks=64)
    path = tmp_path / "plain.iso"
    path.write_bytes(image)
    assert shown(str(path)) == ("iso", [b"readme.txt"], "")
    with pytest.raises(NotFoundError, match="no tree=udf is found in the volume; it is ISO 9660"):
        shown(str(path), "udf")


@pytest.mark.parametrize(("size", "tree"), [((4 << 30) + 10, "udf"), (10, "rr")])
def test_udf_is_shown_where_rock_ridge_cuts_large_files_short(tmp_path: Path, size: int, tree: str) -> None:
    """`genisoimage -allow-limited-size`: the directory record has the low 32 bits of the size."""
    made = Builder(revision=0x0102)
    most = (1 << 30) - 2048
    extents = [udf.short_ad(min(most, size - at), 0, udf.HOLE) for at in range(0, size, most)]
    film = made.add(udf.FILE, size, b"".join(extents), udf.SHORT)
    made.directory([("udf.txt", made.file(b"by UDF")), ("films", made.directory([("film", film)]))], block=ROOT)
    films = iso.record(b"FILMS", 41, 2048, iso.DIRECTORY, iso.px(0o40755) + iso.nm(b"films"))
    path = bridge(tmp_path, films, made=made)
    with open(path, "r+b") as image:
        image.seek(41 * 2048)
        image.write(iso.directory(41, 40, iso.record(b"FILM", 60, 10, 0, iso.px(0o100644) + iso.nm(b"film"))))
        image.truncate(5 << 30)
    with imagefs.open_image(path) as opened:
        assert opened.tree.tree == tree
        assert opened.find("films/film").size == size
        assert any("tree=rr" in warning for warning in opened.warnings) == (tree == "udf")
    assert shown(path, "rr")[:2] == ("rr", [b"films"])


@pytest.mark.foreign
def test_rock_ridge_is_richer_than_the_udf_side_of_genisoimage(tree: Path, make_iso: MakeIso) -> None:
    path = str(make_iso(tree, "-R", "-J", "-udf", tool="genisoimage"))
    assert shown(path)[0] == "rr"
    with imagefs.open_image(path) as image:
        assert image.tree.lookup(image.tree.root, b"link") is not None


@pytest.mark.foreign
@pytest.mark.parametrize("options", [(), ("-J",), ("-R", "-J")])
def test_the_udf_side_of_genisoimage_is_what_7zip_reads(
    tree: Path, make_iso: MakeIso, tmp_path: Path, need: Callable[..., None], options: tuple[str, ...]
) -> None:
    need("7zz")
    path = make_iso(tree, *options, "-udf", tool="genisoimage")
    subprocess.run(["7zz", "x", "-tudf", f"-o{tmp_path}/out", path], check=True, capture_output=True)
    out = tmp_path / "out"
    expected = {b"/" + os.fsencode(p.relative_to(out)): p.read_bytes() if p.is_file() else b"" for p in out.rglob("*")}
    with imagefs.open_image(str(path), Options(tree="udf")) as image:
        assert check_filesystem(image.tree) == expected
        times = {os.fsencode(p.name): int(p.stat().st_mtime) for p in out.iterdir()}
        assert {name: node.mtime // 10**9 for name, node in image.tree.entries(image.tree.root)} == times
    if "-R" not in options:
        assert shown(str(path))[0] == "udf"
