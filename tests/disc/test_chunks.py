"""The one walk over chunks: forward, inside its range, and with an end."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefs import limits
from imagefs.disc.chunks import BIG_ENDIAN, LITTLE_ENDIAN, Chunk, chunks
from imagefs.errors import DamagedError
from imagefs.readers import BytesReader


def chunk(name: bytes, content: bytes, declared: int | None = None) -> bytes:
    return struct.pack(">4sI", name, len(content) if declared is None else declared) + content


def test_chunks_follow_each_other() -> None:
    data = chunk(b"ONE ", b"abc") + chunk(b"TWO ", b"") + chunk(b"END!", b"")
    found = list(chunks(BytesReader(data), 0, len(data), BIG_ENDIAN))
    assert found == [Chunk(b"ONE ", 8, 3, 3), Chunk(b"TWO ", 19, 0, 0), Chunk(b"END!", 27, 0, 0)]


def test_riff_chunks_begin_at_even_offsets() -> None:
    data = struct.pack("<4sI", b"odd ", 3) + b"abc\0" + struct.pack("<4sI", b"next", 1) + b"x"
    assert [c.name for c in chunks(BytesReader(data), 0, len(data), LITTLE_ENDIAN, align=2)] == [b"odd ", b"next"]


@pytest.mark.parametrize("declared", [4, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFF8, 0xFFFF_FFFF])
def test_a_length_past_the_end_is_cut_there_and_ends_the_walk(declared: int) -> None:
    data = chunk(b"ONE ", b"abc") + chunk(b"FAR ", b"xyz", declared)
    *_, last = chunks(BytesReader(data), 0, len(data), BIG_ENDIAN)
    assert (last.name, last.size, last.declared, last.is_whole) == (b"FAR ", 3, declared, False)


def test_nothing_is_read_outside_the_range() -> None:
    data = chunk(b"ONE ", b"abc") * 3
    assert len(list(chunks(BytesReader(data), 11, 22, BIG_ENDIAN))) == 1
    assert list(chunks(BytesReader(data), 99, 200, BIG_ENDIAN)) == []


def test_too_many_chunks_are_damage() -> None:
    data = chunk(b"ONE ", b"") * (limits.CHUNKS + 1)
    with pytest.raises(DamagedError, match="more than"):
        list(chunks(BytesReader(data), 0, len(data), BIG_ENDIAN))


@given(st.binary(max_size=200), st.integers(0, 220), st.integers(0, 220), st.sampled_from([1, 2, 4]))
def test_any_bytes_give_chunks_in_order_inside_the_range(data: bytes, start: int, end: int, align: int) -> None:
    before = start
    for found in chunks(BytesReader(data), start, end, BIG_ENDIAN, align):
        assert before + 8 <= found.offset <= found.offset + found.size <= min(end, len(data))
        before = found.offset + found.size
