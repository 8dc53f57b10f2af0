"""A confined daemon: what a decoder that was taken over cannot do, and what goes on all the same."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagefs.daemon.confined import Reach
from imagefs.errors import ConfinedError
from imagefs.frontends.fuse import mountinfo
from tests.conftest import MakeIso, RunImagefs
from tests.daemon.served import Served, until
from tests.frontends.fuse import hostile
from tests.frontends.fuse.test_separate import REFUSED, needs_root, outcomes, status_of, targets

__all__ = ["targets"]
pytestmark = [pytest.mark.fuse, pytest.mark.foreign]
NOBODY, READ_SEARCH, LEASE = 65534, 1 << 2, 1 << 28


@pytest.fixture
def disc(make_iso: MakeIso, tree: Path) -> Path:
    """An ISO 9660 image, outside of any watched folder."""
    return make_iso(tree, "-R")


@pytest.fixture
def folder(tmp_path: Path, disc: Path) -> Path:
    """A watched folder with one image, in a folder where nothing else is."""
    (tmp_path / "own" / "images").mkdir(parents=True)
    shutil.copy(disc, tmp_path / "own" / "images" / "fine.iso")
    return tmp_path / "own" / "images"


def hostile_image(folder: Path, targets: dict[str, Any], *skipped: str) -> None:
    image = folder / "hostile.img"
    image.write_bytes(hostile.MAGIC + json.dumps(targets | {"image": str(image), "skipped": skipped}).encode())


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with Served(folder.parent, allow=()) as served:
        yield served


# --- what is forbidden ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["nobody", "root"])
def test_a_decoder_that_was_taken_over_can_do_nothing(
    user: str, folder: Path, targets: dict[str, Any], tree: Path
) -> None:
    hostile_image(folder, targets)
    words = ["-o", "run_as=root"] if user == "root" and os.geteuid() == 0 else []
    with Served(folder.parent, *words, allow=()) as served:
        for when in ("opening", "now"):
            found = outcomes(served.root / "hostile" / when)
            assert set(found) == set(hostile.TRIES)
            assert {name: value for name, value in found.items() if value not in REFUSED} == {}
        assert (served.root / "fine" / "random.bin").read_bytes() == (tree / "random.bin").read_bytes()
        assert served.ask("status")["sandbox"] == "landlock+seccomp"
        assert served.process.poll() is None


def test_landlock_alone(folder: Path, targets: dict[str, Any]) -> None:
    """Where there is no libseccomp."""
    hostile_image(folder, targets, "type into the terminal", "namespace")
    with Served(folder.parent, allow=(), environment={"HOSTILE_WITHOUT_SECCOMP": "1"}) as served:
        found = outcomes(served.root / "hostile" / "now")
        files = {name for name in found if "file" in name or "folder" in name or "image" in name}
        assert {found[name] for name in files} == {"EACCES"}
        assert served.ask("status")["sandbox"] == "landlock"


@pytest.mark.parametrize("how", ["--no-sandbox", "nosandbox", "key", "key, but option"])
def test_switching_it_off(how: str, folder: Path, targets: dict[str, Any]) -> None:
    hostile_image(folder, targets, *(set(hostile.TRIES) - {"read a file", "make a process"}))
    config = folder.parent / "imagefs.toml"
    config.write_text("sandbox = false" if how.startswith("key") else "")
    words = {"--no-sandbox": ["--no-sandbox"], "nosandbox": ["-o", "nosandbox"], "key": []}.get(how, ["--sandbox"])
    with Served(folder.parent, "--config", str(config), *words, allow=()) as served:
        is_on = how == "key, but option"
        wanted = (
            {"read a file": "EACCES", "make a process": "EPERM"}
            if is_on
            else dict.fromkeys(("read a file", "make a process"), "done")
        )
        assert outcomes(served.root / "hostile" / "now") == wanted
        assert served.ask("status")["sandbox"] == ("landlock+seccomp" if is_on else "off")
        assert (served.worker == served.process.pid) is not is_on


@needs_root
def test_root_mounts_and_somebody_who_may_only_read_serves(served: Served) -> None:
    found = status_of(served.worker)
    assert (found["Uid"].split(), found["Gid"].split(), found["Groups"]) == ([str(NOBODY)] * 4, [str(NOBODY)] * 4, "")
    assert {int(found[f"Cap{kind}"], 16) for kind in ("Prm", "Eff")} == {READ_SEARCH | LEASE}
    assert {int(found[f"Cap{kind}"], 16) for kind in ("Inh", "Bnd", "Amb")} == {0}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert os.getsid(served.worker) != os.getsid(served.process.pid)
    assert re.search(r"Max core file size +0 +0 ", Path(f"/proc/{served.worker}/limits").read_text())
    assert status_of(served.process.pid)["Uid"].split() == ["0"] * 4
    assert os.lstat(served.root / "fine").st_uid == 0


@needs_root
def test_what_only_root_may_read_is_served(served: Served, disc: Path) -> None:
    """Also an image that comes later, into a folder that is closed to all others."""
    served.folder.chmod(0o700)
    shutil.copy(disc, served.folder / "later.iso")
    (served.folder / "later.iso").chmod(0o600)
    until(lambda: served.names() == ["fine", "later"])
    assert (served.root / "later" / "hello.txt").read_bytes() == b"hello\n"
    assert stat.S_IMODE(served.folder.stat().st_mode) == 0o700


@needs_root
def test_the_control_socket_listens_to_its_owner_and_root_alone(served: Served) -> None:
    """Not to nobody, whom the worker became."""
    served.socket.chmod(0o666)
    served.socket.parent.chmod(0o755)
    code = """
