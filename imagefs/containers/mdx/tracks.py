"""The tracks that the descriptor of an MDX image tells of."""

import itertools
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imagefs import limits
from imagefs.containers._mds import (
    SESSION_2,
    Block,
    Files,
    check_start,
    file_name,
    file_rows,
    parts_there,
    read_sessions,
)
from imagefs.containers.mdx.crypto import KEY_BLOCK_BYTES, SALT_BYTES, Lrw, decrypt_lrw, open_keys, password_of
from imagefs.containers.mdx.sectors import EncryptedReader, Packed, open_groups, packed_table
from imagefs.disc import Disc, Session, TrackKind, cdtext
from imagefs.disc.build import DiscBuilder, Stored, described_layout
from imagefs.disc.layouts import Layout
from imagefs.disc.model import SUBCHANNEL_BYTES, texts_in
from imagefs.errors import DamagedError, PasswordError, UnsupportedError, message_of
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import Extent, Reader, joined, slice_of

HEADER = struct.Struct("<18xH10xH8xI44xI")
FILE = struct.Struct("<IB7xIQQ")
_DVD = 3
_PACKED = 1
_MAX_INDEXES = 100
_MAX_PARTS = 1024
"""Files of all tracks, counted again for each: 99 tracks in ten, or one in 256 of them. Each has a reader of its own."""

_SYNC, _SUBHEADER, _HEADER, _EDC = 0x80, 0x40, 0x20, 0x08
_Q_BYTES = 16
_WITH_96_BYTES = (1, 4)


class _Mode(NamedTuple):
    """What a sector has: `user` bytes, of which `skipped` are no data, and behind them `edc` of detection and correction."""

    kind: TrackKind
    user: int
    edc: int = 0
    skipped: int = 0
    has_subheader: bool = False


_MODES = {
    1: _Mode(TrackKind.AUDIO, 2352),
    2: _Mode(TrackKind.MODE1, 2048, 288),
    3: _Mode(TrackKind.MODE2, 2336, skipped=8),
    4: _Mode(TrackKind.MODE2, 2048, 280, has_subheader=True),
    5: _Mode(TrackKind.MODE2, 2324, 4, has_subheader=True),
}


class _File(NamedTuple):
    """A part of a track: `sectors` in the file called at byte `name`, packed `group` by `group`."""

    name: int
    flags: int
    group: int
    sectors: int
    table_at: int


def names_in(descriptor: Candidate) -> list[str]:
    """The files that are there, of all tracks. Raises DamagedError, OutsideError."""
    blocks = (block for session in read_sessions(descriptor, SESSION_2) for block in session)
    return parts_there(descriptor, (_names(descriptor, _files(descriptor, block), Options()) for block in blocks))


def _files(descriptor: Candidate, block: Block) -> list[_File]:
    return [_File(*row) for row in file_rows(descriptor, block, FILE)]


def _names(descriptor: Candidate, files: Sequence[_File], options: Options) -> list[str]:
    return [file_name(descriptor, file.name, options, wide=True) for file in files]


def open_disc(descriptor: Candidate, inside: Reader | None, options: Options) -> Disc:
    """The disc; its sectors are in `inside`, or in the files beside.

    Raises DamagedError, MissingPartError, OutsideError, PasswordError, UnsupportedError, OSError.
    """
    medium, text_bytes, text_at, keys_at = HEADER.unpack(descriptor.exactly(0, HEADER.size))
    is_dvd = medium >= _DVD
    packs = b"" if is_dvd or not text_at else cdtext.packs_in(descriptor.at(text_at, text_bytes))
    words = cdtext.texts(packs)
    tracks = _Tracks(descriptor, inside, _lrw(descriptor, keys_at) if keys_at else None, options)
    for session in read_sessions(descriptor, SESSION_2):
        tracks.builder.begin_session()
        for block in session:
            tracks.add(block, words.get(block.point, {}), is_dvd=is_dvd)
    return Disc(
        tracks.sessions(),
        **texts_in(words.get(0, {})),
        medium="DVD" if is_dvd else "CD",
        warnings=tuple(tracks.builder.warnings),
        cdtext=packs,
    )


def _lrw(descriptor: Candidate, keys_at: int) -> Lrw:
    block = descriptor.exactly(keys_at, KEY_BLOCK_BYTES)
    try:
        return Lrw(open_keys(block, decrypt_lrw, password_of(block[:SALT_BYTES]), keys_at))
    except DamagedError:  # the descriptor has a checksum of its own
        raise PasswordError("its sectors are encrypted with a password, and imagefs cannot be given one") from None


