"""Where in the tree each file system of an image stands."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imagefs.nodes import FileSystem
from imagefs.readers import Reader
from imagefs.tree.composed import Composed, Content, Folder
from imagefs.tree.names import name_of

AUDIO_FOLDER = b"audio"


class Shown(NamedTuple):
    """A file system and what it is of: the number of the volume, the session of the disc, an earlier state of the volume."""

    volume: int
    filesystem: FileSystem
    session: int = 1
    state: str = ""


def folder_name(number: int, filesystem: FileSystem) -> bytes:
    """`1-LABEL`, or `1-kind` without a label; never a `/` or NUL, at most 255 bytes."""
    return name_of(filesystem.label.strip() or filesystem.kind, f"{number}-")


def show(volumes: Sequence[Shown], extras: Mapping[bytes, Content], layout: str = "auto", mtime: int = 0) -> FileSystem:
    """The tree of the layouts auto and flat: one file system of each volume, and what stands beside them at the root.

    `mtime` (ns) is shown of what has no time of its own.
    """
    if len(volumes) == 1 or (volumes and layout == "flat"):
        only = volumes[0].filesystem
        return Composed(Folder(extras), only, mtime) if extras else only
    ordered = sorted(volumes, key=lambda shown: shown.volume)
    folders: list[tuple[bytes, Content]] = [
        (folder_name(shown.volume, shown.filesystem), shown.filesystem) for shown in ordered
    ]
    return Composed(Folder([*folders, *extras.items()]), None, mtime)


def arrange(
    shown: Sequence[Shown],
    audio: Mapping[int, Mapping[bytes, Reader]],
    extras: Mapping[bytes, Content],
    mtime: int = 0,
    word: bytes = b"session",
) -> FileSystem:
    """The tree of the layout tree, from all trees of all volumes and the audio files of each session.

    `word` is what the folder of a session is called, where there are several.
    """
    sessions = sorted({each.session for each in shown} | {number for number, files in audio.items() if files})
    folders: list[tuple[bytes, Content]] = []
    for number in sessions:
        mine = _volumes([each for each in shown if each.session == number])
        if audio.get(number):
            mine.append((AUDIO_FOLDER, Folder(audio[number])))
        folders += mine if len(sessions) == 1 else [(b"%s%d" % (word, number), Folder(mine))]
    return Composed(Folder([*folders, *extras.items()]), None, mtime)


def _volumes(shown: Sequence[Shown]) -> list[tuple[bytes, Content]]:
    """A folder for each volume of a session, or what is in the only one."""
    numbers = list(dict.fromkeys(each.volume for each in shown))
    found: list[tuple[bytes, Content]] = []
    for number in numbers:
        mine = [each for each in shown if each.volume == number]
        name = folder_name(number, mine[0].filesystem)
        if len(numbers) == 1:
            found += _states(mine, name)
        else:
            found.append((name, mine[0].filesystem if len(mine) == 1 else Folder(_states(mine, name))))
    return found


def _states(shown: Sequence[Shown], name: bytes) -> list[tuple[bytes, Content]]:
    """A folder for each state of a volume, and in it, or in its place when there is no earlier one, one for each tree."""
    found: list[tuple[bytes, Content]] = []
    for state in dict.fromkeys(each.state for each in shown):
        mine = [each.filesystem for each in shown if each.state == state]
        trees: list[tuple[bytes, Content]] = [(filesystem.tree.encode() or name, filesystem) for filesystem in mine]
        if not state:
            found += trees
        else:
            found.append((state.encode(), mine[0] if len(mine) == 1 else Folder(trees)))
    return found
