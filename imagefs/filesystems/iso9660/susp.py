"""The system use area of a directory record: SUSP entries, and what Rock Ridge, AAIP and Apple say in them.

The area begins after the name (and its pad byte) and the `skip` bytes that the root's SP entry states. An entry:
0-1 signature, 2 length with this header, 3 version, then data. CE leads on into a continuation area somewhere else.

sig  length  data (offsets in the entry; "both" is LE then BE)                                        meaning
SP   7       4 BE EF, 6 skip                                                                          SUSP is used
CE   28      4 block both, 12 offset both, 20 length both                                             continuation
ST   4                                                                                                end of the area
ER   8+      4 lengths of id, text, source; 8 id                                                      an extension is used
PX   36, 44  4 mode, 12 links, 20 uid, 28 gid, 36 serial (44-byte form), all both                     POSIX attributes
PN   20      4 high, 12 low, both                                                                     device number
NM   5+      4 flags (1 continued, 2 is ".", 4 is "..", 32 host name), 5 text                         name
SL   5+      4 flags (1 continued), 5 components: flags (1 continued, 2 ".", 4 "..", 8 "/"), length, text   link target
TF   5+      4 flags: 1 created 2 modified 4 accessed 8 attributes 16 backup 32 expires 64 effective,       times
             128 long form; 5 the times in that order
CL   12      4 block both                                                       the directory moved away, in its old place
PL   12      4 block both                                                       true parent, in the ".." of such a directory
RE   4                                                                          such a directory in its new place: hidden
ZF   16      4 algorithm, 6 header size / 4, 7 log2 of the block size, 8 size (version 1: both32, version 2: LE64)   zisofs
Z2   16      as ZF of version 2
AL   5+      4 flags (1 continued), 5 components: flags (1 continued), length, text; name and value alternate        AAIP
AA   14      (no version byte) 3 kind 2 (HFS), 4 type, 8 creator, 12 Finder flags BE                                 Apple
AA   7       3 kind 1 (ProDOS), 4 file type, 5 auxiliary type LE                                                  Apple
BA           (no length either) 2 kind: 1 ProDOS as above from 3 on; 2 to 5 3 type, 7 creator (3 and 5: has a bundle); 6 and
             11 Finder flags BE. Nothing can be read behind it                                                 Apple, once
AS   6+      4 flags: 1 protection, 2 comment; 5 protection BE; length of comment with this byte, comment          Amiga

What real discs need: a broken entry ends the area and spoils nothing before it; CE areas form loops (a set of seen ones); RR
without ER and ER without RR; a mode without type bits; two conventions for device numbers; NM pieces without the continued
bit. genisoimage 1.1.11 writes SL entries of more than 255 bytes and keeps the low 8 bits of their length. Where a component
of a link is cut off for good, the target is lost and the file stays.
Sources: IEEE P1281 (SUSP) and P1282 (RRIP) 1.12, libisofs' documents on zisofs and AAIP, Apple Technical Note FL 36, Linux
fs/isofs/rock.c.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.filesystems.iso9660 import dates
from imagefs.filesystems.iso9660.descriptors import both32
from imagefs.readers import Reader

CREATED, MODIFIED, ACCESSED, ATTRIBUTES = 1, 2, 4, 8
_LONG_FORM = 128
_XA_BYTES = 14
_ROCK_RIDGE_IDS = (b"RRIP_1991A", b"IEEE_P1282", b"IEEE_1282")
_ALGORITHMS = (b"pz", b"PZ", b"XZ", b"L4", b"ZD", b"B2")
_ZF = struct.Struct("<2sBB")
PX = struct.Struct("<I4xI4xI4xI")
"""From byte 4 of a PX entry: mode, links, uid, gid."""
_PX_BIG_ENDIAN = struct.Struct(">4xI4xI4xI4xI")
_AREA_COST = 256
"""Bytes that the reading of the shortest area counts as."""
_ENTRY_COST = 32
"""The same of an entry: links, names and attributes fill longer ones."""


@dataclass(slots=True)
class Posix:
    """A PX entry."""

    mode: int
    nlink: int
    uid: int
    gid: int
    serial: int = 0


@dataclass(slots=True)
class Compressed:
    """A ZF or Z2 entry: what a zisofs file is once unpacked."""

    algorithm: bytes
    header_bytes: int
    block_log2: int
    size: int
    version: int


@dataclass(slots=True)
class Fields:
    """What the system use area of one record says."""

    name: bytes = b""
    posix: Posix | None = None
    device: tuple[int, int] | None = None
    link: bytes | None = None
    link_is_damaged: bool = False
    link_continues: bool = False
    child: int | None = None
    parent: int | None = None
    relocated: bool = False
    times: dict[int, int] = field(default_factory=dict)
    compressed: Compressed | None = None
    aaip: list[bytes] = field(default_factory=list)
    finder: bytes = b""  # type, creator and Finder flags, 10 bytes
    protection: bytes = b""
    comment: bytes = b""
    extensions: list[bytes] = field(default_factory=list)
    separator: bytes = b""  # before the next component of the link
    continuation: tuple[int, int, int] | None = None  # (block, offset in it, length) of the area that follows

    @property
    def target(self) -> bytes | None:
        """The link's target, None when there is none or a part of it is lost."""
        return None if self.link_is_damaged or self.link_continues else self.link

    @property
    def is_rock_ridge(self) -> bool:
        return self.posix is not None or bool(self.name) or any(name in _ROCK_RIDGE_IDS for name in self.extensions)


