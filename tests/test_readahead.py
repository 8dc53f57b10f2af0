"""Reading ahead: when it begins, how far it goes, when it falls back, and what it must never do."""

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from imagefs import packed, readahead
from imagefs.cache import Cache
from imagefs.errors import DamagedError
from imagefs.packed import PackedReader
from imagefs.readahead import TASK_BYTES, WINDOW_BYTES
from imagefs.readers import set_nowait

BLOCK = 128 << 10
"""One block is one group; two are what is decoded in one go."""
TASK = TASK_BYTES // BLOCK
BLOCKS = 1000


class Example(PackedReader):
    """Block k is full of k modulo 251. `asked` are the calls of this thread, `ahead` those of the other one."""

    def __init__(self, blocks: int = BLOCKS, block: int = BLOCK) -> None:
        super().__init__(blocks * block, block)
        self.asked: list[int] = []
        self.ahead: list[int] = []
        self.bad: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()

    def unpack(self, first: int, count: int) -> bytes:
        blocks = range(first, first + count)
        if threading.current_thread().name == "imagefs-read-ahead":
            self.ahead += blocks
            assert self.gate.wait(10)
        else:
            self.asked += blocks
        if self.bad & set(blocks):
            raise DamagedError(None, "broken")
        return b"".join(bytes([block % 251]) * self.block_bytes for block in blocks)

    def read(self, block: int, count: int = TASK) -> None:
        expected = b"".join(bytes([at % 251]) * BLOCK for at in range(block, min(block + count, BLOCKS)))
        assert self.pread(block * BLOCK, count * BLOCK) == expected


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it holds within ten seconds."""
    end = time.monotonic() + 10
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def idle(reader: Example) -> bool:
    """Whether the other thread has done all there is; less than a task is left for later, but at the reader's end."""

    def done() -> bool:
        streams = reader._ahead._streams[-1:]
        left = any(s.edge < s.target and (s.target == BLOCKS or s.target - s.edge >= TASK) for s in streams)
        return not left and not reader._cache._flights

    return eventually(done)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cache]:
    own = Cache()
    monkeypatch.setattr(packed.cache, "shared", lambda: own)
    monkeypatch.setattr(readahead, "_one_core", False)
    monkeypatch.setattr(readahead, "cores", lambda: 2)
    yield own


def test_the_first_read_is_not_followed_by_any():
    reader = Example()
    reader.read(10)
    assert idle(reader)
    assert (reader.asked, reader.ahead) == ([10, 11], [])


def test_the_second_one_is():
    reader = Example()
    reader.read(10)
    reader.read(12)
    assert eventually(lambda: reader.ahead == [14, 15])
    assert idle(reader)
    reader.read(14)
    assert reader.asked == [10, 11, 12, 13]


def test_the_window_doubles_up_to_its_bound():
    reader, ends = Example(), []
    for block in range(0, 20 * TASK, TASK):
        reader.read(block)
        assert idle(reader)
        ends.append(max(reader.ahead, default=block + TASK - 1) + 1 - block - TASK)
    most = WINDOW_BYTES // BLOCK
    assert ends[:6] == [0, TASK, 2 * TASK, 4 * TASK, 8 * TASK, 16 * TASK]
    assert ends[-10:] == [most] * 10
    assert len(reader.ahead) == len(set(reader.ahead))


def test_it_falls_back_at_the_first_seek():
    reader = Example()
    for block in range(0, 20 * TASK, TASK):
        reader.read(block)
    assert idle(reader)
    reader.ahead.clear()
    reader.read(500)
    assert idle(reader)
    assert reader.ahead == []
    reader.read(502)
    assert eventually(lambda: reader.ahead == [504, 505])


def test_a_look_elsewhere_does_not_end_a_stream():
    reader = Example()
    for block in range(0, 12 * TASK, TASK):
        reader.read(block)
        assert idle(reader)
        reader.read(900, 1)
    assert reader.asked == [0, 1, 900, 2, 3]
    assert max(reader.ahead) == 12 * TASK + WINDOW_BYTES // BLOCK - 1


def test_random_reads_are_not_read_ahead():
    reader = Example()
    for block in (17, 900, 3, 450, 77, 620, 200, 801, 350, 90):
        reader.read(block, 1)
    assert idle(reader)
    assert reader.ahead == []


def test_small_reads_in_one_group_are_no_progress():
    reader = Example()
    for offset in range(0, BLOCK, 4096):
        reader.pread(5 * BLOCK + offset, 4096)
    assert idle(reader)
    assert (reader.asked, reader.ahead) == ([5], [])


def test_small_reads_go_forward_too():
    reader = Example()
    for offset in range(0, 8 * BLOCK, 4096):
        reader.pread(offset, 4096)
        assert idle(reader)
    assert reader.asked == [0, 1]
    assert reader.ahead == list(range(2, 24))


