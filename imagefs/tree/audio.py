"""Audio tracks as files.

`track02.wav` beside the files of a volume, whose folder it is. Where audio tracks have a folder for themselves they are
called by their titles (CD-TEXT, or the sheet of the image), `02 - A Title.wav`, and without one `track02.wav`; and
`disc.cue` beside them keeps what files cannot: order, titles, recording codes, flags (PRE is pre-emphasis), gaps, index
points.

A file holds its track from index 1 to the end, as the track table has it; the pregap of a later track is a gap (PREGAP) in
the sheet, and what is stored of it lies in `.imagefs`. What the image holds before index 1 of the first track is
`track00.wav`: music that players reach only by going backwards. 150 sectors there are the pregap that every disc has: they
are shown when there is anything in them.
"""

from collections.abc import Mapping, Sequence

from imagefs.disc import Disc, Track
from imagefs.disc.cuesheet import TrackFile, sheet_of
from imagefs.disc.flac import FlacReader
from imagefs.disc.model import LEAD_IN_LBA
from imagefs.disc.wav import wav_of
from imagefs.errors import ImageError
from imagefs.lazy import cached_property
from imagefs.readers import BytesReader, Reader
from imagefs.tree.names import name_of

SHEET_NAME = b"disc.cue"


class AudioFiles:
    """The files of some audio tracks of a disc, WAV or FLAC (`coding`)."""

    def __init__(self, disc: Disc, tracks: Sequence[Track], coding: str) -> None:
        self._disc, self._tracks, self._coding = disc, tracks, coding

    def plain(self) -> Mapping[bytes, Reader]:
        """`track02.wav` and so on."""
        return self._files(titled=False)

    def titled(self) -> Mapping[bytes, Reader]:
        """By their titles, and the sheet."""
        files = self._files(titled=True)
        if not files:
            return {}
        return files | {SHEET_NAME: BytesReader(sheet_of(self._disc, self._entries()))}

    def _files(self, *, titled: bool) -> dict[bytes, Reader]:
        found = {}
        for track in self._tracks:
            if self._hidden is not None and self._is_hidden_before(track):
                found[self._name_of_hidden().encode()] = self._coded(self._hidden, track, number=0)
            found[self._name(track, titled=titled)] = self._coded(track.user, track, number=track.number)
        return found

    def _name(self, track: Track, *, titled: bool) -> bytes:
        if titled and track.title.strip():
            title = track.title.replace('"', "'")  # for which a sheet has no way to be written
            return name_of(title, f"{track.number:02} - ", f".{self._coding}")
        return b"track%02d.%s" % (track.number, self._coding.encode())

    def _name_of_hidden(self) -> str:
        return f"track00.{self._coding}"

    @cached_property
    def _hidden(self) -> Reader | None:
        """What comes before index 1 of the first track of the disc, None where there is nothing to hear."""
        track = self._disc.tracks[0]
        if track.is_data or not track.pregap_stored:
            return None
        before = track.sectors(0, track.pregap_stored)
        return before if track.pregap_stored > LEAD_IN_LBA or not _is_silent(before) else None

    def _is_hidden_before(self, track: Track) -> bool:
        return track is self._disc.tracks[0] and self._hidden is not None

    def _coded(self, samples: Reader, track: Track, *, number: int) -> Reader:
        if self._coding == "flac":
            return FlacReader(samples, self._tags(track, number))
        return wav_of(samples)

    def _tags(self, track: Track, number: int) -> Sequence[tuple[str, str]]:
        """Names of the tags as the specification of Vorbis comments and the players have them."""
        disc = self._disc
        tags = [("ALBUM", disc.title), ("ALBUMARTIST", disc.performer), ("TRACKNUMBER", str(number))]
        tags.append(("TRACKTOTAL", str(len(disc.tracks))))
        if number:
            artist = track.performer or disc.performer
            writer = track.songwriter or disc.songwriter
            tags = [("TITLE", track.title), ("ARTIST", artist), ("WRITER", writer), *tags, ("ISRC", track.isrc)]
        return [(name, text) for name, text in tags if text]

    def _entries(self) -> list[TrackFile]:
        sessions = {track.number: each.number for each in self._disc.sessions for track in each.tracks}
        entries = []
        end: int | None = None
        for track in self._tracks:
            before = self._name_of_hidden() if self._is_hidden_before(track) else ""
            gap = 0 if track is self._disc.tracks[0] else track.pregap if end is None else track.start - end
            name, session = self._name(track, titled=True).decode(), sessions[track.number]
            entries.append(TrackFile(session, track, "AUDIO", name, "WAVE", 0, max(0, gap), before))
            end = track.start + track.length
        return entries


def _is_silent(samples: Reader) -> bool:
    """Whether samples are all zeros; not when some cannot be read."""
    try:
        return not any(samples.pread(0, samples.size))
    except (ImageError, OSError):
        return False
