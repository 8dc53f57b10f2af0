"""The content of a file: its extents, interleaved or not, and what zisofs packs."""

from imagefs import limits
from imagefs.errors import DamagedError
from imagefs.filesystems.iso9660.records import File, Record
from imagefs.readers import Extent, MapReader, Reader, joined, slice_of


def stored(reader: Reader, file: File) -> Reader:
    """The bytes of a file's sections one after the other, as they are stored."""
    extents, position = [], 0
    for section in file.sections:
        extents.append(Extent(position, section.size, _section(reader, section)))
        position += section.size
    return joined(extents, position)


def _section(reader: Reader, section: Record) -> Reader:
    """One section: contiguous, or in file units with gaps between them (ECMA-119 6.4.3)."""
    if not (section.unit and section.gap):
        return slice_of(reader, section.extent, section.size)
    start, step = section.extent, section.unit + section.gap
    return MapReader(reader, section.size, section.unit, lambda unit: start + unit * step)


def content(reader: Reader, file: File) -> Reader:
    """What is read from a file: `file.size` bytes.

    Raises DamagedError for more sections than a file can have and when what is packed is not what its ZF entry says,
    UnsupportedError for a codec that is not installed.
    """
    if len(file.sections) > limits.FILE_EXTENTS:
        raise DamagedError(file.sections[0].address, f"the file has more than {limits.FILE_EXTENTS} extents")
    packed = file.compressed
    if packed is None:
        return stored(reader, file)
    from imagefs.filesystems.iso9660.zisofs import ZF, open_zisofs  # it brings all codecs, which few discs need

    entry = ZF(packed.algorithm, packed.header_bytes, packed.block_log2, packed.size, packed.version)
    return open_zisofs(stored(reader, file), entry)
