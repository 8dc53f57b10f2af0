"""The control socket: requests and answers, who may ask, and that no client hurts another."""

import contextlib
import errno
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from imagefs import errors
from imagefs.daemon import control as control_module
from imagefs.daemon.client import DaemonError, ask
from imagefs.daemon.control import CLIENTS, REQUEST_BYTES, Control
from imagefs.daemon.library import Library
from imagefs.daemon.metrics import Facts
from imagefs.options import Options
from tests.daemon.fakes import STARTED, Daemon, image_status, make_daemon, running

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running(make_daemon(tmp_path)) as made:
        yield made


def say(daemon: Daemon, **request: object) -> Any:
    """The answer of the control to a request, without a socket."""
    return json.loads(daemon.control.answer(json.dumps(request).encode()))


def error_of(answer: Any) -> tuple[str, str, int, int]:
    assert answer["ok"] is False
    assert set(answer) == {"ok", "error"}
    error = answer["error"]
    return error["class"], error["message"], error["errno"], error["status"]


# --- requests -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon whose control is asked without a socket."""
    made = make_daemon(tmp_path)
    yield made
    made.control.close()


def test_attach_and_detach(silent: Daemon, tmp_path: Path):
    answer = say(silent, command="attach", path="/srv/a.iso")
    assert answer == {"ok": True, "result": {"name": "a.iso", "folder": f"{tmp_path}/root/a.iso"}}
    answer = say(silent, command="attach", path="/srv/x/../b.iso", name="b", options="tree=udf,ro")
    assert answer["result"] == {"name": "b", "folder": f"{tmp_path}/root/b"}
    assert silent.library.images == {"a.iso": image_status("a.iso", "/srv/a.iso"), "b": image_status("b", "/srv/b.iso")}
    assert silent.library.options == {"a.iso": None, "b": Options(tree="udf")}
    assert say(silent, command="detach", name="b") == {"ok": True, "result": {}}
    assert say(silent, command="detach", path="/srv/./a.iso") == {"ok": True, "result": {}}
    assert silent.library.images == {}


def test_detach_takes_a_name_before_a_path(silent: Daemon):
    say(silent, command="attach", path="/here/disc", name="other")
    say(silent, command="attach", path="/there/x.iso", name="disc")
    say(silent, command="detach", name="disc", path="/here/disc")
    assert set(silent.library.images) == {"other"}
    say(silent, command="detach", name="disc", path="/here/disc")
    assert set(silent.library.images) == set()


def test_list_and_status(silent: Daemon, tmp_path: Path):
    silent.library.images = {
        "a": image_status("a", "/a.iso", "open", None, "iso9660", 12.5, 3, 40, True),
        "b": image_status("b", "/b.iso", "failed", "damaged at byte 5: no"),
        "\udcff": image_status("\udcff", "/\udcff", "idle"),
    }
    rows = say(silent, command="list")["result"]
    assert rows[0] == {
        "folder": f"{tmp_path}/root/a",
        "name": "a",
        "path": "/a.iso",
        "state": "open",
        "error": None,
        "container": "iso9660",
        "opened_at": 12.5,
        "opens": 3,
        "requests": 40,
        "watched": True,
    }
    assert [row["name"] for row in rows] == ["a", "b", "\udcff"]
    said = say(silent, command="status")["result"]
    assert said["images"] == {"idle": 1, "opening": 0, "open": 1, "failed": 1, "hung": 0, "waiting": 0}
    assert said["trouble"] == [{"name": "b", "state": "failed", "error": "damaged at byte 5: no"}]
    assert (said["opens"], said["failures"], said["requests"]) == (7, 2, 1234)
    assert (said["pid"], said["root"], said["started"]) == (os.getpid(), f"{tmp_path}/root", STARTED)
    assert said["config"] == str(silent.file)
    assert said["resident_bytes"] > 1 << 20
    assert set(said["cache"]) >= {"hits", "misses", "evictions", "bytes_in", "bytes_decoded", "resident", "limit"}
    assert say(silent, command="metrics")["result"].startswith("# HELP imagefs_build_info ")


