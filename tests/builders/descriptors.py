"""What the tests of descriptors share: opening one through its format, and its tracks as a table."""

import subprocess
from pathlib import Path

from imagefs.disc import Disc
from imagefs.errors import ImageError
from imagefs.formats import Candidate, Format
from imagefs.options import Options
from imagefs.sources import Folder


def open_path(entry: Format, path: Path, options: Options | None = None) -> Disc:
    """The disc of a descriptor that lies beside its files. Its probe must know it."""
    folder = Folder(str(path.parent))
    candidate = Candidate(folder.open(path.name), path.name, folder)
    assert entry.probe(candidate) is not None
    disc = entry.open(candidate, options or Options())
    assert isinstance(disc, Disc)
    return disc


def try_path(entry: Format, path: Path) -> Disc | None:
    """The disc, None where the probe or the format refuses it; any other error fails the test."""
    folder = Folder(str(path.parent))
    candidate = Candidate(folder.open(path.name), path.name, folder)
    try:
        disc = entry.open(candidate, Options()) if entry.probe(candidate) else None
    except ImageError:
        return None
    finally:
        folder.close()
    assert disc is None or isinstance(disc, Disc)
    return disc


def table(disc: Disc) -> list[tuple[int, str, int, int]]:
    """(number, mode, LBA of index 1, sectors) of each track."""
    return [(track.number, track.mode, track.start, track.length) for track in disc.tracks]


def sessions(disc: Disc) -> list[tuple[int, list[int]]]:
    """(number, its tracks' numbers) of each session."""
    return [(session.number, [track.number for track in session.tracks]) for session in disc.sessions]


def run_tool(*words: str | Path, folder: Path) -> str:
    """Run another project's tool in a folder; what it prints. Some of them end with any status, so that is not looked at."""
    done = subprocess.run(
        words, cwd=folder, capture_output=True, timeout=60, check=False, env={"PATH": _PATH, "LC_ALL": "C"}
    )
    return (done.stdout + done.stderr).decode("latin-1")


_PATH = "/usr/local/bin:/usr/bin:/bin"
