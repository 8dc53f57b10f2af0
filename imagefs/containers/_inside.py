"""Images that hold another image: its sectors, and the descriptor that lay beside them, in one file.

The descriptor is read as its own format is. Whatever it calls its file, that is the sectors; nothing beside the image is
opened. Where a descriptor cannot be used, these or any other, the sectors may tell what they are, for one data track.
"""

from collections.abc import Sequence

from imagefs.containers import raw
from imagefs.containers._parts import stem_of
from imagefs.containers.cue.files import DATA_EXTENSIONS
from imagefs.disc import Disc, Session, Track, TrackKind
from imagefs.disc.layouts import by_volume
from imagefs.disc.model import DATA_BYTES
from imagefs.errors import DamagedError, ImageError, MissingPartError, UnsupportedError, message_of
from imagefs.formats import Candidate, Format
from imagefs.options import Options
from imagefs.readers import Reader, slice_of
from imagefs.sources import Folder

_SUBCHANNEL = "sub"
_CD_BYTES = 1 << 30
"""No CD holds as much."""


class _Inside(Folder):
    """What a descriptor finds beside itself: the sectors under the name that it has for them, and their subchannel."""

    def __init__(self, path: str, sectors: Reader, subchannel: Reader | None) -> None:
        super().__init__(path)
        self._sectors, self._subchannel = sectors, subchannel

    def names(self) -> list[str]:
        return []

    def find(self, name: str) -> str | None:
        return name if self._found(name) else None

    def open(self, name: str) -> Reader:
        found = self._found(name)
        if found is None:
            raise MissingPartError(name, ["the image"])
        return found

    def _found(self, name: str) -> Reader | None:
        extension = name.rpartition(".")[2].lower()
        if extension == _SUBCHANNEL:
            return self._subchannel
        return self._sectors if extension in DATA_EXTENSIONS else None


def open_inside(
    candidate: Candidate,
    options: Options,
    entry: Format,
    descriptor: Reader,
    sectors: Reader,
    subchannel: Reader | None = None,
) -> Disc:
    """The disc that a descriptor of the format `entry` describes. Raises what that raises.

    UnsupportedError also where it names several files: how their sectors would lie in one is not known.
    """
    inside = _Inside(candidate.folder.path if candidate.folder else "", sectors, subchannel)
    beside = Candidate(descriptor, f"{stem_of(candidate)}.{entry.extensions[0]}", inside)
    if entry.probe(beside) is None:
        raise DamagedError(None, f"it does not begin as {entry.title}")
    named: Sequence[str] = entry.parts(beside) if entry.parts is not None else ()
    files = {name for name in named if not name.lower().endswith(f".{_SUBCHANNEL}")}
    if len(files) > 1:
        raise UnsupportedError(f"it names {len(files)} files, and the image has the sectors of one")
    disc: Disc = entry.open(beside, options)
    return disc


def as_one_track(sectors: Reader, error: ImageError, options: Options) -> Disc:
    """All sectors as one data track; `error` is why the descriptor is not used, and raised when they tell nothing.

    Raises UnsupportedError for scrambled sectors.
    """
    warning = f"its descriptor is not used ({message_of(error)}): all of the image is taken for one data track"
    medium = "DVD" if sectors.size > _CD_BYTES else "CD"
    return Disc([Session(1, [_track(sectors, error, options)])], medium=medium, warnings=(warning,))


def _track(sectors: Reader, error: ImageError, options: Options) -> Track:
    candidate = Candidate(sectors)
    if raw.probe(candidate) is not None:
        return raw.open_raw(candidate, options).tracks[0]
    layout = by_volume(candidate.at)
    if layout is None or layout.sector_bytes != DATA_BYTES:
        raise error
    count = sectors.size // DATA_BYTES
    return Track(1, TrackKind.MODE1, DATA_BYTES, 0, count, slice_of(sectors, 0, count * DATA_BYTES))
