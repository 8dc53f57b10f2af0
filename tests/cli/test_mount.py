"""The words of `imagefs mount`, `umount` and `list`; what they do to a system is tested with the frontend."""

import json
import logging
from typing import Any

import pytest

from imagefs import cache
from imagefs.errors import NotFoundError
from imagefs.frontends.fuse import session
from imagefs.options import Options
from tests.cli.conftest import Imagefs


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the frontend was asked for."""
    found: list[tuple[Any, ...]] = []

    def mount_image(path, mountpoint, options, *, foreground, cache_bytes):
        found.append((path, mountpoint, options, foreground, cache_bytes))
        return 0

    def unmount(target, *, lazy):
        found.append((target, lazy))

    monkeypatch.setattr(session, "mount_image", mount_image)
    monkeypatch.setattr(session, "unmount", unmount)
    monkeypatch.setattr(cache, "configure", lambda size: None)
    return found


@pytest.mark.parametrize(
    ("words", "call"),
    (
        (["disc.iso"], ("disc.iso", None, Options(), False, None)),
        (["disc.iso", "/mnt", "-f"], ("disc.iso", "/mnt", Options(), True, None)),
        (
            ["-o", "ro,uid=5", "--cache-size", "1G", "disc.iso", "-o", "tree=udf", "/mnt"],
            ("disc.iso", "/mnt", Options(uid=5, tree="udf"), False, 1 << 30),
        ),
        (["--password-file", "secret", "disc.iso", "/mnt"], ("disc.iso", "/mnt", Options(), False, None)),
        (["--no-sandbox", "disc.iso"], ("disc.iso", None, Options(sandbox=False), False, None)),
        (["-o", "nosandbox", "disc.iso", "--sandbox"], ("disc.iso", None, Options(sandbox=True), False, None)),
        (["--", "-disc.iso", "-mnt"], ("./-disc.iso", "./-mnt", Options(), False, None)),
    ),
)
def test_mount(imagefs: Imagefs, calls, words: list[str], call):
    assert imagefs("mount", *words) == (0, b"", [])
    assert calls == [call]


def test_mount_gives_back_the_frontends_status(imagefs: Imagefs, calls, monkeypatch):
    monkeypatch.setattr(session, "mount_image", lambda *words, **more: 74)
    assert imagefs("mount", "disc.iso").status == 74


@pytest.mark.parametrize(("more", "lines"), (([], ["imagefs: disc: odd"]), (["-q"], [])))
def test_what_a_mount_warns_of(imagefs: Imagefs, calls, monkeypatch, more: list[str], lines: list[str]):
    def mount_image(path, *words, **more):
        logging.getLogger("imagefs").warning("%s: %s", path, "odd")
        return 0

    monkeypatch.setattr(session, "mount_image", mount_image)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # those of the tests themselves
    assert imagefs("mount", *more, "disc").errors == lines


def test_a_warning_steers_no_terminal(imagefs: Imagefs, calls, monkeypatch):
    def mount_image(path, *words, **more):
        logging.getLogger("imagefs").warning("%s: %s", path, "\x1b[2J is\nodd")
        return 0

    monkeypatch.setattr(session, "mount_image", mount_image)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    assert imagefs("mount", "disc").errors == [r"imagefs: disc: \x1b[2J is\x0aodd"]


@pytest.mark.parametrize("words", (["/mnt"], ["--lazy", "/mnt"], ["/mnt", "-l"]))
def test_umount(imagefs: Imagefs, calls, words: list[str]):
    assert imagefs("umount", *words) == (0, b"", [])
    assert calls == [("/mnt", len(words) > 1)]


def test_umount_of_what_is_not_mounted(imagefs: Imagefs, calls, monkeypatch):
    def unmount(target, *, lazy):
        raise NotFoundError("no imagefs is mounted there")

    monkeypatch.setattr(session, "unmount", unmount)
    assert imagefs("umount", "/mnt") == (66, b"", ["imagefs: /mnt: no imagefs is mounted there"])


MOUNTS = [
    session.MountInfo("/a/disc.iso", "/mnt/a", "ro,nosuid", True),
    session.MountInfo("/b.cue", "/mnt/b", "ro", False),
]


def test_list(imagefs: Imagefs, monkeypatch):
    monkeypatch.setattr(session, "mounts", lambda: MOUNTS)
    assert imagefs("list").out.decode() == (
        "/a/disc.iso on /mnt/a (ro,nosuid)\n/b.cue on /mnt/b (ro) (dead: imagefs umount takes it away)\n"
    )
    assert json.loads(imagefs("list", "--json").out) == [
        {"source": "/a/disc.iso", "mountpoint": "/mnt/a", "options": "ro,nosuid", "alive": True},
        {"source": "/b.cue", "mountpoint": "/mnt/b", "options": "ro", "alive": False},
    ]


def test_list_shows_no_control_characters(imagefs: Imagefs, monkeypatch):
    """A name must not steer the terminal, nor look like two mounts."""
    odd = session.MountInfo("/a\x1b[2J.iso", "/mnt/a\nb\udcff", "ro")
    monkeypatch.setattr(session, "mounts", lambda: [odd])
    assert imagefs("list").out == b"/a\\x1b[2J.iso on /mnt/a\\x0ab\\xff (ro)\n"
    assert json.loads(imagefs("list", "--json").out)[0]["mountpoint"] == odd.mountpoint


def test_list_of_nothing(imagefs: Imagefs, monkeypatch):
    monkeypatch.setattr(session, "mounts", list)
    assert imagefs("list") == (0, b"", [])
    assert imagefs("list", "--json").out == b"[]\n"
