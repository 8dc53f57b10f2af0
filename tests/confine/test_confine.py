"""Confinement as a whole: what it says, what Python can still do, and whom a process becomes."""

import ast
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import imagefs
from imagefs import confine
from imagefs.confine import Account, Confinement, account_of, landlock, library, privileges, seccomp
from imagefs.errors import UsageError

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")


def run(program: str, *words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


# --- what it says ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("abi", "filtered", "words"),
    [
        (7, True, "Landlock (ABI 7) and seccomp"),
        (1, False, "Landlock (ABI 1)"),
        (0, True, "seccomp"),
        (0, False, "nothing"),
    ],
)
def test_what_holds_a_process_in_words(abi: int, filtered: bool, words: str) -> None:
    assert str(Confinement(abi, filtered)) == words


@pytest.mark.parametrize(
    ("abi", "filtered", "said"),
    [
        (7, True, []),
        (0, True, ["the process that reads images is confined by seccomp: there is no Landlock here"]),
        (7, False, ["the process that reads images is confined by Landlock (ABI 7): there is no libseccomp here"]),
    ],
)
def test_what_the_system_lacks_is_told_once(
    abi: int, filtered: bool, said: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(landlock, "restrict", lambda readable, writable: abi)
    monkeypatch.setattr(seccomp, "restrict", lambda calls: filtered)
    monkeypatch.setattr(confine, "harden", lambda: None)
    with caplog.at_level(logging.INFO):
        assert confine.confine(["/srv"]) == (abi, filtered)
    assert [record.getMessage() for record in caplog.records] == said


# --- what goes on ---------------------------------------------------------------------------------------------------

AFTERWARDS = """
import os, sys, threading, trio
from imagefs.confine import confine
print(confine([sys.argv[1]]))
import lzma, imagefs.codecs, imagefs.wrappers.zst, miniaudio, lz4.frame, zstandard
thread = threading.Thread(target=print, args=("thread",))
thread.start()
thread.join()
"grüße".encode("cp1140")
print(os.listdir(sys.argv[1]), open(sys.argv[1] + "/file").read(), os.cpu_count() == int(sys.argv[2]))
trio.run(trio.sleep, 0.001)
trio.run(trio.to_thread.run_sync, print, "trio")
import traceback, logging, tracemalloc
try:
    open("/etc/passwd")
except PermissionError:
    print(traceback.format_exc().count("AFTERWARDS") + 1)
"""


def test_python_and_its_libraries_work_on(tmp_path: Path) -> None:
    """Modules of the standard library, of the package and of others are imported; threads and trio run."""
    (tmp_path / "file").write_text("content")
    done = run(AFTERWARDS, tmp_path, os.cpu_count())
    assert done.stderr == ""
    held, *lines = done.stdout.splitlines()
    assert held == f"Landlock (ABI {landlock.version()}) and seccomp"
    assert sorted(lines) == sorted(["thread", "['file'] content True", "trio", "1"])


def test_the_folder_one_is_in_is_not_readable() -> None:
    """`python -m imagefs` has it as the first place of sys.path."""
    program = """
import sys
from imagefs.confine import library
print(sys.path[0] in library.folders(), "/" in library.folders())
"""
    assert run(program).stdout == "False False\n"


def test_a_colon_too_many_does_not_make_it_readable(tmp_path: Path) -> None:
    """Python takes an empty place in PYTHONPATH for the folder one is in: somebody's home, as often as not."""
    program = "import os\nfrom imagefs.confine import library\nprint(os.getcwd() in library.folders())"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:"}
    for folder, readable in ((tmp_path, "False\n"), (tmp_path / "site-packages", "True\n")):
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout == readable


def test_more_calls_can_be_allowed() -> None:
    """As a daemon with a control socket that watches folders needs them."""
    program = """
import ctypes, os, socket, sys
from imagefs.confine import seccomp
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
seccomp.restrict(sys.argv[1:])
for attempt in (server.accept, os.fork, lambda: socket.socket(socket.AF_UNIX)):
    try:
        if attempt() == 0:
            os._exit(0)
        print("yes")
    except OSError as error:
        print(error.strerror)
"""
    no = "Operation not permitted"
    assert run(program).stdout.splitlines() == [no, no, no]
    assert run(program, "accept4", "clone", "clone3", "wait4").stdout.splitlines() == ["yes", "yes", no]


# --- what is imported before ----------------------------------------------------------------------------------------


def imported_late() -> set[str]:
    """What modules of decoders import inside of functions, from outside the standard library."""
    found = set()
    top = Path(imagefs.__file__).parent
    files = [path for part in library.PARTS for path in (*(top / part).rglob("*.py"), top / f"{part}.py")]
    for path in filter(Path.exists, files):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for function in (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)):
            for node in ast.walk(function):
                names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found |= {name for name in names if name.split(".")[0] not in {*sys.stdlib_module_names, "imagefs"}}
    return found


