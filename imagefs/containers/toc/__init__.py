"""cdrdao's TOC files: a text that lists the tracks of a session and what each consists of.

`lexer` makes words of the text, `sheet` statements of the words (they stand there), `tracks` tracks of the statements.

Only files beside or below the sheet are opened. A file that is missing is an error.
Sources: cdrdao(1); libcdio's and libMirage's readers.
"""

from collections.abc import Sequence

from imagefs import limits
from imagefs.containers._parts import find_named, open_found, read_text
from imagefs.containers.cue.sheet import decode
from imagefs.containers.toc.sheet import looks_like_sheet, parse
from imagefs.containers.toc.tracks import sessions_of
from imagefs.disc import Disc
from imagefs.disc.audio import AUDIO_EXTENSIONS
from imagefs.disc.model import texts_in
from imagefs.errors import DamagedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import Reader


def probe(candidate: Candidate) -> Match | None:
    if candidate.reader.size > limits.DESCRIPTOR_BYTES:
        return None
    has_type, has_track = looks_like_sheet(decode(candidate.head(limits.PROBE_BYTES))[0])
    if has_track:
        return Match(50, "TRACK statements of a TOC file" + (" and the type of its session" if has_type else ""))
    if has_type and candidate.extension == "toc":
        return Match(30, "the type of a session, and the name of a TOC file")
    return None


def parts(candidate: Candidate) -> Sequence[str]:
    """The sheet's files that are there. Raises DamagedError, UnsupportedError, OutsideError, OSError."""
    text, encoding = read_text(candidate, Options())
    names = dict.fromkeys(part.name for track in parse(text).tracks for part in track.parts if part.name)
    return [found for name in names if (found := find_named(candidate, name, encoding))]


def open_toc(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError with the line, MissingPartError, OutsideError, UnsupportedError, OSError."""
    text, encoding = read_text(candidate, options)
    sheet = parse(text)
    opened: dict[str, Reader] = {}

    def open_file(name: str) -> Reader:
        if name not in opened:
            opened[name] = open_found(candidate, find_named(candidate, name, encoding), name)
        return opened[name]

    sessions = sessions_of(sheet, open_file)
    if not any(track.length for session in sessions for track in session.tracks):
        raise DamagedError(None, "; ".join(("no track has a sector", *sheet.warnings)))
    return Disc(
        sessions,
        catalog=sheet.catalog,
        **texts_in(sheet.text),
        warnings=tuple(sheet.warnings),
    )


FORMAT = Format(
    name="toc",
    title="a cdrdao TOC file",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_toc,
    extensions=("toc",),
    mime=("application/x-cdrdao-toc",),
    describes=("bin", "img", "iso", "raw", "dat", "cdr", *AUDIO_EXTENSIONS),
    parts=parts,
    reads="all track modes, subchannel, silence and zeros, raw audio in either byte order, the audio files of CUE sheets, "
    "CD-TEXT",
    lacks="FIFO",
)
