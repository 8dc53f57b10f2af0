"""Many images at once: `imagefs serve` beside one mount for each image.

many/        10,000 names of one small ISO
hundred/     100 names of an ISO with 500 files
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import jobs
from bench.material import FOLDER, run
from bench.programs import FUSEISO, READY_SECONDS, Program
from bench.rows import Contender, Row

MANY, HUNDRED = FOLDER / "many", FOLDER / "hundred"
IMAGES, MOUNTS, FILES = 10_000, 100, 500
ROOT, MOUNT = FOLDER / "root", FOLDER / "mounts"


def prepare() -> None:
    """Make what is not there yet. Raises CalledProcessError."""
    for folder, images, files in ((MANY, IMAGES, 3), (HUNDRED, MOUNTS, FILES)):
        last = folder / f"image-{images - 1:05d}.iso"
        if not last.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            first = folder / "image-00000.iso"
            tree = FOLDER / "few"
            shutil.rmtree(tree, ignore_errors=True)
            for index in range(files):
                path = tree / f"{index // 50:02d}" / f"file-{index:03d}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{path.name}\n" * 20)
            run("xorriso", "-as", "mkisofs", "-quiet", "-r", "-o", first, tree)
            shutil.rmtree(tree)
            for index in range(1, images):
                os.link(first, folder / f"image-{index:05d}.iso")


@contextlib.contextmanager
def _served(command: Sequence[str], watched: Path, images: int) -> Iterator[Path]:
    """A daemon over a folder of images, which are all there."""
    ROOT.mkdir(exist_ok=True)
    words = [*command, "serve", "--socket", str(FOLDER / "socket"), "--watch", str(watched.resolve()), str(ROOT)]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as daemon:
        try:
            deadline = time.monotonic() + READY_SECONDS
            while len(os.listdir(ROOT)) < images:
                if daemon.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"imagefs serve: {len(os.listdir(ROOT))} of {images} images are there")
                time.sleep(0.01)
            yield ROOT
        finally:
            daemon.send_signal(signal.SIGTERM)


@contextlib.contextmanager
def _mounted_apart(program: Program, images: int) -> Iterator[Path]:
    """A mount for each of the hundred images."""
    MOUNT.mkdir(exist_ok=True)
    folders = [MOUNT / f"image-{index:05d}" for index in range(images)]
    try:
        for folder in folders:
            folder.mkdir(exist_ok=True)
            program.mount(HUNDRED / f"{folder.name}.iso", folder)
        yield MOUNT
    finally:
        for folder in filter(os.path.ismount, folders):
            subprocess.run(["umount", "-l", str(folder)], check=False)


def _list_root(command: Sequence[str]) -> float:
    """`ls -l` of 10,000 images, from the start of the daemon."""
    start = time.perf_counter()
    with _served(command, MANY, IMAGES) as root:
        jobs.timed("ls", "-l", root)
        return time.perf_counter() - start


def _look_into_one(command: Sequence[str]) -> float:
    """The first look into an image that nobody has opened."""
    with _served(command, MANY, IMAGES) as root:
        return jobs.timed("ls", "-l", root / "image-04711")


def _mount_one(program: Program) -> float:
    """The same by a mount of its own."""
    folder = MOUNT / "one"
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    program.mount(MANY / "image-04711.iso", folder)
    jobs.timed("ls", "-l", folder)
    seconds = time.perf_counter() - start
    subprocess.run(["umount", "-l", str(folder)], check=True)
    return seconds


def _find_served(command: Sequence[str]) -> float:
    with _served(command, HUNDRED, MOUNTS) as root:
        return jobs.find(root)


def _find_apart(program: Program) -> float:
    with _mounted_apart(program, MOUNTS) as folder:
        return jobs.find(folder)


def rows(command: Sequence[str]) -> list[Row]:
    """The rows of the daemon, started by `command`."""

    def contender(name: str, measure: Callable[[], float], lacks: Callable[[], str | None] = lambda: None) -> Contender:
        def warmed() -> float:
            prepare()
            return measure()

        return Contender(name, warmed, lacks)

    return [
        Row(
            "serve-list",
            "start to ls -l of 10,000 images",
            contender("imagefs", lambda: _list_root(command)),
            [contender("ls of the images", lambda: jobs.timed("ls", "-l", MANY))],
        ),
        Row(
            "serve-first",
            "first look into one of 10,000",
            contender("imagefs", lambda: _look_into_one(command)),
            [contender("fuseiso", lambda: _mount_one(FUSEISO), FUSEISO.lacks)],
        ),
        Row(
            "serve-find",
            "find -ls over 100 images of 500 files",
            contender("imagefs", lambda: _find_served(command)),
            [contender("fuseiso", lambda: _find_apart(FUSEISO), FUSEISO.lacks)],
        ),
    ]
