"""Taking fields from a descriptor one after the other."""

import struct

from imagefs.errors import DamagedError

U8, U16, U32 = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<I")


class Cursor:
    """Walks over `data`, which lies at byte `begin` of the file. Past its end it raises DamagedError."""

    def __init__(self, data: bytes, begin: int = 0) -> None:
        self.data, self.begin, self.at = data, begin, 0

    def take(self, layout: struct.Struct) -> tuple[int, ...]:
        return layout.unpack(self.raw(layout.size))

    def number(self, layout: struct.Struct = U32) -> int:
        return self.take(layout)[0]

    def raw(self, count: int) -> bytes:
        field = self.data[self.at : self.at + count]
        if len(field) < count:
            raise DamagedError(self.begin + self.at, "the descriptor ends there, inside a field")
        self.at += count
        return field

    def string(self) -> bytes:
        """What follows a byte that tells its length."""
        return self.raw(self.number(U8))
