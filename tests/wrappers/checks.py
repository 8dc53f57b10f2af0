"""What every compressed file must keep: the content of other people's packers, truth about damage, bounds."""

import random
import shutil
import subprocess
from collections.abc import Callable

import pytest

from imagefs.errors import DamagedError, ImageError
from imagefs.formats import Candidate, Format
from imagefs.options import Options
from imagefs.readers import BytesReader, Reader, RunKind

CHANCE = random.Random(11)
SECTORS = [
    CHANCE.choice((bytes(2048), CHANCE.randbytes(2048), (b"sector %d " % number * 300)[:2048])) for number in range(700)
]
CONTENT = b"".join(SECTORS) + b"not a whole sector"
"""1.4 MB, a third of which does not shrink."""
SMALL = CONTENT[:50_000]


def pack(command: str, content: bytes) -> bytes:
    """What a packer writes that reads from a pipe. Skips the test when it is not installed."""
    words = command.split()
    if not shutil.which(words[0]):
        pytest.skip(f"{words[0]} is not installed")
    return subprocess.run(words, input=content, check=True, capture_output=True, timeout=60).stdout


def opened(entry: Format, packed: bytes) -> Reader:
    """The content of a file that the format's probe must recognise."""
    candidate = Candidate(BytesReader(packed), "x.iso.packed")
    assert entry.probe(candidate) is not None
    reader = entry.open(candidate, Options())
    assert isinstance(reader, Reader)
    return reader


def good_bytes(reader: Reader, content: bytes) -> int:
    """How much of a damaged file can be read from its front; what is given must be right."""
    good, step = 0, len(content)
    while step:
        try:
            part = reader.pread(good, min(step, reader.size - good))
        except DamagedError:
            step //= 2
            continue
        if not part:
            break
        assert part == content[good : good + len(part)]
        good += len(part)
    return good


def check_cut(entry: Format, packed: bytes, content: bytes, cuts: int = 12) -> list[int]:
    """A file that ends early is never shown as whole; what is given is right. Returns how much was, for each cut."""
    found = []
    for number in range(1, cuts):
        short = packed[: len(packed) * number // cuts]
        try:
            reader = opened(entry, short)
        except DamagedError:
            found.append(0)
            continue
        good = good_bytes(reader, content)
        assert good < reader.size, "it is shown as whole"
        assert [run.kind for run in reader.runs(reader.size - 1, 1)] == [RunKind.MISSING]
        with pytest.raises(DamagedError):
            reader.pread(reader.size - 1, 1)
        with pytest.raises(DamagedError):
            reader.pread(max(0, good - 100), 200)
        found.append(good)
    return found


def check_flips(entry: Format, packed: bytes, content: bytes, flips: int = 150, first: int = 0) -> None:
    """One changed byte anywhere: an error, or the same bytes; never others."""
    chance = random.Random(len(packed))
    for _ in range(flips):
        damaged = bytearray(packed)
        damaged[chance.randrange(first, len(packed))] ^= 1 << chance.randrange(8)
        check_damaged(entry, bytes(damaged), content)


def check_damaged(entry: Format, packed: bytes, content: bytes) -> None:
    candidate = Candidate(BytesReader(packed))
    if entry.probe(candidate) is None:
        return
    try:
        reader = entry.open(candidate, Options())
    except ImageError:
        return
    for offset in (0, reader.size // 2, max(0, reader.size - 100)):
        try:
            part = reader.pread(offset, 5000)
        except ImageError:
            continue
        assert part == content[offset : offset + 5000]
    try:
        whole = reader.exactly(0, reader.size)
    except ImageError:
        return
    assert whole == content


def peak_of(work: Callable[[], object]) -> int:
    """The bytes that Python allocates at most meanwhile."""
    import tracemalloc

    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
