"""CUE sheets: a text that names the files of a disc and its tracks in them.

`sheet` reads the text, `files` finds and opens what it names, `tracks` makes tracks of it with addresses on the disc. The
commands stand in `sheet`, the arithmetic in `tracks`.

Only files beside or below the sheet are opened. A file that is missing is an error; one that is there in a coding that is
not read leaves out its tracks with a warning, when there are data tracks to be shown.
Sources: Jeff Arnold, CDRWin user's guide; Redump's and EAC's dialects.
"""

from collections.abc import Sequence

from imagefs import limits
from imagefs.containers.cue.files import DATA_EXTENSIONS, find, open_part
from imagefs.containers.cue.sheet import Sheet, looks_like_sheet, parse
from imagefs.containers.cue.tracks import sessions_of
from imagefs.disc import Disc, cdtext
from imagefs.disc.audio import AUDIO_EXTENSIONS
from imagefs.disc.model import texts_in
from imagefs.errors import ImageError, message_of
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options


def probe(candidate: Candidate) -> Match | None:
    if candidate.reader.size > limits.DESCRIPTOR_BYTES:
        return None
    has_file, has_track = looks_like_sheet(candidate.head(limits.PROBE_BYTES))
    if has_file and has_track:
        return Match(50, "FILE and TRACK lines of a CUE sheet")
    if has_file and candidate.extension == "cue":
        return Match(30, "a FILE line, and the name of a CUE sheet")
    return None


def _sheet_of(candidate: Candidate, options: Options) -> Sheet:
    return parse(candidate.exactly(0, min(candidate.reader.size, limits.DESCRIPTOR_BYTES)), options.iocharset)


def parts(candidate: Candidate) -> Sequence[str]:
    """The sheet's files that are there, by their names in the folder. Raises DamagedError, OutsideError, OSError."""
    sheet = _sheet_of(candidate, Options())
    return [found for entry in sheet.files if (found := find(entry, sheet, candidate))]


def open_cue(candidate: Candidate, options: Options) -> Disc:
    """The disc of a sheet. Raises DamagedError with the line, MissingPartError, OutsideError, UnsupportedError, OSError."""
    sheet = _sheet_of(candidate, options)
    opened = [open_part(entry, sheet, candidate) for entry in sheet.files]
    packs = _cdtext_packs(sheet, candidate)
    _add_cdtext(sheet, packs)
    sessions = sessions_of(sheet, opened)
    unreadable = [(entry, part.error) for entry, part in zip(sheet.files, opened, strict=True) if part.error]
    if unreadable and not any(track.is_data for session in sessions for track in session.tracks):
        raise unreadable[0][1]
    for entry, error in unreadable:
        sheet.warn(entry.line, f"{message_of(error)}; its tracks are left out")
    return Disc(
        sessions,
        catalog=sheet.catalog,
        **texts_in(sheet.text),
        medium=sheet.medium,
        warnings=tuple(sheet.warnings),
        cdtext=packs,
    )


def _cdtext_packs(sheet: Sheet, candidate: Candidate) -> bytes:
    """The packs of the CDTEXTFILE. They are not needed: trouble is a warning."""
    if not sheet.cdtext_file or candidate.folder is None:
        return b""
    try:
        return cdtext.packs_in(candidate.folder.open(sheet.cdtext_file).pread(0, cdtext.MAX_BYTES))
    except (ImageError, OSError) as error:
        sheet.warnings.append(f"its CD-TEXT is left out: {message_of(error)}")
        return b""


def _add_cdtext(sheet: Sheet, packs: bytes) -> None:
    """Titles, performers and songwriters of the packs, where the sheet itself has none."""
    owners = {0: sheet.text} | {entry.number: entry.text for entry in sheet.tracks}
    for number, fields in cdtext.texts(packs).items():
        for name, text in fields.items():
            owners.get(number, {}).setdefault(name, text)


FORMAT = Format(
    name="cue",
    title="a CUE sheet",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_cue,
    extensions=("cue",),
    mime=("application/x-cue",),
    describes=(*DATA_EXTENSIONS, *AUDIO_EXTENSIONS),
    parts=parts,
    reads="one or many BIN files, all track modes and sector sizes, pregaps; MOTOROLA, WAV, AIFF, FLAC, MP3 and Ogg Vorbis "
    "audio; sessions, GD-ROM areas, CD-TEXT",
    lacks="audio that is not 16-bit stereo at 44100 Hz, or in another coding",
)
