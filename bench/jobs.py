"""What is measured: each job takes the folder of a mount (or an image) and gives seconds, or MiB."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import programs, seeks
from bench.material import BIG, BIG_BYTES, SMALL

RANDOM_READS, RANDOM_BYTES, RANDOM_SPAN = 20_000, 4096, 48 << 20
READERS = 4


def timed(*words: object) -> float:
    """Seconds that a command takes, its output thrown away. Raises CalledProcessError when it fails."""
    start = time.perf_counter()
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - start


def find(folder: Path) -> float:
    """`find -ls` of everything."""
    return timed("find", folder, "-ls")


def list_recursively(folder: Path) -> float:
    """`ls -lR` of everything."""
    return timed("ls", "-lR", folder)


def tar(folder: Path) -> float:
    """The 10,000 small files into a pipe: tar that writes to /dev/null reads nothing."""
    return timed("bash", "-o", "pipefail", "-c", 'tar -C "$0" -cf - "$1" | cat >/dev/null', folder, SMALL)


def read_big(folder: Path) -> float:
    """The 500 MiB file from end to end."""
    return timed("dd", f"if={folder / BIG}", "of=/dev/null", "bs=1M")


def read_in_parallel(folder: Path) -> float:
    """The 500 MiB file by four readers, a quarter each."""
    quarter = BIG_BYTES // READERS >> 20
    start = time.perf_counter()
    readers = [
        subprocess.Popen(
            ["dd", f"if={folder / BIG}", "of=/dev/null", "bs=1M", f"skip={index * quarter}", f"count={quarter}"],
            stderr=subprocess.DEVNULL,
        )
        for index in range(READERS)
    ]
    statuses = [reader.wait() for reader in readers]
    if any(statuses):
        raise RuntimeError("a reader failed")
    return time.perf_counter() - start


def read_randomly(folder: Path) -> float:
    """20,000 reads of 4 KiB at random places in 48 MiB, one after the other, without read-ahead."""
    chance = random.Random(3)
    offsets = [chance.randrange(RANDOM_SPAN // RANDOM_BYTES) * RANDOM_BYTES for _ in range(RANDOM_READS)]
    descriptor = os.open(folder / BIG, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        pread = os.pread
        start = time.perf_counter()
        for offset in offsets:
            pread(descriptor, RANDOM_BYTES, offset)
        return time.perf_counter() - start
    finally:
        os.close(descriptor)


def weigh_after_find(folder: Path, field: str) -> float:
    """MiB of `field` of the serving process after a walk of everything."""
    find(folder)
    return programs.resident(folder, field)


def decode_cso(image: Path, *, reader: bool) -> float:
    """The whole CSO, decoded without a mount: through imagefs, or by the same inflate library in a bare loop."""
    return figure_of([sys.executable, "-m", "bench.cso_loop", str(image), *(["--reader"] if reader else [])])


def decode_chd(image: Path, *, reader: bool) -> float:
    """The whole CHD, decoded without a mount: through imagefs, or by the codec libraries alone on all cores."""
    return figure_of([sys.executable, "-m", "bench.chd_loop", str(image), *(["--reader"] if reader else [])])


def chdman(image: Path, command: str) -> float:
    """The whole CHD by chdman, into a file that is thrown away."""
    target = image.with_suffix(".out")
    more = ["-ob", target.with_suffix(".bin")] if command == "extractcd" else []
    try:
        return timed("chdman", command, "-f", "-i", image, "-o", target, *more)
    finally:
        for path in (target, target.with_suffix(".bin")):
            path.unlink(missing_ok=True)


def seek(image: Path, size: int) -> float:
    """Some reads all over a compressed image, with the opening of it."""
    return figure_of([sys.executable, "-m", "bench.seeks", str(image), *map(str, seeks.places(size))])


def seek_by_unpacking(image: Path, size: int, program: str) -> float:
    """The same reads by a program that unpacks from the beginning."""
    line = f'{program} -dc "$0" | tail -c +$(($1 + 1)) | head -c {seeks.READ_BYTES}'
    return sum(timed("bash", "-c", line, image, place) for place in seeks.places(size))


def figure_of(words: Sequence[str]) -> float:
    """The number that a command prints."""
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[-1])


def warm(image: Path) -> None:
    """See that the image is in the page cache."""
    with open(image, "rb", buffering=0) as file:
        buffer = bytearray(1 << 20)
        while file.readinto(buffer):
            pass


def chill(image: Path) -> None:
    """Drop what the kernel has cached: everything as root, else what it keeps of this image."""
    os.sync()
    if os.geteuid() == 0:
        Path("/proc/sys/vm/drop_caches").write_text("3")
        return
    descriptor = os.open(image, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
