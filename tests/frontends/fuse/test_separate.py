"""A confined mount: what a decoder that was taken over cannot do, and what goes on all the same."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagefs.confine import landlock
from imagefs.frontends.fuse import mountinfo, session
from imagefs.readahead import cores
from tests.builders.cso import cso
from tests.frontends.fuse import hostile

pytestmark = [pytest.mark.fuse]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")
ENGINES = ("direct", "pyfuse3")
REFUSED = {"EACCES", "EPERM"}
NOBODY = 65534
Mounts = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A file, a process, sockets and a mount point that are none of the image's business."""
    for name in ("images", "outside", "place", "mount"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "secret").write_text("secret\n")
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(str(tmp_path / "s"))
        unix.listen(9)
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0{tmp_path}")
        abstract.listen(9)
        datagrams = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        datagrams.bind(str(tmp_path / "d"))
        for place in ("s", "d"):
            (tmp_path / place).chmod(0o777)
        victim = stack.enter_context(subprocess.Popen(["sleep", "100"]))
        stack.callback(victim.kill)
        yield {
            "image": str(tmp_path / "images" / "hostile.img"),
            "outside": str(tmp_path / "outside" / "secret"),
            "place": str(tmp_path / "place"),
            "port": tcp.getsockname()[1],
            "socket": str(tmp_path / "s"),
            "abstract": str(tmp_path),
            "datagrams": str(tmp_path / "d"),
            "victim": victim.pid,
        }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mount"


@pytest.fixture
def mount(targets: dict[str, Any], folder: Path) -> Iterator[Mounts]:
    """mount(*words, skipped=(), environment=()) mounts the hostile image in the foreground; the process, once it serves."""
    with contextlib.ExitStack() as stack:

        def start(*words: str, skipped: tuple[str, ...] = (), **environment: str) -> "subprocess.Popen[bytes]":
            image = Path(targets["image"])
            image.write_bytes(hostile.MAGIC + json.dumps(targets | {"skipped": skipped}).encode())
            command = [sys.executable, "-m", hostile.__name__, "mount", "-f", *words, str(image), str(folder)]
            process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE)
            stack.enter_context(process)
            stack.callback(process.terminate)
            wait_for(lambda: process.poll() is not None or is_there(folder))
            assert process.poll() is None, process.communicate()[1].decode()
            return process

        yield start
    assert mountinfo.mounted_at(str(folder)) is None


def is_there(folder: Path) -> bool:
    """Whether a mount answers there."""
    return mountinfo.mounted_at(str(folder)) is not None and os.path.isdir(folder / "opening")


def wait_for(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.005)


def outcomes(folder: Path) -> dict[str, str]:
    return dict(name.split("=") for name in os.listdir(folder))


def worker_of(keeper: int) -> int:
    return int(Path(f"/proc/{keeper}/task/{keeper}/children").read_text())