@pytest.mark.parametrize(
    ("line", "said"),
    (
        (b"", "the request is not a line of JSON"),
        (b"hello", "the request is not a line of JSON"),
        (b"\xff\xfe", "the request is not a line of JSON"),
        (b"[" * 30000, "the request is not a line of JSON"),
        (b"9" * 30000, "the request is not a line of JSON"),
        (b"[]", "a request is an object with a command"),
        (b"{}", "a request is an object with a command"),
        (b'{"command": 3}', "a request is an object with a command"),
        (
            b'{"command": "mount"}',
            "there is no command 'mount'; known are attach, detach, list, status, metrics, reload",
        ),
        (b'{"command": "list", "path": "/a"}', "list takes no 'path'"),
        (b'{"command": "attach"}', "attach takes a path"),
        (b'{"command": "attach", "path": null}', "attach takes a path"),
        (b'{"command": "attach", "path": 5}', "path is not a text"),
        (b'{"command": "attach", "path": "/a\\u0000"}', "path is not a text"),
        (b'{"command": "attach", "path": "/a\\ud800"}', "path is not a text"),
        (b'{"command": "attach", "path": "a.iso"}', "the path 'a.iso' is not absolute"),
        (b'{"command": "attach", "path": "/a", "name": "x/y"}', "'x/y' cannot be the name of a folder"),
        (b'{"command": "attach", "path": "/a", "name": ".."}', "'..' cannot be the name of a folder"),
        (
            b'{"command": "attach", "path": "/a", "options": "tint"}',
            "option 'tint' is not known; see imagefs mount --help",
        ),
        (
            b'{"command": "attach", "path": "/a", "options": "uid=7"}',
            "option uid is for all images of the daemon; it stands in its configuration alone",
        ),
        (b'{"command": "detach"}', "detach takes a name or a path"),
        (b'{"command": "detach", "path": "a"}', "the path 'a' is not absolute"),
    ),
)
def test_wrong_requests(silent: Daemon, line: bytes, said: str):
    answer = json.loads(silent.control.answer(line))
    assert error_of(answer) == ("UsageError", said, errno.EINVAL, 64)
    assert silent.library.images == {}


@pytest.mark.parametrize(
    ("error", "said"),
    (
        (errors.NotFoundError("no such image"), ("NotFoundError", "no such image", errno.ENOENT, 66)),
        (errors.DamagedError(5, "torn"), ("DamagedError", "damaged at byte 5: torn", errno.EIO, 65)),
        (errors.UnsupportedError("x"), ("UnsupportedError", "x", errno.EOPNOTSUPP, 69)),
        (errors.PasswordError("needed"), ("PasswordError", "needed", errno.EACCES, 77)),
        (PermissionError(13, "Permission denied", "/a"), ("OSError", "Permission denied: /a", errno.EACCES, 71)),
        (OSError(5, "Input/output error"), ("OSError", "Input/output error", errno.EIO, 74)),
        (
            RuntimeError("what nobody\nthought of"),
            (
                "internal",
                "internal error of the daemon, please report it: RuntimeError: what nobody thought of",
                errno.EIO,
                70,
            ),
        ),
    ),
)
def test_errors_are_those_of_the_command_line(daemon: Daemon, error: Exception, said: tuple[str, str, int, int]):
    daemon.library.trouble = error
    assert error_of(say(daemon, command="attach", path="/a")) == said
    with pytest.raises(DaemonError) as caught:
        ask(daemon.socket, "attach", path="/a")
    got = caught.value
    assert (got.kind, errors.message_of(got), errors.errno_of(got), errors.exit_status(got)) == said


