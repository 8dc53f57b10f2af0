"""Seeking in a compressed image: reads of 4 KiB at places far from each other, through imagefs in a process of its own.

python -m bench.seeks IMAGE PLACE...   seconds from the opening of the image to the last read
"""

import argparse
import random
import time
from collections.abc import Sequence

import imagefs

READS, READ_BYTES = 8, 4096


def places(size: int) -> list[int]:
    """Byte offsets in a content of `size` bytes, in no order."""
    chance = random.Random(11)
    return [chance.randrange(size // READ_BYTES) * READ_BYTES for _ in range(READS)]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.seeks", description="read at some places of an image")
    parser.add_argument("image")
    parser.add_argument("places", type=int, nargs="+")
    args = parser.parse_args(words)
    start = time.perf_counter()
    with imagefs.open_image(args.image) as image:
        for place in args.places:
            image.raw.exactly(place, READ_BYTES)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
