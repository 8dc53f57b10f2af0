"""A daemon in processes of its own, as a user starts it, and what can be seen of it from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imagefs.daemon.client import ask

PATIENCE_SECONDS = 10.0


def until(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """What a condition gives as soon as it is true; the test fails when it does not come true in time."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return found


class Served:
    """`imagefs serve` over one watched folder, `images` in `base`; what lies in `allow` (`base`) may be attached."""

    def __init__(
        self,
        base: Path,
        *words: str,
        watch: bool = True,
        allow: Sequence[Path] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder, self.root, self.socket = base / "images", base / "mnt", base / "control.sock"
        self.folder.mkdir(exist_ok=True)
        watched = ["--watch", str(self.folder)] if watch else []
        command = [
            sys.executable,
            "-m",
            "tests.daemon.hostile",
            "serve",
            *watched,
            "--socket",
            str(self.socket),
            *(f"--allow={each}" for each in ([base] if allow is None else allow)),
            *words,
        ]
        self.log = base / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(self.root)], stderr=log, env={**os.environ, **(environment or {})}
            )
        until(lambda: self._is_live() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_SECONDS)
            finally:
                self.process.kill()
        subprocess.run(["umount", "-l", self.root], capture_output=True, check=False)

    def _is_live(self) -> bool:
        try:
            return os.path.ismount(self.root) and os.statvfs(self.root).f_namemax > 0
        except OSError:
            return False

    def names(self) -> list[str]:
        return sorted(os.listdir(self.root))

    def status(self, name: str) -> dict[str, Any]:
        """What the daemon tells of an image."""
        return next(row for row in ask(str(self.socket), "list") if row["name"] == name)

    def states(self) -> dict[str, str]:
        return {row["name"]: row["state"] for row in ask(str(self.socket), "list")}

    def ask(self, command: str, **fields: str) -> Any:
        return ask(str(self.socket), command, **fields)

    @property
    def worker(self) -> int:
        """The process that reads images."""
        return worker_of(self.process.pid)

    def resident(self) -> int:
        """Bytes of memory, of all processes."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in {self.process.pid, self.worker}]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.worker}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def worker_of(process: int) -> int:
    """The process that a keeper made to serve; without a sandbox it is the same."""
    return int(Path(f"/proc/{process}/task/{process}/children").read_text() or process)
