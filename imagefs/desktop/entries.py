"""The files of a desktop integration that name the program: starter, icon, types, and the actions of file managers.

Each file manager has its own form of actions: Nautilus takes scripts of the user's or an extension in Python, Nemo
`.nemo_action` files, Dolphin service menus, Caja and PCManFM the actions of the file-manager
specification (DES-EMA 0.15). Thunar keeps its own in one file of the user's, which is not touched: it has "Open With".

A template has @EXEC@ (the program as Exec= of a desktop entry has it), @SHELL@ (as a shell has it), @WORDS@ (as Python has
it) and @TYPES@ (types, each with `;` behind it).
"""

import os
import shlex
from collections.abc import Iterator, Sequence

from imagefs.desktop import mime
from imagefs.desktop.plan import Item

SHARE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "share")
_SOURCE_TREE = os.path.dirname(os.path.dirname(os.path.dirname(SHARE)))


def from_source_tree(path: str) -> str:
    """Where a file or folder of the source tree is: it itself, or its copy in an installed package."""
    copy = os.path.join(SHARE, os.path.basename(path))
    return copy if os.path.exists(copy) else os.path.join(_SOURCE_TREE, path)


TYPES = "mime/packages/imagefs.xml"
_TEMPLATES = (
    # template, where it goes below the folder of data (share), its mode
    ("imagefs.desktop", "applications/imagefs.desktop", 0o644),
    ("mount.nemo_action", "nemo/actions/imagefs-mount.nemo_action", 0o644),
    ("unmount.nemo_action", "nemo/actions/imagefs-unmount.nemo_action", 0o644),
    ("mount.action.desktop", "file-manager/actions/imagefs-mount.desktop", 0o644),
    ("unmount.action.desktop", "file-manager/actions/imagefs-unmount.desktop", 0o644),
)
_FOR_ONE_USER = (
    ("servicemenu.desktop", "kio/servicemenus/imagefs.desktop", 0o755),
    ("mount.script", "nautilus/scripts/Mount image", 0o755),
    ("unmount.script", "nautilus/scripts/Unmount image", 0o755),
)
_FOR_ALL = (
    ("servicemenu.desktop", "kio/servicemenus/imagefs.desktop", 0o644),
    ("nautilus.py", "nautilus-python/extensions/imagefs.py", 0o644),
)
"""Scripts are read from the user's own folder alone; the extension needs nautilus-python. Only a user's service menu must be
executable: what root installed is trusted."""


def items(data: str, program: Sequence[str], *, system: bool) -> Iterator[Item]:
    """What goes below `data` (~/.local/share, /usr/share), with `program` as the words that start imagefs."""
    yield Item(os.path.join(data, TYPES), mime.package())
    with open(os.path.join(SHARE, "imagefs.svg"), "rb") as file:
        yield Item(os.path.join(data, "icons/hicolor/scalable/apps/imagefs.svg"), file.read())
    for template, path, mode in (*_TEMPLATES, *(_FOR_ALL if system else _FOR_ONE_USER)):
        yield Item(os.path.join(data, path), _filled(template, program), mode)


def _filled(template: str, program: Sequence[str]) -> bytes:
    with open(os.path.join(SHARE, f"{template}.in"), encoding="utf-8") as file:
        text = file.read()
    for mark, value in (
        ("@EXEC@", " ".join(map(exec_word, program))),
        ("@SHELL@", shlex.join(program)),
        ("@WORDS@", repr(list(program))),
        ("@TYPES@", "".join(f"{name};" for name in mime.types())),
    ):
        text = text.replace(mark, value)
    return os.fsencode(text)


def exec_word(word: str) -> str:
    r"""A word of a desktop entry's Exec=: quoted where it must be, `%` doubled, backslashes escaped as in any string there.

    Source: Desktop Entry Specification 1.5, "The Exec key".
    """
    word = word.replace("%", "%%")
    if any(letter in " \t\n\"'\\><~|&;$*?#()`" for letter in word):
        word = '"' + "".join(f"\\{letter}" if letter in '"`$\\' else letter for letter in word) + '"'
    return word.replace("\\", "\\\\")
