"""The yardstick for CHD: hunks decoded by the codec libraries in a bare loop, and the same CHD read through imagefs.

    python -m bench.chd_loop IMAGE            seconds that the bare loop takes on all cores
    python -m bench.chd_loop IMAGE --reader   seconds that reading all of it through imagefs takes

The loop has the stored bytes in memory, one process for each core with an equal share of them, calls the library once for
each stream of a hunk and throws the result away. It knows no map, checksum, file or cache, takes no frames apart and makes
no ECC. The reader is asked as `bench.through` says.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier

from bench.through import through_reader
from imagefs.containers.chd.header import read_header
from imagefs.containers.chd.maps import Kind, read_map
from imagefs.containers.chd.packing import FRAME_BYTES, MAIN_BYTES, SUBCODE_BYTES, unpacker
from imagefs.sources import open_source

_OF_CD = {b"cdlz": (b"lzma", b"zlib"), b"cdzl": (b"zlib", b"zlib"), b"cdzs": (b"zstd", b"zstd")}

Stream = tuple[bytes, bytes, int]
"""(codec, stored bytes, size of the content)"""


def streams_of(path: str) -> list[Stream]:
    """All packed streams of an image, those of CD hunks taken apart."""
    base = open_source(path)
    header = read_header(base)
    hunks, size = read_map(base, header), header.hunk_bytes
    found: list[Stream] = []
    for number in range(header.hunks):
        hunk = hunks[number]
        if hunk.kind is not Kind.PACKED:
            continue
        data, codec = base.pread(hunk.place, hunk.length), header.codecs[hunk.codec]
        if codec not in _OF_CD:
            found.append((codec, data, size))
            continue
        frames = size // FRAME_BYTES
        bits_end = -(-frames // 8)
        begin = bits_end + (2 if size < 1 << 16 else 3)
        end = begin + int.from_bytes(data[bits_end:begin], "big")
        main, subcode = _OF_CD[codec]
        found.append((main, data[begin:end], frames * MAIN_BYTES))
        found.append((subcode, data[end:], frames * SUBCODE_BYTES))
    return found


def _decode(streams: Sequence[Stream], ready: Barrier) -> None:
    unpackers = {codec: unpacker(codec, FRAME_BYTES) for codec, _, _ in streams}
    ready.wait()
    for codec, data, size in streams:
        unpackers[codec](data, size, 0)


def bare_loop(path: str) -> float:
    """Seconds that the decoding of all streams takes, shared among the cores."""
    streams, cores = streams_of(path), len(os.sched_getaffinity(0))
    forked = multiprocessing.get_context("fork")
    ready = forked.Barrier(cores + 1)
    workers = [forked.Process(target=_decode, args=(streams[core::cores], ready)) for core in range(cores)]
    for worker in workers:
        worker.start()
    ready.wait()
    start = time.perf_counter()
    for worker in workers:
        worker.join()
    return time.perf_counter() - start


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.chd_loop", description="decode a CHD in a bare loop")
    parser.add_argument("image")
    parser.add_argument("--reader", action="store_true", help="through imagefs, in pieces of 128 KiB")
    args = parser.parse_args(words)
    print((through_reader if args.reader else bare_loop)(args.image))


if __name__ == "__main__":
    main()
