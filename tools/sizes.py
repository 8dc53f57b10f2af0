"""python tools/sizes.py CORPUS CACHE: on a mount, every file's size is what reading it gives.

Each image of the optical packs is mounted, plainly and with everything that there is to show (VIEWS), and all its files are
read. Of an image that is damaged, a read may fail with EIO; of no image may it give more or less than the size says. What is
wrong is told in a line each; the exit status is 1 when anything is.
"""

import errno
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

PACKS = ("optical", "damaged-optical")
VIEWS = ("", "layout=tree,meta,audio=flac")
KNOWN = Path("tests/corpus_known.txt")
SECONDS = 240
"""For one view of one image, of which the largest has some hundred MB."""
INTERNAL_ERROR = 70
"""Exit status of imagefs for what it did not expect."""
MOST_ENTRIES = 20_000
"""of a view; hostile images have loops"""
MOST_BYTES = 64 << 20
"""Of larger files the first and the last bytes are read."""
PIECE = 1 << 20


def rows_of(corpus: Path, cache: Path) -> list[Any]:
    """The images of the packs, unpacked by the checker that compares them with their listings."""
    place = corpus.parent / "check" / "fidelity.py"
    spec = importlib.util.spec_from_file_location("fidelity", place)
    if spec is None or spec.loader is None:
        raise SystemExit(f"sizes: there is no {place}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["fidelity"] = module
    spec.loader.exec_module(module)
    rows: list[Any] = module.load(corpus, list(PACKS), cache)
    return rows


def known_ids() -> set[str]:
    """The images of which something is known to be wrong, by the checker's list."""
    lines = [line.partition("#")[0].strip() for line in KNOWN.read_text().splitlines()]
    return {line.partition(":")[0] for line in lines if line}


def look_at(row: Any, view: str) -> list[str]:
    """What is wrong with one view of an image."""
    options = ",".join(filter(None, (row.options, view)))
    words = [sys.executable, "-m", "imagefs", "run", "-q", *(("-o", options) if options else ()), str(row.image)]
    words += ["--", sys.executable, __file__, "--walk", "damaged" if row.pack != "optical" else "whole"]
    name = f"{row.id} ({options or 'no options'})"
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, errors="replace")
    except subprocess.TimeoutExpired:
        return [f"{name}: not done after {SECONDS} s"]
    found = [line for line in done.stdout.splitlines() if line.startswith("sizes: ")]
    must_be_shown = row.pack == "optical" and not (row.refused or row.hostile or row.id in known_ids())
    if "sizes: walked" not in found and (must_be_shown or done.returncode in (INTERNAL_ERROR, *range(-64, 0))):
        found.append(f"sizes: cannot be shown: {done.stderr.strip()[-200:]}")
    return [f"{name}: {line.removeprefix('sizes: ')}" for line in found if line != "sizes: walked"]


# --- inside the mount -----------------------------------------------------------------------------------------------------


def walk(root: str, *, may_fail: bool) -> Iterator[str]:
    """What is wrong with the files below a folder."""
    left = MOST_ENTRIES
    for folder, folders, files in os.walk(root, onerror=lambda error: None):
        left -= len(folders) + len(files)
        for name in files:
            path = os.path.join(folder, name)
            try:
                wrong = check(path)
            except OSError as error:
                wrong = "" if may_fail and error.errno == errno.EIO else f"{error.strerror}"
            if wrong:
                yield f"{os.fsencode(path)!r}: {wrong}"
        if left < 0:
            return


def check(path: str) -> str:
    """What is wrong with a file; nothing with one that is no file."""
    if os.path.islink(path) or not os.path.isfile(path):
        return ""
    size = os.lstat(path).st_size
    descriptor = os.open(path, os.O_RDONLY)
    try:
        start = 0 if size <= MOST_BYTES else size - PIECE - 1
        if start:
            os.pread(descriptor, PIECE, 0)
        end = start
        while piece := os.pread(descriptor, PIECE, end):
            end += len(piece)
        return "" if end == size else f"its size is {size}, {end} can be read"
    finally:
        os.close(descriptor)


def main() -> int:
    if sys.argv[1] == "--walk":
        for line in walk(os.environ["IMAGEFS"], may_fail=sys.argv[2] == "damaged"):
            print(f"sizes: {line}")
        print("sizes: walked")
        return 0
    corpus, cache = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    views = [(row, view) for row in rows_of(corpus, cache) for view in VIEWS]
    with ThreadPoolExecutor(2) as pool:
        found = [line for lines in pool.map(lambda each: look_at(*each), views) for line in lines]
    print(*found, sep="\n", end="\n" if found else "")
    print(f"sizes: {len(views)} views, {len(found)} wrong")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