class _Tracks:
    """Adds the tracks of the descriptor to `builder`. One whose sectors are lost is there all the same."""

    def __init__(self, descriptor: Candidate, inside: Reader | None, lrw: Lrw | None, options: Options) -> None:
        self.builder = DiscBuilder()
        self._descriptor, self._inside, self._lrw, self._options = descriptor, inside, lrw, options
        self._files = Files(descriptor, self.builder)
        self._groups = limits.PIECES
        """How many more of all tracks together may be packed."""
        self._lost: list[DamagedError] = []
        self._count = self._parts = 0

    def sessions(self) -> list[Session]:
        """All of them. Raises DamagedError when there is nothing in them, with the reason of the first track."""
        if not self._count:
            raise DamagedError(None, "a descriptor without a track")
        if len(self._lost) == self._count:
            raise self._lost[0]
        return self.builder.sessions

    def add(self, block: Block, words: Mapping[str, str], *, is_dvd: bool) -> None:
        """Raises DamagedError, MissingPartError, OutsideError, UnsupportedError, OSError."""
        self._count += 1
        layout, files = _layout(block), _files(self._descriptor, block)
        self._parts += len(files)
        if self._parts > _MAX_PARTS:
            raise DamagedError(block.file_offset, f"{self._parts} files of tracks; the limit is {_MAX_PARTS}")
        pregap, *lengths = self._lengths(block, is_dvd=is_dvd)
        length, there = sum(lengths), sum(file.sectors for file in files)
        stored_pregap = pregap if pregap and there == pregap + length else 0
        sectors = stored_pregap + length if length else there
        if sectors != there:
            self.builder.warn(f"track {block.point} has {sectors} sectors, and its files {there} of it")
        start = block.first + stored_pregap if block.first else block.start
        check_start(block, start)
        begins = tuple(itertools.accumulate(lengths[:-1], initial=start))
        self.builder.add(
            block.point,
            start,
            Stored(self._sectors(block, files, layout.sector_bytes), layout, 0, sectors, stored_pregap),
            pregap=min(pregap, limits.DISC_SECTORS),
            flags=block.flags,
            words=words,
            indexes=begins[1:] if length <= limits.DISC_SECTORS else (),
        )

    def _lengths(self, block: Block, *, is_dvd: bool) -> Sequence[int]:
        """The sectors before index 1, from there to index 2 and so on."""
        if is_dvd or not block.extra:
            return 0, block.length
        return self._descriptor.table("<I", block.extra, min(max(2, block.indexes), _MAX_INDEXES))

    def _sectors(self, block: Block, files: Sequence[_File], sector_bytes: int) -> Reader:
        """Those of a track, as far as they are there; they begin at `offset` of the first file, at 0 of others.

        Behind a file that has more sectors than there can be, the others have no place.
        """
        extents: list[Extent] = []
        position, lost = 0, None
        for file, source in zip(files, self._sources(files), strict=True):
            offset = 0 if extents else block.offset
            try:
                part = self._part(source, offset, file, sector_bytes)
            except DamagedError as error:
                lost = error
                self.builder.warn(f"sectors of track {block.point} are lost: {message_of(error)}")
                part = slice_of(source, 0, 0)
            if file.sectors > limits.DISC_SECTORS:
                break
            extents.append(Extent(position, part.size, part))
            position += file.sectors * sector_bytes
        end = max((extent.position + extent.length for extent in extents if extent.length), default=0)
        if lost and not end:
            self._lost.append(lost)
        return joined(extents, end)

    def _sources(self, files: Sequence[_File]) -> Sequence[Reader]:
        if self._inside is not None:
            return [self._inside] * len(files)
        return self._files.open(_names(self._descriptor, files, self._options))

    def _part(self, source: Reader, offset: int, file: _File, sector_bytes: int) -> Reader:
        """The sectors of a file from byte `offset` of it on. Raises DamagedError."""
        if file.sectors > limits.DISC_SECTORS:
            raise DamagedError(None, f"{file.sectors} sectors; the limit is {limits.DISC_SECTORS}")
        if file.flags & _PACKED and file.sectors:
            packed, at = Packed(source, offset, file.sectors, sector_bytes, file.group), offset + file.table_at
            if packed.groups > self._groups:
                raise DamagedError(None, f"{packed.groups} groups of sectors; the limit is {limits.PIECES}")
            data = packed_table(packed, at)
            self._groups -= packed.groups
            return open_groups(packed, data, at, self._lrw)
        there = min(file.sectors, max(0, source.size - offset) // sector_bytes)
        if self._lrw and there:
            return EncryptedReader(source, offset, there, sector_bytes, self._lrw)
        return slice_of(source, min(offset, source.size), there * sector_bytes)


def _layout(block: Block) -> Layout:
    """By what its flags say of a sector, or by its size where the two do not agree. Raises UnsupportedError."""
    mode, flags, size = _MODES.get(block.mode & 7), block.mode, block.sector_bytes
    if mode is not None:
        before = 0
        if mode.kind is not TrackKind.AUDIO:
            before = 12 * bool(flags & _SYNC) + 4 * bool(flags & _HEADER)
            before += 8 * bool(mode.has_subheader and flags & _SUBHEADER)
        main = before + mode.user + (mode.edc if flags & _EDC else 0)
        if size - main in (0, _Q_BYTES, SUBCHANNEL_BYTES):
            return Layout(mode.kind, size, before + mode.skipped)
    kind = mode.kind if mode else TrackKind.MODE2
    layout = described_layout(kind, size, has_subchannel=block.subchannel >> 3 & 7 in _WITH_96_BYTES)
    if layout is None:
        raise UnsupportedError(
            f"track {block.point} of an MDX image in {kind.value} sectors of {size} bytes is not read"
        )
    return layout
