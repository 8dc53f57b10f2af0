"""What parses an image without mounting it: completion of paths in it, and `mount.imagefs -f`. A decoder that was taken over
there can do as little as in a mount."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.confine.test_confine import needs_root
from tests.frontends.fuse import hostile
from tests.frontends.fuse.test_separate import REFUSED, targets

__all__ = ["targets"]
Run = subprocess.CompletedProcess[bytes]
OF_A_TERMINAL = ("type into the terminal",)
"""What cannot be tried without one."""


def imagefs(*words: object) -> Run:
    """imagefs with the hostile format."""
    command = [sys.executable, "-m", hostile.__name__, *map(str, words)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False)


def hostile_image(targets: dict[str, Any], **more: object) -> Path:
    image = Path(targets["image"])
    image.write_bytes(hostile.MAGIC + json.dumps(targets | {"skipped": OF_A_TERMINAL} | more).encode())
    return image


@pytest.mark.parametrize("when", ["opening", "now"])
def test_a_decoder_that_was_taken_over_by_a_tabulator_key_can_do_nothing(targets: dict[str, Any], when: str) -> None:
    done = imagefs("complete-path", hostile_image(targets), f"{when}/")
    found = dict(line.rstrip("/").removeprefix(f"{when}/").split("=") for line in done.stdout.decode().splitlines())
    assert (done.returncode, done.stderr) == (0, b"")
    assert found.keys() == hostile.TRIES.keys() - set(OF_A_TERMINAL)
    assert {name: value for name, value in found.items() if value not in REFUSED} == {}


def test_nor_by_what_checks_whether_it_can_be_mounted(targets: dict[str, Any]) -> None:
    """Its own end is all that it can do to itself, and that is told."""
    secret = Path(targets["outside"])
    image = hostile_image(targets)
    assert imagefs("mount.imagefs", image, targets["place"], "-f", "-o", "ro").returncode == 0
    assert sorted(path.name for path in image.parent.iterdir()) == [image.name]
    assert secret.read_text() == "secret\n"
    for end, said in ((9, "was ended by SIGKILL"), (-3, "ended with status 3")):
        done = imagefs("mount.imagefs", hostile_image(targets, end=end), targets["place"], "-f")
        line = f"mount.imagefs: {image}: the process that reads the image {said}\n"
        assert (done.returncode, done.stderr.decode()) == (32, line)


def test_without_the_sandbox_it_could_do_all_that_who_calls_may(targets: dict[str, Any]) -> None:
    """So the tries above are no empty ones."""
    words = ("rename the image", "trace", "unmount", "mount", "namespace", "chroot")
    image = hostile_image(targets, skipped=[*OF_A_TERMINAL, *words])
    assert imagefs("mount.imagefs", image, targets["place"], "-f", "-o", "nosandbox").returncode == 0
    assert {path.name for path in image.parent.iterdir()} == {image.name, f"{image.name}.new", f"{image.name}.folder"}


@needs_root
def test_an_image_that_only_root_may_read(tmp_path: Path, make_iso: Any, tree: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    image = make_iso(tree, "-R").rename(closed / "disc.iso")
    image.chmod(0o600)
    closed.chmod(0o700)
    os.chown(image, 0, 0)
    assert b"docs/\n" in imagefs("complete-path", image, "").stdout
    assert imagefs("mount.imagefs", image, tree, "-f").returncode == 0
