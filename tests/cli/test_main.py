"""The command line as a whole: help, exit statuses, one line for each error, and what it costs."""

import os
import pty
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import imagefs as package
from imagefs import errors
from imagefs.cli import COMMANDS, main
from imagefs.cli.common import size_in_bytes
from imagefs.cli.output import BROKEN_PIPE, Report, guarded, printable
from tests.builders.memory import MemoryFileSystem
from tests.cli.conftest import Imagefs
from tests.conftest import RunImagefs


class Broken(MemoryFileSystem):
    """A file system whose root raises what the test wants."""

    error: BaseException = RuntimeError("what nobody\nthought of")

    def entries(self, directory):
        raise self.error


@pytest.fixture
def broken(tmp_path, shown):
    filesystem = Broken({}, tmp_path / "backing")
    shown(filesystem)
    return filesystem


# --- help ---------------------------------------------------------------------------------------------------------------


def test_help_lists_every_command_and_every_exit_status(imagefs: Imagefs):
    status, out, lines = imagefs("--help")
    assert (status, lines) == (0, [])
    text = out.decode()
    for name, summary in COMMANDS.items():
        assert f"  {name:21} {summary}\n" in text
    numbers = {int(number) for number in re.findall(r"^  (\d+) ", text, re.MULTILINE)}
    table = {int(number) for number in re.findall(r"^\w+ +.*? (6\d|7\d) ", errors.__doc__ or "", re.MULTILINE)}
    assert numbers == table | {0, 71, 130}
    assert "examples:" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(imagefs: Imagefs, name: str):
    status, out, lines = imagefs(name, "--help")
    assert (status, lines) == (0, [])
    assert out.startswith(f"usage: imagefs {name} ".encode())
    assert imagefs("help", name).out == out


def test_a_command_with_dash_o_lists_every_option(imagefs: Imagefs):
    from imagefs.options import describe

    out = imagefs("mount", "--help").out.decode()
    assert all(f"  {name}" in out and text in out for name, text in describe())


def test_version(imagefs: Imagefs):
    assert imagefs("--version") == (0, f"imagefs {package.__version__}\n".encode(), [])


def test_help_costs_no_more_than_the_interpreter():
    def cpu_seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "imagefs", "--help"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cpu_seconds() for _ in range(5)) < 0.1


@pytest.mark.parametrize("words", (["--help"], ["--version"], ["ls", "--help"]))
def test_help_imports_nothing_heavy(words: list[str]):
    code = "import sys; from imagefs.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, text=True)
    heavy = {"trio", "pathlib", "importlib.metadata", "logging", "imagefs.formats", "imagefs.image"}
    assert not heavy & set(done.stderr.split())


# --- wrong words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    (
        ([], "imagefs: a command is missing; see imagefs --help"),
        (["lst"], "imagefs: there is no command 'lst'; see imagefs --help"),
        (["-x"], "imagefs: there is no option '-x'; see imagefs --help"),
        (["l\x1b[2Js"], "imagefs: there is no command 'l\\x1b[2Js'; see imagefs --help"),
        (["ls"], "imagefs ls: the following arguments are required: IMAGE; see imagefs ls --help"),
        (["ls", "-Z", "i"], "imagefs ls: unrecognized arguments: -Z; see imagefs ls --help"),
        (["ls", "--recurs", "i"], "imagefs ls: unrecognized arguments: --recurs; see imagefs ls --help"),
        (["tree", "i", "a", "b"], "imagefs tree: unrecognized arguments: b; see imagefs tree --help"),
        (["ls", "-o"], "imagefs ls: argument -o: expected one argument; see imagefs ls --help"),
        (["ls", "-o", "ro,colour", "i"], "imagefs: i: option 'colour' is not known; see imagefs mount --help"),
        (["ls", "-o", "audio=mp3", "i"], "imagefs: i: option audio=mp3 is not understood: it takes wav|flac"),
        (
            ["ls", "--cache-size", "1T", "i"],
            "imagefs: i: --cache-size '1T' is not understood: it takes bytes, or a number with K, M or G",
        ),
        (
            ["cat", "i"],
            "imagefs: i: cat takes the paths of files in the image, or --raw alone; see imagefs cat --help",
        ),
        (
            ["cat", "--raw", "i", "x"],
            "imagefs: i: cat takes the paths of files in the image, or --raw alone; see imagefs cat --help",
        ),
    ),
)
def test_wrong_words_are_one_line_and_64(imagefs: Imagefs, words: list[str], line: str):
    assert imagefs(*words) == (64, b"", [line])


