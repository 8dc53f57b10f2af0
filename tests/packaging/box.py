"""A Debian of its own in a mount namespace, made once by mmdebstrap; what happens in it is an overlay and goes with it."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]
SUITE = "bookworm"
PACKAGES = "python3,python3-trio,fuse3,shared-mime-info,man-db"
"""What the package needs, and two programs that it has files for."""
_SETUP = """
set -e
mount -t tmpfs -o mode=755 tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
mount -t proc proc "$2/root/proc"
mount -t tmpfs -o mode=755 tmpfs "$2/root/dev"
for node in fuse null zero urandom tty; do
    touch "$2/root/dev/$node"
    mount --bind "/dev/$node" "$2/root/dev/$node"
done
ln -s /proc/self/fd "$2/root/dev/fd"
ln -sf ../proc/self/mounts "$2/root/etc/mtab"
echo ready
exec sleep infinity
"""


def debian() -> Path:
    """The folder with the untouched system; made at the first time, with packages of a mirror."""
    key = hashlib.sha256(f"{SUITE} {PACKAGES}".encode()).hexdigest()[:12]
    top = ROOT / "build" / "debian"
    top.mkdir(parents=True, exist_ok=True)
    with open(top / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = top / key
        if not done.exists():
            fresh = top / "fresh"
            shutil.rmtree(fresh, ignore_errors=True)
            words = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=directory", f"--include={PACKAGES}"]
            clean = 'rm -rf "$1"/var/lib/apt/lists/* "$1"/usr/share/locale/*'
            subprocess.run([*words, f"--customize-hook={clean}", SUITE, fresh], check=True, timeout=400)
            fresh.rename(done)
    return done


class Box:
    """with Box(folder) as box: box.run("dpkg", "-i", ...). Files are reached from outside below `box.root`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> "Box":
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _SETUP, "sh"]
        self._holder = subprocess.Popen(
            [*words, str(debian()), str(self._folder)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        assert self._holder.stdout
        assert self._holder.stdout.readline() == "ready\n"
        # unshare itself waits outside the new namespace of processes; its child is the first in it.
        self._first = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text().split()[0]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout
        self._holder.stdout.close()

    @property
    def root(self) -> Path:
        """The box's root folder, as seen from outside."""
        return Path(f"/proc/{self._first}/root{self._folder}/root")

    def run(self, *words: str, user: str = "root") -> "subprocess.CompletedProcess[str]":
        """Run a program in the box."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": f"/home/{user}", "LC_ALL": "C.UTF-8"}
        environment["DEBIAN_FRONTEND"] = "noninteractive"
        inside = ["chroot", f"--userspec={user}:{user}", f"{self._folder}/root", *words]
        return subprocess.run(
            ["nsenter", f"--target={self._first}", "--mount", "--pid", *inside],
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=100,
            check=False,
        )

    def files(self) -> set[str]:
        """Every path in the box but those of the kernel and of temporary files."""
        done = self.run(
            "find",
            "/",
            "(",
            "-path",
            "/proc",
            "-o",
            "-path",
            "/dev",
            "-o",
            "-path",
            "/tmp",
            ")",
            "-prune",
            "-o",
            "-print",
        )
        assert done.stderr == ""
        return set(done.stdout.splitlines())


assert os.path.isdir(ROOT / "debian")
