"""From the tracks of a CHD to a disc.

A frame is 2448 bytes: a sector, as long as the track's type says, its subcode, zeros. The frames of all tracks follow each
other, each track padded to a multiple of four frames.

On a CD the addresses run on from LBA 0, where the first track begins (or from -150, when its pregap is the usual one of 150
sectors). A pregap whose type begins with V is stored, as the first of the track's frames; otherwise it is not, and neither
is a postgap. On a GD-ROM a track goes on with filler up to the next, so that addresses are frames; from LBA 45000 on it is
the second session. Nothing tells the sessions of a CD: what a data track's volume says of its address counts.
"""

from collections.abc import Sequence

from imagefs.containers.chd.metadata import TrackEntry
from imagefs.containers.chd.packing import FRAME_BYTES
from imagefs.disc import Disc, TrackKind
from imagefs.disc.build import DiscBuilder, Stored
from imagefs.disc.layouts import CDRDAO_MODES, Layout, layout_of
from imagefs.disc.model import HIGH_DENSITY_LBA, LEAD_IN_LBA, SUBCHANNEL_BYTES
from imagefs.disc.samples import SwappedReader
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.readers import Reader, sectors_of


def disc_of(content: Reader, tracks: Sequence[TrackEntry], *, is_gd: bool, is_big_endian: bool) -> Disc:
    """The disc. Raises DamagedError for tracks that the content does not hold, UnsupportedError for a type."""
    builder = DiscBuilder()
    builder.begin_session()
    frame, lba, is_high = 0, 0, False
    for track in tracks:
        frames = track.frames
        if not frames and track is tracks[-1]:  # chdman 0.251 loses the size of a GDI's quoted file
            frames = content.size // FRAME_BYTES - frame
        if (frame + frames) * FRAME_BYTES > content.size or frames < 0:
            raise DamagedError(None, f"track {track.number} ends at frame {frame + frames}, behind the content")
        stored_pregap = min(track.pregap, frames) if track.is_pregap_stored and not is_gd else 0
        if not is_gd:
            lba += track.pregap if track.number > 1 or track.pregap != LEAD_IN_LBA else 0
        elif lba >= HIGH_DENSITY_LBA and not is_high:
            builder.begin_session()
            is_high = True
        stored = _stored(content, track, frame, frames - track.fill, stored_pregap, is_big_endian)
        builder.add(track.number, lba, stored, pregap=0 if is_gd else track.pregap)
        lba += frames - stored_pregap + (0 if is_gd else track.postgap)
        frame += frames + track.padding
    return Disc(builder.sessions, medium="GD-ROM" if is_gd else "CD", warnings=tuple(builder.warnings))


def _stored(content: Reader, track: TrackEntry, first: int, sectors: int, pregap: int, is_big_endian: bool) -> Stored:
    """The sectors of a track, whose frames are `first` and those behind it."""
    layout = _layout(track)
    reader = sectors_of(content, first * FRAME_BYTES, FRAME_BYTES, 0, layout.sector_bytes, sectors)
    if layout.kind is TrackKind.AUDIO and is_big_endian:
        reader = SwappedReader(reader)
    subchannel = None
    if track.has_subchannel:
        place = first * FRAME_BYTES + layout.sector_bytes
        subchannel = sectors_of(content, place, FRAME_BYTES, 0, SUBCHANNEL_BYTES, sectors)
    return Stored(reader, layout, 0, sectors, pregap, subchannel)


def _layout(track: TrackEntry) -> Layout:
    if track.type not in CDRDAO_MODES:
        raise UnsupportedError(f"track {track.number} of a CHD, of type {track.type[:20]!r}, is not read")
    layout = layout_of(*CDRDAO_MODES[track.type])
    if layout is None:
        raise UnsupportedError(f"track {track.number} of a CHD, of type {track.type!r}, is not read")
    return layout
