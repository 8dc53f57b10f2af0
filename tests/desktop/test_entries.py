"""Starter, icon and actions: judged by the desktop's own programs, and started by them."""

import configparser
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.desktop import entries, mime
from imagefs.desktop.plan import Item

ODD = "a b'c\"d$e`g\\h&i"
"""A folder's name with what has a meaning in some file or other; no `%`, which GLib does not turn back where it looks for
the program."""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program at an odd path that writes down its words."""
    folder = tmp_path / ODD
    folder.mkdir()
    path = folder / "imagefs"
    path.write_text(
        f'#!{sys.executable}\nimport sys\nopen("{tmp_path}/words", "a").write(repr(sys.argv[1:]) + "\\n")\n'
    )
    path.chmod(0o755)
    return path


def items(tmp_path: Path, program: Path | str, *, system: bool = False) -> dict[str, Item]:
    """Everything, by its path below the folder of data; the files are written, too."""
    found = {}
    for item in entries.items(str(tmp_path / "data"), [str(program)], system=system):
        path = Path(item.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item.content)
        path.chmod(item.mode)
        found[str(path.relative_to(tmp_path / "data"))] = item
    return found


def keys(item: Item) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(delimiters=("=",), strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(item.content.decode())
    return parser


@pytest.mark.foreign
def test_the_starter_is_valid(tmp_path: Path, program: Path, need: Callable[..., None]) -> None:
    need("desktop-file-validate")
    for words in ("/usr/bin/imagefs", program):
        items(tmp_path, words)
        path = tmp_path / "data/applications/imagefs.desktop"
        done = subprocess.run(["desktop-file-validate", path], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.foreign
def test_a_double_click_starts_the_program_whatever_its_path(
    tmp_path: Path, program: Path, need: Callable[..., None]
) -> None:
    need("gio")
    items(tmp_path, program)
    image = tmp_path / "two words; $HOME.iso"
    image.touch()
    subprocess.run(["gio", "launch", tmp_path / "data/applications/imagefs.desktop", image], check=True, timeout=30)
    assert eventually(tmp_path / "words") == f"{['open', str(image)]!r}\n"


def eventually(path: Path) -> str:
    """The content of a file that a program is about to write: it was started, not waited for."""
    import time

    for _ in range(400):
        if path.exists() and path.read_text():
            break
        time.sleep(0.025)
    return path.read_text()


@pytest.mark.foreign
def test_the_icon_is_a_drawing(tmp_path: Path, need: Callable[..., None]) -> None:
    need("rsvg-convert", "xmllint")
    items(tmp_path, "imagefs")
    icon = tmp_path / "data/icons/hicolor/scalable/apps/imagefs.svg"
    subprocess.run(["xmllint", "--noout", icon], check=True)
    done = subprocess.run(["rsvg-convert", "--width=32", icon], check=True, capture_output=True)
    assert done.stdout.startswith(b"\x89PNG")


def test_menus_offer_both_actions_for_every_type(tmp_path: Path) -> None:
    found = items(tmp_path, "/usr/bin/imagefs")
    types = "".join(f"{name};" for name in mime.types())
    open_, close = "/usr/bin/imagefs open ", "/usr/bin/imagefs open --unmount "
    for which, words in (("mount", open_), ("unmount", close)):
        nemo = keys(found[f"nemo/actions/imagefs-{which}.nemo_action"])["Nemo Action"]
        assert (nemo["Exec"], nemo["Mimetypes"], nemo["Selection"]) == (f"{words}%F", types, "s")
        action = keys(found[f"file-manager/actions/imagefs-{which}.desktop"])
        profile = action[f"X-Action-Profile {action['Desktop Entry']['Profiles'].rstrip(';')}"]
        assert action["Desktop Entry"]["Type"] == "Action"
        assert (profile["Exec"], profile["MimeTypes"], profile["SelectionCount"]) == (f"{words}%f", types, "=1")
    service = keys(found["kio/servicemenus/imagefs.desktop"])
    named = service["Desktop Entry"]["Actions"].rstrip(";").split(";")
    assert [service[f"Desktop Action {name}"]["Exec"] for name in named] == [f"{open_}%f", f"{close}%f"]
    assert service["Desktop Entry"]["MimeType"] == types
    assert found["kio/servicemenus/imagefs.desktop"].mode == 0o755


@pytest.mark.parametrize(
    ("script", "words"), [("Mount image", ["open", "--"]), ("Unmount image", ["open", "--unmount", "--"])]
)
def test_scripts_of_nautilus_take_each_file(tmp_path: Path, program: Path, script: str, words: list[str]) -> None:
    items(tmp_path, program)
    environment = os.environ | {"NAUTILUS_SCRIPT_SELECTED_FILE_PATHS": "/a b.iso\n/-c$.cue\n"}
    subprocess.run([tmp_path / "data/nautilus/scripts" / script], env=environment, check=True, timeout=30)
    assert (tmp_path / "words").read_text() == f"{[*words, '/a b.iso']!r}\n{[*words, '/-c$.cue']!r}\n"


class StandIn:
    """A file as Nautilus shows it to extensions."""

    def __init__(self, path: str, kind: str) -> None:
        self.path, self.kind = path, kind

    def get_uri_scheme(self) -> str:
        return "file"

    def get_location(self) -> "StandIn":
        return self

    def get_path(self) -> str:
        return self.path

    def get_mime_type(self) -> str:
        return self.kind

    def is_directory(self) -> bool:
        return self.kind == "inode/directory"


class MenuItem:
    """An entry of a menu that can be clicked."""

    def __init__(self, name: str, label: str, icon: str) -> None:
        self.label = label

    def connect(self, signal: str, handler: Callable[..., object]) -> None:
        self.click = handler


def test_the_extension_of_nautilus(tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = types.ModuleType("gi.repository")
    repository.GObject = types.SimpleNamespace(GObject=type("Base", (), {}))  # type: ignore[attr-defined]
    repository.Nautilus = types.SimpleNamespace(MenuProvider=type("Menu", (), {}), MenuItem=MenuItem)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gi", types.ModuleType("gi"))
    monkeypatch.setitem(sys.modules, "gi.repository", repository)
    code = items(tmp_path, program, system=True)["nautilus-python/extensions/imagefs.py"].content
    space: dict[str, object] = {}
    exec(compile(code, "imagefs.py", "exec"), space)
    menu = space["ImagefsMenu"]()  # type: ignore[operator]

    image = StandIn("/a b.iso", "application/x-nrg")
    for arguments in ([[image]], ["window", [image]]):  # with and without what older versions pass
        mount, unmount = menu.get_file_items(*arguments)
        assert (mount.label, unmount.label) == ("Mount image", "Unmount image")
    mount.click("item").wait()
    assert (tmp_path / "words").read_text() == f"{['open', '--', '/a b.iso']!r}\n"
    assert menu.get_file_items([StandIn("/a", "text/plain")]) == []
    assert menu.get_file_items([image, image]) == []
    assert menu.get_file_items([StandIn("/proc", "inode/directory")]) == []


def test_exec_words() -> None:
    assert entries.exec_word("/usr/bin/imagefs") == "/usr/bin/imagefs"
    assert entries.exec_word("a b") == '"a b"'
    assert entries.exec_word("50%") == "50%%"
    assert entries.exec_word('a"$') == r'"a\\"\\$"'
