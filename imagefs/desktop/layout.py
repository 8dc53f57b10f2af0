"""Where a system and a user's desktop look for things, and what tells them to look again.

Sources: XDG Base Directory Specification 0.8; hier(7), file-hierarchy(7); the manuals of bash-completion, zsh and fish.
mount(8) looks for its helpers in /sbin alone, whatever the prefix.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

_OF_TYPES = "XMLnamespaces aliases generic-icons globs globs2 icons magic mime.cache subclasses treemagic types version"
GENERATED = frozenset((*_OF_TYPES.split(), "mimeinfo.cache", "icon-theme.cache"))
"""What the programs of `refresh` leave in folders, made from what others put there."""
_PATIENCE = 120.0
"""Seconds for a program that brings a database up to date."""


class Layout(NamedTuple):
    """Folders, absolute. Those that only a system has are None for a user."""

    data: str
    bash: str
    zsh: str
    fish: str
    user_units: str
    record: str | None
    units: str | None = None
    generators: str | None = None
    tmpfiles: str | None = None
    helpers: str | None = None


def for_user() -> Layout:
    """The folders of the user who runs this. Raises OSError where there is no home."""
    data = _home_folder("XDG_DATA_HOME", ".local/share")
    config = _home_folder("XDG_CONFIG_HOME", ".config")
    return Layout(
        data,
        bash=os.path.join(data, "bash-completion/completions"),
        zsh=os.path.join(data, "zsh/site-functions"),
        fish=os.path.join(config, "fish/completions"),
        user_units=os.path.join(data, "systemd/user"),
        record=os.path.join(data, "imagefs/integration.json"),
    )


def _home_folder(variable: str, default: str) -> str:
    """The folder in an XDG variable, which is to be ignored unless it is absolute; else one in the home folder."""
    found = os.environ.get(variable, "")
    home = os.path.expanduser("~")
    if not os.path.isabs(found) and not os.path.isabs(home):
        raise FileNotFoundError(2, "there is no home folder; set HOME")
    return found if os.path.isabs(found) else os.path.join(home, default)


def for_system(prefix: str, destdir: str = "") -> Layout:
    """The folders of everybody below `prefix`. `destdir` goes in front of all: a package keeps a record of its own."""
    top = destdir + prefix
    data, lib = os.path.join(top, "share"), os.path.join(top, "lib")
    helpers = os.path.join(destdir + "/usr/sbin") if destdir else os.path.realpath("/sbin")
    return Layout(
        data,
        bash=os.path.join(data, "bash-completion/completions"),
        zsh=os.path.join(data, "zsh/site-functions"),
        fish=os.path.join(data, "fish/vendor_completions.d"),
        user_units=os.path.join(lib, "systemd/user"),
        record=None if destdir else "/var/lib/imagefs/integration.json",
        units=os.path.join(lib, "systemd/system"),
        generators=os.path.join(lib, "systemd/system-generators"),
        tmpfiles=os.path.join(lib, "tmpfiles.d"),
        helpers=helpers,
    )


def refresh(layout: Layout) -> Iterator[str]:
    """Have the databases of desktops and systemd read again; what could not be done, in words."""
    for words, needs in (
        (["update-mime-database", os.path.join(layout.data, "mime")], "packages"),
        (["update-desktop-database", "-q", os.path.join(layout.data, "applications")], ""),
        (["gtk-update-icon-cache", "-q", "-t", "-f", os.path.join(layout.data, "icons/hicolor")], ""),
    ):
        if shutil.which(words[0]) and os.path.isdir(os.path.join(words[-1], needs)):
            yield from _run(words)
    if os.path.isdir("/run/systemd/system") and shutil.which("systemctl"):
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        if layout.units is not None:
            yield from _run(["systemctl", "daemon-reload"])
        elif os.path.exists(os.path.join(runtime, "systemd/private")):
            yield from _run(["systemctl", "--user", "daemon-reload"])


def _run(words: list[str]) -> Iterator[str]:
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield f"{words[0]}: {error}"
        return
    if done.returncode:
        said = " ".join(done.stderr.split())
        yield f"{words[0]} failed with status {done.returncode}{': ' if said else ''}{said}"
