"""Where the control socket lies, and that it is made safely or taken over from systemd."""

import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from imagefs.daemon import places

ROOT = os.geteuid() == 0


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "run" / "imagefs" / "control.sock")


def test_a_socket_for_its_owner_alone(place: str):
    before = os.umask(0)
    try:
        listener = places.listen(place)
        assert os.umask(0) == 0, "the umask is as it was"
    finally:
        os.umask(before)
    mode = os.stat(place).st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    folder = stat.S_IMODE(os.stat(os.path.dirname(place)).st_mode)
    assert folder == (0o755 if ROOT else 0o700)
    assert not listener.socket.get_inheritable()
    listener.close()
    assert not os.path.lexists(place)


def test_a_second_daemon_is_refused_and_harms_nothing(place: str):
    listener = places.listen(place)
    with pytest.raises(OSError, match="a daemon is running already; see imagefs status") as caught:
        places.listen(place)
    assert (caught.value.errno, caught.value.filename) == (errno.EADDRINUSE, place)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(place)
    listener.close()


def test_a_daemon_that_answers_nobody_any_more_is_there_all_the_same(place: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(places, "BACKLOG", 0)
    listener = places.listen(place)
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(place)
    with pytest.raises(OSError, match="a daemon is running already"):
        places.listen(place)
    for one in waiting:
        one.close()
    listener.close()


def test_what_a_dead_daemon_left_is_replaced(place: str):
    dead = places.listen(place)
    dead.socket.close()
    listener = places.listen(place)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(place)
    listener.close()


def test_who_holds_the_folder_for_ever_stops_no_daemon(place: str, monkeypatch: pytest.MonkeyPatch):
    """Root's is open to all, and so can be locked by anybody."""
    monkeypatch.setattr(places, "STARTING_SECONDS", 0.05)
    os.makedirs(os.path.dirname(place))
    held = os.open(os.path.dirname(place), os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    places.listen(place).close()
    os.close(held)


def test_of_daemons_that_start_at_once_one_gets_it(place: str):
    won: list[places.Listener] = []
    lost: list[OSError] = []

    def start() -> None:
        try:
            won.append(places.listen(place))
        except OSError as error:
            lost.append(error)

    os.makedirs(os.path.dirname(place))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(place)
    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), {error.errno for error in lost}) == (1, {errno.EADDRINUSE})
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(place)
    won[0].close()


def test_what_is_no_socket_is_left_alone(place: str):
    os.makedirs(os.path.dirname(place))
    Path(place).write_text("a poem")
    with pytest.raises(FileExistsError, match="is there and no socket"):
        places.listen(place)
    assert Path(place).read_text() == "a poem"


def test_a_link_is_not_followed(place: str, tmp_path: Path):
    os.makedirs(os.path.dirname(place))
    os.symlink(tmp_path / "elsewhere", place)
    with pytest.raises(FileExistsError):
        places.listen(place)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_others_write_to_is_refused(place: str):
    folder = os.path.dirname(place)
    os.makedirs(folder)
    os.chmod(folder, 0o777)
    with pytest.raises(PermissionError, match="others can write to the folder of the control socket"):
        places.listen(place)
    os.chmod(folder, 0o1777)
    places.listen(place).close()


@pytest.mark.skipif(not ROOT, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(place: str):
    os.makedirs(os.path.dirname(place))
    os.chown(os.path.dirname(place), 65534, 65534)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        places.listen(place)


def test_a_path_that_is_too_long_says_so(tmp_path: Path):
    place = str(tmp_path / ("x" * 120))
    with pytest.raises(OSError, match="path too long") as caught:
        places.listen(place)
    assert caught.value.filename == place


# --- the usual place ----------------------------------------------------------------------------------------------------


def test_the_usual_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert places.default_socket() == "/run/imagefs/control.sock"
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert places.default_socket() == f"{tmp_path}/imagefs/control.sock"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert places.default_socket() == "/tmp/imagefs-4242/control.sock"


# --- from systemd -------------------------------------------------------------------------------------------------------

HANDED = """
import os, socket, sys
kind, words = sys.argv[1], sys.argv[2:]
given = socket.socket(socket.AF_INET if kind == "inet" else socket.AF_UNIX,
                      socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM)
if kind == "inet":
    given.bind(("127.0.0.1", 0))
else:
    given.bind(words[0])
if kind in ("inet", "stream"):
    given.listen()
os.dup2(given.fileno(), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2" if kind == "two" else "1", "LISTEN_FDNAMES": "x"}
from imagefs.daemon import places
try:
    listener = places.listen("/nowhere/at/all")
    print(listener.socket.fileno(), listener.path, listener.socket.getsockname(), os.get_inheritable(3))
except OSError as error:
    print(error.errno, error.strerror)
print(sorted(name for name in os.environ if name.startswith("LISTEN")))
"""


@pytest.mark.parametrize(
    ("kind", "said"),
    (
        ("stream", "3 None {} False"),
        ("inet", "22 the socket that systemd hands over is no ListenStream= with a path"),
        ("datagram", "22 the socket that systemd hands over is no ListenStream= with a path"),
        ("bound", "22 the socket that systemd hands over is no ListenStream= with a path"),
        ("two", "22 systemd hands over 2 sockets, and imagefs has one"),
    ),
)
def test_a_socket_of_systemd_is_taken_over(tmp_path: Path, kind: str, said: str):
    place = tmp_path / "s"
    done = subprocess.run([sys.executable, "-c", HANDED, kind, place], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [said.format(place), "[]"]


@pytest.mark.parametrize(("process", "count"), (("1", "1"), ("", "1"), ("own", "0"), ("own", "x")))
def test_a_socket_that_is_not_for_us_is_not_taken(monkeypatch: pytest.MonkeyPatch, process: str, count: str):
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()) if process == "own" else process)
    monkeypatch.setenv("LISTEN_FDS", count)
    assert places.from_systemd() is None
    assert not {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} & set(os.environ)


@pytest.mark.foreign
def test_systemd_hands_over_a_socket(tmp_path: Path, need):
    """systemd-socket-activate starts the daemon at the first connection, which waits until it is accepted."""
    need("systemd-socket-activate")
    code = "from imagefs.daemon.places import listen; l = listen(); l.socket.accept()[0].sendall(b'here\\n'); l.close()"
    place = tmp_path / "s"
    words = ["systemd-socket-activate", f"--listen={place}", f"--setenv=PYTHONPATH={os.environ['PYTHONPATH']}"]
    with subprocess.Popen([*words, sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            for _ in range(500):
                if client.connect_ex(str(place)) == 0:
                    break
                threading.Event().wait(0.01)
            assert client.makefile("rb").readline() == b"here\n"
        assert process.wait(10) == 0
    assert place.exists(), "systemd's socket is not ours to remove"
