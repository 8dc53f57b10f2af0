"""Small UDF volumes laid by hand, on every kind of partition: each structure byte by byte as ECMA-167 and UDF 2.60 have it.

`Builder` numbers the blocks of the file system from 0 (`blocks`), and those for file data apart from them (`data`), in the
physical partition. `image` puts them where the kind of partition wants them: virtual and metadata blocks are shuffled, the
first packet of a sparable partition lies among the spare ones.
"""

import struct
from binascii import crc_hqx
from collections.abc import Sequence

FILE_SET, ROOT = 0, 1
DIRECTORY, FILE, BLOCK_DEVICE, CHARACTER_DEVICE, LINK = 4, 5, 6, 7, 12
HIDDEN, IS_DIRECTORY, DELETED, PARENT = 1, 2, 4, 8
SHORT, LONG, EXTENDED, EMBEDDED = range(4)
RECORDED, ALLOCATED, HOLE, NEXT = range(4)
NOT_SET = 0xFFFFFFFF

MAIN, RESERVE, INTEGRITY, TABLES, SPARE, ANCHOR, START = 100, 120, 140, 150, 160, 256, 300
"""Where the parts of the volume are, in blocks. The partition begins at START."""
PHYSICAL_BLOCKS, DATA = 400, 200
PACKET = 16


def timestamp(
    year: int = 2006, month: int = 1, day: int = 2, hour: int = 15, minute: int = 4, second: int = 5,
    zone: int = 0, kind: int = 1, parts: tuple[int, int, int] = (0, 0, 0),
) -> bytes:  # fmt: skip
    return struct.pack("<HH8B", kind << 12 | zone & 0xFFF, year, month, day, hour, minute, second, *parts)


TIME = timestamp()
TIME_NS = 1_136_214_245 * 10**9


def cs0(text: str) -> bytes:
    try:
        return b"\x08" + text.encode("latin-1")
    except UnicodeEncodeError:
        return b"\x10" + text.encode("utf-16-be", "surrogatepass")


def dstring(text: str, size: int) -> bytes:
    raw = cs0(text) if text else b""
    return raw.ljust(size - 1, b"\0") + bytes((len(raw),))


def regid(text: bytes, suffix: bytes = b"") -> bytes:
    return b"\0" + text.ljust(23, b"\0") + suffix.ljust(8, b"\0")


def tagged(identifier: int, location: int, body: bytes) -> bytes:
    """A structure with its tag, whose checksum and CRC are right."""
    head = struct.pack("<HHBBHHHI", identifier, 3, 0, 0, 0, crc_hqx(body, 0), len(body), location)
    return head[:4] + bytes((sum(head) & 0xFF,)) + head[5:] + body


def charspec() -> bytes:
    return b"\0" + b"OSTA Compressed Unicode".ljust(63, b"\0")


def short_ad(length: int, block: int, kind: int = RECORDED) -> bytes:
    return struct.pack("<II", length | kind << 30, block)


def long_ad(length: int, block: int, reference: int = 0, kind: int = RECORDED) -> bytes:
    return struct.pack("<IIH6x", length | kind << 30, block, reference)


def ext_ad(length: int, block: int, reference: int = 0, kind: int = RECORDED) -> bytes:
    return struct.pack("<IIIIH2x", length | kind << 30, length, length, block, reference)


def identifier(
    name: bytes, block: int, reference: int = 0, flags: int = 0, use: bytes = b"", location: int = 0
) -> bytes:
    """A file identifier; `name` is in CS0."""
    body = struct.pack("<HBB", 1, flags, len(name)) + long_ad(2048, block, reference) + struct.pack("<H", len(use))
    body += use + name
    return tagged(257, location, body + bytes(-(len(body) + 16) % 4))


