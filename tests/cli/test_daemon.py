"""The commands that ask a running daemon: attach, detach, status, reload, and list beside the mounts."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefs.errors import DamagedError
from imagefs.frontends.fuse import session
from imagefs.frontends.fuse.mountinfo import MountInfo
from imagefs.options import Options
from tests.cli.conftest import Imagefs
from tests.daemon.fakes import Daemon, image_status, make_daemon, running


@pytest.fixture(autouse=True)
def nothing_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "mounts", list)


@pytest.fixture
def daemon(tmp_path: Path, nowhere: str) -> Iterator[Daemon]:
    """A daemon where the commands look for it."""
    made = make_daemon(tmp_path)
    assert made.socket == nowhere
    with running(made):
        yield made


# --- attach and detach --------------------------------------------------------------------------------------------------


def test_attach(imagefs: Imagefs, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert imagefs("attach", "a.iso") == (0, f"{tmp_path}/root/a.iso\n".encode(), [])
    assert imagefs("attach", "x/../b.iso", "bee", "-o", "ro,volume=2", "-o", "tree=udf").out == (
        f"{tmp_path}/root/bee\n".encode()
    )
    assert daemon.library.images == {
        "a.iso": image_status("a.iso", f"{tmp_path}/a.iso"),
        "bee": image_status("bee", f"{tmp_path}/b.iso"),
    }
    assert daemon.library.options == {"a.iso": None, "bee": Options(tree="udf", volume=2)}


def test_names_that_are_no_text_arrive_as_they_are(imagefs: Imagefs, daemon: Daemon):
    name = os.fsdecode(b"caf\xe9\n.iso")
    assert imagefs("attach", f"/{name}") == (0, os.fsencode(daemon.file.parent) + b"/root/caf\xe9\n.iso\n", [])
    assert list(daemon.library.images) == [name]
    assert imagefs("detach", name).status == 0


def test_detach_by_name_and_by_path(imagefs: Imagefs, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for words in (["bee"], ["b.iso"], ["./b.iso"], [str(tmp_path / "b.iso")]):
        imagefs("attach", "b.iso", "bee")
        assert imagefs("detach", *words) == (0, b"", [])
        assert daemon.library.images == {}


def test_a_path_is_not_taken_for_a_name(imagefs: Imagefs, daemon: Daemon, tmp_path: Path):
    imagefs("attach", "/b.iso", "bee")
    line = f"imagefs: {tmp_path}/bee: no image '{tmp_path}/bee' is attached"
    assert imagefs("detach", str(tmp_path / "bee")) == (66, b"", [line])


@pytest.mark.parametrize(
    ("words", "status", "line"),
    (
        (["attach", "/a", "x/y"], 64, "imagefs: /a: 'x/y' cannot be the name of a folder"),
        (["attach", "/a", "-o", "tint"], 64, "imagefs: /a: option 'tint' is not known; see imagefs mount --help"),
        (["detach", "/a"], 66, "imagefs: /a: no image '/a' is attached"),
    ),
)
def test_errors_of_the_daemon_look_like_our_own(
    imagefs: Imagefs, daemon: Daemon, words: list[str], status: int, line: str
):
    assert imagefs(*words) == (status, b"", [line])


@pytest.mark.parametrize(
    ("error", "status", "line"),
    (
        (DamagedError(5, "torn"), 65, "damaged at byte 5: torn"),
        (PermissionError(13, "Permission denied", "/b"), 71, "Permission denied: /b"),
        (OSError(5, "Input/output error"), 74, "Input/output error"),
        (KeyError("\x1b[2J"), 70, "internal error of the daemon, please report it: KeyError: '\\x1b[2J'"),
    ),
)
def test_what_the_daemon_meets(imagefs: Imagefs, daemon: Daemon, error: Exception, status: int, line: str):
    daemon.library.trouble = error
    assert imagefs("attach", "/a") == (status, b"", [f"imagefs: /a: {line}"])


# --- no daemon ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", (["attach", "/a"], ["detach", "a"], ["status"], ["status", "--metrics"], ["reload"]))
def test_no_daemon_is_one_line(imagefs: Imagefs, nowhere: str, words: list[str]):
    about = f"{words[1]}: " if words[0] in ("attach", "detach") else ""
    line = f"imagefs: {about}no daemon is running; imagefs serve starts one: {nowhere}"
    assert imagefs(*words) == (71, b"", [line])


def test_no_daemon_at_a_named_socket(imagefs: Imagefs, nowhere: str, tmp_path: Path):
    named = tmp_path / "named.sock"
    named.write_text("no socket")
    for words in (["status"], ["list"]):
        (line,) = imagefs(*words, "--socket", named).errors
        assert line == f"imagefs: no daemon is running; imagefs serve starts one: {named}"


def test_what_speaks_another_language(imagefs: Imagefs, daemon: Daemon, monkeypatch: pytest.MonkeyPatch):
    for answer in (b"", b"hello\n", b"{}\n", b'{"ok": false}\n', b'{"ok": false, "error": {"class": 1}}\n'):
        monkeypatch.setattr(daemon.control, "answer", lambda line, answer=answer: answer or b"\n")
        assert imagefs("reload") == (71, b"", [f"imagefs: the daemon broke off in its answer: {daemon.socket}"])


# --- list ---------------------------------------------------------------------------------------------------------------

IMAGES = {
    "a": image_status("a", "/srv/a.iso", "open", None, "iso9660", 12.5, 3, 1, True),
    "b": image_status("b", "/srv/b.cue", "failed", "its part 'b.bin' is missing"),
}


def test_list_has_mounts_and_images(imagefs: Imagefs, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session, "mounts", lambda: [MountInfo("/x.iso", "/mnt", "ro")])
    daemon.library.images = IMAGES
    assert imagefs("list").out.decode() == (
        "/x.iso on /mnt (ro)\n"
        f"/srv/a.iso on {tmp_path}/root/a (iso9660, open, 3 opens, 1 request)\n"
        f"/srv/b.cue on {tmp_path}/root/b (failed, 0 opens, 0 requests): its part 'b.bin' is missing\n"
    )
    assert json.loads(imagefs("list", "--json").out) == [
        {"source": "/x.iso", "mountpoint": "/mnt", "options": "ro", "alive": True},
        {
            "source": "/srv/a.iso",
            "mountpoint": f"{tmp_path}/root/a",
            "options": "",
            "alive": True,
            "name": "a",
            "state": "open",
            "error": None,
            "container": "iso9660",
            "opened_at": 12.5,
            "opens": 3,
            "requests": 1,
            "watched": True,
        },
        {
            "source": "/srv/b.cue",
            "mountpoint": f"{tmp_path}/root/b",
            "options": "",
            "alive": False,
            "name": "b",
            "state": "failed",
            "error": "its part 'b.bin' is missing",
            "container": None,
            "opened_at": None,
            "opens": 0,
            "requests": 0,
            "watched": False,
        },
    ]


def test_list_needs_no_daemon(imagefs: Imagefs, nowhere: str):
    assert imagefs("list") == (0, b"", [])
    assert imagefs("list", "--json") == (0, b"[]\n", [])


def test_list_shows_the_mounts_when_the_daemon_does_not_answer(
    imagefs: Imagefs, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "mounts", lambda: [MountInfo("/x.iso", "/mnt", "ro")])
    monkeypatch.setattr(daemon.control, "answer", lambda line: b"?\n")
    line = f"imagefs: the daemon broke off in its answer: {daemon.socket}"
    assert imagefs("list") == (71, b"/x.iso on /mnt (ro)\n", [line])


# --- status -------------------------------------------------------------------------------------------------------------


def test_status(imagefs: Imagefs, daemon: Daemon):
    daemon.library.images = IMAGES
    daemon.file.write_text(f"watch = ['/w', {{path = '/v', recursive = true}}]\nroot = '{daemon.reloader.config.root}'")
    imagefs("reload")
    lines = imagefs("status").out.decode().splitlines()
    assert re.fullmatch(rf"daemon   imagefs \S+, process {os.getpid()}, up \d+:\d\d(:\d\d)?", lines[0])
    assert lines[1:8] == [
        f"root     {daemon.reloader.config.root}",
        f"config   {daemon.file}",
        "sandbox  none",
        "watch    /w",
        "watch    /v and the folders in it",
        "images   1 open, 1 failed",
        "opened   7 times, 2 failed; 1234 requests",
    ]
    assert re.fullmatch(r"cache    \S+ \w+ of 64\.0 MiB; \d+ hits, \d+ misses", lines[8])
    assert re.fullmatch(r"memory   \S+ MiB", lines[9])
    assert lines[10:] == ["failed   b: its part 'b.bin' is missing"]


def test_status_as_json_and_metrics(imagefs: Imagefs, daemon: Daemon):
    said = json.loads(imagefs("status", "--json").out)
    assert (said["root"], said["requests"]) == (daemon.reloader.config.root, 1234)
    assert b"\nimagefs_requests_total 1234\n" in imagefs("status", "--metrics").out
    assert imagefs("status", "--json", "--metrics").status == 64


# --- reload -------------------------------------------------------------------------------------------------------------


def test_reload(imagefs: Imagefs, daemon: Daemon):
    daemon.file.write_text("root = '/elsewhere'\noptions = 'tree=rr'\nidle_seconds = 5\nwatch = ['/bad', '/w']")
    daemon.target.bad = {"/bad"}
    assert imagefs("reload") == (
        66,
        b"idle_seconds = 5.0\nwatching /w\n",
        [
            "imagefs: warning: root = /elsewhere waits until the daemon is started again",
            "imagefs: /bad: it is not there",
        ],
    )
    assert imagefs("reload", "--quiet") == (66, b"", ["imagefs: /bad: it is not there"])
    daemon.target.bad = set()
    assert imagefs("reload", "-q") == (0, b"", [])


def test_reload_of_a_broken_file(imagefs: Imagefs, daemon: Daemon):
    daemon.file.write_text("wacth = []")
    line = f"imagefs: {daemon.file}:1: key 'wacth' is not known; did you mean 'watch'?"
    assert imagefs("reload") == (64, b"", [line])
