"""The programs that are compared: how each one mounts an image, and what its process weighs."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS = 60.0
"""How long a mount may take before the bench gives up."""


@dataclass(frozen=True)
class Program:
    """Something that mounts images. `words` gives the command line; `lacks` says why it cannot be run here, or None."""

    name: str
    words: Callable[[Path, Path], Sequence[str]]
    lacks: Callable[[], str | None]

    def mount(self, image: Path, folder: Path) -> None:
        """Mount and return when the root can be listed. Raises RuntimeError with what the program said."""
        done = subprocess.run(
            self.words(image.resolve(), folder), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: status {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
        deadline = time.monotonic() + READY_SECONDS
        while not os.listdir(folder):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: nothing is mounted after {READY_SECONDS:g} s")
            time.sleep(0.002)


def _program_missing(name: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(name) else f"{name} is not installed"


def _erofs_missing() -> str | None:
    if os.geteuid():
        return "the kernel mounts for root alone"
    if not shutil.which("mkfs.erofs"):
        return "mkfs.erofs is not installed"
    return (
        None if "erofs" in Path("/proc/filesystems").read_text() or _has_module("erofs") else "this kernel has no erofs"
    )


def _has_module(name: str) -> bool:
    return subprocess.run(["modprobe", "-q", name], check=False).returncode == 0 if shutil.which("modprobe") else False


def imagefs(command: Sequence[str]) -> Program:
    """imagefs itself, started by `command`."""
    return Program("imagefs", lambda image, folder: [*command, "mount", str(image), str(folder)], lambda: None)


FUSEISO = Program(
    "fuseiso", lambda image, folder: ["fuseiso", "-n", str(image), str(folder)], _program_missing("fuseiso")
)
_RATARMOUNT = shutil.which("ratarmount", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
RATARMOUNT = Program(
    "ratarmount",
    lambda image, folder: [_RATARMOUNT or "", "--index-file", ":memory:", str(image), str(folder)],
    lambda: None if _RATARMOUNT else "ratarmount is not installed",
)
EROFS = Program(
    "kernel erofs",
    lambda image, folder: ["mount", "-t", "erofs", "-o", "loop,ro", str(image.with_suffix(".erofs")), str(folder)],
    _erofs_missing,
)


def _unmount(folder: Path) -> None:
    for _ in range(100):
        words = ["umount", str(folder)] if os.geteuid() == 0 else ["fusermount3", "-u", str(folder)]
        if subprocess.run(words, capture_output=True, check=False).returncode == 0 or not os.path.ismount(folder):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{folder} cannot be unmounted")


@contextlib.contextmanager
def mounted(program: Program, image: Path) -> Iterator[Path]:
    """A fresh mount; gone, and its process too, when the block ends."""
    folder = Path("build/bench/mount").resolve()
    folder.mkdir(exist_ok=True)
    if os.path.ismount(folder):
        _unmount(folder)
    program.mount(image, folder)
    pids = _servers(folder)
    try:
        yield folder
    finally:
        _unmount(folder)
        _wait_for_end(pids)


def _servers(folder: Path) -> list[int]:
    """The processes that have this folder on their command line."""
    found, wanted = [], os.fsencode(folder)
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (entry / "cmdline").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def _wait_for_end(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)


def resident(folder: Path, field: str) -> float:
    """MiB of `field` (VmRSS, RssAnon) in all processes that serve `folder`. Raises RuntimeError when none is found."""
    pids = _servers(folder)
    if not pids:
        raise RuntimeError(f"no process serves {folder}")
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            total += int(m[1]) if (m := re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)) else 0
    return total / 1024
