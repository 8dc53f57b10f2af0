"""A daemon in a process of its own, as a user starts it, and what can be seen of it from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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
    """`imagefs serve` over one watched folder."""

    def __init__(self, base: Path, *words: str, watch: bool = True, environment: dict[str, str] | None = None) -> None:
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

    def resident(self) -> int:
        """Bytes of memory."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
