"""The partitions of an Xbox disc: games, and a DVD video for players that are no Xbox.

There is no table; the game partition begins at a place that the generation of the disc tells, in 2048-byte sectors as read
by a drive that was made to show all of the disc (Redump's images).

disc             game partition from   its length
XGD1 (Xbox)      0x18300000            0x1A2DB0000
XGD2 (Xbox 360)  0x0FD90000            0x1B3880000
XGD2, hybrid     0x89D80000            0x0BF8A0000
XGD3 (Xbox 360)  0x02080000            0x204510000

The video lies before and behind it, in one volume that has the addresses of the whole disc. An image of the game partition
alone begins with it, and has no other volume.

Nothing is looked for in images below 1 GiB: no such disc is so short, and each look is a seek of the disk that the image
lies on. Nor so far behind the beginning of a compressed stream that has no entry points.
Sources: xboxdevwiki "Xbox Game Disc"; extract-xiso; Redump's notes on dumping Xbox discs.
"""

from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import slice_of
from imagefs.volumes import Volume

PARTITIONS = {
    # name: (first byte, bytes)
    "XGD1": (0x1830_0000, 0x1_A2DB_0000),
    "XGD2": (0x0FD9_0000, 0x1_B388_0000),
    "XGD2 hybrid": (0x89D8_0000, 0xBF8A_0000),
    "XGD3": (0x0208_0000, 0x2_0451_0000),
}
_LEAST_BYTES = 1 << 30
_DESCRIPTOR_OFFSET = 32 * 2048
_MAGIC = b"MICROSOFT*XBOX*MEDIA"


def _generation(candidate: Candidate) -> str | None:
    """Which of the game partitions is there, None for none of them."""
    reader = candidate.reader
    if reader.size < _LEAST_BYTES:
        return None
    for name, (start, _) in PARTITIONS.items():
        place = start + _DESCRIPTOR_OFFSET
        if place < reader.size and not reader.is_far(place) and candidate.at(place, len(_MAGIC)) == _MAGIC:
            return name
    return None


def probe(candidate: Candidate) -> Match | None:
    name = _generation(candidate)
    return Match(97, f"a game partition where {name} discs have it") if name else None


def open_xbox(candidate: Candidate, options: Options) -> list[Volume]:
    """The game partition and the video's."""
    reader, name = candidate.reader, _generation(candidate)
    if name is None:
        return [Volume(1, reader)]
    start, length = PARTITIONS[name]
    return [
        Volume(1, slice_of(reader, start, min(length, reader.size - start)), kind=f"{name} game"),
        Volume(2, reader, kind=f"{name} video"),
    ]


FORMAT = Format(
    name="xbox",
    title="an Xbox disc",
    layer=Layer.VOLUME,
    probe=probe,
    open=open_xbox,
    extensions=("iso",),
    reads="the game partition of Xbox and Xbox 360 discs (XGD1 to XGD3), the video partition beside it",
)
