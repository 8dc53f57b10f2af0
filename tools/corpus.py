"""python tools/corpus.py CORPUS: compare what imagefs shows of real images with trusted listings of them.

CORPUS is a folder of packs, with the checker in `../check/fidelity.py`. Discs are mounted, extracted and decoded; of disk
images, which imagefs does not read, it is only seen that they do no harm. Failures that `tests/corpus_known.txt` excuses are
counted, all others are shown. Then the sizes of all files on all discs are checked (`tools/sizes.py`). Everything is in
build/corpus-*.log and .json. The exit status is 1 when something is wrong that is not excused.
"""

import json
import subprocess
import sys
from pathlib import Path

PASSES = (
    # name, packs, mode
    ("mount", ("optical", "damaged-optical"), "mount"),
    ("extract", ("optical", "damaged-optical"), "extract"),
    ("cat-raw", ("optical", "damaged-optical"), "cat-raw"),
    ("disks", ("damaged-disks",), "mount"),
)
BUILD = Path("build")


def run_pass(corpus: Path, name: str, packs: tuple[str, ...], mode: str) -> int:
    """Run the checker once; its exit status."""
    words = [sys.executable, str(corpus.parent / "check" / "fidelity.py"), "--corpus", str(corpus), "--mode", mode]
    words += [word for pack in packs for word in ("--pack", pack)]
    words += ["--imagefs", f"{sys.executable} -m imagefs", "--known", "tests/corpus_known.txt", "--jobs", "2"]
    words += ["--cache", str(BUILD / "corpus"), "--json", str(BUILD / f"corpus-{name}.json")]
    with open(BUILD / f"corpus-{name}.log", "w", encoding="utf-8") as log:
        status = subprocess.run(words, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if status not in (0, 1):
        print(f"corpus: {name}: the checker failed with status {status}; see {log.name}")
        return status
    for row in json.loads((BUILD / f"corpus-{name}.json").read_text()):
        if row["verdict"] != "OK" and not row["known"]:
            print(f"{row['verdict']:8}{row['id']}:{row['check']}  [{row['kind']}]", *row["details"], sep="\n        ")
    lines = Path(log.name).read_text().splitlines()
    notes = [line for line in lines if line.startswith("note: ") and name == "mount"]
    print(*notes, f"corpus: {name}: {lines[-1]}", sep="\n", flush=True)
    return status


def main() -> int:
    corpus = Path(sys.argv[1])
    if not corpus.is_dir():
        print(f"corpus: there is no {corpus}; nothing was compared")
        return 0
    BUILD.mkdir(exist_ok=True)
    statuses = [run_pass(corpus.resolve(), *each) for each in PASSES]
    sizes = [sys.executable, "tools/sizes.py", str(corpus), str(BUILD / "corpus")]
    statuses.append(subprocess.run(sizes, check=False).returncode)
    return int(any(statuses))


if __name__ == "__main__":
    sys.exit(main())
