"""The five shapes of readers against a model of bytes, and what their constructors collapse."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagefs.errors import DamagedError
from imagefs.packed import PackedReader
from imagefs.readers import (
    BytesReader,
    Extent,
    ExtentReader,
    MapReader,
    Reader,
    Run,
    RunKind,
    SectorReader,
    SliceReader,
    Source,
    ZeroReader,
    joined,
    sectors_of,
    slice_of,
)
from tests.builders.sectors import pattern
from tests.contract import check_reader, source_of

CONTENT = bytes(pattern(12))
SIZE = len(CONTENT)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    opened = source_of(tmp_path / "image", CONTENT)
    yield opened
    opened.close()


# --- each shape keeps the contract ----------------------------------------------------------------------------------------


def test_source(source: Source) -> None:
    check_reader(source, CONTENT)


def test_bytes_reader() -> None:
    check_reader(BytesReader(CONTENT), CONTENT)


def test_zero_reader() -> None:
    check_reader(ZeroReader(10_001), bytes(10_001))


def test_slice_reader(source: Source) -> None:
    check_reader(SliceReader(source, 1000, 9999), CONTENT[1000:10_999])


def test_slice_past_the_end_is_missing_there_and_nowhere_else(source: Source) -> None:
    reader = SliceReader(source, SIZE - 3000, 5000)
    check_reader(reader, CONTENT[-3000:] + bytes(2000), missing=[(3000, 5000)])


@pytest.mark.parametrize("stride", [2048, 2336, 2352, 2448])
def test_sector_reader(source: Source, stride: int) -> None:
    offset, count = stride - 2048, SIZE // stride
    user = b"".join(CONTENT[k * stride + offset : (k + 1) * stride] for k in range(count))
    check_reader(SectorReader(source, 0, stride, offset, 2048, count), user)


def test_sector_reader_whose_last_sector_is_cut_behind_its_user_data(source: Source) -> None:
    image = SliceReader(source, 0, 3 * 2352 + 16 + 2048)
    user = b"".join(CONTENT[k * 2352 + 16 : k * 2352 + 2064] for k in range(4))
    check_reader(SectorReader(image, 0, 2352, 16, 2048, 4), user)


def test_sector_reader_past_the_end_is_missing_from_the_byte_that_is_not_there(source: Source) -> None:
    image = SliceReader(source, 0, 3 * 2352 + 16 + 1000)
    user = b"".join(CONTENT[k * 2352 + 16 : k * 2352 + 2064] for k in range(3))
    there = user + CONTENT[3 * 2352 + 16 : 3 * 2352 + 1016]
    check_reader(SectorReader(image, 0, 2352, 16, 2048, 5), there.ljust(5 * 2048), missing=[(len(there), 5 * 2048)])


def test_sectors_in_sectors_are_read_in_one_step(source: Source) -> None:
    """The main channel before its subcode, and the user data in it; only where both count the same sectors."""
    main = SectorReader(source, 100, 2448, 0, 2352, 9)
    reader = sectors_of(main, 2 * 2352, 2352, 16, 2048, 7)
    assert reader.base is source
    user = b"".join(CONTENT[100 + k * 2448 + 16 :][:2048] for k in range(2, 9))
    check_reader(reader, user)
    shifted = sectors_of(main, 2352 + 10, 2352, 16, 2048, 3)
    assert shifted.base is main
    check_reader(shifted, b"".join(main.pread(k * 2352 + 26, 2048) for k in range(1, 4)))
    beyond = sectors_of(main, 0, 2352, 16, 2048, 10)
    whole = b"".join(CONTENT[100 + k * 2448 + 16 :][:2048] for k in range(9))
    check_reader(beyond, whole + bytes(2048), missing=[(9 * 2048, 10 * 2048)])


def test_extent_reader_in_shuffled_order_with_a_hole_and_a_gap(source: Source) -> None:
    extents = [
        Extent(0, 3000, source, 9000),
        Extent(3000, 500, source, 100),
        Extent(3500, 2500, None),
        Extent(7000, 4096, source, 0),
    ]
    content = CONTENT[9000:12_000] + CONTENT[100:600] + bytes(2500) + bytes(1000) + CONTENT[:4096] + bytes(904)
    check_reader(ExtentReader(extents, 12_000), content, missing=[(6000, 7000), (11_096, 12_000)])


def test_map_reader_with_shuffled_blocks_and_a_partial_last_one(source: Source) -> None:
    order = [5, 2, None, 0, 3, 1, None, 4]
    blocks = [bytes(2000) if place is None else CONTENT[place * 2000 : (place + 1) * 2000] for place in order]
    reader = MapReader(source, 15_123, 2000, lambda block: None if order[block] is None else order[block] * 2000)
    check_reader(reader, b"".join(blocks)[:15_123], block=2000)


def test_map_reader_whose_block_lies_past_the_end(source: Source) -> None:
    reader = MapReader(source, 4096, 2048, lambda block: block and SIZE - 1000)
    check_reader(reader, CONTENT[:2048] + CONTENT[-1000:] + bytes(1048), missing=[(3048, 4096)])


class Packed(PackedReader):
    """Blocks stored back to front; those in `damaged` cannot be decoded."""

    damaged: frozenset[int] = frozenset()

    def unpack(self, first: int, count: int) -> bytes:
        if self.damaged.intersection(range(first, first + count)):
            raise DamagedError(first, "a damaged block")
        blocks = [CONTENT[k * self.block_bytes : (k + 1) * self.block_bytes][::-1] for k in range(first, first + count)]
        return b"".join(block[::-1] for block in blocks)[: self.size - first * self.block_bytes]


@pytest.mark.parametrize("block", [2048, 3000, 20_000])
def test_packed_reader(block: int) -> None:
    check_reader(Packed(SIZE - 100, block), CONTENT[:-100], block)


def test_packed_reader_loses_exactly_its_damaged_block() -> None:
    reader = Packed(SIZE - 100, 2048)
    reader.damaged = frozenset([3])
    assert reader.pread(2048, 2 * 2048) == CONTENT[2048 : 3 * 2048]
    assert reader.pread(4 * 2048, SIZE) == CONTENT[4 * 2048 : -100]
    for offset, length in ((3 * 2048, 1), (4 * 2048 - 1, 2), (0, SIZE)):
        with pytest.raises(DamagedError):
            reader.pread(offset, length)


# --- readers on readers, by chance ----------------------------------------------------------------------------------------


@st.composite
def stacks(draw: st.DrawFn) -> tuple[Reader, bytes]:
    """A stack of up to four shapes over bytes, and the bytes it must have."""
    content = bytes(range(256)) * draw(st.integers(1, 8))
    reader: Reader = BytesReader(content)
    for _ in range(draw(st.integers(1, 4))):
        reader, content = draw(st.sampled_from([_sliced, _strided, _extended, _mapped]))(draw, reader, content)
    return reader, content


def _sliced(draw: st.DrawFn, reader: Reader, content: bytes) -> tuple[Reader, bytes]:
    start = draw(st.integers(0, len(content)))
    size = draw(st.integers(0, len(content) - start))
    return slice_of(reader, start, size), content[start : start + size]


def _strided(draw: st.DrawFn, reader: Reader, content: bytes) -> tuple[Reader, bytes]:
    stride = draw(st.integers(1, 50))
    offset = draw(st.integers(0, stride - 1))
    user = draw(st.integers(1, stride - offset))
    start = draw(st.integers(0, len(content)))
    count = (len(content) - start) // stride
    places = range(start + offset, start + offset + count * stride, stride)
    return SectorReader(reader, start, stride, offset, user, count), b"".join(content[at : at + user] for at in places)


def _extended(draw: st.DrawFn, reader: Reader, content: bytes) -> tuple[Reader, bytes]:
    borders = sorted({0, len(content), *draw(st.lists(st.integers(0, len(content)), max_size=4))})
    pieces = draw(st.permutations(list(itertools.pairwise(borders))))
    extents, found = [], b""
    for first, last in pieces:
        is_hole = draw(st.booleans())
        extents.append(Extent(len(found), last - first, None if is_hole else reader, first))
        found += bytes(last - first) if is_hole else content[first:last]
    return joined(extents, len(found)), found


def _mapped(draw: st.DrawFn, reader: Reader, content: bytes) -> tuple[Reader, bytes]:
    block = draw(st.integers(1, 64))
    order = draw(st.permutations([None, *range(len(content) // block)]))
    size = draw(st.integers(0, len(order) * block))
    found = b"".join(bytes(block) if at is None else content[at * block : (at + 1) * block] for at in order)

    def locate(number: int) -> int | None:
        place = order[number]
        return None if place is None else place * block

    return MapReader(reader, size, block, locate), found[:size]


@settings(max_examples=150, deadline=None)
@given(stacks(), st.data())
def test_stacks_of_readers_give_what_the_model_gives(stack: tuple[Reader, bytes], data: st.DataObject) -> None:
    reader, content = stack
    offset, length = data.draw(st.integers(0, len(content) + 5)), data.draw(st.integers(0, len(content) + 5))
    expected = content[offset : offset + length]
    assert reader.size == len(content)
    assert reader.pread(offset, length) == expected
    assert sum(run.length for run in reader.runs(offset, length)) == len(expected)
    views = reader.views(offset, length)
    assert views is None or b"".join(views) == expected


# --- what is collapsed, and what is refused -------------------------------------------------------------------------------


def test_a_slice_of_a_slice_is_a_slice_of_the_source(source: Source) -> None:
    inner = slice_of(slice_of(source, 1000, 8000), 500, 4000)
    assert isinstance(inner, SliceReader)
    assert (inner.base, inner.start, inner.size) == (source, 1500, 4000)


def test_the_slice_that_is_everything_is_the_reader_itself(source: Source) -> None:
    assert slice_of(source, 0, source.size) is source


def test_one_extent_that_is_everything_is_no_extent_reader(source: Source) -> None:
    assert joined([Extent(0, SIZE, source, 0), Extent(SIZE, 0, None)], SIZE) is source


def test_a_file_on_a_track_in_a_split_is_one_run_of_the_source(source: Source) -> None:
    split = ExtentReader([Extent(0, SIZE, source)], SIZE)
    track = slice_of(split, 2048, 8 * 2048)
    assert list(SliceReader(track, 2048, 4096).runs(0, 4096)) == [Run(RunKind.DATA, 4096, source, 4096)]


def test_views_of_sectors_are_parts_of_the_mapped_file(source: Source) -> None:
    views = SectorReader(source, 0, 2352, 16, 2048, 5).views(100, 5000)
    assert views is not None
    assert [len(view) for view in views] == [1948, 2048, 1004]
    assert all(view.obj is source.view.obj for view in views if source.view)


@pytest.mark.parametrize(
    "make",
    [
        lambda base: SliceReader(base, -1, 5),
        lambda base: SliceReader(base, 0, -5),
        lambda base: SectorReader(base, 0, 2048, 16, 2048, 1),
        lambda base: SectorReader(base, 0, 2352, 16, 2048, -1),
        lambda base: ExtentReader([Extent(0, 10, base), Extent(5, 10, base)], 20),
        lambda base: ExtentReader([Extent(0, 10, base)], 9),
    ],
)
def test_geometry_that_cannot_be_is_refused(make) -> None:
    with pytest.raises(ValueError, match=r"bytes|extents"):
        make(BytesReader(CONTENT))


def test_runs_of_sectors_are_as_long_as_those_below() -> None:
    """Two thousand sectors in a file, a hole and what is missing: three runs, cut where the stored bytes are."""
    count, stride = 3000, 2352
    stored = BytesReader(bytes(2000 * stride))
    base = ExtentReader(
        [Extent(0, 2000 * stride, stored), Extent(2000 * stride, 500 * stride + 16, None)], count * stride
    )
    reader = SectorReader(base, 0, stride, 16, 2048, count)
    assert [(run.kind, run.length) for run in reader.runs(0, reader.size)] == [
        (RunKind.PACKED, 2000 * 2048), (RunKind.ZERO, 500 * 2048), (RunKind.MISSING, 500 * 2048),
    ]  # fmt: skip
    assert [run.length for run in reader.runs(1000, 5000)] == [5000]
    assert [(run.kind, run.length) for run in reader.runs(2000 * 2048 - 10, 30)] == [
        (RunKind.PACKED, 10), (RunKind.ZERO, 20),
    ]  # fmt: skip
