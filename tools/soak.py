"""python tools/soak.py [SECONDS]: a daemon under load, and its memory.

In a watched folder images appear, vanish, are replaced and damaged, while eight readers walk through whatever there is.
What is never touched must be read without an error, byte for byte; what is replaced must be read as one or the other.

The daemon's own memory (RssAnon of proc(5)) is taken at the start, after a warm-up (a fifth of the time, at most two
minutes) and at the end; all that is resident, mapped images included, besides, and at rest, when no image is open any more.
The exit status is 1 when a read was wrong, when the daemon ended, when its own memory grew by more than a tenth and 4 MiB
since the warm-up, or when an image stays open.
"""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

SECONDS = 600.0
READERS = 8
STABLE, SWAPPED, PASSING, DAMAGED = "stable", "swapped", "passing", "damaged"
"""Kinds of images by what happens to them: nothing, they are replaced, they come and go, they are damaged in place."""
COPIES = {STABLE: 6, SWAPPED: 6, PASSING: 12, DAMAGED: 6}
FILES, LARGEST = 40, 400_000
PAUSE_SECONDS = 0.02
GROWTH, SLACK_BYTES = 0.1, 4 << 20
WARM_SHARE, MOST_WARM_SECONDS = 0.2, 120.0
REST_SECONDS = 30.0
"""How long the daemon has to close everything after the last reader."""
MIB = 1 << 20


class Material:
    """Two versions of an image, each plain and as raw sectors with a sheet, and the sums of what is in them."""

    def __init__(self, base: Path) -> None:
        self.images: list[Path] = []
        self.sums: list[dict[str, str]] = []
        for version in range(2):
            tree, chance = base / f"tree{version}", random.Random(version)  # noqa: S311
            for number in range(FILES):
                file = tree / f"folder{number % 5}" / f"file{number}"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(chance.randbytes(chance.randrange(1, LARGEST) if number % 4 else 2000))
            image = base / f"version{version}.iso"
            words = ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", str(image), str(tree)]
            subprocess.run(words, check=True, capture_output=True)
            self.images.append(image)
            self.sums.append(
                {str(path.relative_to(tree)): sum_of(path.read_bytes()) for path in tree.rglob("*") if path.is_file()}
            )


def sum_of(data: bytes) -> str:
    return hashlib.blake2b(data).hexdigest()


