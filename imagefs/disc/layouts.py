"""Sector layouts: how 2048 bytes of user data lie in a stored sector, and how to see it without being told.

stored  user data at                   what it is
2048    0                              user data alone
2052    4 (mode 1)                     header, user data
2056    8 (mode 2)                     subheader, user data
2060    12 (mode 2)                    header, subheader, user data
2064    12 (mode 1)                    DVD: ID 4, IED 2, CPR 6, user data, EDC 4
2324    0 (mode 2)                     form 2 user data; 2328 with EDC
2332    8 (mode 2)                     subheader, form 2 user data
2336    8 (mode 2)                     subheader, user data, EDC, ECC
2340    4 (mode 1), 12 (mode 2)        2352 without the sync
2352    16 (mode 1), 24 (mode 2)       sync 12, header 4 (minute, second, frame in BCD, mode), then as above; audio: 0
2368    as 2352                        with 16 bytes of Q subchannel after it
2448    as 2352                        with 96 bytes of P-W subchannel after it; 2449 with a status byte
2646    as 2352                        with 294 bytes of C2 error flags after it; 2742 with P-W as well

Mode 2 has two forms that change from sector to sector. What a file system reads is form 1; of a form 2 sector its first
2048 bytes of 2324 are given, as Linux does.
Sources: ECMA-130 §14 and §20-22; Philips/Sony CD-ROM XA.
"""

from collections.abc import Callable
from typing import NamedTuple

from imagefs.disc.model import DATA_BYTES, FRAMES_PER_SECOND, LEAD_IN_LBA, TrackKind

Peek = Callable[[int, int], bytes]
"""(offset, length) -> what is there of a range, never an error."""

SYNC = b"\0" + b"\xff" * 10 + b"\0"
RAW_BYTES = (2352, 2448, 2368, 2449, 2646, 2742)
"""Stored sizes that begin with the sync, the usual first."""

_USER_OFFSETS = {
    TrackKind.AUDIO: dict.fromkeys(RAW_BYTES, 0),
    TrackKind.MODE1: {2048: 0, 2052: 4, 2064: 12, 2340: 4} | dict.fromkeys(RAW_BYTES, 16),
    TrackKind.MODE2: {2048: 0, 2056: 8, 2060: 12, 2324: 0, 2328: 0, 2332: 8, 2336: 8, 2340: 12}
    | dict.fromkeys(RAW_BYTES, 24),
}

CDRDAO_MODES = {
    "AUDIO": (TrackKind.AUDIO, 2352),
    "MODE1": (TrackKind.MODE1, 2048),
    "MODE1_RAW": (TrackKind.MODE1, 2352),
    "MODE2": (TrackKind.MODE2, 2336),
    "MODE2_FORM1": (TrackKind.MODE2, 2048),
    "MODE2_FORM2": (TrackKind.MODE2, 2324),
    "MODE2_FORM_MIX": (TrackKind.MODE2, 2336),
    "MODE2_RAW": (TrackKind.MODE2, 2352),
}
"""The kind and the stored bytes of a sector by cdrdao's word for them, which CUE sheets and CHD have taken over."""


class Layout(NamedTuple):
    """`user_offset` bytes into each stored sector of `sector_bytes` the user data begin."""

    kind: TrackKind
    sector_bytes: int
    user_offset: int

    @property
    def mode(self) -> str:
        """As CUE sheets write it."""
        return "audio" if self.kind is TrackKind.AUDIO else f"{self.kind.value}/{self.sector_bytes}"


def layout_of(kind: TrackKind, sector_bytes: int) -> Layout | None:
    """The layout of a kind of track in sectors of a stored size, None when there is no such thing."""
    user_offset = _USER_OFFSETS[kind].get(sector_bytes)
    return None if user_offset is None else Layout(kind, sector_bytes, user_offset)


# --- by the sync ----------------------------------------------------------------------------------------------------------

_LOOK_AHEAD = 5
"""Sectors after the first whose sync is looked for: two damaged ones among them do no harm."""


def by_sync(peek: Peek) -> Layout | None:
    """The layout of raw data sectors of which the first begins at offset 0, None when they have no sync.

    Two of the next five sectors must have it as well (or as many of them as there are).
    """
    head = peek(0, _LOOK_AHEAD * max(RAW_BYTES) + len(SYNC))
    if not head.startswith(SYNC):
        return None
    for sector_bytes in RAW_BYTES:
        places = [sector_bytes * k for k in range(1, _LOOK_AHEAD + 1) if sector_bytes * k + len(SYNC) <= len(head)]
        seen = sum(head.startswith(SYNC, at) for at in places)
        if seen >= min(2, len(places)) and len(head) >= sector_bytes:
            return layout_of(_kind_at(peek, sector_bytes), sector_bytes)
    return None