import os, socket
os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
client.connect("control.sock")
print(client.recv(999).decode())
"""
    words = [sys.executable, "-c", code]
    said = subprocess.run(words, cwd=served.socket.parent, capture_output=True, text=True, check=True).stdout
    assert "user 65534 may not control the daemon of user 0" in said
    assert [row["name"] for row in served.ask("list")] == ["fine"]


# --- what lies elsewhere ----------------------------------------------------------------------------------------------


def remedy(folder: Path) -> str:
    return (
        f"the sandbox keeps the daemon out of {folder}: name that folder in watch or allow of its configuration and start "
        "it again, or serve with --no-sandbox"
    )


def test_an_image_from_elsewhere_is_refused_with_the_remedy(
    served: Served, disc: Path, run_imagefs: RunImagefs
) -> None:
    done = run_imagefs("attach", "--socket", served.socket, disc)
    assert (done.returncode, done.stderr.decode()) == (77, f"imagefs: {disc}: {remedy(disc.parent)}\n")
    assert served.names() == ["fine"]
    inside = shutil.copy(disc, served.folder / "inside.dat")
    assert run_imagefs("attach", "--socket", served.socket, inside).returncode == 0


@pytest.mark.parametrize("by", ["argument", "key"])
def test_the_remedy(by: str, folder: Path, disc: Path) -> None:
    config = folder.parent / "imagefs.toml"
    config.write_text(f"allow = ['{disc.parent}']" if by == "key" else "")
    with Served(folder.parent, "--config", str(config), allow=(disc.parent,) if by == "argument" else ()) as served:
        assert served.ask("attach", path=str(disc), name="mine")["name"] == "mine"
        assert (served.root / "mine" / "hello.txt").read_bytes() == b"hello\n"


def test_a_link_to_elsewhere_says_the_same(served: Served, disc: Path) -> None:
    (served.folder / "link.iso").symlink_to(disc)
    until(lambda: "link" in served.names(), 15)
    with pytest.raises(PermissionError):
        os.listdir(served.root / "link")
    assert served.status("link")["error"] == remedy(disc.parent)


def test_a_reload_that_brings_folders(folder: Path, disc: Path, run_imagefs: RunImagefs) -> None:
    config, new = folder.parent / "conf" / "imagefs.toml", folder.parent / "new"
    config.parent.mkdir()
    new.mkdir()
    config.write_text("")
    with Served(folder.parent, "--config", str(config), allow=()) as served:
        config.write_text(f"watch = ['{new}']\nimage = ['{disc}', '{folder}/fine.iso']\nallow = ['{new}']")
        done = run_imagefs("reload", "--socket", served.socket)
        assert done.returncode == 77
        assert done.stderr.decode().splitlines() == [
            f"imagefs: warning: allow = ('{new}',) waits until the daemon is started again",
            f"imagefs: {new}: {remedy(new)}",
            f"imagefs: {disc}: {remedy(disc.parent)}",
        ]
        assert served.names() == ["fine"]
    with Served(folder.parent, "--config", str(config), allow=()) as served:
        assert served.names() == ["disc", "fine"]
        assert (served.root / "disc" / "hello.txt").read_bytes() == b"hello\n"


def test_a_watched_folder_that_is_made_anew(tmp_path: Path, disc: Path) -> None:
    """It is another one: who may read the folder above may read it."""
    bases = [tmp_path / "refused", tmp_path / "allowed"]
    for base in bases:
        base.mkdir()
    with Served(bases[0], allow=()) as refused, Served(bases[1], allow=(bases[1],)) as allowed:
        for served in (refused, allowed):
            served.folder.rmdir()
            time.sleep(0.2)
            served.folder.mkdir()
            shutil.copy(disc, served.folder / "new.iso")
        until(lambda: allowed.names() == ["new"], 15)
        until(lambda: refused.log.read_text(), 15)
        why = "Permission denied; one that came back as another folder needs the folder above it in allow, or a restart"
        assert refused.log.read_text() == f"imagefs: {refused.folder}: {why}\n"


def test_what_lies_within_reach(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "ab").mkdir()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "a" / "out").symlink_to("../ab")
    reach = Reach([str(tmp_path / "link")])
    for inside in ("a", "a/x/y.iso", "link/x"):
        reach.check(str(tmp_path / inside))
    for outside in ("ab/x", "a/out/x", "a/../x", ""):
        with pytest.raises(ConfinedError):
            reach.check(str(tmp_path / outside))


# --- its life ---------------------------------------------------------------------------------------------------------


def test_the_death_of_who_serves_is_told_and_the_mount_taken_away(served: Served) -> None:
    os.kill(served.worker, signal.SIGKILL)
    assert served.process.wait(5) == 70
    assert served.log.read_text() == "imagefs: the process that reads the images was ended by SIGKILL\n"
    assert mountinfo.mounted_at(str(served.root)) is None
    assert not served.root.exists()
    assert not served.socket.exists()


def test_who_serves_dies_with_who_keeps(served: Served, run_imagefs: RunImagefs) -> None:
    worker = served.worker
    served.process.kill()
    until(lambda: not os.path.exists(f"/proc/{worker}"))
    served.process.wait()
    assert run_imagefs("umount", "--dead").returncode == 0  # as the unit does it
    assert mountinfo.mounted_at(str(served.root)) is None


@pytest.mark.parametrize("whom", ["keeper", "worker"])
def test_signals_may_go_to_either(whom: str, folder: Path) -> None:
    config = folder.parent / "imagefs.toml"
    config.write_text("")
    with Served(folder.parent, "--config", str(config), allow=()) as served:
        process = served.worker if whom == "worker" else served.process.pid
        config.write_text(f"[[image]]\npath = '{folder}/fine.iso'\nname = 'more'\n")
        os.kill(process, signal.SIGHUP)
        until(lambda: served.names() == ["fine", "more"])
        os.kill(process, signal.SIGTERM)
        assert served.process.wait(5) == 0
        assert mountinfo.mounted_at(str(served.root)) is None


def test_a_server_that_hangs_is_ended(served: Served) -> None:
    os.kill(served.worker, signal.SIGSTOP)
    served.process.terminate()
    assert served.process.wait(5) == 0
    assert mountinfo.mounted_at(str(served.root)) is None


def test_run_as_is_for_a_confined_daemon(run_imagefs: RunImagefs, tmp_path: Path) -> None:
    done = run_imagefs("serve", "--no-sandbox", "-o", "run_as=1", tmp_path / "root")
    assert (done.returncode, b"no sandbox was asked for" in done.stderr) == (64, True)
