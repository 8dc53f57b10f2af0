"""Disc, session, track: what every optical container opens to.

Addresses are LBAs: 75 a second, LBA 0 is 00:02:00 on the disc, so the first track's pregap is -150 to -1. Data are user
data in 2048-byte sectors, audio is 2352 bytes a sector of little-endian 16-bit stereo at 44100 Hz.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

from imagefs.disc.samples import SwappedReader
from imagefs.lazy import cached_property
from imagefs.readers import Extent, Reader, joined, sectors_of, slice_of

DATA_BYTES = 2048
AUDIO_BYTES = 2352
FRAMES_PER_SECOND = 75
SUBCHANNEL_BYTES = 96
"""P to W of one sector."""
LEAD_IN_LBA = 150
"""LBA = MSF in frames - 150. Also the sectors of pregap that every first track has."""
FIRST_LEAD_OUT, LATER_LEAD_OUT, LEAD_IN = 6750, 2250, 4500
"""Sectors of a lead-out, behind session 1 and a later one, and of the lead-in before the next."""
FIRST_GAP, LATER_GAP = (lead_out + LEAD_IN + LEAD_IN_LBA for lead_out in (FIRST_LEAD_OUT, LATER_LEAD_OUT))
"""Sectors from the end of session 1, or of a later one, to index 1 of the next: lead-out, lead-in, pregap."""
MAX_TRACK, MAX_SESSION = 99, 99
"""Tracks are numbered over all sessions, in two decimal digits."""
HIGH_DENSITY_LBA = 45_000
"""Where the high-density area of a GD-ROM begins."""


_SUBCHANNEL_OFFSETS = {2448: 2352, 2449: 2352, 2742: 2646}
"""stored size of a sector -> where P to W begin in it"""


class Texts(TypedDict):
    """What a disc or a track is called, and whose it is; empty where that is not known. In the order of CD-TEXT."""

    title: str
    performer: str
    songwriter: str


TEXTS = ("title", "performer", "songwriter")


def texts_in(words: Mapping[str, str]) -> Texts:
    """Those of `words` that a disc or a track has, as its fields."""
    return {
        "title": words.get("title", ""),
        "performer": words.get("performer", ""),
        "songwriter": words.get("songwriter", ""),
    }


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
    songwriter: str = ""
    indexes: tuple[int, ...] = ()
    """LBAs of index 2 and later."""
    apart: Reader | None = None
    """Subchannel that does not lie in `stored`: 96 bytes for each of its sectors."""

    @property
    def texts(self) -> dict[str, str]:
        """Those of `TEXTS` that are known, in their order."""
        return _known(self)

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

    @cached_property
    def user(self) -> Reader:
        """User data from index 1 to the end."""
        return self.sectors(self.pregap_stored, self.length)

    @property
    def main_bytes(self) -> int:
        """Bytes of main channel in a stored sector: 2352, or as many of them as the image keeps."""
        return min(self.sector_bytes, AUDIO_BYTES)

    @property
    def main(self) -> Reader:
        """The main channel of all stored sectors, the pregap first. Audio is little-endian."""
        if not self.is_data:
            return self.sectors(0, self.pregap_stored + self.length)
        return self._part_of_sectors(0, self.main_bytes)

    @property
    def subchannel(self) -> Reader | None:
        """P to W of all stored sectors as the image has them (96 bytes each), None when it has none."""
        if self.apart is not None:
            return self.apart
        offset = _SUBCHANNEL_OFFSETS.get(self.sector_bytes)
        return None if offset is None else self._part_of_sectors(offset, SUBCHANNEL_BYTES)

    def _part_of_sectors(self, offset: int, length: int) -> Reader:
        count = self.pregap_stored + self.length
        if length == self.sector_bytes:
            return slice_of(self.stored, 0, count * length)
        return sectors_of(self.stored, 0, self.sector_bytes, offset, length, count)


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
    songwriter: str = ""
    medium: str = "CD"
    warnings: Sequence[str] = field(default=())
    cdtext: bytes = b""
    """CD-TEXT as packs of 18 bytes, where the image has them."""
    is_set: bool = False
    """Its sessions are several discs, and the addresses of each begin anew."""

    @property
    def texts(self) -> dict[str, str]:
        """Those of `TEXTS` that are known, in their order."""
        return _known(self)

    @property
    def tracks(self) -> list[Track]:
        return [track for session in self.sessions for track in session.tracks]

    def space_until(self, session: int) -> Reader:
        """`space` as it was when that session had been closed: without what later ones added; of a set, that disc's."""
        if self.is_set:
            return replace(
                self, sessions=[each for each in self.sessions if each.number == session], is_set=False
            ).space
        tracks = [track for each in self.sessions if each.number <= session for track in each.tracks if track.is_data]
        end = max((0, *(track.start + track.length for track in tracks))) * DATA_BYTES  # a track may end before LBA 0
        return slice_of(self.space, 0, min(end, self.space.size))

    def with_swapped_audio(self) -> "Disc":
        """The same disc with the bytes of every audio sample exchanged."""
        sessions = [
            replace(session, tracks=[track if track.is_data else _swapped(track) for track in session.tracks])
            for session in self.sessions
        ]
        return replace(self, sessions=sessions)

    @cached_property
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

    @cached_property
    def raw(self) -> Reader:
        """The decoded sectors of all tracks one after the other: 2048 bytes of data, 2352 of audio."""
        extents, position = [], 0
        for track in self.tracks:
            extents.append(Extent(position, track.user.size, track.user))
            position += track.user.size
        return joined(extents, position)


def _known(of: Disc | Track) -> dict[str, str]:
    texts = {"title": of.title, "performer": of.performer, "songwriter": of.songwriter}
    return {name: text for name, text in texts.items() if text}


def _swapped(track: Track) -> Track:
    return replace(track, big_endian=not track.big_endian)
