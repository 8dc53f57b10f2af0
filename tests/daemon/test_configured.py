"""`imagefs serve` by its configuration and the commands that ask it, as processes on a real mount."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import MakeIso, RunImagefs
from tests.daemon.served import worker_of

pytestmark = [pytest.mark.fuse, pytest.mark.foreign]
SECONDS = 10.0


class Served(NamedTuple):
    """A running daemon whose configuration is `file`, with one image in the watched folder and one elsewhere."""

    process: "subprocess.Popen[bytes]"
    file: Path
    root: Path
    log: Path
    outside: Path
    imagefs: Callable[..., "subprocess.CompletedProcess[bytes]"]


CONFIG = """\
root = "root"
socket = "run/control.sock"
watch = ["images"]
"""


def wait(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture
def served(tmp_path: Path, tree: Path, make_iso: MakeIso, run_imagefs: RunImagefs) -> Iterator[Served]:
    file, log, socket = tmp_path / "imagefs.toml", tmp_path / "log", tmp_path / "run" / "control.sock"
    file.write_text(CONFIG)
    outside = make_iso(tree, "-R", name="outside.iso")
    (tmp_path / "images").mkdir()
    shutil.copy(outside, tmp_path / "images" / "inside.iso")
    words = [sys.executable, "-m", "imagefs", "serve", "--config", file]
    with log.open("wb") as errors, subprocess.Popen(words, stderr=errors) as process:
        try:
            root = tmp_path / "root"
            wait(lambda: socket.exists() and root.is_dir() and os.path.ismount(root), f"a mount: {log.read_text()}")

            def ask(*words: str | Path) -> "subprocess.CompletedProcess[bytes]":
                return run_imagefs(words[0], "--socket", socket, *words[1:])

            yield Served(process, file, root, log, outside, ask)
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
            subprocess.run(["umount", "-l", "-q", tmp_path / "root"], stderr=subprocess.DEVNULL)
    assert not socket.exists()


def test_attach_list_detach(served: Served):
    done = served.imagefs("attach", served.outside, "bee")
    assert (done.returncode, done.stdout, done.stderr) == (0, os.fsencode(served.root / "bee") + b"\n", b"")
    assert sorted(os.listdir(served.root)) == ["bee", "inside"]
    assert (served.root / "bee" / "hello.txt").read_text() == "hello\n"

    rows = {row.get("name"): row for row in json.loads(served.imagefs("list", "--json").stdout)}
    bee, inside = rows["bee"], rows["inside"]
    assert (bee["source"], bee["mountpoint"], bee["state"]) == (str(served.outside), str(served.root / "bee"), "open")
    assert (bee["opens"], bee["watched"], inside["opens"], inside["watched"]) == (1, False, 0, True)
    said = json.loads(served.imagefs("status", "--json").stdout)
    assert (said["pid"], said["config"], said["images"]["open"]) == (worker_of(served.process.pid), str(served.file), 1)

    assert served.imagefs("detach", "bee").returncode == 0
    assert os.listdir(served.root) == ["inside"]
    done = served.imagefs("detach", "bee")
    assert (done.returncode, done.stderr) == (66, b"imagefs: bee: no such image is attached; see imagefs list\n")


def test_what_is_in_use_is_not_detached(served: Served):
    served.imagefs("attach", served.outside, "bee")
    folder = os.open(served.root / "bee" / "docs", os.O_RDONLY)
    try:
        done = served.imagefs("detach", "bee")
        assert done.returncode == 71
        assert done.stderr.startswith(b"imagefs: bee: in use")
        assert b"Gr\xc3\xbc\xc3\x9fe.txt" in os.listdir(os.fsencode(served.root / "bee" / "docs"))
    finally:
        os.close(folder)
    assert served.imagefs("detach", "bee").returncode == 0


def test_reload_and_hangup(served: Served):
    text = CONFIG + f'idle_seconds = 7\n[[image]]\npath = "{served.outside.name}"\nname = "cee"\noptions = "tree=iso"\n'
    served.file.write_text(text)
    done = served.imagefs("reload")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"idle_seconds = 7.0\nattached cee\n", b"")
    assert (served.root / "cee" / "hello.txt").read_text() == "hello\n"

    served.file.write_text(text + "nam = 'x'\n")
    done = served.imagefs("reload")
    line = f"imagefs: {served.file}:9: key 'nam' is not known; did you mean 'name'?\n"
    assert (done.returncode, done.stdout, done.stderr.decode()) == (64, b"", line)
    served.process.send_signal(signal.SIGHUP)
    kept = f"{line.rstrip()}; the configuration stays as it was\n"
    wait(lambda: served.log.read_text() == kept * 2, "the line of the reload and that of the hangup in the log")
    assert sorted(os.listdir(served.root)) == ["cee", "inside"]

    served.file.write_text(CONFIG.replace("images", "nothing").replace('"root"', '"other"'))
    done = served.imagefs("reload")
    assert done.returncode == 66
    assert done.stdout.decode().splitlines() == [
        "detached cee",
        f"no longer watching {served.root.parent}/images",
        "idle_seconds = 300.0",
    ]
    assert done.stderr.decode().splitlines() == [
        f"imagefs: warning: root = {served.root.parent}/other waits until the daemon is started again",
        f"imagefs: {served.root.parent}/nothing: there is no folder {served.root.parent}/nothing",
    ]
    wait(lambda: os.listdir(served.root) == [], "no image any more")

    served.file.write_text(CONFIG)
    served.process.send_signal(signal.SIGHUP)
    wait(lambda: os.listdir(served.root) == ["inside"], "the image of the watched folder again")


def test_metrics_count_what_happens(served: Served):
    (served.root / "inside" / "hello.txt").read_text()
    (served.root.parent / "images" / "poem.iso").write_text("a poem")
    served.imagefs("attach", served.root.parent / "images" / "poem.iso", "poem")
    with pytest.raises(OSError, match=r"\[Errno \d+\]"):
        os.listdir(served.root / "poem")
    lines = served.imagefs("status", "--metrics").stdout.decode().splitlines()
    assert 'imagefs_images{state="open"} 1' in lines
    assert 'imagefs_images{state="failed"} 1' in lines
    assert 'imagefs_image_trouble{image="poem",state="failed"} 1' in lines
    assert {"imagefs_opens_total 1", "imagefs_failures_total 1"} <= set(lines)


def test_a_second_daemon_is_refused(served: Served, run_imagefs: RunImagefs, tmp_path: Path):
    done = run_imagefs("serve", "--socket", tmp_path / "run" / "control.sock", tmp_path / "second")
    assert done.returncode == 71
    assert b"a daemon is running already; see imagefs status" in done.stderr
    assert served.imagefs("status").returncode == 0
    assert not (tmp_path / "second").exists()