def status_of(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


# --- what is forbidden ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_decoder_that_was_taken_over_can_do_nothing(engine: str, mount: Mounts, folder: Path) -> None:
    process = mount("-o", f"engine={engine}")
    for when in ("opening", "now"):
        found = outcomes(folder / when)
        assert set(hostile.TRIES) == set(found)
        if when == "opening":  # what decodes in other processes makes them then; they are confined as well
            assert found.pop("make a process") == "done"
        assert {name: value for name, value in found.items() if value not in REFUSED} == {}
    assert os.readlink(folder / "innocent") == "target"
    assert process.poll() is None


LEFT_BY_LANDLOCK = {"change a mode", "make a process", "limit another", "UNIX socket", "datagram"}
"""What Landlock does not know; connecting to UNIX sockets it does from ABI version 9 on."""


def test_landlock_alone_forbids_all_but_this(mount: Mounts, folder: Path) -> None:
    """Where there is no libseccomp."""
    assert landlock.version() >= 6, "signals and abstract sockets"
    mount("--sandbox", HOSTILE_WITHOUT_SECCOMP="1", skipped=("type into the terminal", "namespace"))
    found = outcomes(folder / "now")
    assert {name for name, value in found.items() if value == "done"} <= LEFT_BY_LANDLOCK
    assert found["make a process"] == "done"


def test_without_confinement_it_can(mount: Mounts, folder: Path) -> None:
    """So the tries are real."""
    mount("--no-sandbox", skipped=("type into the terminal", "chroot", "namespace", "rename the image", "mount"))
    found = outcomes(folder / "now")
    of_root = {"trace", "be root", "join a group"} if os.geteuid() else set()
    possible = set(found) - of_root - {"unmount"}
    assert {name: found[name] for name in possible if found[name] != "done"} == {"make a folder": "EEXIST"}
    assert found["unmount"] == ("EPERM" if os.geteuid() else "EINVAL")


@pytest.mark.parametrize("option", ["nosandbox", "sandbox"])
def test_it_is_an_option_of_fstab_too(option: str, mount: Mounts, folder: Path) -> None:
    mount("-o", option, skipped=tuple(set(hostile.TRIES) - {"read a file"}))
    assert outcomes(folder / "opening") == {"read a file": "done" if option == "nosandbox" else "EACCES"}


# --- who serves -----------------------------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("options", "uid"), [("", NOBODY), (",run_as=1", 1), (",run_as=root", 0)])
def test_root_mounts_and_somebody_without_rights_serves(
    engine: str, options: str, uid: int, mount: Mounts, folder: Path
) -> None:
    process = mount("-o", f"engine={engine}{options}")
    found = status_of(worker_of(process.pid))
    group = NOBODY if uid == NOBODY else uid
    assert found["Uid"].split() == [str(uid)] * 4
    assert found["Gid"].split() == [str(group)] * 4
    assert found["Groups"] == "" or uid == 0
    for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
        assert int(found[f"Cap{kind}"], 16) == 0
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert os.getsid(worker_of(process.pid)) != os.getsid(process.pid)
    limits = Path(f"/proc/{worker_of(process.pid)}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert status_of(process.pid)["Uid"].split() == ["0"] * 4
    # Attributes are as whoever mounted has them.
    assert (os.stat(folder).st_uid, os.listdir(folder)) == (5, ["opening", "now", "innocent"])


@needs_root
@pytest.mark.foreign
def test_what_only_root_may_read_is_read(
    tmp_path: Path, tree: Path, make_iso: Callable[..., Path], run_imagefs: Callable[..., Any]
) -> None:
    """An image and its parts in a folder that is closed to everybody else."""
    closed = tmp_path / "closed"
    closed.mkdir()
    image = make_iso(tree, "-R", name="closed/disc.iso")
    data = image.read_bytes()
    half = len(data) // 2 // 2048 * 2048
    for number, part in enumerate((data[:half], data[half:]), 1):
        (closed / f"disc.{number:03}").write_bytes(part)
        (closed / f"disc.{number:03}").chmod(0o600)
    image.unlink()
    closed.chmod(0o700)
    os.chown(closed / "disc.002", 1, 1)
    (tmp_path / "m").mkdir()
    assert run_imagefs("mount", closed / "disc.001", tmp_path / "m").returncode == 0
    try:
        subprocess.run(["diff", "-r", "--no-dereference", tree, tmp_path / "m"], check=True)
        assert os.stat(tmp_path / "m").st_uid == os.stat(tree).st_uid
    finally:
        assert run_imagefs("umount", tmp_path / "m").returncode == 0


@needs_root
@pytest.mark.foreign
@pytest.mark.parametrize(("options", "status"), [("", 0), ("run_as=1", 71)])
def test_an_image_where_only_root_is_let_in(
    options: str,
    status: int,
    tmp_path: Path,
    tree: Path,
    make_iso: Callable[..., Path],
    run_imagefs: Callable[..., Any],
) -> None:
    """On a FUSE mount of root's: it is served as root, without capabilities."""
    make_iso(tree, name="tree/inner.iso")
    image = make_iso(tree, "-R")
    for name in ("outer", "inner"):
        (tmp_path / name).mkdir()
    assert run_imagefs("mount", image, tmp_path / "outer").returncode == 0
    try:
        inner = tmp_path / "outer" / "inner.iso"
        done = run_imagefs("mount", *(["-o", options] if options else []), inner, tmp_path / "inner")
        assert done.returncode == status
        if status:
            assert b"the user 1 is not let in there" in done.stderr
            return
        worker = next(int(p) for p in session._processes() if session._serves(p, str(inner)))
        found = status_of(worker)
        assert (found["Uid"].split(), int(found["CapEff"], 16), found["Seccomp"]) == (["0"] * 4, 0, "2")
        assert (tmp_path / "inner" / "hello.txt").read_bytes() == b"hello\n"
        assert run_imagefs("umount", tmp_path / "inner").returncode == 0
    finally:
        assert run_imagefs("umount", tmp_path / "outer").returncode == 0


def test_run_as_is_for_root(run_imagefs: Callable[..., Any], tmp_path: Path, need: Callable[..., None]) -> None:
    need("setpriv")
    (tmp_path / "m").mkdir()
    done = run_imagefs("mount", "-o", "nosandbox,run_as=1", tmp_path / "x.iso", tmp_path / "m")
    assert (done.returncode, b"nosandbox was asked for" in done.stderr) == (64, True)


@needs_root
def test_root_of_a_user_namespace_without_nobody(
    targets: dict[str, Any], folder: Path, run_imagefs: Callable[..., Any]
) -> None:
    """There is nobody to become: what is left of root serves without capabilities."""
    image = Path(targets["image"])
    image.write_bytes(hostile.MAGIC + json.dumps(targets | {"skipped": ["trace"]}).encode())
    code = f"{sys.executable} -m {hostile.__name__} mount {image} {folder} && ls {folder}/now && umount {folder}"
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = dict(line.split("=") for line in done.stdout.splitlines())
    assert set(found.values()) <= {*REFUSED, "done"}
    assert "done" not in found.values()


# --- what goes on ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("background", [False, True])
def test_the_death_of_who_serves_is_told_and_the_mount_taken_away(
    background: bool, mount: Mounts, folder: Path, targets: dict[str, Any], run_imagefs: Callable[..., Any]
) -> None:
    process = mount()
    if background:
        process.terminate()
        assert process.wait(5) == 0
        words = [sys.executable, "-m", hostile.__name__, "mount", targets["image"], str(folder)]
        assert subprocess.run(words, timeout=20, check=False).returncode == 0
        worker = next(int(p) for p in session._processes() if session._serves(p, targets["image"]))
    else:
        worker = worker_of(process.pid)
    assert os.path.isdir(folder / "now")
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: mountinfo.mounted_at(str(folder)) is None)
    if not background:
        said = f"imagefs: {targets['image']}: the process that reads the image was ended by SIGKILL\n"
        assert (process.wait(5), process.communicate()[1].decode()) == (70, said)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (signal.SIGSEGV, "the process that reads the image was ended by SIGSEGV"),
        (-3, "the process that reads the image ended with status 3"),
    ],
)
@pytest.mark.parametrize("words", [(), ("-f",)])
def test_a_decoder_that_dies_while_it_opens_costs_one_line(
    end: int, said: str, words: tuple[str, ...], folder: Path, targets: dict[str, Any]
) -> None:
    image = Path(targets["image"])
    image.write_bytes(hostile.MAGIC + json.dumps({"end": end}).encode())
    command = [sys.executable, "-m", hostile.__name__, "mount", *words, str(image), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (70, f"imagefs: {image}: {said}\n")
    assert mountinfo.mounted_at(str(folder)) is None


def test_who_serves_dies_with_who_keeps(mount: Mounts, folder: Path) -> None:
    process = mount()
    worker = worker_of(process.pid)
    process.kill()
    wait_for(lambda: not os.path.exists(f"/proc/{worker}"))
    assert mountinfo.is_dead(str(folder))
    subprocess.run(
        ["umount" if os.geteuid() == 0 else "fusermount3", *(["-u"] if os.geteuid() else []), folder], check=True
    )


def test_a_signal_to_who_serves_unmounts(mount: Mounts, folder: Path) -> None:
    process = mount()
    os.kill(worker_of(process.pid), signal.SIGTERM)
    assert process.wait(5) == 0
    assert mountinfo.mounted_at(str(folder)) is None


def test_a_server_that_hangs_is_ended(mount: Mounts, folder: Path) -> None:
    process = mount()
    os.kill(worker_of(process.pid), signal.SIGSTOP)
    process.terminate()
    assert process.wait(5) == 0
    assert mountinfo.mounted_at(str(folder)) is None


def test_what_the_caller_left_open_is_let_go(
    targets: dict[str, Any], folder: Path, mount: Mounts, run_imagefs: Callable[..., Any]
) -> None:
    """Whoever waits for the end of a pipe that the mount inherited would wait for ever, and a decoder could write to it."""
    process = mount()
    process.terminate()
    process.wait(5)
    reading, writing = os.pipe()
    words = [sys.executable, "-m", hostile.__name__, "mount", targets["image"], str(folder)]
    subprocess.run(words, pass_fds=[writing], check=True, timeout=20)
    os.close(writing)
    try:
        assert os.read(reading, 1) == b""
    finally:
        os.close(reading)
        assert run_imagefs("umount", folder).returncode == 0


@pytest.mark.foreign
def test_what_decodes_in_other_processes_is_confined_as_well(
    tmp_path: Path, tree: Path, make_iso: Callable[..., Path], run_imagefs: Callable[..., Any]
) -> None:
    """And holds nothing of the caller's: `run_imagefs` reads its output to the end."""
    image = tmp_path / "disc.cso"
    image.write_bytes(cso(make_iso(tree, "-R").read_bytes()))
    (tmp_path / "m").mkdir()
    assert run_imagefs("mount", image, tmp_path / "m", timeout=20).returncode == 0
    worker = next(int(p) for p in session._processes() if session._serves(p, str(image)))
    helpers = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    assert len(helpers) >= 2 or cores() == 1
    for helper in helpers:
        found = status_of(int(helper))
        assert (found["NoNewPrivs"], found["Seccomp"], int(found["CapEff"], 16)) == ("1", "2", 0)
        assert found["Uid"].split()[0] == str(os.geteuid() or NOBODY)
        assert "/dev/fuse" not in session._links_of(helper)
    subprocess.run(["diff", "-r", "--no-dereference", tree, tmp_path / "m"], check=True)
    assert run_imagefs("umount", tmp_path / "m").returncode == 0
    assert not [helper for helper in helpers if os.path.exists(f"/proc/{helper}")]


@pytest.mark.foreign
@pytest.mark.parametrize("how", ["descriptor", "link", "device"])
def test_other_ways_to_name_an_image(
    how: str, tmp_path: Path, tree: Path, make_iso: Callable[..., Path], run_imagefs: Callable[..., Any]
) -> None:
    image = make_iso(tree, "-R")
    (tmp_path / "m").mkdir()
    (tmp_path / "elsewhere").mkdir()
    with contextlib.ExitStack() as stack:
        more: dict[str, Any] = {}
        if how == "descriptor":
            file = stack.enter_context(open(image, "rb"))
            name, more = f"/dev/fd/{file.fileno()}", {"pass_fds": [file.fileno()]}
        elif how == "link":
            name = str(tmp_path / "elsewhere" / "link.iso")
            os.symlink(image, name)
        else:
            if os.geteuid() or not shutil.which("losetup"):
                pytest.skip("only root can make a block device")
            words = ["losetup", "--find", "--show", "--read-only", image]
            name = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
            stack.callback(subprocess.run, ["losetup", "--detach", name], check=True)
        assert run_imagefs("mount", name, tmp_path / "m", **more).returncode == 0
        assert (tmp_path / "m" / "hello.txt").read_text() == "hello\n"
        assert run_imagefs("umount", tmp_path / "m").returncode == 0


@pytest.mark.foreign
def test_a_file_that_changes_is_noticed(tmp_path: Path, tree: Path, make_iso: Callable[..., Path]) -> None:
    image = make_iso(tree, "-R")
    (tmp_path / "m").mkdir()
    words = [sys.executable, "-m", "imagefs", "mount", "-f", str(image), str(tmp_path / "m")]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        wait_for(lambda: mountinfo.mounted_at(str(tmp_path / "m")) is not None)
        os.utime(image, (1, 1))
        assert process.stderr is not None
        said = process.stderr.readline().decode()
        process.terminate()
    assert process.returncode == 0
    assert said == f"imagefs: {image} changed while it is mounted: unmount it and mount it again\n"
    assert process.returncode == 0


def test_the_watchdog_is_fed_by_who_keeps(mount: Mounts, tmp_path: Path, folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(5)
        process = mount(NOTIFY_SOCKET=str(tmp_path / "n"), WATCHDOG_USEC="300000")
        assert manager.recv(100) == b"READY=1\nSTATUS=serving"
        assert [manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        worker = worker_of(process.pid)
        os.kill(worker, signal.SIGSTOP)
        time.sleep(0.2)
        manager.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while True:  # what was under way
                assert manager.recv(100) == b"WATCHDOG=1"
        os.kill(worker, signal.SIGCONT)
        manager.settimeout(5)
        assert manager.recv(100) == b"WATCHDOG=1"
        process.terminate()
        wait_for(lambda: manager.recv(100) == b"STOPPING=1")
