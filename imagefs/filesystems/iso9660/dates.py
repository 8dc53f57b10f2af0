"""The two forms in which ISO 9660 and Rock Ridge record a time.

short, 7 bytes (directory records, TF)           long, 17 bytes (volume descriptors, TF)
0   years since 1900                             0   year        4 ASCII digits
1   month 1-12                                   4   month       2
2   day 1-31                                     6   day         2
3   hour 0-23                                    8   hour        2
4   minute 0-59                                  10  minute      2
5   second 0-59                                  12  second      2
6   zone: signed, 15 minutes, east positive      14  1/100 s     2
                                                 16  zone as in the short form
ECMA-119 9.1.5 and 8.4.26.1. High Sierra leaves the zone out (6 and 16 bytes). A zone outside -52 to 52 counts as UTC, and
an hour of 25 as the next day's first, as in Linux; a day that cannot be (a zero-filled time, mostly) is 1970-01-01.
"""

import calendar

from imagefs import limits

SHORT_BYTES = 7
LONG_BYTES = 17
_SECOND = 1_000_000_000
_ZONE_SECONDS = 15 * 60
_ZONES = range(-52, 53)


def _zone(byte: int) -> int:
    """Seconds east of Greenwich."""
    zone = byte - 256 if byte > 127 else byte
    return zone * _ZONE_SECONDS if zone in _ZONES else 0


def short_time(stamp: bytes) -> int:
    """A short time (6 or 7 bytes) in ns since 1970, UTC; 0 when it is none."""
    if len(stamp) < SHORT_BYTES - 1:
        return 0
    year, month, day, hour, minute, second = stamp[:6]
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return 0
    zone = _zone(stamp[6]) if len(stamp) > 6 else 0
    return (calendar.timegm((1900 + year, month, day, hour, minute, second)) - zone) * _SECOND


class ShortTimes(dict[bytes, int]):
    """Short times by their bytes: most files of a disc share a few, and a lookup is ten times as fast as the arithmetic."""

    def __missing__(self, stamp: bytes) -> int:
        if len(self) >= limits.CACHED_TIMES:
            self.clear()
        time = self[stamp] = short_time(stamp)
        return time


def _long_fields(stamp: bytes) -> tuple[int, ...] | None:
    """(year, month, day, hour, minute, second, hundredths) of a long time, None when it is not given or no time."""
    digits = stamp[:16].replace(b" ", b"0").replace(b"\0", b"0")
    if len(digits) < 16 or not digits.isdigit():
        return None
    fields = (int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, 16, 2)))
    year, month, day, hour, minute, second, _ = fields
    if not (year and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    return fields


def long_time(stamp: bytes) -> int | None:
    """A long time (16 or 17 bytes) in ns since 1970, UTC; None when it is not given or none."""
    fields = _long_fields(stamp)
    if fields is None:
        return None
    zone = _zone(stamp[16]) if len(stamp) > 16 else 0
    return (calendar.timegm(fields[:6]) - zone) * _SECOND + fields[6] * 10_000_000


def iso8601(stamp: bytes) -> str | None:
    """A long time as `2024-05-01T12:00:00.25+02:00`, None when it is not given or none."""
    fields = _long_fields(stamp)
    if fields is None:
        return None
    text = "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:02}".format(*fields)
    minutes = _zone(stamp[16]) // 60 if len(stamp) > 16 else 0
    sign = "-" if minutes < 0 else "+"
    return f"{text}{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" if minutes else text + "Z"


def uuid_of(stamp: bytes) -> str | None:
    """A long time in the form that blkid shows as a volume's UUID: `2024-05-01-12-00-00-25`; None when it is not given."""
    digits = stamp[:16]
    if len(stamp) < LONG_BYTES or not digits.isdigit() or (digits == b"0" * 16 and not stamp[16]):
        return None
    text = digits.decode("ascii")
    return "-".join((text[:4], *(text[at : at + 2] for at in range(4, 16, 2))))