def _ce(fields: Fields, entry: bytes) -> None:
    if len(entry) >= 28:
        fields.continuation = both32(entry, 4), both32(entry, 12), both32(entry, 20)


def _er(fields: Fields, entry: bytes) -> None:
    if len(entry) >= 8:
        fields.extensions.append(entry[8 : 8 + entry[4]])


def _px(fields: Fields, entry: bytes) -> None:
    if len(entry) >= 36:
        # One half is taken whole, as listings take it: where the halves of single fields differ, a node stays what it was.
        half = PX if any(entry[4:8]) else _PX_BIG_ENDIAN
        serial = both32(entry, 36) if len(entry) >= 44 else 0
        mode, links, uid, gid = half.unpack_from(entry, 4)
        fields.posix = Posix(mode, links, uid, gid, serial)


def _pn(fields: Fields, entry: bytes) -> None:
    if len(entry) >= 20:
        high, low = both32(entry, 4), both32(entry, 12)
        if not high and low > 0xFF:  # xorriso: the device number as glibc holds it, in the low half
            high, low = low >> 8 & 0xFFF, (low & 0xFF) | (low >> 12 & 0xFFF00)
        fields.device = high, low


def _nm(fields: Fields, entry: bytes) -> None:
    if len(entry) > 5 and not entry[4] & (2 | 4 | 32):
        fields.name += entry[5:]


def _sl(fields: Fields, entry: bytes) -> None:
    if len(entry) < 5:
        return
    link, at = fields.link or b"", 5
    while at + 2 <= len(entry):
        flags, length = entry[at], entry[at + 1]
        text = entry[at + 2 : at + 2 + length]
        fields.link_is_damaged = fields.link_is_damaged or len(text) != length or 0 in text  # no path has a NUL
        if flags & 2:
            text = b"."
        elif flags & 4:
            text = b".."
        elif flags & 8:
            text = b"/"
        link += fields.separator + text
        fields.separator = b"" if flags & (1 | 8) else b"/"
        at += 2 + length
    fields.link, fields.link_continues = link, bool(entry[4] & 1)
    fields.link_is_damaged = fields.link_is_damaged or len(link) > limits.LINK_BYTES


def _tf(fields: Fields, entry: bytes) -> None:
    if len(entry) < 5:
        return
    flags, at = entry[4], 5
    step = dates.LONG_BYTES if flags & _LONG_FORM else dates.SHORT_BYTES
    for kind in (1, 2, 4, 8, 16, 32, 64):
        stamp = entry[at : at + step]
        if flags & kind and len(stamp) == step:
            time = dates.long_time(stamp) if flags & _LONG_FORM else dates.short_time(stamp)
            if time is not None:
                fields.times[kind] = time
            at += step


def _cl(fields: Fields, entry: bytes) -> None:
    if len(entry) >= 12:
        fields.child = both32(entry, 4)


def _pl(fields: Fields, entry: bytes) -> None:
    if len(entry) >= 12:
        fields.parent = both32(entry, 4)


def _re(fields: Fields, entry: bytes) -> None:
    fields.relocated = True


def _zf(fields: Fields, entry: bytes) -> None:
    if len(entry) < 16:
        return
    algorithm, header, block_log2 = _ZF.unpack_from(entry, 4)
    version = 2 if entry[3] == 2 or entry[:2] == b"Z2" else 1
    size = int.from_bytes(entry[8:16], "little") if version == 2 else both32(entry, 8)
    if algorithm in _ALGORITHMS and (algorithm == b"pz") == (version == 1):
        fields.compressed = Compressed(algorithm, header * 4, block_log2, size, version)


def _al(fields: Fields, entry: bytes) -> None:
    fields.aaip.append(entry[5:])


def _aa(fields: Fields, entry: bytes) -> None:
    if len(entry) >= 14 and entry[3] == 2:
        fields.finder = entry[4:14]
    elif len(entry) >= 7 and entry[3] == 1:
        fields.finder = _finder_of_prodos(entry[4:7])


def _ba(fields: Fields, entry: bytes) -> None:
    """`entry` goes on to the end of the area."""
    kind = entry[2]
    if kind == 1 and len(entry) >= 6:
        fields.finder = _finder_of_prodos(entry[3:6])
    elif 2 <= kind <= 5 and len(entry) >= 11:
        fields.finder = entry[3:11] + (_HAS_BUNDLE if kind in (3, 5) else b"\0\0")
    elif kind == 6 and len(entry) >= 13:
        fields.finder = entry[3:13]