@pytest.fixture(scope="module")
def asked_anything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = make_daemon(tmp_path_factory.mktemp("daemon"))
    yield made
    made.control.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Surrogates included."""


@given(line=st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_line_has_an_answer(asked_anything: Daemon, line: bytes):
    answer = asked_anything.control.answer(line)
    assert answer.endswith(b"\n")
    assert answer.count(b"\n") == 1
    assert error_of(json.loads(answer))[0] == "UsageError"


@given(
    command=st.sampled_from(["attach", "detach", "list", "status", "metrics", "reload"]),
    fields=st.dictionaries(
        st.sampled_from(["path", "name", "options", "x"]), ANY_TEXT | ANY_TEXT.map("/".__add__) | JSON
    ),
)
def test_any_fields_have_an_answer(asked_anything: Daemon, command: str, fields: dict[str, object]):
    answer = say(asked_anything, command=command, **fields)
    assert answer["ok"] or answer["error"]["class"] in ("UsageError", "NotFoundError")


# --- reload -------------------------------------------------------------------------------------------------------------


def test_reload(daemon: Daemon, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    daemon.file.write_text("root = '/elsewhere'\nwatch = ['/w', '/bad']\nidle_seconds = 5\noptions = 'tree=rr'")
    daemon.target.bad = {"/bad"}
    with caplog.at_level("INFO", "imagefs"):
        result = ask(daemon.socket, "reload")
    assert result == {
        "done": ["idle_seconds = 5.0", "watching /w"],
        "restart": ["root = /elsewhere waits until the daemon is started again"],
        "failed": [
            {
                "about": "/bad",
                "class": "NotFoundError",
                "message": "it is not there",
                "errno": errno.ENOENT,
                "status": 66,
            }
        ],
    }
    assert [record.getMessage() for record in caplog.records] == [
        *result["done"],
        *result["restart"],
        "/bad: it is not there",
    ]


def test_a_broken_file_changes_nothing_and_says_why(daemon: Daemon, caplog: pytest.LogCaptureFixture):
    daemon.file.write_text("watch = ['/w']\nroot = 5\n")
    with pytest.raises(DaemonError, match=f"{daemon.file}:2: root takes a path, not 5") as caught:
        ask(daemon.socket, "reload")
    assert (caught.value.kind, caught.value.status) == ("UsageError", 64)
    assert daemon.target.taken() == []
    (record,) = caplog.records
    assert record.getMessage() == f"{daemon.file}:2: root takes a path, not 5; the configuration stays as it was"


async def test_hangup_reloads(silent: Daemon):
    async with trio.open_nursery() as nursery:
        await nursery.start(control_module.reload_on_hangup, silent.reloader)
        for seconds in (7, 8, 0.5):
            silent.file.write_text(
                f"options = 'tree=rr'\nroot = '{silent.reloader.config.root}'\nidle_seconds = {seconds}"
            )
            os.kill(os.getpid(), signal.SIGHUP)
            with trio.fail_after(5):
                while silent.reloader.config.idle_seconds != seconds:
                    await trio.sleep(0.01)
        silent.file.write_text("broken")
        os.kill(os.getpid(), signal.SIGHUP)
        await trio.sleep(0.1)
        assert silent.reloader.config.idle_seconds == 0.5
        nursery.cancel_scope.cancel()


def test_the_service_manager_knows_of_a_reload(daemon: Daemon, monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    monkeypatch.setattr(control_module, "notify", said.append)
    ask(daemon.socket, "reload")
    assert [text.partition("\n")[0] for text in said] == ["RELOADING=1", "READY=1"]


# --- the socket ---------------------------------------------------------------------------------------------------------


class Client:
    """A connection that speaks as the test wants."""

    def __init__(self, daemon: Daemon) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        self.socket.connect(daemon.socket)
        self.lines = self.socket.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.lines.close()
        self.socket.close()

    def line(self) -> Any:
        """The next answer; None at the end."""
        line = self.lines.readline()
        return json.loads(line) if line else None


LIST = b'{"command": "list"}\n'
EMPTY = {"ok": True, "result": []}


def test_a_connection_may_ask_often_and_in_pieces(daemon: Daemon):
    with Client(daemon) as client:
        client.socket.sendall(LIST)
        assert client.line() == EMPTY
        client.socket.sendall(LIST + LIST[:5])
        assert client.line() == EMPTY
        client.socket.sendall(LIST[5:] + b"\n" + LIST)
        assert client.line() == EMPTY
        assert error_of(client.line())[1] == "the request is not a line of JSON"
        assert client.line() == EMPTY


def test_who_has_said_all_still_hears_the_answers(daemon: Daemon):
    with Client(daemon) as client:
        client.socket.sendall(LIST * 3 + LIST[:-1])  # what does not end is no request
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.line() for _ in range(4)] == [EMPTY, EMPTY, EMPTY, None]


def test_a_request_of_any_length_that_is_allowed(daemon: Daemon):
    with Client(daemon) as client:
        for size in (REQUEST_BYTES, REQUEST_BYTES // 2 + 1):
            line = b'{"command": "attach", "path": "/'
            line += b"a" * (size - len(line) - 2) + b'"}'
            assert len(line) == size
            client.socket.sendall(line + b"\n")
            assert client.line()["ok"] is True


@pytest.mark.parametrize("line", (b"x" * (REQUEST_BYTES + 1) + b"\n", b"x" * (4 * REQUEST_BYTES)))
def test_a_line_that_is_too_long_ends_the_connection(daemon: Daemon, line: bytes):
    with Client(daemon) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.socket.sendall(line)
        with contextlib.suppress(ConnectionResetError):  # when there was more than it had read
            assert error_of(client.line()) == ("UsageError", f"a request has at most {REQUEST_BYTES} bytes", 22, 64)
            assert client.line() is None
    assert ask(daemon.socket, "list") == []


def test_slow_and_silent_clients_hurt_nobody_and_go(daemon: Daemon, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(control_module, "PATIENCE_SECONDS", 0.4)
    with Client(daemon) as silent_one, Client(daemon) as slow, Client(daemon) as gone:
        slow.socket.sendall(LIST[:7])
        gone.socket.sendall(LIST * 50)
        gone.socket.close()
        began = time.monotonic()
        assert ask(daemon.socket, "list") == []
        assert time.monotonic() - began < 0.3
        assert silent_one.line() is None
        assert slow.line() is None
        assert time.monotonic() - began > 0.3
    assert ask(daemon.socket, "list") == []


def test_who_takes_no_answers_is_left(daemon: Daemon, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(control_module, "PATIENCE_SECONDS", 0.4)
    daemon.library.images = {str(i): image_status(str(i), "/" + "x" * 1000) for i in range(2000)}
    with Client(daemon) as greedy:
        with contextlib.suppress(BrokenPipeError, TimeoutError):
            greedy.socket.settimeout(3)
            greedy.socket.sendall(LIST * 100_000)
        assert len(ask(daemon.socket, "list")) == 2000


def test_a_request_that_hangs_is_given_up_and_others_go_on(daemon: Daemon, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(control_module, "PATIENCE_SECONDS", 0.5)
    daemon.library.waits = threading.Event()
    with Client(daemon) as client:
        client.socket.sendall(LIST)
        assert ask(daemon.socket, "attach", path="/a.iso")["name"] == "a.iso"
        assert error_of(client.line()) == ("OSError", "not done within 0.5 seconds", errno.ETIMEDOUT, 71)


def test_more_clients_than_there_may_be_are_told_so(daemon: Daemon, caplog: pytest.LogCaptureFixture):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(daemon)) for _ in range(CLIENTS)]
        clients[-1].socket.sendall(LIST)
        assert clients[-1].line() == EMPTY
        with pytest.raises(DaemonError, match=f"has {CLIENTS} clients already"):
            ask(daemon.socket, "list")
        clients[0].socket.sendall(LIST)
        assert clients[0].line() == EMPTY
        clients[1].__exit__()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(DaemonError):
                assert ask(daemon.socket, "list") == []
                break
            time.sleep(0.01)
        else:
            pytest.fail("the place of a client that left stays taken")


def test_ten_thousand_images_are_one_answer(daemon: Daemon):
    daemon.library.images = {str(i): image_status(str(i), f"/srv/images/{i}.iso") for i in range(10_000)}
    assert len(ask(daemon.socket, "list")) == 10_000


def test_the_end_of_the_daemon_ends_connections(tmp_path: Path):
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(running(make_daemon(tmp_path)))
        client = Client(daemon)
        client.socket.sendall(LIST)
        assert client.line() == EMPTY
        stack.close()
        assert client.line() is None
        client.__exit__()
    assert not Path(daemon.socket).exists()


# --- who may ask --------------------------------------------------------------------------------------------------------


def as_user(user: int, code: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run Python code that ends up as another user: the interpreter itself may lie where that one cannot go."""
    # What is imported later has to be imported before.
    head = f"import os, sys\nfrom imagefs.daemon import client, places\nos.setgroups([])\nos.setresuid(*[{user}] * 3)\n"
    return subprocess.run(
        [sys.executable, "-c", head + code, *words], capture_output=True, text=True, timeout=30, check=False
    )


