"""imagefs run: images that one command sees, and nobody else."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagefs.cli import main

pytestmark = [pytest.mark.fuse, pytest.mark.foreign]
Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def image(tree: Path, make_iso: Callable[..., Path]) -> Path:
    return make_iso(tree, "-R")


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folders of a run are made in a place of the test's own, and neither they nor mounts are there afterwards."""
    place = tmp_path_factory.mktemp("run")
    place.chmod(0o777)
    monkeypatch.setenv("TMPDIR", str(place))
    yield
    assert list(place.iterdir()) == []
    assert str(place) not in Path("/proc/mounts").read_text()


def test_the_command_alone_sees_the_image(image: Path, tree: Path, run_imagefs: Run) -> None:
    script = (
        'cat "$IMAGEFS/hello.txt" "$IMAGEFS/random.bin"; grep -c "$IMAGEFS" /proc/mounts; touch "$IMAGEFS/x"; exit 7'
    )
    done = run_imagefs("run", image, "--", "sh", "-c", script)
    expected = (tree / "hello.txt").read_bytes() + (tree / "random.bin").read_bytes()
    assert (done.returncode, done.stdout) == (7, expected + b"1\n")
    assert b"Read-only file system" in done.stderr


def test_several_images_lie_beside_each_other(image: Path, tmp_path: Path, run_imagefs: Run) -> None:
    (tmp_path / "second").mkdir()
    other = tmp_path / "second" / "disc.iso"
    other.write_bytes(image.read_bytes())
    script = 'cd "$IMAGEFS"; ls; cmp disc/hello.txt "disc (2)/hello.txt" && echo same'
    done = run_imagefs("run", "-o", "uid=0", image, other, "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (0, b"disc\ndisc (2)\nsame\n")


def test_the_exit_status_is_the_command_s(image: Path, run_imagefs: Run) -> None:
    assert run_imagefs("run", image, "--", "true").returncode == 0
    assert run_imagefs("run", image, "--", "false").returncode == 1
    assert run_imagefs("run", image, "--", "sh", "-c", "kill -9 $$").returncode == 128 + signal.SIGKILL
    missing = run_imagefs("run", image, "--", "no-such-program")
    assert (missing.returncode, missing.stderr) == (127, b"imagefs: no-such-program: No such file or directory\n")


def test_a_signal_is_handed_on_and_nothing_stays(image: Path) -> None:
    words = [sys.executable, "-m", "imagefs", "run", image, "--", "sh", "-c", "echo up; exec sleep 60"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        process.terminate()
        start = time.monotonic()
        assert process.wait(10) == 128 + signal.SIGTERM
        assert time.monotonic() - start < 5


def test_help_says_where_the_command_stands(run_imagefs: Run) -> None:
    usage = run_imagefs("run", "--help").stdout.splitlines()[0]
    assert usage == b"usage: imagefs run [OPTION]... IMAGE... -- COMMAND [WORD]..."


@pytest.mark.parametrize(("words", "status"), [([], 64), (["--"], 64)])
def test_a_command_is_needed(image: Path, words: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(image), *words]) == status
    assert "a command is missing" in capsys.readouterr().err


def test_a_bad_image_runs_nothing(tmp_path: Path, run_imagefs: Run) -> None:
    bad = tmp_path / "bad.iso"
    bad.write_text("no image\n")
    done = run_imagefs("run", bad, "--", "touch", tmp_path / "ran")
    assert done.returncode == 65 and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_an_ordinary_user_needs_no_rights(image: Path, tree: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    Path("/dev/fuse").chmod(0o666)  # as udev has it
    caps = "-all,+dac_read_search"  # the interpreter may lie in root's folder
    keep = ["--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={caps}", f"--ambient-caps={caps}"]
    words = ["setpriv", *keep, sys.executable, "-m", "imagefs", "run", image, "--"]
    done = subprocess.run(
        [*words, "sh", "-c", 'id -u; cat "$IMAGEFS/hello.txt"'], capture_output=True, env=os.environ | {"HOME": "/tmp"}
    )
    assert (done.returncode, done.stdout) == (0, b"65534\nhello\n"), done.stderr