def _finder_of_prodos(stated: bytes) -> bytes:
    """What Apple's own systems call a ProDOS file of this type: `p`, type, auxiliary type; creator `pdos`."""
    return b"p" + stated[:1] + stated[2:0:-1] + b"pdos\0\0"


def _as(fields: Fields, entry: bytes) -> None:
    at = 5
    if len(entry) >= at + 4 and entry[4] & 1:
        fields.protection = fields.protection or entry[at : at + 4]
        at += 4
    if len(entry) > at and entry[4] & 2:
        fields.comment += entry[at + 1 : at + entry[at]]


_READERS: dict[bytes, Callable[[Fields, bytes], None]] = {
     b"CE": _ce, b"ER": _er, b"PX": _px, b"PN": _pn, b"NM": _nm, b"SL": _sl, b"TF": _tf, b"CL": _cl,
    b"PL": _pl, b"RE": _re, b"ZF": _zf, b"Z2": _zf, b"AL": _al, b"AA": _aa, b"AS": _as,
}  # fmt: skip
_HAS_BUNDLE = b"\x20\0"


def _read_area(fields: Fields, area: bytes) -> int:
    """The entries of one area; how many there are. Whatever is no entry ends it: a pad byte, zeros, damage."""
    at = count = 0
    while at + 4 <= len(area):
        signature, length = area[at : at + 2], area[at + 2]
        if signature == b"SL":
            length = _link_entry_length(area, at)
        if signature == b"BA":
            _ba(fields, area[at:])
            break
        if signature == b"ST" or length < 4 or at + length > len(area):
            break
        read = _READERS.get(signature)
        if read:
            read(fields, area[at : at + length])
        at, count = at + length, count + 1
    return count


def _link_entry_length(area: bytes, at: int) -> int:
    """The length of the SL entry at `at`: the stated one, or that plus a multiple of 256 when its components say so."""
    stated = area[at + 2]
    length = 5
    while length < stated or (length - stated) % 256:
        if at + length + 2 > len(area):
            return stated
        length += 2 + area[at + length + 1]
    following = area[at + length : at + length + 2]
    known = following in _READERS or len(area) - at - length < 4
    return length if at + length <= len(area) and (length == stated or known) else stated


class Continuations:
    """Reads continuation areas. Those of neighbouring records share blocks, so the last block read is kept.

    Those of a listing are at most `left` bytes long all together: each record may lead to the same long chain.
    """

    def __init__(self, reader: Reader, block_bytes: int, left: int | None = None) -> None:
        self._reader, self._block_bytes, self._left = reader, block_bytes, left
        self._kept: tuple[int, bytes] = (-1, b"")

    @property
    def is_listing(self) -> bool:
        return self._left is not None

    def count(self, length: int) -> None:
        """Say that reading costs as much as that many bytes. Raises DamagedError when it is too much for a listing."""
        if self._left is not None:
            self._left -= length
            if self._left < 0:
                raise DamagedError(None, "the records of a directory have more continuation areas than they can need")

    def area(self, block: int, offset: int, length: int) -> bytes:
        """The bytes of an area. Raises DamagedError when the image does not have them."""
        start = block * self._block_bytes + offset
        first = start & ~2047
        kept_at, kept = self._kept
        if not (kept_at <= start and start + length <= kept_at + len(kept)):
            if start + length > self._reader.size:
                raise DamagedError(start, "a continuation area lies outside the image")
            wanted = -(-(start + length - first) // 2048) * 2048
            kept_at, kept = first, self._reader.pread(first, wanted)
            self._kept = kept_at, kept
        return kept[start - kept_at : start - kept_at + length]


def read_fields(system_use: bytes, continuations: Continuations) -> Fields:
    """All that a system use area says, continuations included. Raises DamagedError when a listing has too many of those.

    A listing stops at AAIP entries, which libisofs writes last: it shows none, and 64 KiB of them are 36 areas.
    """
    fields = Fields()
    _read_area(fields, system_use)
    seen: set[tuple[int, int, int]] = set()
    total = 0
    while fields.continuation is not None:
        place, fields.continuation = fields.continuation, None
        total += place[2]
        if place in seen or len(seen) >= limits.CE_HOPS or total > limits.CE_BYTES:
            break
        if continuations.is_listing and fields.aaip and fields.name and fields.posix and not fields.link_continues:
            break
        seen.add(place)
        cost = max(place[2], _AREA_COST)
        continuations.count(cost)
        try:
            area = continuations.area(*place)
        except DamagedError:
            break
        continuations.count(max(0, _read_area(fields, area) * _ENTRY_COST - cost))
    return fields


def find_skip(system_use: bytes) -> int | None:
    """The skip that the SP entry of the root's `.` states, None without one. It may stand behind an XA field."""
    for at in (0, _XA_BYTES):
        if (
            system_use[at : at + 3] == b"SP\7"
            and system_use[at + 4 : at + 6] == b"\xbe\xef"
            and at + 7 <= len(system_use)
        ):
            return system_use[at + 6]
    return None
