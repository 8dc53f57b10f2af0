"""A real systemd for tests, without a container engine: the first process of a pid namespace on a copy of the host's files.

with Box({"/etc/systemd/system/x.service": "[Service]\\n..."}) as box:
    box.run("systemctl", "start", "x")

What a box does is gone with it: its processes with the namespace, its mounts too, its files were never written anywhere. It
ends with the process that made it, however that ends; at most empty folders stay then, which the next box removes.
"""

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from imagefs.frontends.fuse.mountinfo import MountInfo, parse

ROOT = Path(__file__).parents[2]
PREFIX = "imagefs-box-"
BOOT_SECONDS = 60.0
"""Well above the second that it takes: the machine may be busy."""
PROGRAMS = ["unshare", "nsenter", "setpriv", "systemctl", "systemd-analyze", "mount", "fusermount3"]

USER, USER_ID = "alice", 4711
"""An ordinary user of the box."""
GENERATOR = "/usr/lib/systemd/system-generators/imagefs-generator"

WANTED = {
    "sysinit.target": ["systemd-journald.service", "systemd-tmpfiles-setup.service"],
    "sockets.target": ["systemd-journald.socket", "systemd-journald-dev-log.socket", "dbus.socket"],
    "multi-user.target": ["systemd-user-sessions.service"],
}
"""All that a box starts by itself."""


@functools.cache
def unavailable() -> str:
    """Why no box can be made here; empty when one can."""
    if os.geteuid() != 0:
        return "a systemd of one's own needs root"
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing or not os.access("/lib/systemd/systemd", os.X_OK):
        return f"not installed: {', '.join(missing) or 'systemd'}"
    if not _control_groups():
        return "no cgroup2 file system is mounted"
    namespaces = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return namespaces.stderr.decode().strip() if namespaces.returncode else ""


def _control_groups() -> Path | None:
    """The root of the cgroup2 hierarchy."""
    mounts = parse(Path("/proc/self/mountinfo").read_bytes())
    return next((Path(mount.mountpoint) for mount in mounts if mount.kind == "cgroup2"), None)


def _python(module: str) -> str:
    """A program of the box that runs a module of this folder's imagefs."""
    return f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m {module} "$@"\n'


def _own_files() -> dict[str, str]:
    """What every box has: an identity, an ordinary user, imagefs with its units where a package would put them."""
    shipped = ROOT / "systemd"
    files = {f"/etc/systemd/system/{path.name}": path.read_text() for path in shipped_units()}
    files |= {f"/etc/systemd/user/{path.name}": path.read_text() for path in shipped_units("user")}
    return files | {
        "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        "/etc/hostname": "box\n",
        "/etc/fstab": "",
        "/etc/passwd": Path("/etc/passwd").read_text() + f"{USER}:*:{USER_ID}:{USER_ID}::/home/{USER}:/bin/sh\n",
        "/etc/group": Path("/etc/group").read_text() + f"{USER}:*:{USER_ID}:\n",
        "/usr/bin/imagefs": _python("imagefs"),
        "/usr/sbin/mount.imagefs": _python("imagefs.cli.mount_helper"),
        "/usr/sbin/mount.fuse.imagefs": _python("imagefs.cli.mount_helper"),
        "/usr/lib/tmpfiles.d/imagefs.conf": (shipped / "tmpfiles.d/imagefs.conf").read_text(),
        GENERATOR: (shipped / "system-generators/imagefs-generator").read_text(),
    }


def shipped_units(manager: str = "system") -> list[Path]:
    """The units for a manager, `system` or `user`."""
    found = [*(ROOT / "systemd" / manager).glob("*"), *((ROOT / "systemd").glob("*") if manager == "system" else [])]
    return sorted(path for path in found if path.suffix in (".service", ".socket", ".path"))


class BoxError(RuntimeError):
    """The box did not come up, or a command in it failed. The message holds what is known."""