@pytest.mark.parametrize(
    ("text", "size"),
    (("4096", 4096), ("0", 0), ("64M", 64 << 20), ("512k", 512 << 10), ("1GiB", 1 << 30), ("2mb", 2 << 20)),
)
def test_sizes_have_units(text: str, size: int):
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ("", "M", "-1", "1.5G", "1MM", "1 M", "٣M", "0x10"))
def test_sizes_that_are_none(text: str):
    with pytest.raises(errors.UsageError):
        size_in_bytes(text)


def test_options_may_stand_behind_the_image_and_dashes_end_them(imagefs: Imagefs, shown, tmp_path):
    seen = shown(MemoryFileSystem({"-l": b"x", "b": b"y"}, tmp_path / "backing"))
    assert imagefs("ls", "-o", "tree=iso", "disc", "-o", "volume=2", "--", "-l").out == b"-l\n"
    assert (seen.path, seen.options.tree, seen.options.volume) == ("disc", "iso", 2)
    imagefs("ls", "--", "-disc")
    assert seen.path == "./-disc"


# --- inputs that are no images ------------------------------------------------------------------------------------------


def bad_inputs(folder: Path) -> dict[Path, tuple[int, str]]:
    (folder / "empty.iso").write_bytes(b"")
    (folder / "text.iso").write_text("hello, world\n" * 10_000)
    (folder / "folder.iso").mkdir()
    os.mkfifo(folder / "pipe.iso")
    unknown = "nothing in it is known to imagefs; `imagefs info --why` tells what was tried"
    return {
        folder / "empty.iso": (65, "the file is empty, not an image"),
        folder / "text.iso": (65, unknown),
        folder / "folder.iso": (65, "it is a directory, not an image; name the file in it"),
        folder / "pipe.iso": (
            65,
            "it is a pipe, which can only be read once; save what comes out of it to a file first",
        ),
        folder / "missing.iso": (66, "there is no such file"),
        folder / "text.iso" / "below": (66, "there is no such file"),
        Path("a" * 300): (71, "File name too long"),
    }


@pytest.mark.parametrize("command", ("ls", "tree", "extract", "info"))
def test_bad_inputs_are_one_line_each(imagefs: Imagefs, tmp_path: Path, monkeypatch, command: str):
    monkeypatch.chdir(tmp_path)
    for path, (status, message) in bad_inputs(tmp_path).items():
        result = imagefs(command, path)
        assert (result.status, result.errors) == (status, [f"imagefs: {path}: {message}"])
        assert command == "info" or result.out == b""


def test_no_permission(imagefs: Imagefs, tmp_path: Path):
    path = tmp_path / "disc.iso"
    path.touch(0o000)
    imagefs("ls", tmp_path / "missing")  # imports what it needs while it may
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        assert imagefs("ls", path) == (71, b"", [f"imagefs: {path}: Permission denied"])
    finally:
        if root:
            os.seteuid(0)


def test_as_a_process_it_says_the_same(run_imagefs: RunImagefs, tmp_path: Path):
    for path, (status, message) in bad_inputs(tmp_path).items():
        done = run_imagefs("cat", path, "x")
        assert (done.returncode, done.stdout) == (status, b"")
        assert done.stderr.decode() == f"imagefs: {path}: {message}\n"


# --- exit statuses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "message"),
    (
        (errors.UsageError("which one?"), 64, "which one?"),
        (errors.NotAnImageError("it is a poem"), 65, "it is a poem"),
        (errors.DamagedError(32768, "no root"), 65, "damaged at byte 32768: no root"),
        (
            errors.MissingPartError("a.bin", ["/x"]),
            66,
            "its part 'a.bin' is missing (looked in /x); put it beside the image",
        ),
        (errors.NotFoundError("no"), 66, "no"),
        (errors.UnsupportedError("zisofs version 9"), 69, "zisofs version 9"),
        (errors.PasswordError("wrong password"), 77, "wrong password"),
        (errors.OutsideError("it names /etc/passwd"), 77, "it names /etc/passwd"),
        (OSError(5, "Input/output error"), 74, "Input/output error"),
        (OSError(24, "Too many open files"), 71, "Too many open files"),
    ),
)
def test_every_error_has_its_status_and_one_line(imagefs: Imagefs, broken, error, status, message):
    broken.error = error
    assert imagefs("ls", "disc") == (status, b"", [f"imagefs: disc: {message}"])


def test_a_fault_of_our_own_is_70_and_one_line(imagefs: Imagefs, shown, monkeypatch, broken):
    line = "imagefs: disc: internal error, please report it, with what --verbose adds: RuntimeError: what nobody thought of"
    assert imagefs("ls", "disc") == (70, b"", [line])