def test_reads_a_little_out_of_order_go_on():
    """The kernel sends several at once, and two threads take them."""
    reader = Example()
    reader.read(0)
    reader.read(2)
    assert idle(reader)
    for block in (6, 4, 10, 8, 14, 12):
        reader.read(block)
        assert idle(reader)
    assert max(reader.ahead) >= 14 + 4 * TASK
    assert set(reader.asked) <= set(range(8))


def test_it_ends_with_the_reader():
    reader = Example()
    for block in range(BLOCKS - 10 * TASK, BLOCKS, TASK):
        reader.read(block)
        assert idle(reader)
    assert max(reader.ahead) == BLOCKS - 1


def test_hits_in_nowait_mode_keep_it_going():
    reader = Example()
    for block in range(0, 4 * TASK, TASK):
        reader.read(block)
    assert idle(reader)
    ahead = max(reader.ahead)
    before = set_nowait(True)
    reader.read(4 * TASK)
    assert reader.views(5 * TASK * BLOCK, TASK * BLOCK) is not None
    set_nowait(before)
    assert eventually(lambda: max(reader.ahead) > ahead)


def test_errors_are_left_to_the_read():
    reader = Example()
    reader.bad = {7}
    for block in range(6):
        reader.read(block, 1)
    assert eventually(lambda: 7 in reader.ahead)
    assert idle(reader)
    reader.read(6, 1)
    with pytest.raises(DamagedError):
        reader.read(7, 1)
    reader.read(8, 1)


def test_it_does_not_fill_the_cache_beyond_a_quarter(own_cache: Cache):
    own_cache.resize(16 * BLOCK)
    reader = Example()
    for block in range(0, 40, TASK):
        reader.read(block)
        assert idle(reader)
        assert max(reader.ahead, default=0) < block + TASK + 4
    assert not set(reader.asked) & set(reader.ahead)


def test_blocks_too_large_for_the_cache_are_not_read_ahead(own_cache: Cache):
    own_cache.resize(3 * BLOCK)
    reader = Example()
    for block in range(10):
        reader.read(block, 1)
    assert idle(reader)
    assert reader.ahead == []


def test_who_catches_up_decodes_further_on():
    """While the other thread is held up in its first task, the reader does the rest of the window and then waits."""
    reader = Example()
    for block in (0, 2, 4, 6):
        reader.read(block)
        assert idle(reader)
    reader.gate.clear()
    done = max(reader.ahead)
    for block in range(8, done + 1, TASK):
        reader.read(block)
    assert eventually(lambda: max(reader.ahead) == done + TASK)
    held = {done + 1, done + 2}
    waiter = threading.Thread(target=reader.read, args=(done + 1,))
    waiter.start()
    assert eventually(lambda: done + 3 in reader.asked)
    assert waiter.is_alive()
    assert not held & set(reader.asked)
    reader.gate.set()
    waiter.join(10)
    assert not waiter.is_alive()
    assert idle(reader)
    assert len(reader.ahead + reader.asked) == len(set(reader.ahead + reader.asked))


def test_on_one_core_there_is_no_thread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readahead, "cores", lambda: 1)
    monkeypatch.setattr(readahead, "_worker", None)
    reader = Example()
    for block in range(0, 20, TASK):
        reader.read(block)
    assert reader.ahead == []
    assert readahead._worker is None


def test_without_a_thread_it_still_reads(monkeypatch: pytest.MonkeyPatch):
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(readahead, "_worker", None)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    reader = Example()
    for block in range(0, 20, TASK):
        reader.read(block)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_has_a_thread_of_its_own():
    reader = Example()
    for block in range(0, 6, TASK):
        reader.read(block)
    assert idle(reader)
    done = max(reader.ahead)
    child = os.fork()
    if child == 0:
        reader._cache.after_fork()
        reader.read(6)
        reader.read(8)
        os._exit(0 if eventually(lambda: max(reader.ahead) > done) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_idle_thread_keeps_no_reader_alive():
    import gc
    import weakref

    reader = Example()
    for block in range(0, 6, TASK):
        reader.read(block)
    assert idle(reader)
    gone = weakref.ref(reader)
    del reader

    def collected() -> bool:
        gc.collect()
        return gone() is None

    assert eventually(collected)


def test_a_fault_of_one_reader_does_not_end_the_reading_ahead_of_others() -> None:
    class Faulty:
        def work(self) -> bool:
            raise ZeroDivisionError

    class Healthy:
        def work(self) -> bool:
            done.set()
            return False

    done, worker = threading.Event(), readahead._Worker()
    for _ in range(4):
        worker._queue.put(Faulty())  # type: ignore[arg-type]
    worker._queue.put(Healthy())  # type: ignore[arg-type]
    assert done.wait(5)
