"""Completions as the shells themselves give them: bash and zsh on a terminal, fish by its own `complete -C`."""

import os
import pty
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagefs.cli import COMMANDS
from imagefs.cli.documents import bash, fish, zsh
from imagefs.cli.documents.catalogue import commands
from imagefs.options import describe

Complete = Callable[[str], set[str]]
"""What a shell offers for the word at the end of a line."""
SHOW = 'imagefs() { [ $1 = complete-path ] && { command imagefs "$@"; return; }; printf \'%s\\0\' "$@" >.words; }\n'
ROOT = Path(__file__).parents[3]


class Terminal:
    """A shell on a terminal of its own, that is typed to."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self.folder = folder
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        self.shell, self.master = pty.fork()
        if self.shell == 0:
            os.chdir(folder)
            os.execvpe(words[0], words, environment)
        self.wait()

    def wait(self) -> None:
        """Until the shell shows its prompt."""
        found, deadline = b"", time.monotonic() + 20
        while b"READY" not in found:
            waiting = select.poll()
            waiting.register(self.master, select.POLLIN)
            assert waiting.poll(max(0, deadline - time.monotonic()) * 1000), f"the shell is not ready: {found!r}"
            found += os.read(self.master, 65536)

    def type(self, keys: str) -> None:
        """Type a line that ends in a newline, and wait until the shell is ready for the next one."""
        os.write(self.master, keys.encode())
        self.wait()

    def complete(self, line: str, all_of_them: str) -> set[str]:
        """Put every possible completion of the last word into the line, and have the shell run it: `imagefs` is a function
        there that writes its words to a file."""
        self.type(f"{line}{all_of_them}\n")
        words = (self.folder / ".words").read_text().split("\0")[:-1]
        head, _, typed = line.removeprefix("imagefs ").rpartition(" ")
        before = shlex.split(head)
        assert words[: len(before)] == before
        return {word.rstrip("/") for word in words[len(before) :]} - {typed}

    def close(self) -> None:
        os.close(self.master)
        os.waitpid(self.shell, 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the shell is: an image, a folder, and two mounts of which findmnt tells."""
    (tmp_path / "disc.iso").touch()
    (tmp_path / "discs").mkdir()
    (tmp_path / ".programs").mkdir()
    findmnt = tmp_path / ".programs" / "findmnt"
    findmnt.write_text("#!/bin/sh\nprintf '%s\\n' '/mnt/a disc' /mnt/other\n")
    findmnt.chmod(0o755)
    program = tmp_path / ".programs" / "imagefs"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m imagefs "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/.programs:{os.environ['PATH']}")
    return tmp_path


def bash_completer(folder: Path) -> Iterator[Complete]:
    setup = folder / ".setup"
    setup.write_text(f"{bash.script()}{SHOW}PS1='READY'\nbind 'set enable-bracketed-paste off'\n")
    terminal = Terminal(["bash", "--noprofile", "--rcfile", str(setup), "-i"], folder)
    yield lambda line: terminal.complete(line, "\x1b*")
    terminal.close()


def zsh_completer(folder: Path) -> Iterator[Complete]:
    """^X lists all matches in the line, by zsh's own _all_matches."""
    functions = folder / ".functions"
    functions.mkdir()
    (functions / "_imagefs").write_text(zsh.script())
    (folder / ".zshrc").write_text(
        "fpath=($PWD/.functions $fpath); unsetopt prompt_cr prompt_sp; unset zle_bracketed_paste\n"
        "autoload -Uz compinit; compinit -u -D; bindkey -e; zle -C every complete-word _generic; bindkey '^Xa' every\n"
        "zstyle ':completion:every:*' insert yes; zstyle ':completion:every::::' completer _all_matches _complete\n"
        f"{SHOW}PS1=READY\n"
    )
    terminal = Terminal(["zsh", "-d", "-i"], folder)
    yield lambda line: terminal.complete(line, "\x18a")
    terminal.close()