ASK = """
try:
    print(client.ask(sys.argv[1], "list"))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@needs_root
def test_other_users_cannot_open_the_socket(open_folder: Path):
    with running(make_daemon(open_folder)) as daemon:
        assert stat.S_IMODE(os.stat(daemon.socket).st_mode) == 0o600
        assert (
            as_user(NOBODY, ASK, daemon.socket).stdout
            == f"PermissionError [Errno 13] Permission denied: '{daemon.socket}'\n"
        )


@needs_root
def test_other_users_are_refused_whatever_the_sockets_mode(open_folder: Path, caplog: pytest.LogCaptureFixture):
    with running(make_daemon(open_folder)) as daemon:
        os.chmod(daemon.socket, 0o666)
        said = as_user(NOBODY, ASK, daemon.socket).stdout
        assert said == f"DaemonError user {NOBODY} may not control the daemon of user 0\n"
        assert ask(daemon.socket, "list") == []
    assert [record.getMessage() for record in caplog.records] == [f"user {NOBODY} was refused on the control socket"]


SERVE = """
listener = places.listen(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
print("ready", flush=True)
peer, _ = listener.socket.accept()
peer.recv(1000)
peer.sendall(b'{"ok": true, "result": ["believed"]}\\n')
"""


@needs_root
@pytest.mark.parametrize(
    ("server", "client", "said"),
    (
        (NOBODY, NOBODY, "['believed']"),
        (NOBODY, 0, "['believed']"),
        (NOBODY, NOBODY - 1, "PermissionError [Errno 1] the daemon there is of user 65534, who is not trusted: '{}'"),
    ),
)
def test_a_daemon_of_somebody_else_is_not_believed(open_folder: Path, server: int, client: int, said: str):
    place = open_folder / "s" / "control.sock"
    place.parent.mkdir()
    os.chown(place.parent, server, server)
    head = (
        f"import os, sys\nfrom imagefs.daemon import client, places\nos.setgroups([])\nos.setresuid(*[{server}] * 3)\n"
    )
    with subprocess.Popen([sys.executable, "-c", head + SERVE, place], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            assert as_user(client, ASK, str(place)).stdout.strip() == said.format(place)
        finally:
            process.kill()


# --- with real images ---------------------------------------------------------------------------------------------------


@pytest.fixture
def real(tmp_path: Path) -> Iterator[tuple[Daemon, Library]]:
    """A daemon with a library of images that are opened."""
    made, library = make_daemon(tmp_path), Library()
    made.control.close()
    control = Control(library, made.reloader, Facts(None, "none", STARTED))
    with running(made._replace(control=control)) as daemon:
        yield daemon, library


@pytest.mark.foreign
def test_an_image_from_attach_to_detach(real: tuple[Daemon, Library], make_iso: Callable[..., Path], tree: Path):
    daemon, library = real
    image = make_iso(tree, "-R")
    given = ask(daemon.socket, "attach", path=str(image), name="here")
    assert given == {"name": "here", "folder": f"{daemon.reloader.config.root}/here"}
    (row,) = ask(daemon.socket, "list")
    assert (row["name"], row["path"], row["state"], row["opens"], row["watched"]) == (
        "here",
        str(image),
        "idle",
        0,
        False,
    )

    folder = library.lookup(library.root, b"here")
    assert folder is not None
    hello = library.lookup(folder, b"hello.txt")
    assert hello is not None
    assert library.open(hello).pread(0, 100) == b"hello\n"
    (row,) = ask(daemon.socket, "list")
    assert (row["state"], row["opens"], row["error"]) == ("open", 1, None)
    assert row["requests"] > 0
    assert row["opened_at"] == pytest.approx(time.time(), abs=60)
    said = ask(daemon.socket, "status")
    assert (said["opens"], said["failures"], said["requests"]) == (1, 0, row["requests"])

    ask(daemon.socket, "detach", path=str(image))
    assert ask(daemon.socket, "list") == []
    assert ask(daemon.socket, "status")["requests"] == said["requests"], "what was counted stays counted"


def test_an_image_that_cannot_be_opened(real: tuple[Daemon, Library], tmp_path: Path):
    daemon, library = real
    (tmp_path / "poem.iso").write_text("a poem")
    ask(daemon.socket, "attach", path=str(tmp_path / "poem.iso"))
    folder = library.lookup(library.root, b"poem")
    assert folder is not None
    with pytest.raises(errors.NotAnImageError):
        library.entries(folder)
    (trouble,) = ask(daemon.socket, "status")["trouble"]
    (row,) = ask(daemon.socket, "list")
    assert (trouble["name"], trouble["state"]) == ("poem", "failed")
    assert row["error"] == trouble["error"]
    metrics = ask(daemon.socket, "metrics")
    assert 'imagefs_image_trouble{image="poem",state="failed"} 1\n' in metrics
    assert "imagefs_failures_total 1\n" in metrics


@pytest.mark.parametrize(
    ("path", "said"),
    (("nothing.iso", ("NotFoundError", 66)), ("", ("NotAnImageError", 65)), ("imagefs.toml/x", ("NotFoundError", 66))),
)
def test_what_cannot_be_attached(real: tuple[Daemon, Library], tmp_path: Path, path: str, said: tuple[str, int]):
    with pytest.raises(DaemonError) as caught:
        ask(real[0].socket, "attach", path=str(tmp_path / path))
    assert (caught.value.kind, caught.value.status) == said


CONFINED = """
import os, pathlib, sys, trio
from imagefs.confine import confine
from imagefs.daemon import places
from imagefs.daemon.control import reload_on_hangup, serve_control
from tests.daemon.fakes import make_daemon

daemon = make_daemon(pathlib.Path(sys.argv[1]))
listener = places.listen(daemon.socket)
confine([sys.argv[1]], calls=["accept4"])

async def main():
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, daemon.control, listener.socket)
        await nursery.start(reload_on_hangup, daemon.reloader)
        print("ready", flush=True)

