"""Packed readers: groups, damage that stays local, holes, nowait, views. Reading ahead is in test_readahead.py."""

import errno
import random
import threading
from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefs import packed
from imagefs.cache import Cache
from imagefs.codecs import Content
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.packed import GROUP_BYTES, IndexedReader, PackedReader, read_table
from imagefs.readers import BytesReader, Run, RunKind, SliceReader, set_nowait
from tests.contract import check_reader

BLOCK = 2048
GROUP = GROUP_BYTES // BLOCK
CONTENT = random.Random(5).randbytes(41 * BLOCK + 300)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Readers that are made in a test have a cache of their own, and no thread reads ahead for them."""
    own = Cache()
    monkeypatch.setattr(packed.cache, "shared", lambda: own)
    monkeypatch.setattr("imagefs.readahead._one_core", True)
    monkeypatch.setattr("imagefs.readahead._worker", None)
    return own


@pytest.fixture
def nowait() -> Iterator[None]:
    before = set_nowait(True)
    yield
    set_nowait(before)


class Example(PackedReader):
    """`content` in blocks; `bad` ones cannot be decoded, `holes` are zero."""

    def __init__(self, content: bytes = CONTENT, block: int = BLOCK, bad: tuple[int, ...] = ()) -> None:
        super().__init__(len(content), block)
        self.content, self.bad = content, set(bad)
        self.calls: list[tuple[int, int]] = []

    def unpack(self, first: int, count: int) -> bytes:
        self.calls.append((first, count))
        if bad := self.bad & set(range(first, first + count)):
            raise DamagedError(min(bad) * self.block_bytes, "broken")
        return self.content[first * self.block_bytes : (first + count) * self.block_bytes]


class WithHoles(Example):
    def is_zero(self, block: int) -> bool:
        return not any(self.content[block * self.block_bytes : (block + 1) * self.block_bytes])


@pytest.mark.parametrize("block", [512, 2048, 8192, 16384, 40000, 1 << 20])
def test_contract(block: int):
    check_reader(Example(block=block), CONTENT, block)


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 2049, GROUP_BYTES, GROUP_BYTES + 1])
def test_sizes(size: int):
    reader = Example(CONTENT[:size])
    assert reader.pread(0, size + 10) == CONTENT[:size]
    assert reader.pread(size, 10) == b""
    assert reader.pread(max(0, size - 1), 10) == CONTENT[:size][-1:]


@pytest.mark.parametrize(("size", "block"), [(-1, 2048), (10, 0), (10, (32 << 20) + 1)])
def test_senseless_shapes(size: int, block: int):
    with pytest.raises(ValueError, match="bytes in blocks of"):
        Example.__mro__[1].__init__(Example(), size, block)


class TestGroups:
    def test_a_small_read_decodes_one_group(self):
        reader = Example()
        assert reader.pread(3 * BLOCK + 5, 10) == CONTENT[3 * BLOCK + 5 :][:10]
        assert reader.calls == [(0, GROUP)]

    def test_adjacent_groups_are_decoded_in_one_call(self):
        reader = Example()
        reader.pread(GROUP_BYTES - 1, GROUP_BYTES + 2)
        assert reader.calls == [(0, 3 * GROUP)]

    def test_what_is_there_is_not_decoded_again(self):
        reader = Example()
        reader.pread(GROUP_BYTES, 1)
        assert reader.pread(0, 3 * GROUP_BYTES) == CONTENT[: 3 * GROUP_BYTES]
        assert reader.calls == [(GROUP, GROUP), (0, GROUP), (2 * GROUP, GROUP)]

    def test_the_last_call_ends_with_the_reader(self):
        reader = Example()
        assert reader.pread(len(CONTENT) - 1, 100) == CONTENT[-1:]
        assert reader.calls == [(40, 2)]

    def test_a_call_has_a_bound(self):
        reader = Example(bytes(5 << 20), 4096)
        reader.pread(0, 5 << 20)
        assert {count for _, count in reader.calls} == {packed.UNPACK_BYTES // 4096}

    def test_a_whole_piece_is_not_copied(self):
        reader = Example()
        assert reader.pread(0, 2 * GROUP_BYTES) is reader.pread(0, 2 * GROUP_BYTES)

    def test_an_unpack_that_gives_too_little_is_damage(self):
        class Short(Example):
            def unpack(self, first: int, count: int) -> bytes:
                return super().unpack(first, count)[:-1]

        with pytest.raises(DamagedError, match="instead of"):
            Short().pread(0, 10)


class TestDamage:
    @pytest.mark.parametrize("bad", [0, 7, 8, 11, 40, 41])
    def test_exactly_the_reads_that_touch_it_fail(self, bad: int):
        reader = Example(bad=(bad,))
        first, stop = bad * BLOCK, min((bad + 1) * BLOCK, len(CONTENT))
        assert reader.pread(0, first) == CONTENT[:first]
        assert reader.pread(stop, len(CONTENT)) == CONTENT[stop:]
        for offset, length in [(first, 1), (stop - 1, 1), (0, first + 1), (stop - 1, 5000), (0, len(CONTENT))]:
            with pytest.raises(DamagedError) as raised:
                reader.pread(offset, length)
            assert raised.value.where == first

    def test_every_block_of_a_damaged_group(self):
        reader = Example(bad=(9, 12))
        for block in random.Random(1).sample(range(42), 42):
            if block in (9, 12):
                with pytest.raises(DamagedError):
                    reader.pread(block * BLOCK, BLOCK)
            else:
                assert reader.pread(block * BLOCK, BLOCK) == CONTENT[block * BLOCK :][:BLOCK]

    def test_a_group_is_tried_once_however_small_its_blocks(self):
        reader = Example(CONTENT[:1000], 1, bad=(900,))
        with pytest.raises(DamagedError):
            reader.pread(0, 1000)
        assert [call for call in reader.calls if call[1] > 1] == [(0, 1000)] * 2  # the read, and its only group
        assert len(reader.calls) == 2 + 901

    @pytest.mark.parametrize("block", [BLOCK, 2 * GROUP_BYTES])
    def test_a_broken_block_is_decoded_once(self, block: int):
        reader = Example(block=block, bad=(1,))
        for _ in range(3):
            with pytest.raises(DamagedError) as raised:
                reader.pread(block + 5, 1)
            assert raised.value.where == block
            with pytest.raises(DamagedError):
                reader.pread(0, len(CONTENT))
        assert reader.calls.count((1, 1)) == 1

    def test_what_a_disk_could_not_give_is_tried_again(self):
        class OnBadDisk(Example):
            def unpack(self, first: int, count: int) -> bytes:
                if self.bad:
                    raise OSError(errno.EIO, "bad sector")
                return super().unpack(first, count)

        reader = OnBadDisk(bad=(3,))
        with pytest.raises(OSError, match="bad sector"):
            reader.pread(3 * BLOCK, 1)
        reader.bad = set()
        assert reader.pread(0, GROUP_BYTES) == CONTENT[:GROUP_BYTES]

    def test_a_missing_codec_spoils_its_blocks_alone(self):
        class NeedsLz4(Example):
            def unpack(self, first: int, count: int) -> bytes:
                if first <= 3 < first + count:
                    raise UnsupportedError("needs lz4")
                return super().unpack(first, count)

        reader = NeedsLz4()
        assert reader.pread(2 * BLOCK, BLOCK) == CONTENT[2 * BLOCK :][:BLOCK]
        with pytest.raises(UnsupportedError):
            reader.pread(2 * BLOCK, BLOCK + 1)


class TestNowait:
    @pytest.mark.usefixtures("nowait")
    def test_what_must_be_decoded_would_block(self):
        reader = Example()
        with pytest.raises(BlockingIOError) as raised:
            reader.pread(0, 10)
        assert raised.value.errno == errno.EAGAIN
        assert reader.calls == []
        assert reader.views(0, 10) is None

    def test_the_cache_answers(self):
        reader = Example()
        reader.pread(0, 3 * GROUP_BYTES)
        before = set_nowait(True)
        assert reader.pread(100, 2 * GROUP_BYTES) == CONTENT[100:][: 2 * GROUP_BYTES]
        with pytest.raises(BlockingIOError):
            reader.pread(2 * GROUP_BYTES, GROUP_BYTES + 1)
        set_nowait(before)
        assert len(reader.calls) == 1

    @pytest.mark.usefixtures("nowait")
    def test_the_cache_answers_through_a_slice(self):
        reader = Example()
        with pytest.raises(BlockingIOError):
            SliceReader(reader, 100, 1000).pread(0, 10)


class TestViews:
    def test_they_are_what_lies_in_the_cache(self):
        reader = Example()
        assert reader.views(10, 50) is None
        reader.pread(0, GROUP_BYTES)
        reader.pread(GROUP_BYTES, 2 * GROUP_BYTES)
        views = reader.views(10, 2 * GROUP_BYTES)
        assert views is not None
        assert [len(view) for view in views] == [GROUP_BYTES - 10, GROUP_BYTES + 10]
        assert b"".join(views) == CONTENT[10:][: 2 * GROUP_BYTES]

    def test_they_outlive_their_eviction(self, own_cache: Cache):
        reader = Example()
        reader.pread(0, 10)
        views = reader.views(0, 10)
        own_cache.clear()
        assert views is not None
        assert b"".join(views) == CONTENT[:10]


class TestHoles:
    content = bytes(3 * 40000) + CONTENT[:50000] + bytes(200_000)

    def reader(self) -> WithHoles:
        return WithHoles(self.content, 40000)

    def test_contract(self):
        check_reader(self.reader(), self.content, 40000)

    def test_runs(self):
        assert list(self.reader().runs(10, 10**9)) == [
            Run(RunKind.ZERO, 119_990),
            Run(RunKind.PACKED, 80_000),
            Run(RunKind.ZERO, 170_000),
        ]

    @pytest.mark.usefixtures("nowait")
    def test_they_are_read_without_decoding(self, own_cache: Cache):
        reader = self.reader()
        assert reader.pread(10, 119_990) == bytes(119_990)
        views = reader.views(200_000, 170_000)
        assert views is not None
        assert b"".join(views) == bytes(170_000)
        assert reader.calls == []
        assert own_cache.counters().resident == 0

    def test_views_of_holes_and_of_what_is_cached(self):
        reader = self.reader()
        reader.pread(120_000, 80_000)
        views = reader.views(100_000, 200_000)
        assert views is not None
        assert b"".join(views) == self.content[100_000:300_000]

    def test_a_hole_without_end_is_no_list_without_end(self):
        class Vast(WithHoles):
            def is_zero(self, block: int) -> bool:
                return True

        reader = Vast(b"", 1 << 20)
        reader.size = 1 << 45
        assert reader.views(0, 600 << 20) is None


class Stored(IndexedReader):
    """Blocks stored as themselves, between given positions."""

    def __init__(self, base: bytes, positions: list[int], size: int, longest: int = 200) -> None:
        super().__init__(BytesReader(base), size, 100, longest)
        self.index = positions

    def positions(self, first: int, count: int) -> list[int]:
        return self.index[first : first + count + 1]

    def unpack_one(self, block: int, stored: bytes, where: int) -> Content:
        size = self.block_size(block)
        if len(stored) < size:
            raise DamagedError(where, f"{len(stored)} bytes of block {block}")
        return stored[:size]


class TestIndexed:
    data = CONTENT[:950]

    def test_in_a_row(self):
        reader = Stored(self.data, [*range(0, 1000, 100), 950], 950)
        check_reader(reader, self.data, 100)

    def test_positions_that_go_back_spoil_their_blocks_alone(self):
        positions = [*range(0, 1000, 100), 950]
        positions[4] = 50  # block 3 ends before it begins; block 4 would show other blocks
        reader = Stored(self.data, positions, 950)
        assert reader.pread(0, 300) == self.data[:300]
        with pytest.raises(DamagedError, match="damaged at byte 300: a block begins there and ends at 50"):
            reader.pread(350, 1)
        with pytest.raises(
            DamagedError, match="damaged at byte 50: block 4 would begin there, but an earlier one does"
        ):
            reader.pread(400, 1)
        assert reader.pread(500, 450) == self.data[500:]

    def test_a_position_too_far_on_spoils_its_block_alone(self):
        positions = [*range(0, 1000, 100), 950]
        positions[4] = 800
        reader = Stored(self.data, positions, 950)
        assert reader.pread(0, 400) == self.data[:400]
        with pytest.raises(DamagedError):
            reader.pread(400, 1)
        assert reader.pread(500, 450) == self.data[500:]

    def test_no_two_blocks_begin_at_one_place(self):
        positions = [*range(0, 1000, 100), 950]
        positions[4] = positions[3]
        reader = Stored(self.data, positions, 950)
        for block in (3, 4):
            with pytest.raises(DamagedError):
                reader.pread(block * 100, 1)

    def test_the_end_of_the_file(self):
        reader = Stored(self.data[:620], [*range(0, 1000, 100), 950], 950)
        assert reader.pread(0, 600) == self.data[:600]
        with pytest.raises(DamagedError, match="20 bytes of block 6"):
            reader.pread(600, 1)
        with pytest.raises(DamagedError, match=r"damaged at byte 700: .* the file ends at 620"):
            reader.pread(700, 1)

    def test_a_block_that_claims_the_whole_file_is_not_read_whole(self):
        base = BytesReader(bytes(10**6))
        lengths = []
        base.pread = lambda offset, length: lengths.append(length) or bytes(length)  # type: ignore[method-assign]
        reader = Stored(b"", [0, 10**6, 10**6 + 100], 200)
        reader.base = base
        reader.pread(0, 100)
        assert max(lengths) <= 200

    def test_bytes_in_are_counted(self, own_cache: Cache):
        reader = Stored(self.data, [*range(0, 1000, 100), 950], 950)
        reader.pread(0, 950)
        assert own_cache.counters().bytes_in == 950


class TestTables:
    @pytest.mark.parametrize(("item", "size"), [("H", 2), ("I", 4), ("Q", 8)])
    def test_little_endian(self, item: str, size: int):
        numbers = [1, 0x1234, (1 << 8 * size) - 1]
        data = b"??" + b"".join(number.to_bytes(size, "little") for number in numbers)
        found = read_table(BytesReader(data), 2, item, 3)  # type: ignore[arg-type]
        assert found == array(item, numbers)

    @pytest.mark.parametrize("count", [4, 1 << 26, 1 << 60])
    def test_a_table_larger_than_the_file(self, count: int):
        with pytest.raises(DamagedError, match="damaged at byte 2: a table of"):
            read_table(BytesReader(bytes(14)), 2, "I", count)


@given(
    reads=st.lists(st.tuples(st.integers(0, len(CONTENT) + 10), st.integers(0, 40_000)), max_size=20),
    limit=st.sampled_from([0, GROUP_BYTES, 3 * GROUP_BYTES, 1 << 20]),
    block=st.sampled_from([700, 2048, 30_000]),
)
def test_any_reads_in_any_order_with_any_cache(reads: list[tuple[int, int]], limit: int, block: int):
    packed.cache.shared().clear()
    packed.cache.shared().resize(limit)
    reader = Example(block=block)
    for offset, length in reads:
        assert reader.pread(offset, length) == CONTENT[offset : offset + length]
        assert packed.cache.shared().counters().resident <= limit


def test_threads_that_read_the_same_decode_it_once():
    reader = Example()
    barrier = threading.Barrier(4)

    def read() -> None:
        barrier.wait(10)
        found.append(reader.pread(0, len(CONTENT)))

    found: list[bytes] = []
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [CONTENT] * 4
    assert sorted(reader.calls) == [(0, 42)]