def entry(
    block: int, kind: int, size: int, allocation: bytes, form: int = EMBEDDED, *, extended: bool = False, uid: int = 1000,
    gid: int = 100, permissions: int = 0o7 << 10 | 5 << 5 | 5, links: int = 1, blocks: int = 0, flags: int = 0,
    times: tuple[bytes, bytes, bytes] = (TIME, TIME, TIME), attributes: bytes = b"", streams: bytes = bytes(16),
    strategy: int = 4, unique: int = 16,
) -> bytes:  # fmt: skip
    """A file entry, or an extended one; `times` are access, modification, attributes."""
    icb = struct.pack("<IHHHBB6xH", 0, strategy, 0, 1, 0, kind, form | flags)
    body = icb + struct.pack("<IIIHBBIQ", uid, gid, permissions, links, 0, 0, 0, size)
    impl = regid(b"*test")
    if extended:
        body += struct.pack("<QQ", size, blocks) + times[0] + times[1] + TIME + times[2]
        body += struct.pack("<II", 1, 0) + bytes(16) + streams + impl
    else:
        body += struct.pack("<Q", blocks) + times[0] + times[1] + times[2] + struct.pack("<I", 1) + bytes(16) + impl
    body += struct.pack("<QII", unique, len(attributes), len(allocation)) + attributes + allocation
    return tagged(266 if extended else 261, block, body)


def path(*components: tuple[int, str]) -> bytes:
    """The content of a symbolic link."""
    parts = [(kind, cs0(text) if text else b"") for kind, text in components]
    return b"".join(bytes((kind, len(raw), 0, 0)) + raw for kind, raw in parts)


def device_attributes(major: int, minor: int) -> bytes:
    """An extended attribute area with a device specification behind another attribute."""
    other = struct.pack("<IB3xII", 2048, 1, 56, 4) + regid(b"*UDF FreeEASpace") + bytes(8)
    spec = struct.pack("<IB3xIIII", 12, 1, 24, 0, major, minor)
    return tagged(262, 0, struct.pack("<II", 24, 24)) + other + spec


