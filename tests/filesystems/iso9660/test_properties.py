"""Random names and trees, written by pycdlib and genisoimage or laid by hand, come back as they were."""

import io
import subprocess
import tempfile
from pathlib import Path

import pycdlib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagefs import limits
from imagefs.filesystems.iso9660 import names as rules
from imagefs.nodes import Node
from tests.builders import iso
from tests.builders.iso import ROOT, directory, nm, px, record, volume
from tests.filesystems.iso9660.images import names, opened, read, walk

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
many = settings(max_examples=200, deadline=None)
letters = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)
file_names = letters.filter(lambda name: name not in (".", "..") and len(name.encode()) <= 120)
raw_names = st.binary(min_size=1, max_size=150).filter(lambda name: name not in (b"\0", b"\1"))


@few
@given(st.dictionaries(file_names, st.binary(max_size=5000), max_size=8))
@pytest.mark.foreign
def test_rock_ridge_and_joliet_by_pycdlib(files: dict[str, bytes]) -> None:
    writer = pycdlib.PyCdlib()
    writer.new(interchange_level=3, rock_ridge="1.09", joliet=3)
    kept = {}
    for number, (name, content) in enumerate(files.items()):
        joliet = f"/joliet {number}.bin"
        writer.add_fp(io.BytesIO(content), len(content), f"/F{number}.;1", rr_name=name, joliet_path=joliet)
        kept[joliet[1:]] = content
    image = io.BytesIO()
    writer.write_fp(image)
    writer.close()
    shown = opened(image.getvalue())
    assert sorted(names(shown)) == sorted(name.encode() for name in files)
    for name, content in files.items():
        assert read(shown, name) == content
    if files:
        joliet_tree = opened(image.getvalue(), tree="joliet")
        assert {name: read(joliet_tree, name) for name in kept} == kept
        walk(joliet_tree)
    walk(shown)


trees = st.recursive(
    st.binary(max_size=3000),
    lambda inner: st.dictionaries(st.text("abcXYZ 09_-.äß", min_size=1, max_size=20), inner, max_size=4),
    max_leaves=12,
).filter(lambda tree: isinstance(tree, dict))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees)
@pytest.mark.foreign
def test_trees_by_genisoimage(tree: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        expected: dict[str, bytes | None] = {}
        fill(source, tree, expected)
        image = Path(folder) / "disc.iso"
        words = ["genisoimage", "-quiet", "-R", "-J", "-joliet-long", "-input-charset", "utf-8", "-o", image, source]
        subprocess.run(words, check=True, capture_output=True)
        shown = opened(image)
        found = walk(shown)
        assert found.keys() - {"rr_moved"} == expected.keys()
        for path, content in expected.items():
            if content is not None:
                assert read(shown, path) == content


def fill(folder: Path, tree: object, expected: dict[str, bytes | None], prefix: str = "") -> None:
    folder.mkdir()
    assert isinstance(tree, dict)
    for name, value in tree.items():
        if name in (".", "..") or not name.strip(". "):
            continue
        if isinstance(value, dict):
            expected[prefix + name] = None
            fill(folder / name, value, expected, f"{prefix}{name}/")
        else:
            expected[prefix + name] = value
            (folder / name).write_bytes(value)


def check_names(found: list[bytes]) -> None:
    assert len(set(found)) == len(found)
    for name in found:
        assert 1 <= len(name) <= limits.NAME_BYTES
        assert name not in (b".", b"..")
        assert not {0, 47} & set(name)


@many
@given(
    st.lists(raw_names, max_size=12),
    st.sampled_from(["normal", "off", "acorn"]),
    st.sampled_from([None, "shift_jis", "cp437"]),
)
def test_any_plain_identifier_gets_a_legal_name(raw: list[bytes], mapping: str, charset: str | None) -> None:
    records = [record(name, 30 + number, number + 1) for number, name in enumerate(raw)]
    root = directory(ROOT, ROOT, *records)
    image = volume({ROOT: root}, iso.descriptor(1, ROOT, len(root)))
    found = names(opened(image, tree="iso", map=mapping, iocharset=charset))
    assert len(found) == len(raw)
    check_names(found)


@many
@given(st.lists(st.binary(min_size=2, max_size=206), max_size=10))
def test_any_joliet_identifier_gets_a_legal_name(raw: list[bytes]) -> None:
    records = [record(name, 30 + number, number + 1) for number, name in enumerate(raw)]
    root = directory(24, 24, *records)
    image = volume({24: root}, iso.descriptor(2, 24, len(root), escapes=b"%/E"))
    found = names(opened(image))
    assert len(found) == len(raw)
    check_names(found)


@many
@given(st.lists(st.binary(max_size=160), max_size=10))
def test_any_rock_ridge_name_becomes_a_legal_one(raw: list[bytes]) -> None:
    records = [
        record(b"%d.;1" % number, 30 + number, number + 1, 0, px(0o100644) + nm(name))
        for number, name in enumerate(raw)
    ]
    root = directory(ROOT, ROOT, *records, dot=iso.SP + px(0o40755))
    found = names(opened(volume({ROOT: root}, iso.descriptor(1, ROOT, len(root)))))
    assert len(found) == len(raw)
    check_names(found)
    if len(set(raw)) == len(raw) and all(name not in (b"", b".", b"..") and not {0, 47} & set(name) for name in raw):
        assert found == raw


@many
@given(st.text(min_size=1, max_size=100))
def test_joliet_is_utf_16(text: str) -> None:
    plain = text.encode("utf-8", "ignore").decode().replace("\0", "").removesuffix(";1").rstrip(".")
    if plain:
        assert rules.joliet(plain.encode("utf-16-be")) == plain.removesuffix(";1").rstrip(
            "."
        ).encode() or plain.endswith(";1")


@many
@given(st.lists(st.sampled_from([b"a", b"a (2)", b"a (3)", b"b.txt", b"b (2).txt", b"x" * 255]), max_size=12))
def test_doubles_are_told_apart_in_the_same_way_each_time(raw: list[bytes]) -> None:
    entries = [(name, Node(number, 0, number, 0, 0, 0)) for number, name in enumerate(raw)]
    found = rules.unique(entries)
    check_names([name for name, _ in found])
    assert [node for _, node in found] == [node for _, node in entries]
    assert rules.unique(entries) == found
