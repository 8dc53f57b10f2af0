"""What a desktop shows for us: folders in its file manager, and errors where there is no terminal to read them on."""

import html
import os
import shutil
import subprocess
import sys

_PATIENCE = 3.0
"""Seconds in which xdg-open either has found a program or has said that there is none."""


def has_screen() -> bool:
    """Whether a desktop is there to show something."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show_folder(path: str) -> bool:
    """Show a folder in the file manager; False where there is no screen, or nothing that would show it."""
    if not has_screen() or not shutil.which("xdg-open"):
        return False
    nowhere = subprocess.DEVNULL
    try:
        opener = subprocess.Popen(
            ["xdg-open", path], stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True, cwd="/"
        )
        return opener.wait(_PATIENCE) == 0
    except subprocess.TimeoutExpired:  # the file manager is its child, and stays
        return True
    except OSError:
        return False


def show_error(text: str) -> bool:
    """Show a line of text as a notification or in a window, unless somebody reads standard error; whether it was shown.

    The text may come from an image: it is never taken for markup.
    """
    if not has_screen() or (sys.stderr is not None and sys.stderr.isatty()):
        return False
    plain = html.escape(text, quote=False)
    for words, good in (
        (["notify-send", "--app-name=imagefs", "--icon=imagefs", "--", "imagefs", plain], (0,)),
        (["zenity", "--error", "--title=imagefs", "--no-markup", f"--text={text}"], (0, 1)),  # 1: closed by Escape
        (["kdialog", "--title", "imagefs", "--error", f"<qt>{plain}</qt>"], (0,)),
    ):
        if shutil.which(words[0]) and _status(words) in good:
            return True
    return False


def _status(words: list[str]) -> int | None:
    """How a program ended; a window stays open as long as its reader wants. None when it cannot be started."""
    try:
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
    except OSError:
        return None
