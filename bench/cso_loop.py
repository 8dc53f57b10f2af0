"""The yardstick for packed images: a CSO inflated in a bare loop, and beside it the same CSO read through imagefs.

    python -m bench.cso_loop IMAGE                 seconds that the bare loop takes
    python -m bench.cso_loop IMAGE --compare       a table: the loop, one core, two cores with read-ahead

The loop has the stored bytes in memory, calls the inflate library that imagefs uses once for each block of 2 KiB, and throws
the result away. It knows no index, file, cache or lock. The reader is asked as `bench.through` says.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import imagefs
from bench.through import through_reader
from imagefs import codecs
from imagefs.containers.cso import MARK, CsoReader

ROUNDS = 5
SPAN = 4096
"""Blocks whose stored bytes the loop has in memory at a time; reading them is not timed."""


def bare_loop(path: str) -> float:
    """Seconds that the inflating of all blocks takes."""
    with imagefs.open_image(path) as image:
        reader = image.raw
        if not isinstance(reader, CsoReader):
            raise SystemExit(f"{path} is no CSO")
        decode, size, seconds = codecs.inflate.require().decode, reader.block_bytes, 0.0
        blocks = -(-reader.size // size)
        for first in range(0, blocks, SPAN):
            count = min(SPAN, blocks - first)
            positions = reader.positions(first, count)
            data = reader.base.pread(positions[0], positions[-1] - positions[0])
            cuts = [position - positions[0] for position in positions]
            marks = reader._index[first : first + count]
            stored = [data[a:b] for (a, b), entry in zip(pairwise(cuts), marks, strict=True) if entry < MARK]
            start = time.perf_counter()
            for block in stored:
                decode(block, size)
            seconds += time.perf_counter() - start
        return seconds


def compare(path: str) -> None:
    """Run loop and reader in turn, each in a process of its own, and print medians and ratios."""
    size = os.stat(path).st_size
    cores = sorted(os.sched_getaffinity(0))
    sides = {"loop": cores[:1], "reader, one core": cores[:1], "reader, two cores": cores[:2]}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side, allowed in sides.items():
            words = [sys.executable, "-m", "bench.cso_loop", path, *(["--reader"] if side != "loop" else [])]
            with_cores = ["taskset", "-c", ",".join(map(str, allowed)), *words]
            seconds[side].append(float(subprocess.run(with_cores, check=True, capture_output=True).stdout))
    with imagefs.open_image(path) as image:
        size = image.raw.size
    loop = seconds["loop"]
    for side, found in seconds.items():
        ratio = median(theirs / ours for ours, theirs in zip(found, loop, strict=True))
        print(f"{side:20} {size / median(found) / 1e6:6.0f} MB/s  {ratio:5.2f} of the loop's rate")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cso_loop", description="inflate a CSO in a bare loop")
    parser.add_argument("image")
    parser.add_argument("--reader", action="store_true", help="through imagefs, in pieces of 128 KiB")
    parser.add_argument("--compare", action="store_true", help="both in turn, on one core and on two")
    args = parser.parse_args(words)
    if args.compare:
        compare(args.image)
    else:
        print((through_reader if args.reader else bare_loop)(args.image))


if __name__ == "__main__":
    main()
