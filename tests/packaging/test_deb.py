"""The Debian package: built, judged by lintian, installed in a Debian of its own, used there, purged without a trace."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import imagefs
from imagefs.cli import COMMANDS
from tests.packaging.box import ROOT, Box

pytestmark = pytest.mark.timeout(600)  # the first time a Debian is fetched


@pytest.fixture(scope="module")
def package() -> Path:
    """The package, built unless it is there already."""
    done = subprocess.run([ROOT / "tools/deb"], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return ROOT / done.stdout.strip()


def test_the_changelog_has_the_version() -> None:
    first = (ROOT / "debian/changelog").read_text().splitlines()[0]
    assert re.fullmatch(rf"imagefs \({re.escape(imagefs.__version__)}\) \w+; urgency=\w+", first)


@pytest.mark.foreign
@pytest.mark.slow
def test_it_is_built_once(package: Path, need: Callable[..., None]) -> None:
    before = package.stat()
    done = subprocess.run([ROOT / "tools/deb"], capture_output=True, text=True, timeout=300)
    assert (ROOT / done.stdout.strip()).stat().st_mtime_ns == before.st_mtime_ns
    assert package.name == f"imagefs_{imagefs.__version__}_all.deb"


@pytest.mark.foreign
@pytest.mark.slow
def test_lintian_has_nothing_to_say(package: Path, need: Callable[..., None]) -> None:
    need("lintian")
    words = ["lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", "--allow-root", str(package)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    if os.geteuid() != 0:
        pytest.skip("a system of its own is root's to make")
    with Box(tmp_path_factory.mktemp("box")) as box:
        yield box


@pytest.mark.slow
def test_installed_used_and_purged(box: Box, package: Path, tree: Path, make_iso: Callable[..., Path]) -> None:
    def run(*words: str, user: str = "root") -> str:
        done = box.run(*words, user=user)
        assert (done.returncode, done.stderr) == (0, ""), f"{words}: {done.stderr}"
        return done.stdout

    run("useradd", "--create-home", "ann")
    before = box.files()
    (box.root / "tmp/imagefs.deb").write_bytes(package.read_bytes())
    (box.root / "tmp/disc.iso").write_bytes(make_iso(tree, "-R").read_bytes())
    run("dpkg", "--install", "/tmp/imagefs.deb")

    assert run("imagefs", "--version") == f"imagefs {imagefs.__version__}\n"
    assert "hello.txt" in run("imagefs", "ls", "/tmp/disc.iso", user="ann").splitlines()

    # an ordinary user mounts
    home = "/home/ann"
    run("mkdir", f"{home}/disc", user="ann")
    run("imagefs", "mount", "/tmp/disc.iso", f"{home}/disc", user="ann")
    assert run("cat", f"{home}/disc/hello.txt", user="ann") == "hello\n"
    assert run("imagefs", "list", user="ann").startswith(f"/tmp/disc.iso on {home}/disc ")
    run("imagefs", "umount", f"{home}/disc", user="ann")
    assert run("imagefs", "open", "/tmp/disc.iso", user="ann") == f"{home}/imagefs/disc\n"
    run("imagefs", "open", "--unmount", "/tmp/disc.iso", user="ann")

    # mount(8) knows both types
    run("mkdir", "/mnt/disc")
    for kind in ("imagefs", "fuse.imagefs"):
        run("mount", "-t", kind, "-o", "ro", "/tmp/disc.iso", "/mnt/disc")
        assert run("cat", "/mnt/disc/hello.txt") == "hello\n"
        run("umount", "/mnt/disc")

    # what lies around it
    assert "- any disc or disk image is a folder" in run("whatis", "imagefs")
    assert "*.nrg" in run("cat", "/usr/share/mime/globs2")
    for name in COMMANDS:
        run("test", "-e", f"/usr/share/man/man1/imagefs-{name}.1.gz")
    for path in ("bash-completion/completions/imagefs", "zsh/vendor-completions/_imagefs"):
        run("test", "-e", f"/usr/share/{path}")
    assert "ExecStart=/usr/bin/imagefs mount " in run("cat", "/usr/lib/systemd/system/imagefs@.service")

    run("rm", "-r", f"{home}/disc", f"{home}/imagefs", "/mnt/disc")
    run("dpkg", "--purge", "imagefs")
    assert "nrg" not in run("cat", "/usr/share/mime/globs2")
    of_others = ("/run/mount", "/var/log/", "/var/cache/man/", "/var/lib/dpkg/")  # of mount(8), man and dpkg themselves
    assert {path for path in box.files() ^ before if not path.startswith(of_others)} == set()