def test_verbose_says_where_the_fault_is(run_imagefs: RunImagefs, capfdbinary, broken):
    assert main(["ls", "-v", "disc"]) == 70
    err = capfdbinary.readouterr().err.decode().splitlines()
    assert err[0] == "Traceback (most recent call last):"
    assert err[-1] == "imagefs: disc: internal error, please report it: RuntimeError: what nobody thought of"


def test_an_interrupt_is_130_and_silent(imagefs: Imagefs, broken):
    broken.error = KeyboardInterrupt()
    assert imagefs("ls", "disc") == (130, b"", [])


def test_warnings_are_told_once_and_spoil_nothing(imagefs: Imagefs, shown, tmp_path):
    shown(MemoryFileSystem({"a": b""}, tmp_path / "backing"), warnings=["odd", "odd", "queer"])
    assert imagefs("ls", "disc") == (0, b"a\n", ["imagefs: disc: warning: odd", "imagefs: disc: warning: queer"])
    assert imagefs("ls", "-q", "disc") == (0, b"a\n", [])


def test_names_cannot_steer_the_terminal(imagefs: Imagefs, shown, tmp_path):
    shown(MemoryFileSystem({}, tmp_path / "backing"))
    result = imagefs("ls", "di\x1b[2Jsc\n", "fi\x07le\udcff")
    line = "imagefs: di\\x1b[2Jsc\\x0a: fi\\x07le\\xff: there is no such file in the image"
    assert result == (66, b"", [line])
    assert printable("Grüße \u202e") == "Grüße \\u202e"


# --- standard output ----------------------------------------------------------------------------------------------------


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path):
    """As for any program in a pipeline: silence, and the status of SIGPIPE."""
    (tmp_path / "zeros.img").write_bytes(bytes(8 << 20))
    command = [sys.executable, "-m", "imagefs", "cat", "--raw", str(tmp_path / "zeros.img")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stderr
    assert process.stdout.read(10) == bytes(10)
    process.stdout.close()
    assert (process.wait(), process.stderr.read()) == (BROKEN_PIPE, b"")
    process.stderr.close()


def test_a_full_disk_is_told_once(run_imagefs: RunImagefs):
    with open("/dev/full", "wb") as full:
        done = run_imagefs("--help", stdout=full)
    assert (done.returncode, done.stderr) == (71, b"imagefs: No space left on device\n")


def test_closed_standard_output():
    done = subprocess.run(["sh", "-c", '"$0" -m imagefs formats >&-', sys.executable], capture_output=True)
    assert (done.returncode, done.stderr) == (71, b"imagefs: standard output is closed\n")


def test_closed_standard_error():
    done = subprocess.run(["sh", "-c", '"$0" -m imagefs ls /nonexistent 2>&-', sys.executable], capture_output=True)
    assert (done.returncode, done.stdout) == (66, b"")


def test_guarded_gives_the_status_of_what_it_runs():
    assert guarded(lambda: 5) == 5
    assert guarded(lambda: sys.exit(143)) == 143


def on_terminal(*words: str | Path, **environment: str) -> bytes:
    """Standard output of a command whose output is a terminal."""
    ours, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"} | environment
    subprocess.run(
        [sys.executable, "-m", "imagefs", *map(str, words)], stdout=theirs, stderr=theirs, env=env, check=True
    )
    os.close(theirs)
    found = b""
    while True:
        try:
            found += os.read(ours, 65536)
        except OSError:  # how a terminal without a program ends
            os.close(ours)
            return found.replace(b"\r\n", b"\n")


@pytest.mark.foreign
def test_colours_only_on_a_terminal_that_wants_them(make_iso, tree: Path, run_imagefs: RunImagefs):
    image = make_iso(tree, "-R")
    plain = b"docs\nempty\nhello.txt\nlink\nrandom.bin\nrun.sh\n"
    coloured = (
        b"\033[01;34mdocs\033[0m\nempty\nhello.txt\n\033[01;36mlink\033[0m\nrandom.bin\n\033[01;32mrun.sh\033[0m\n"
    )
    assert run_imagefs("ls", image).stdout == plain
    assert on_terminal("ls", image) == coloured
    assert on_terminal("ls", image, NO_COLOR="1") == plain
    assert on_terminal("ls", image, NO_COLOR="") == coloured
    assert on_terminal("ls", image, TERM="dumb") == plain


def test_a_report_keeps_the_first_status(capsys):
    report = Report("disc")
    report.fail(errors.DamagedError(None, "a"), b"x")
    report.fail(errors.NotFoundError("b"))
    assert report.status == 65
    assert capsys.readouterr().err == "imagefs: disc: x: a\nimagefs: disc: b\n"