def test_all_that_decoders_import_late_is_known() -> None:
    assert {"zstandard", "lz4.frame", "miniaudio"} <= imported_late() <= {*library.LATE, *library.DECODERS}


@needs_root
def test_who_cannot_reach_python_needs_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = """
import sys
from imagefs.confine import library
library._is_open_to_all = lambda path: sys.argv[1] == "open"
from imagefs.confine import Account
print(library.preload(None), library.preload(Account(0, 0, True)), "zstandard" in sys.modules)
print(library.preload(Account(5, 5, True)), "zstandard" in sys.modules, "imagefs.filesystems.iso9660.zisofs" in sys.modules)
library.preload_decoders()
print("zstandard" in sys.modules)
"""
    assert run(program, "closed").stdout.splitlines() == ["False False False", "True False True", "True"]
    assert run(program, "open").stdout.splitlines() == ["False False False", "False False False", "True"]


def test_what_is_open_to_all(tmp_path: Path) -> None:
    tmp_path = Path(os.path.realpath(tmp_path))
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 1:
            pytest.skip("the folder for tests is closed") if not os.access(folder, os.W_OK) else folder.chmod(0o755)
    (tmp_path / "folder").mkdir(mode=0o755)
    (tmp_path / "folder" / "file").touch(mode=0o644)
    path = str(tmp_path / "folder" / "file")
    assert library._is_open_to_all(path)
    os.chmod(path, 0o640)
    assert not library._is_open_to_all(path)
    os.chmod(path, 0o644)
    os.chmod(tmp_path / "folder", 0o754)
    assert not library._is_open_to_all(path)


# --- whom it becomes ------------------------------------------------------------------------------------------------


def test_who_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert account_of(None) == Account(65534, 65534, chosen=False)
    assert account_of(0) == Account(0, 0, chosen=True)
    assert account_of(4_000_000_001) == Account(4_000_000_001, 65534, chosen=True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert account_of(None) is None
    assert account_of(1000) is None
    with pytest.raises(UsageError, match="run_as is for root"):
        account_of(0)


BECOME = """
import os, sys
from imagefs.confine import privileges
from imagefs.confine.privileges import Account
try:
    account = Account(int(sys.argv[1]), 7, chosen=sys.argv[2] == "chosen")
    print(privileges.become(account, [privileges.CAP_DAC_READ_SEARCH]))
except OSError as error:
    print(error.strerror)
print([hex(part) for part in privileges.capabilities()])
privileges.keep_capabilities(())
print([hex(part) for part in privileges.capabilities()], os.getresuid(), os.getresgid(), os.getgroups())
"""


@needs_root
def test_becoming_another_for_good() -> None:
    kept = "['0x4', '0x4', '0x0', '0x0', '0x0', '0x0']"
    none = "['0x0', '0x0', '0x0', '0x0', '0x0', '0x0']"
    done = run(BECOME, 5, "chosen")
    assert done.stdout.splitlines() == ["True", kept, f"{none} (5, 5, 5) (7, 7, 7) []"]


@needs_root
@pytest.mark.parametrize(("chosen", "said"), [("chosen", "cannot become the user 5: "), ("", "False")])
def test_one_who_cannot_be_become(chosen: str, said: str) -> None:
    """In a user namespace that has only root: nobody is a wish, a user that was asked for is an order."""
    words = ["unshare", "-Ur", sys.executable, "-c", BECOME, "5", chosen]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[0].startswith(said)


@needs_root
def test_rights_that_come_back_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "setuid", lambda uid: None)
    with pytest.raises(OSError, match="could not be given up"):
        privileges._check_for_good()
