"""The timestamp of ECMA-167 1/7.3.

offset  size  field
0       2     type (top 4 bits: 0 UTC, 1 local, 2 by agreement), zone (low 12 bits: signed minutes east, -2047 not said)
2       2     year
4       1     month
5       1     day
6       1     hour
7       1     minute
8       1     second
9       1     hundredths of a second
10      1     hundreds of microseconds
11      1     microseconds

Local time less its zone is UTC; a zone beyond a day, and all but local time, count as UTC. Parts of a second of 100 and more
are dropped, as in Linux. A day that cannot be, and one before 1970 (packet writers record such),
is 1970-01-01.
"""

import calendar
import struct

from imagefs import limits

_STAMP = struct.Struct("<HH8B")
_LOCAL = 1
_YEARS = range(1970, 10_000)
_ZONE_MINUTES = 24 * 60


def _zone(type_and_zone: int) -> int:
    """Minutes east of Greenwich."""
    zone = type_and_zone & 0xFFF
    zone -= 0x1000 if zone & 0x800 else 0
    return zone if type_and_zone >> 12 == _LOCAL and abs(zone) <= _ZONE_MINUTES else 0


def time_of(stamp: bytes) -> int | None:
    """A timestamp in ns since 1970, UTC; None when it is none."""
    kind, year, month, day, hour, minute, second, *parts = _STAMP.unpack(stamp)
    if not (year in _YEARS and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    hundredths, hundreds, micros = parts if max(parts) < 100 else (0, 0, 0)
    seconds = calendar.timegm((year, month, day, hour, minute, second)) - _zone(kind) * 60
    return seconds * 10**9 + (hundredths * 10_000 + hundreds * 100 + micros) * 1000


def iso8601(stamp: bytes) -> str | None:
    """A timestamp as `2024-05-01T12:00:00.250000+02:00`, None when it is none."""
    if time_of(stamp) is None:
        return None
    kind, year, month, day, hour, minute, second, *parts = _STAMP.unpack(stamp)
    text = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    if any(parts) and max(parts) < 100:
        text += ".{:02}{:02}{:02}".format(*parts)
    zone = _zone(kind)
    return f"{text}{'-' if zone < 0 else '+'}{abs(zone) // 60:02}:{abs(zone) % 60:02}" if zone else text + "Z"


class Times(dict[bytes, int]):
    """Timestamps by their bytes in ns, 0 for what is none: files share them, and a look-up is faster than the arithmetic."""

    def __missing__(self, stamp: bytes) -> int:
        if len(self) >= limits.CACHED_TIMES:
            self.clear()
        time = self[stamp] = time_of(stamp) or 0
        return time