class Soak:
    """The daemon, the hand that changes its folder, and the readers."""

    def __init__(self, base: Path, seconds: float) -> None:
        self.folder, self.root, self.spare = base / "images", base / "mnt", base / "spare.iso"
        self.material, self.seconds = Material(base), seconds
        self.folder.mkdir()
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()
        self.ended = threading.Event()
        self.chance = random.Random(7)  # noqa: S311
        for kind in (STABLE, SWAPPED, DAMAGED):
            for number in range(COPIES[kind]):
                shutil.copyfile(self.material.images[0], self.folder / f"{kind}{number}.iso")
        words = ["serve", "--watch", str(self.folder), "--socket", str(base / "socket"), "--idle", "3", "-q"]
        self.daemon = subprocess.Popen([sys.executable, "-m", "imagefs", *words, str(self.root)])
        while not os.path.ismount(self.root):
            if self.daemon.poll() is not None:
                sys.exit("soak: the daemon did not start")
            time.sleep(0.05)
        children = Path(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children").read_text().split()
        self.process = int(children[0]) if children else self.daemon.pid  # confined, a second process does the work

    # --- what happens -------------------------------------------------------------------------------------------------

    def change(self) -> None:
        """One thing happens to one image."""
        kind = self.chance.choice((SWAPPED, PASSING, PASSING, DAMAGED))
        image = self.folder / f"{kind}{self.chance.randrange(COPIES[kind])}.iso"
        version = self.material.images[self.chance.randrange(2)]
        if kind == PASSING and image.exists():
            image.unlink()
        elif kind == PASSING:
            shutil.copyfile(version, image)
        elif kind == SWAPPED:
            shutil.copyfile(version, self.spare)
            self.spare.rename(image)
        elif self.chance.random() < 0.5:
            shutil.copyfile(version, image)
        else:
            self._damage(image)
        self.counts[kind] += 1

    def _damage(self, image: Path) -> None:
        size = image.stat().st_size
        if self.chance.random() < 0.3 and size > 100_000:
            os.truncate(image, self.chance.randrange(60_000, size))
            return
        with image.open("r+b") as file:
            for _ in range(200):
                file.seek(self.chance.randrange(min(size, 200_000)))
                file.write(self.chance.randbytes(self.chance.randrange(1, 64)))

    # --- who reads ----------------------------------------------------------------------------------------------------

    def read_for_ever(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        while not self.ended.is_set():
            try:
                names = os.listdir(self.root)
            except OSError as error:
                self.wrong.append(f"the root: {error}")
                return
            missing = {f"{STABLE}{number}" for number in range(COPIES[STABLE])} - set(names)
            if missing:
                self.wrong.append(f"not listed: {missing}")
            if names:
                self._read(chance.choice(names), chance)

    def _read(self, name: str, chance: random.Random) -> None:
        kind = name.rstrip("0123456789 ()")
        wanted = self.material.sums
        try:
            for relative in chance.sample(sorted(wanted[0]), 5):
                path = self.root / name / relative
                if chance.random() < 0.1:
                    os.listdir(path.parent)
                with open(path, "rb", opener=_without_waiting) as file:
                    if chance.random() < 0.5:
                        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    data = file.read()
                versions = wanted[:1] if kind == STABLE else wanted
                if kind != DAMAGED and sum_of(data) not in [sums[relative] for sums in versions]:
                    self._check_passing(kind, name, relative)
                self.counts["reads"] += 1
                self.counts["bytes"] += len(data)
        except OSError as error:
            self.counts["errors"] += 1
            if kind == STABLE:
                self.wrong.append(f"{name}: {error}")

    def _check_passing(self, kind: str, name: str, relative: str) -> None:
        """An image that is copied into the folder may be written over while it is read; others may not differ."""
        if kind == PASSING:
            self.counts["cut short"] += 1
        else:
            self.wrong.append(f"{name}/{relative}: other bytes")

    # --- the whole ----------------------------------------------------------------------------------------------------

    def memory(self, field: str) -> int:
        """Bytes of the daemon's memory: VmRSS, or RssAnon, its own."""
        lines = Path(f"/proc/{self.process}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field))

    def open_images(self) -> list[str]:
        """The images that the daemon has open, deleted ones included."""
        found = []
        for link in Path(f"/proc/{self.process}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(os.readlink(link))
        return [name for name in found if name.startswith(str(self.folder))]

    def run(self) -> int:
        """The exit status."""
        os.listdir(self.root)
        memory = {"start": self.memory("RssAnon"), "resident at the start": self.memory("VmRSS")}
        threads = [threading.Thread(target=self.read_for_ever, args=(n,), daemon=True) for n in range(READERS)]
        for thread in threads:
            thread.start()
        begin = time.monotonic()
        warm, shown = begin + min(MOST_WARM_SECONDS, self.seconds * WARM_SHARE), 0.0
        samples: list[int] = []
        while (now := time.monotonic()) < begin + self.seconds and self.daemon.poll() is None:
            self.change()
            time.sleep(PAUSE_SECONDS)
            if now > warm:
                samples.append(self.memory("RssAnon"))
            if sys.stderr.isatty() and now - shown > 1:
                shown = now
                print(f"\r{now - begin:5.0f} s  {self.memory('VmRSS') / MIB:6.1f} MiB", end="", file=sys.stderr)
        self.ended.set()
        for thread in threads:
            thread.join(60)
            if thread.is_alive():
                self.wrong.append("a reader hangs")
        if self.daemon.poll() is not None:
            print(f"soak: the daemon ended with status {self.daemon.returncode}")
            return 1
        tenth = max(1, len(samples) // 10)  # one moment says little: of the first and the last tenth the middle
        memory["warm"], memory["end"] = middle(samples[:tenth]), middle(samples[-tenth:])
        memory["resident at the end"] = self.memory("VmRSS")
        end = time.monotonic() + REST_SECONDS
        while (left := self.open_images()) and time.monotonic() < end:
            time.sleep(0.5)
        if left:
            self.wrong.append(f"open at rest: {left}")
        memory["resident at rest"] = self.memory("VmRSS")
        return self._judge(memory)

    def _judge(self, memory: dict[str, int]) -> int:
        for line in self.wrong[:10]:
            print(f"soak: wrong: {line}")
        has_grown = memory["end"] > memory["warm"] * (1 + GROWTH) + SLACK_BYTES
        changes = sum(self.counts[kind] for kind in (SWAPPED, PASSING, DAMAGED))
        told = ", ".join(f"{name} {size / MIB:.1f}" for name, size in memory.items())
        print(
            f"soak: {self.seconds:.0f} s, {changes} changes, {self.counts['reads']} files read "
            f"({self.counts['bytes'] / MIB:.0f} MiB), {self.counts['errors']} errors of images that were gone or damaged, "
            f"{len(self.wrong)} wrong; memory in MiB: {told}{'; IT GROWS' if has_grown else ''}"
        )
        Path("build").mkdir(exist_ok=True)
        result = {
            "seconds": self.seconds,
            "changes": changes,
            "wrong": len(self.wrong),
            "memory": memory,
            **self.counts,
        }
        Path("build/soak.json").write_text(json.dumps(result) + "\n")
        return int(bool(self.wrong) or has_grown)

    def close(self) -> None:
        self.ended.set()
        self.daemon.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.daemon.wait(10)
        self.daemon.kill()


def _without_waiting(path: str, flags: int) -> int:
    """A damaged image may show a pipe where a file was."""
    return os.open(path, flags | os.O_NONBLOCK)


def middle(values: list[int]) -> int:
    return sorted(values)[len(values) // 2]


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with tempfile.TemporaryDirectory(prefix="imagefs-soak-") as base:
        soak = Soak(Path(base), seconds)
        try:
            return soak.run()
        finally:
            soak.close()


if __name__ == "__main__":
    sys.exit(main())