trio.run(main)
"""


def test_a_confined_daemon_answers_all_the_same(tmp_path: Path):
    """Confined, a process opens only what was named, makes no sockets, and tells no service manager."""
    place, file = str(tmp_path / "run" / "control.sock"), tmp_path / "imagefs.toml"
    environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    words = [sys.executable, "-c", CONFINED, tmp_path]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            assert ask(place, "attach", path="/a.iso")["name"] == "a.iso"
            assert ask(place, "status")["resident_bytes"] > 1 << 20
            assert ask(place, "metrics").startswith("# HELP ")
            for seconds in (5.0, 6.0):
                file.write_text(f"root = '{tmp_path}/root'\noptions = 'tree=rr'\nidle_seconds = {seconds}")
                assert ask(place, "reload")["done"] == [f"idle_seconds = {seconds}"]
            process.send_signal(signal.SIGHUP)
            assert ask(place, "detach", name="a.iso") == {}
        finally:
            process.kill()


# --- the page -----------------------------------------------------------------------------------------------------------


def test_the_page_of_the_protocol_is_whole(silent: Daemon):
    """docs/control.md names every command with what it takes, every key of every answer, every class with its numbers."""
    page = (Path(__file__).parent.parent.parent / "docs" / "control.md").read_text()
    for name, command in control_module._COMMANDS.items():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert all(f"`{word}`" in row for word in command.takes)
    silent.library.images = {"a": image_status("a", "/a", "failed")}
    (image,), said = say(silent, command="list")["result"], say(silent, command="status")["result"]
    keys = {*image, *said, *said["cache"], *said["images"], *said["trouble"][0]}
    assert [key for key in keys if f"`{key}`" not in page] == []
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.ImageError) and kind is not errors.ImageError:
            row = re.search(rf"^\|[^|]*`{kind.__name__}`[^|]*\| (\d+) (\w+) \| (\d+) \|", page, re.MULTILINE)
            assert row, kind
            assert (int(row[1]), getattr(errno, row[2]), int(row[3])) == (kind.errno, kind.errno, kind.status)
    assert f"{REQUEST_BYTES >> 10} KiB for a request, {CLIENTS} clients" in page
    assert f"{control_module.PATIENCE_SECONDS:g} seconds" in page
