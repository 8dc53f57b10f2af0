"""The manual as man, groff and mandoc see it."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.cli import COMMANDS
from imagefs.cli.documents import manual
from imagefs.cli.documents.catalogue import commands
from imagefs.formats import all_formats
from imagefs.options import describe


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("man")
    for name, text in manual.pages().items():
        (folder / name).write_text(text)
    return sorted(folder.iterdir())


def rendered(page: Path) -> str:
    """A page as plain text, on lines so long that nothing is broken."""
    environment = os.environ | {"MANWIDTH": "500", "LC_ALL": "C.UTF-8", "MANPAGER": "cat", "MAN_KEEP_FORMATTING": ""}
    done = subprocess.run(["man", "-l", str(page)], env=environment, capture_output=True, text=True, check=True)
    return re.sub(r".\x08", "", done.stdout)


def page_named(pages: list[Path], name: str) -> Path:
    (found,) = [page for page in pages if page.name == name]
    return found


def test_every_command_has_its_page(pages: list[Path]) -> None:
    names = {f"imagefs-{name}.1" for name in COMMANDS}
    assert {page.name for page in pages} == names | {
        "imagefs.1",
        "imagefs.toml.5",
        "imagefs-formats.7",
        "mount.imagefs.8",
    }


@pytest.mark.foreign
@pytest.mark.parametrize(
    "words",
    [["mandoc", "-T", "lint", "-W", "all"], ["groff", "-man", "-ww", "-T", "utf8", "-z"]],
    ids=["mandoc", "groff"],
)
def test_nothing_to_complain_of(pages: list[Path], words: list[str], need: Callable[..., None]) -> None:
    need(words[0])
    done = subprocess.run([*words, *map(str, pages)], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.foreign
def test_what_a_page_is_about_is_found(pages: list[Path], need: Callable[..., None]) -> None:
    """The line of NAME, from which `whatis` and `apropos` are made."""
    need("lexgrog")
    done = subprocess.run(["lexgrog", *map(str, pages)], capture_output=True, text=True, check=True)
    assert "parse failed" not in done.stdout
    for name, summary in COMMANDS.items():
        assert f'imagefs-{name}.1: "imagefs-{name} - {summary}"' in done.stdout


@pytest.mark.foreign
def test_options_as_a_reader_sees_them(pages: list[Path], need: Callable[..., None]) -> None:
    need("man")
    for command in commands():
        text = rendered(page_named(pages, f"imagefs-{command.name}.1"))
        assert f"imagefs {command.name}" in text
        for option in command.options:
            assert ", ".join(option.flags) in text
        assert not command.takes_view_options or all(written in text for written, _ in describe())


@pytest.mark.foreign
def test_the_other_pages_as_a_reader_sees_them(pages: list[Path], need: Callable[..., None]) -> None:
    need("man")
    formats = rendered(page_named(pages, "imagefs-formats.7"))
    assert all(f"{entry.name}" in formats and entry.reads in formats for entry in all_formats())
    whole = rendered(page_named(pages, "imagefs.1"))
    assert all(name in whole and summary in whole for name, summary in COMMANDS.items())
    assert "recognised, and not readable by imagefs" in whole
    assert "imagefs ls -l game.cue" in whole
    assert "name (2).txt" in whole
    configuration = rendered(page_named(pages, "imagefs.toml.5"))
    assert "[[watch]]" in configuration and 'cache_size = "64M"' in configuration
    helper = rendered(page_named(pages, "mount.imagefs.8"))
    assert "mount -t imagefs" in helper and "[-sfnv]" in helper and "x-systemd.automount" in helper


def test_the_date_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two builds of one source are alike."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert manual.pages()["imagefs.1"].startswith('.TH "IMAGEFS" "1" "1970-01-02" "imagefs ')
    assert manual.pages() == manual.pages()


def test_roff_takes_text_for_text() -> None:
    assert manual._filled(".TH is 'no' command, a\\b-c ~ ^ `-x`") == [
        r"\&.TH is \(aqno\(aq command, a\eb\-c \(ti \(ha \fB\-x\fR"
    ]
