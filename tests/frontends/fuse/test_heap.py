"""Threads share a heap, which gives back what is free in the middle of it: seen from outside, in a process of its own."""

import subprocess
import sys

import pytest

MIB = 1 << 20
START = """
import ctypes, threading
from imagefs.frontends.fuse import heap

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))
"""
TRIMMED = """
found = [b"x" * 100_000 for _ in range(400)]
kept = found[::20]  # so that the top of the heap stays in use
del found
before = resident()
heap.trim()
print(before, resident())
"""
SHARED = """
if {share}:
    heap.share()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
heaps, ready = set(), threading.Barrier(12)

def allocate():
    ready.wait()
    heaps.add(libc.malloc(1000) >> 26)  # a thread's heap begins at a multiple of 64 MiB
    ready.wait()

threads = [threading.Thread(target=allocate) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(heaps))
"""


def run(script: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", START + script], check=True, capture_output=True, timeout=60)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RssAnon is Linux's")
class TestHeap:
    def test_what_is_free_is_given_back(self) -> None:
        before, after = run(TRIMMED)
        assert before - after > 20 * MIB

    def test_threads_share_few_heaps(self) -> None:
        assert run(SHARED.format(share=True))[0] <= 3
        assert run(SHARED.format(share=False))[0] > 3
