"""Disc, session, track: what every optical container opens to.

Addresses are LBAs: 75 a second, LBA 0 is 00:02:00 on the disc, so the first track's pregap is -150 to -1. Data are user
data in 2048-byte sectors, audio is 2352 bytes a sector of little-endian 16-bit stereo at 44100 Hz.
"""

import enum
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

from imagefs.disc.samples import SwappedReader
from imagefs.readers import Extent, Reader, joined, sectors_of, slice_of

DATA_BYTES = 2048
AUDIO_BYTES = 2352
FRAMES_PER_SECOND = 75
LEAD_IN_LBA = 150
"""LBA = MSF in frames - 150. Also the sectors of pregap that every first track has."""
FIRST_GAP, LATER_GAP = 6750 + 4500 + 150, 2250 + 4500 + 150
"""Sectors from the end of session 1, or of a later one, to index 1 of the next: lead-out, lead-in, pregap."""
MAX_TRACK, MAX_SESSION = 99, 99
"""Tracks are numbered over all sessions, in two decimal digits."""
HIGH_DENSITY_LBA = 45_000
"""Where the high-density area of a GD-ROM begins."""


class TrackKind(enum.Enum):
    """What a track's sectors are; the value is how CUE sheets and `info` call it."""

    AUDIO = "audio"
    MODE1 = "mode1"
    MODE2 = "mode2"


@dataclass(frozen=True)
class Track:
    """One track, from index 1 to the end of what belongs to it.

    `stored` holds its sectors as they lie in the image (`sector_bytes` each), beginning with the stored part of the pregap:
    `pregap_stored` sectors before index 1. `user_offset` is where the 2048 bytes of user data begin in a stored sector.
    """

    number: int
    kind: TrackKind
    sector_bytes: int
    start: int
    """LBA of index 1."""
    length: int
    """Sectors from index 1 to the end."""
    stored: Reader
    user_offset: int = 0
    pregap: int = 0
    """Sectors before index 1 that belong to this track, stored or not."""
    pregap_stored: int = 0
    big_endian: bool = False
    """The stored samples are most significant byte first (MOTOROLA, AIFF)."""
    flags: tuple[str, ...] = ()
    isrc: str = ""
    title: str = ""
    performer: str = ""
    indexes: tuple[int, ...] = ()
    """LBAs of index 2 and later."""

    @property
    def is_data(self) -> bool:
        return self.kind is not TrackKind.AUDIO

    @property
    def mode(self) -> str:
        """As CUE sheets write it: mode1/2352, audio."""
        return self.kind.value if self.kind is TrackKind.AUDIO else f"{self.kind.value}/{self.sector_bytes}"

    def sectors(self, first: int, count: int) -> Reader:
        """User data of `count` sectors from sector `first` of `stored`.

        2048 bytes each of data, 2352 of little-endian audio. Sectors that the image does not have are missing.
        """
        size = DATA_BYTES if self.is_data else AUDIO_BYTES
        if self.sector_bytes == size and not self.user_offset:
            user = slice_of(self.stored, first * size, count * size)
        else:
            user = sectors_of(self.stored, first * self.sector_bytes, self.sector_bytes, self.user_offset, size, count)
        return SwappedReader(user) if self.big_endian and not self.is_data else user

    @functools.cached_property
    def user(self) -> Reader:
        """User data from index 1 to the end."""
        return self.sectors(self.pregap_stored, self.length)


@dataclass(frozen=True)
class Session:
    """The tracks between a lead-in and a lead-out."""

    number: int
    tracks: Sequence[Track]


@dataclass(frozen=True)
class Disc:
    """All sessions, and what is known of the disc as a whole."""

    sessions: Sequence[Session]
    catalog: str = ""
    title: str = ""
    performer: str = ""
    medium: str = "CD"
    warnings: Sequence[str] = field(default=())

    @property
    def tracks(self) -> list[Track]:
        return [track for session in self.sessions for track in session.tracks]

    @functools.cached_property
    def space(self) -> Reader:
        """The data of the disc by address: byte LBA * 2048. Audio tracks and gaps are missing there."""
        extents, end = [], 0
        # Where tracks overlap (a wrong sheet), the earlier one holds the address.
        for track in sorted((t for t in self.tracks if t.is_data), key=lambda t: t.start):
            first = max(end, track.start - track.pregap_stored)
            skip = first - (track.start - track.pregap_stored)
            count = track.pregap_stored + track.length - skip
            if count > 0:
                extents.append(Extent(first * DATA_BYTES, count * DATA_BYTES, track.sectors(skip, count)))
                end = first + count
        return joined(extents, end * DATA_BYTES)

    @functools.cached_property
    def raw(self) -> Reader:
        """The decoded sectors of all tracks one after the other: 2048 bytes of data, 2352 of audio."""
        extents, position = [], 0
        for track in self.tracks:
            extents.append(Extent(position, track.user.size, track.user))
            position += track.user.size
        return joined(extents, position)