def fish_completer(folder: Path) -> Iterator[Complete]:
    script = folder / ".completions"
    script.write_text(fish.script())

    def complete(line: str) -> set[str]:
        code = f'source {script}; cd {folder}; complete -C "{line}"'
        done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, timeout=30)
        assert done.stderr == ""
        return {row.partition("\t")[0].rstrip("/") for row in done.stdout.splitlines()}

    yield complete


@pytest.fixture(params=[bash_completer, zsh_completer, fish_completer], ids=["bash", "zsh", "fish"])
def complete(request: pytest.FixtureRequest, folder: Path, need: Callable[..., None]) -> Iterator[Complete]:
    need(request.param.__name__.partition("_")[0])
    yield from request.param(folder)


@pytest.mark.foreign
def test_a_shell_completes(complete: Complete) -> None:
    """One shell for all of it: starting one takes a while."""
    assert complete("imagefs umo") == {"umount"}
    assert complete("imagefs ins") == {"install-integration"}
    assert complete("imagefs help uninst") == {"uninstall-integration"}
    assert {"ls", "list"} <= complete("imagefs l")
    assert complete("imagefs mount --for") == {"--foreground"}
    assert complete("imagefs mount --cache-size 1M --pass") == {"--password-file"}
    assert complete("imagefs ls di") == {"disc.iso", "discs"}
    assert "discs" in complete("imagefs mount disc.iso di")
    assert complete("imagefs mount --password-file di") == {"disc.iso", "discs"}
    assert complete("imagefs umount disc.") == {"disc.iso"}
    assert complete("imagefs umount /mnt/a") == {"/mnt/a disc"}
    assert "findmnt" in complete("imagefs run disc.iso -- findm")


@pytest.mark.foreign
def test_a_shell_completes_the_options_of_dash_o(complete: Complete) -> None:
    assert complete("imagefs mount -o tree=u") == {"tree=udf"}
    assert complete("imagefs ls -o ro,noe") == {"ro,noexec"}
    assert complete("imagefs cat -o noexec,tree=jol") == {"noexec,tree=joliet"}
    assert complete("imagefs mount -o ro,colour=r") == set()


@pytest.mark.foreign
def test_a_shell_completes_paths_in_an_image(
    complete: Complete, folder: Path, tree: Path, make_iso: Callable[..., Path]
) -> None:
    make_iso(tree, "-R", name="full.iso")
    assert complete("imagefs cat full.iso he") == {"hello.txt"}
    assert complete("imagefs cat -q full.iso ru") == {"run.sh"}
    assert complete("imagefs ls full.iso docs/d") == {"docs/deep"}
    assert complete("imagefs extract full.iso hello.txt docs/G") == {"docs/Grüße.txt"}
    assert complete("imagefs cat disc.iso x") == set()
    (folder / "full.iso").rename(folder / "two words.iso")
    assert complete("imagefs cat two\\ words.iso he") == {"hello.txt"}


@pytest.mark.parametrize("script", [bash.script, zsh.script, fish.script], ids=["bash", "zsh", "fish"])
def test_every_word_is_in_the_script(script: Callable[[], str]) -> None:
    text = script()
    assert all(name in text for name in COMMANDS)
    assert all(written.partition("=")[0] in text for written, _ in describe())
    for command in commands():
        for option in command.options:
            for flag in option.flags:
                assert flag in text or f"-l {flag[2:]} " in text or f"-s {flag[1:]} " in text, (command.name, flag)


@pytest.mark.foreign
@pytest.mark.parametrize(
    ("shell", "script"),
    [("bash", bash.script), ("zsh", zsh.script), ("fish", fish.script)],
    ids=["bash", "zsh", "fish"],
)
def test_the_shell_understands_the_script(
    shell: str, script: Callable[[], str], tmp_path: Path, need: Callable[..., None]
) -> None:
    need(shell)
    path = tmp_path / "script"
    path.write_text(script())
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
