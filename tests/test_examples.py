"""The examples do what they say."""

import subprocess
import sys
from pathlib import Path

import pytest

import imagefs
from imagefs import formats

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *words: str | Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run([sys.executable, EXAMPLES / name, *words], capture_output=True)


@pytest.mark.foreign
def test_list_files(make_iso, tree: Path):
    done = run("list_files.py", make_iso(tree, "-R"))
    got = {tuple(line.split(maxsplit=1)) for line in done.stdout.decode().splitlines()}
    want = set()
    for path in tree.rglob("*"):
        name = "/" + str(path.relative_to(tree))
        if path.is_dir() and not path.is_symlink():
            want.add(name + "/")
        else:
            want.add((str(path.lstat().st_size), name))
    assert {entry if not entry[1].endswith("/") else entry[1] for entry in got} == want
    assert (done.returncode, done.stderr) == (0, b"")


def test_list_files_of_what_is_no_image(tmp_path: Path):
    (tmp_path / "x").write_text("a poem")
    done = run("list_files.py", tmp_path / "x")
    assert done.returncode == 1
    assert len(done.stderr.decode().splitlines()) == 1


@pytest.mark.foreign
def test_extract_one(make_iso, tree: Path):
    image = make_iso(tree, "-R")
    done = run("extract_one.py", image, "random.bin")
    assert (done.returncode, done.stdout, done.stderr) == (0, (tree / "random.bin").read_bytes(), b"")
    assert run("extract_one.py", image, "nope").stderr == b"not found: there is no 'nope' in it\n"


@pytest.mark.foreign
def test_add_a_format(make_iso, tree: Path, tmp_path: Path):
    image = make_iso(tree, "-R")
    done = run("add_a_format.py", image, tmp_path / "disc.plop")
    first, *lines = done.stdout.decode().splitlines()
    assert first == "PlopDisk image"
    assert {line.split(maxsplit=1)[1] for line in lines} == {path.name for path in tree.iterdir()}
    assert f"{100_000} random.bin" in lines
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_added_format_reads_what_it_packed(tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import add_a_format as plop

    monkeypatch.setattr(formats, "_registered", [plop.FORMAT])
    formats.formats.cache_clear()
    disk = b"".join(bytes([number]) * plop.BLOCK_BYTES for number in (7, 0, 3, 9)) + b"the end"
    (tmp_path / "disk.plop").write_bytes(plop.pack(disk))
    try:
        with imagefs.open_image(str(tmp_path / "disk.plop")) as image:
            assert image.raw.pread(0, len(disk) + 1) == disk
            assert image.raw.pread(plop.BLOCK_BYTES - 1, 2) == b"\7\0"
            assert [run.kind.name for run in image.raw.runs(0, image.raw.size)] == [
                "DATA",
                "ZERO",
                "DATA",
                "DATA",
                "DATA",
            ]
        (tmp_path / "disk.plop").write_bytes(plop.pack(disk).replace(b"PLOPDISK\1", b"PLOPDISK\2"))
        with pytest.raises(imagefs.UnsupportedError, match="PlopDisk version 2"):
            imagefs.open_image(str(tmp_path / "disk.plop"))
    finally:
        formats.formats.cache_clear()
