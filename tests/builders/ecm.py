"""ECM files written for tests: records as the format's description has them."""

from collections.abc import Iterable
from typing import NamedTuple

from tests.builders.sectors import edc

END = b"\xfc\xff\xff\xff\x3f"


class Record(NamedTuple):
    """`count` items of a kind, as they are stored."""

    kind: int
    count: int
    stored: bytes


def head(kind: int, count: int) -> bytes:
    number = count - 1
    raw = bytearray([kind | (number & 0x1F) << 2])
    number >>= 5
    while number:
        raw[-1] |= 0x80
        raw.append(number & 0x7F)
        number >>= 7
    return bytes(raw)


def ecm(records: Iterable[Record], image: bytes) -> bytes:
    """A whole file; `image` is what it gives, for the EDC at its end."""
    body = b"".join(head(kind, count) + stored for kind, count, stored in records)
    return b"ECM\0" + body + END + edc(image)


def plain(content: bytes) -> Record:
    return Record(0, len(content), content)


def mode1(sectors: bytes) -> Record:
    """Raw sectors of mode 1 without what can be computed."""
    cut = [sectors[at + 12 : at + 15] + sectors[at + 16 : at + 2064] for at in range(0, len(sectors), 2352)]
    return Record(1, len(cut), b"".join(cut))


def xa(sectors: bytes) -> list[Record]:
    """Raw sectors of mode 2, form 1 or 2 as their subheader says: two records each."""
    records = []
    for at in range(0, len(sectors), 2352):
        sector = sectors[at : at + 2352]
        is_form2 = bool(sector[18] & 0x20)
        records += [plain(sector[:16]), Record(3, 1, sector[20:2348]) if is_form2 else Record(2, 1, sector[20:2072])]
    return records


def mode2_without_headers(sectors: bytes) -> Record:
    """Form 1, bytes 16 to 2351 of each sector, in one record."""
    cut = [sectors[at + 4 : at + 2056] for at in range(0, len(sectors), 2336)]
    return Record(2, len(cut), b"".join(cut))