class Builder:
    """A volume that grows: files, directories and links get blocks, and `image` lays all of it out."""

    def __init__(
        self, kind: str = "physical", block_bytes: int = 2048, revision: int = 0x0201, *, extended: bool = False
    ) -> None:
        self.kind, self.block_bytes, self.revision, self.extended = kind, block_bytes, revision, extended
        self.blocks: dict[int, bytes] = {}
        self.data: dict[int, bytes] = {}
        self._next, self._next_data = 2, 0
        self._directories: set[int] = set()
        self.reference = 1 if kind in ("virtual", "metadata") else 0
        """The partition reference of the file system's own blocks; that of file data is 0."""

    def block(self, count: int = 1) -> int:
        """The first of some blocks of the file system that are free."""
        self._next += count
        return self._next - count

    def put(self, content: bytes) -> int:
        """Store file data; the block in the physical partition at which it begins."""
        first, size = DATA + self._next_data, self.block_bytes
        for at in range(0, len(content), size):
            self.data[first + at // size] = content[at : at + size]
        self._next_data += -(-len(content) // size)
        return first

    def add(
        self, kind: int, size: int, allocation: bytes, form: int = EMBEDDED, *, block: int = -1, **more: object
    ) -> int:
        """A file entry; its block."""
        block = self.block() if block < 0 else block
        words: dict[str, object] = {"extended": self.extended, **more}
        self.blocks[block] = entry(block, kind, size, allocation, form, **words)  # type: ignore[arg-type]
        return block

    def file(self, content: bytes, form: int = LONG, **more: object) -> int:
        """A file in one extent, or in its entry."""
        if form == EMBEDDED:
            return self.add(FILE, len(content), content, form, **more)
        first = self.put(content)
        descriptors = {SHORT: short_ad, LONG: long_ad, EXTENDED: ext_ad}[form]
        blocks = -(-len(content) // self.block_bytes)
        return self.add(
            FILE, len(content), descriptors(len(content), first) if content else b"", form, blocks=blocks, **more
        )

    def directory(
        self, entries: Sequence[tuple[str | bytes, int] | tuple[str | bytes, int, int]], parent: int = ROOT, *,
        block: int = -1, embedded: bool = False, kind: int = DIRECTORY, **more: object,
    ) -> int:  # fmt: skip
        """A directory of (name, block[, flags]); bytes are names in CS0 as they are to be recorded."""
        content = identifier(b"", parent, self.reference, PARENT | IS_DIRECTORY)
        for name, where, *flags in entries:
            raw = name if isinstance(name, bytes) else cs0(name)
            kinds = IS_DIRECTORY if where in self._directories else 0
            content += identifier(raw, where, self.reference, flags[0] if flags else kinds)
        block = self.block() if block < 0 else block
        self._directories.add(block)
        if embedded:
            return self.add(kind, len(content), content, EMBEDDED, block=block, **more)
        count = -(-len(content) // self.block_bytes)
        first = self.block(count)
        for index in range(count):
            self.blocks[first + index] = content[index * self.block_bytes : (index + 1) * self.block_bytes]
        ads = b"".join(
            short_ad(min(self.block_bytes, len(content) - at), first + at // self.block_bytes)
            for at in range(0, len(content), self.block_bytes)
        )
        return self.add(kind, len(content), ads, SHORT, block=block, blocks=count, **more)

    def link(self, *components: tuple[int, str]) -> int:
        content = path(*components)
        return self.add(LINK, len(content), content)

    # --- layout -----------------------------------------------------------------------------------------------------

    def place(self, block: int, copy: int = 0) -> int:
        """The sector of a block of the file system."""
        if self.kind == "sparable" and block < PACKET:
            return SPARE + block
        if self.kind == "virtual":
            return START + 20 + block * 7 % 101
        if self.kind == "metadata":
            first = 20 + 80 * copy
            return START + first + (block if block < 16 else block + 8)
        return START + block

    def image(self, label: str = "LABEL", **more: object) -> bytes:
        """The volume. `more`: `number` of the partition, `serial` of the descriptors, `set_id` of the volume set."""
        size = self.block_bytes
        sectors: dict[int, bytes] = {}
        file_set = TIME + struct.pack("<HHIIII", 3, 3, 1, 1, 0, 0) + charspec() + dstring(label, 128) + charspec()
        file_set += dstring("SET", 32) + bytes(64) + long_ad(size, ROOT, self.reference)
        file_set += regid(b"*OSTA UDF Compliant", struct.pack("<H", self.revision)) + bytes(64)
        self.blocks[FILE_SET] = tagged(256, FILE_SET, file_set)
        for block, content in self.blocks.items():
            sectors[self.place(block)] = content
            if self.kind == "metadata":
                sectors[self.place(block, 1)] = content
        for block, content in self.data.items():
            sectors[START + block] = content
        total = START + PHYSICAL_BLOCKS + 1
        self._partition(sectors)
        self._descriptors(sectors, label, **more)  # type: ignore[arg-type]
        if self.kind == "virtual":
            total = max(sectors) + 1
        else:
            sectors[total - 1] = self._anchor(total - 1)
        image = bytearray(total * size)
        for index, name in enumerate((b"BEA01", b"NSR03" if self.revision >= 0x200 else b"NSR02", b"TEA01")):
            at = 32768 + index * max(2048, size)
            image[at : at + 7] = b"\0" + name + b"\1"
        for sector, content in sectors.items():
            assert len(content) <= size
            image[sector * size : sector * size + len(content)] = content
        return bytes(image)

    def _anchor(self, sector: int) -> bytes:
        extents = struct.pack("<IIII", 16 * self.block_bytes, MAIN, 16 * self.block_bytes, RESERVE)
        return tagged(2, sector, extents + bytes(480))

    def _partition(self, sectors: dict[int, bytes]) -> None:
        """What the kind of partition needs besides the blocks."""
        size = self.block_bytes
        if self.kind == "sparable":
            old = struct.pack("<HHI", 1, 0, 1) + struct.pack("<II", 0, SPARE + PACKET)
            new = struct.pack("<HHI", 2, 0, 2) + struct.pack("<IIII", 0, SPARE, 0xFFFFFFFF, SPARE + PACKET)
            sectors[TABLES] = tagged(0, TABLES, regid(b"*UDF Sparing Table") + old)
            sectors[TABLES + 1] = tagged(0, TABLES + 1, regid(b"*UDF Sparing Table") + new)
        elif self.kind == "metadata":
            for copy, block, kind in ((0, 10, 250), (1, 11, 251)):
                first = self.place(0, copy) - START
                ads = short_ad(16 * size, first) + short_ad(40 * size, first + 24) + short_ad(0, 0)
                content = entry(block, kind, 56 * size, ads, SHORT, extended=True, blocks=56)
                sectors[START + block] = content
        elif self.kind == "virtual":
            where = [self.place(block) - START if block in self.blocks else NOT_SET for block in range(self._next)]
            table = struct.pack(f"<{len(where)}I", *where)
            last = max(sectors) + 1 - START
            if self.revision >= 0x200:
                head = struct.pack("<HH", 152, 0) + dstring("VAT LABEL", 128)
                head += struct.pack("<IIIHHHH", NOT_SET, 3, 1, 0x201, 0x201, 0x201, 0)
                content, kind = head + table, 248
            else:
                content, kind = table + regid(b"*UDF Virtual Alloc Tbl") + struct.pack("<I", NOT_SET), 0
            sectors[START + last] = content
            sectors[START + last + 1] = entry(
                last + 1, kind, len(content), short_ad(len(content), last), SHORT, blocks=1
            )

    def _maps(self, number: int) -> list[bytes]:
        plain = struct.pack("<BBHH", 1, 6, 1, number)
        suffix = struct.pack("<H", self.revision)

        def special(name: bytes, body: bytes) -> bytes:
            return (struct.pack("<BBH", 2, 64, 0) + regid(name, suffix) + struct.pack("<HH", 1, number) + body).ljust(
                64, b"\0"
            )

        if self.kind == "sparable":
            body = struct.pack("<HBBI2I", PACKET, 2, 0, self.block_bytes, TABLES, TABLES + 1)
            return [special(b"*UDF Sparable Partition", body)]
        if self.kind == "virtual":
            return [plain, special(b"*UDF Virtual Partition", b"")]
        if self.kind == "metadata":
            return [plain, special(b"*UDF Metadata Partition", struct.pack("<IIIIHB", 10, 11, NOT_SET, 32, 1, 1))]
        return [plain]

    def _descriptors(
        self, sectors: dict[int, bytes], label: str, number: int = 0, serial: int = 1,
        set_id: str = "0123456789abcdefSET", recorded: bytes = TIME,
    ) -> None:  # fmt: skip
        size, maps = self.block_bytes, self._maps(number)
        domain = regid(b"*OSTA UDF Compliant", struct.pack("<H", self.revision))
        for first in (MAIN, RESERVE):
            primary = struct.pack("<II", serial, 0) + dstring(label, 32) + struct.pack("<HHHHII", 1, 1, 2, 3, 1, 1)
            primary += dstring(set_id, 128) + charspec() + charspec() + bytes(16) + regid(b"*app") + recorded
            primary += regid(b"*test") + bytes(92)
            part = struct.pack("<IHH", serial, 1, number)
            part += regid(b"+NSR03" if self.revision >= 0x200 else b"+NSR02") + bytes(128)
            part += struct.pack("<III", 1, START, PHYSICAL_BLOCKS) + regid(b"*test") + bytes(284)
            logical = struct.pack("<I", serial) + charspec() + dstring(label, 128) + struct.pack("<I", size) + domain
            logical += long_ad(size, FILE_SET, self.reference) + struct.pack("<II", sum(map(len, maps)), len(maps))
            logical += regid(b"*test") + bytes(128) + struct.pack("<II", size, INTEGRITY) + b"".join(maps)
            bodies = ((1, primary), (5, part), (6, logical), (8, bytes(496)))
            for index, (kind, body) in enumerate(bodies):
                sectors[first + index] = tagged(kind, first + index, body)
        tables = struct.pack("<II", 77, PHYSICAL_BLOCKS)
        use = regid(b"*test") + struct.pack("<IIHHH", 3, 1, 0x201, 0x201, 0x201)
        body = (
            timestamp(year=2007)
            + struct.pack("<III", 1, 0, 0)
            + struct.pack("<Q24x", 100)
            + struct.pack("<II", 1, len(use))
        )
        sectors[INTEGRITY] = tagged(9, INTEGRITY, body + tables + use)
        sectors[ANCHOR] = self._anchor(ANCHOR)