def _kind_at(peek: Peek, sector_bytes: int) -> TrackKind:
    """Mode 1 or 2 by the header of sector 16, where volumes begin, or of the first that says so."""
    for sector in (16, 0, 1, 2):
        header = peek(sector * sector_bytes, 16)
        if header.startswith(SYNC) and len(header) == 16 and header[15] & 3 in (1, 2):
            return TrackKind.MODE2 if header[15] & 3 == 2 else TrackKind.MODE1
    return TrackKind.MODE1


def is_scrambled(header: bytes) -> bool:
    """Whether the first 16 bytes are those of a sector as it is on the disc, scrambled (ECMA-130 annex B)."""
    if not header.startswith(SYNC) or len(header) < 16:
        return False
    plain = bytes(byte ^ key for byte, key in zip(header[12:16], b"\x01\x80\x00\x60", strict=True))
    return plain[3] in (0, 1, 2) and lba_of_msf(plain) is not None


def header_lba(stored: bytes) -> int | None:
    """The address in the header of a raw sector, None when it has no valid one."""
    return lba_of_msf(stored[12:16]) if stored.startswith(SYNC) and len(stored) >= 16 else None


def lba_of_msf(msf: bytes) -> int | None:
    """The LBA of an address in minutes, seconds and frames (BCD, the first three bytes), None when it is none."""
    minute, second, frame = (10 * (byte >> 4) + (byte & 15) for byte in msf[:3])
    if any(byte & 15 > 9 or byte > 0x99 for byte in msf[:3]) or second > 59 or frame > 74:
        return None
    lba = (minute * 60 + second) * FRAMES_PER_SECOND + frame - LEAD_IN_LBA
    return lba if minute < 90 else lba - 450_000  # from 90:00:00 on: the lead-in, before LBA -150


# --- by a volume descriptor -----------------------------------------------------------------------------------------------

_DESCRIPTORS = ((b"CD001", 1), (b"BEA01", 1), (b"CD-I ", 1), (b"CDROM", 9))
"""ISO 9660, ECMA-167 (UDF), CD-i, High Sierra: identifier and its place in the first descriptor."""
_NEXT = (b"CD001", b"NSR02", b"NSR03", b"TEA01", b"CD-I ", b"CDROM", b"BOOT2")
_UNSYNCED = [
    layout
    for kind, sizes in (
        (TrackKind.MODE1, (2048, *RAW_BYTES[:3], 2340, 2052, 2064)),
        (TrackKind.MODE2, (*RAW_BYTES[:3], 2336, 2056, 2332, 2340, 2060, 2324, 2328)),
    )
    for size in sizes
    if (layout := layout_of(kind, size))
]
_FIRST_SECTOR, _LAST_SECTOR = 16, 31
"""Where the first descriptor is looked for: 16, and later for volumes that do not begin with the file."""


def by_volume(peek: Peek) -> Layout | None:
    """The layout that puts a volume descriptor into sector 16 (to 31) and a second one into the next sector."""
    begin = _FIRST_SECTOR * DATA_BYTES
    block = peek(begin, (_LAST_SECTOR - _FIRST_SECTOR + 8) * DATA_BYTES)
    for identifier, inside in _DESCRIPTORS:
        found = block.find(identifier)
        if found < 0:
            continue
        at = begin + found - inside
        for layout in _UNSYNCED:
            sector, rest = divmod(at - layout.user_offset, layout.sector_bytes)
            following = found - inside + layout.sector_bytes + inside
            if not rest and _FIRST_SECTOR <= sector <= _LAST_SECTOR and block.startswith(_NEXT, following):
                return layout
    return None


def by_volume_after_pregap(peek: Peek) -> Layout | None:
    """The layout that puts an ISO 9660 volume behind 150 sectors of pregap, in sectors 166 and 167."""
    first = _FIRST_SECTOR + LEAD_IN_LBA
    for layout in _UNSYNCED:
        places = [(first + k) * layout.sector_bytes + layout.user_offset + 1 for k in (0, 1)]
        if all(peek(at, 5) == b"CD001" for at in places):
            return layout
    return None