class Box:
    """A machine with the host's files, and `files` on top of them: path to content; what begins with #! is executable.

    `folders` maps places in the box to folders of the host, which are shown there as they are.
    """

    def __init__(self, files: Mapping[str, str] | None = None, folders: Mapping[str, Path] | None = None) -> None:
        self._files = _own_files() | dict(files or {})
        venv = {sys.prefix: Path(sys.prefix)} if sys.prefix != sys.base_prefix else {}
        self._folders = {str(ROOT): ROOT, **venv, **(folders or {})}
        self.init = 0  # the pid of systemd, as the host sees it

    # --- life -----------------------------------------------------------------------------------------------------------

    def __enter__(self) -> "Box":
        groups = _control_groups()
        if why := unavailable():
            raise BoxError(why)
        assert groups is not None
        _remove_leftovers(groups)
        with contextlib.ExitStack() as undo:
            self._dir = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
            undo.callback(shutil.rmtree, self._dir, ignore_errors=True)
            self._group = groups / self._dir.name
            self._group.mkdir()
            undo.callback(_remove_group, self._group)
            self._write_files()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.bind(str(self._dir / "notify"))
                self._start()
                undo.callback(self._stop)
                self._wait_until_up(notify)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._undo.close()

    def _write_files(self) -> None:
        for name in ("memory", "files"):
            (self._dir / name).mkdir()
        for name in ("console", "kmsg"):
            (self._dir / name).touch()
        for name, content in self._files.items():
            path = self._dir / "files" / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            path.chmod(0o755 if content.startswith("#!") else 0o644)
        for target, units in WANTED.items():
            folder = self._dir / f"files/etc/systemd/system/{target}.wants"
            folder.mkdir(parents=True)
            for unit in units:
                (folder / unit).symlink_to(f"/lib/systemd/system/{unit}")
        # An ordinary user may go to where Python is, also when that is in root's home.
        (self._dir / "files" / os.path.realpath(sys.base_prefix).lstrip("/")).mkdir(parents=True, exist_ok=True)
        home = self._dir / "files/home" / USER
        home.mkdir(parents=True)
        os.chown(home, USER_ID, USER_ID)

    def _start(self) -> None:
        """The shell joins the control group, which thereby becomes the root of the box's own hierarchy."""
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        unshare = ["unshare", *namespaces, "--fork", "--kill-child", "--propagation", "private"]
        boot = ["sh", str(Path(__file__).with_name("boot.sh")), str(self._dir)]
        boot += [str(word) for pair in self._folders.items() for word in pair]
        join = 'echo 0 >"$0/cgroup.procs" && exec setpriv --pdeathsig KILL "$@"'
        with (self._dir / "console").open("ab") as console:
            self._process = subprocess.Popen(
                ["sh", "-c", join, str(self._group), *unshare, *boot],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def _wait_until_up(self, notify: socket.socket) -> None:
        """systemd as the first process of a container says READY=1 when all that it starts at boot has started."""
        notify.settimeout(0.5)
        end = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in notify.recv(4096).split(b"\n"):
                    self.init = self._child()
                    return
        raise BoxError(f"the box did not come up:\n{self.console()[-4000:]}")

    def _child(self) -> int:
        pid = self._process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def _stop(self) -> None:
        """Without its first process the kernel ends all others of the namespace before that one is reported as ended."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                os.kill(self.init or self._child(), signal.SIGKILL)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)

    # --- use ------------------------------------------------------------------------------------------------------------

    def run(
        self, *words: str, check: bool = True, user: str = "", timeout: float = 30
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in the box, outside of any unit. With `check` a status other than 0 raises BoxError."""
        done = subprocess.run(
            self._inside(words, user),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            text = f"{' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}"
            raise BoxError(f"{text}\n--- journal\n{self.journal()[-3000:]}\n--- console\n{self.console()[-1500:]}")
        return done

    @contextlib.contextmanager
    def running(self, script: str) -> Iterator[str]:
        """A shell script in the box that goes on until the end of the `with`; the first line that it writes."""
        words = self._inside(["setpriv", "--pdeathsig", "KILL", "sh", "-c", script])  # nsenter forks
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield process.stdout.readline().rstrip("\n")
            finally:
                process.kill()

    def _inside(self, words: Sequence[str], user: str = "") -> list[str]:
        """The command that runs `words` in the box, in a clean environment."""
        names = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root", "SYSTEMD_COLORS": "0"}
        become = []
        if user:
            runtime = f"/run/user/{USER_ID}"
            bus = f"unix:path={runtime}/bus"
            names |= {"HOME": f"/home/{user}", "XDG_RUNTIME_DIR": runtime, "DBUS_SESSION_BUS_ADDRESS": bus}
            become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
        enter = ["nsenter", f"--target={self.init}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        clean = ["env", "-i", "-C", "/", *(f"{name}={value}" for name, value in names.items())]
        return [*enter, *clean, *become, *words]

    def systemctl(self, *words: str, check: bool = True, timeout: float = 30) -> "subprocess.CompletedProcess[str]":
        return self.run("systemctl", "--no-pager", *words, check=check, timeout=timeout)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.systemctl("show", "--value", f"--property={name}", unit).stdout.strip()

    def write(self, path: str, content: str) -> None:
        """Write a file in the box."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    def path(self, path: str) -> Path:
        """A path of the box as the host sees it."""
        return Path(f"/proc/{self.init}/root{path}")

    def mounts(self) -> list[MountInfo]:
        """The imagefs mounts that everybody in the box sees."""
        return [m for m in parse(Path(f"/proc/{self.init}/mountinfo").read_bytes()) if m.kind == "fuse.imagefs"]

    def mounted(self, place: str) -> bool:
        return place in [mount.mountpoint for mount in self.mounts()]

    def processes(self, unit: str) -> list[int]:
        """The processes of a unit, as the host sees them."""
        group = self.show(unit, "ControlGroup")
        listing = self._group / group.lstrip("/") / "cgroup.procs"
        return [int(pid) for pid in listing.read_text().split()] if group and listing.exists() else []

    def signal(self, unit: str, number: signal.Signals) -> None:
        """Send a signal to every process of a unit, without a word to systemd."""
        for pid in self.processes(unit):
            with contextlib.suppress(ProcessLookupError):  # it ended because another did
                os.kill(pid, number)

    def wait(self, condition: Callable[[], bool], what: str, timeout: float = 20) -> None:
        """Return when `condition` holds; raise BoxError when it does not within `timeout` seconds."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise BoxError(
                    f"not within {timeout} s: {what}\n--- journal\n{self.journal()[-3000:]}\n{self.console()[-1500:]}"
                )
            time.sleep(0.05)

    def journal(self, *words: str) -> str:
        return self.run("journalctl", "--no-pager", "-o", "cat", *words, check=False).stdout

    def console(self) -> str:
        """What systemd itself said."""
        return (self._dir / "console").read_text(errors="replace")

    def kmsg(self) -> str:
        """What was written to the kernel's log."""
        return (self._dir / "kmsg").read_text(errors="replace")


def _remove_group(group: Path) -> None:
    """Control groups are removed from the inside out, as soon as the kernel has let the last process go."""
    for folder, _, _ in os.walk(group, topdown=False):
        for _ in range(100):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.02)
            else:
                break


def _remove_leftovers(groups: Path) -> None:
    """Remove what boxes whose maker was killed have left."""
    for folder in [*groups.glob(f"{PREFIX}*"), *Path(tempfile.gettempdir()).glob(f"{PREFIX}*")]:
        maker = folder.name.removeprefix(PREFIX).partition("-")[0]
        if not Path(f"/proc/{maker}").exists():
            _remove_group(folder) if folder.parent == groups else shutil.rmtree(folder, ignore_errors=True)
