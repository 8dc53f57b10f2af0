"""The sector cache: what it keeps, whom it makes wait, and that it never grows beyond its bound."""

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from imagefs import cache
from imagefs.cache import Cache, Decoder
from imagefs.errors import DamagedError

SIZE = 1000
"""bytes of a block"""


class Counting:
    """A decoder that writes down what it was asked for. `gate` holds it up, `broken` blocks cannot be decoded."""

    def __init__(self, owner: int = 0, most: int = 100) -> None:
        self.calls: list[tuple[int, int]] = []
        self.broken: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Semaphore(0)
        self.decoder = Decoder(owner, self.decode, most)

    def decode(self, first: int, count: int) -> bytes:
        self.calls.append((first, count))
        self.begun.release()
        assert self.gate.wait(10)
        if bad := self.broken & set(range(first, first + count)):
            raise DamagedError(min(bad), "broken")
        return content(first, first + count, self.decoder.owner)


def content(first: int, stop: int, owner: int = 0) -> bytes:
    return b"".join(bytes([(owner * 101 + block) % 251]) * SIZE for block in range(first, stop))


def joined(pieces: list[cache.Piece] | None, first: int, stop: int) -> bytes:
    """The blocks that were asked for, cut out of the pieces."""
    assert pieces is not None
    data = b"".join(piece.data for piece in pieces)
    skip = (first - pieces[0].first) * SIZE
    return data[skip : skip + (stop - first) * SIZE]


class TestKeeping:
    def test_a_second_load_decodes_nothing(self):
        kept, source = Cache(), Counting()
        assert joined(kept.load(source.decoder, 3, 7), 3, 7) == content(3, 7)
        assert joined(kept.load(source.decoder, 3, 7), 3, 7) == content(3, 7)
        assert source.calls == [(3, 4)]

    def test_find_answers_only_when_all_is_there(self):
        kept, source = Cache(), Counting()
        kept.load(source.decoder, 3, 7)
        assert joined(kept.find(0, 4, 6), 4, 6) == content(4, 6)
        assert kept.find(0, 2, 4) is None
        assert kept.find(0, 6, 8) is None
        assert kept.find(1, 4, 6) is None
        assert source.calls == [(3, 4)]

    def test_only_what_is_missing_is_decoded_in_runs(self):
        kept, source = Cache(), Counting()
        for block in (2, 5, 6):
            kept.load(source.decoder, block, block + 1)
        source.calls.clear()
        assert joined(kept.load(source.decoder, 0, 10), 0, 10) == content(0, 10)
        assert source.calls == [(0, 2), (3, 2), (7, 3)]

    def test_runs_have_a_bound(self):
        kept, source = Cache(), Counting(most=4)
        assert joined(kept.load(source.decoder, 0, 10), 0, 10) == content(0, 10)
        assert source.calls == [(0, 4), (4, 4), (8, 2)]

    def test_readers_are_told_apart(self):
        kept, one, two = Cache(), Counting(1), Counting(2)
        assert joined(kept.load(one.decoder, 0, 2), 0, 2) == content(0, 2, 1)
        assert joined(kept.load(two.decoder, 0, 2), 0, 2) == content(0, 2, 2)
        assert joined(kept.find(1, 0, 2), 0, 2) == content(0, 2, 1)


class TestBound:
    def test_the_least_recently_used_goes_first(self):
        kept, source = Cache(3 * SIZE), Counting()
        for block in (0, 1, 2):
            kept.load(source.decoder, block, block + 1)
        kept.find(0, 0, 1)
        kept.load(source.decoder, 3, 4)
        assert [kept.find(0, block, block + 1) is not None for block in range(4)] == [True, False, True, True]

    def test_larger_than_the_bound_is_given_and_not_kept(self):
        kept, source = Cache(3 * SIZE), Counting()
        kept.load(source.decoder, 10, 11)
        assert joined(kept.load(source.decoder, 0, 4), 0, 4) == content(0, 4)
        assert kept.find(0, 0, 1) is None
        assert kept.find(0, 10, 11) is not None

    def test_a_bound_of_nothing(self):
        kept, source = Cache(0), Counting()
        assert joined(kept.load(source.decoder, 0, 2), 0, 2) == content(0, 2)
        assert kept.counters().resident == 0

    def test_resize(self):
        kept, source = Cache(), Counting()
        for block in range(10):
            kept.load(source.decoder, block, block + 1)
        kept.resize(4 * SIZE)
        assert [kept.find(0, block, block + 1) is not None for block in range(10)] == [False] * 6 + [True] * 4
        assert kept.counters().resident == 4 * SIZE

    def test_it_is_never_exceeded_under_load(self):
        kept, sources = Cache(20 * SIZE), [Counting(owner) for owner in range(3)]
        over = []

        def work(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(300):
                source, first = chance.choice(sources), chance.randrange(40)
                stop = first + chance.randrange(1, 6)
                if chance.random() < 0.3:
                    kept.ahead(source.decoder, first, stop)
                else:
                    found = joined(kept.load(source.decoder, first, stop), first, stop)
                    assert found == content(first, stop, source.decoder.owner)
                if kept.counters().resident > 20 * SIZE:
                    over.append(kept.counters())

        with ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(work, seed) for seed in range(6)]:
                done.result()
        assert not over
        assert kept.counters().resident == sum(len(piece.data) for piece in kept._pieces)
        assert not kept._flights


def in_thread(pool: ThreadPoolExecutor, source: Counting, call: Callable[[], object]):
    """The call in a thread that has come as far as the decoder."""
    running = pool.submit(call)
    assert source.begun.acquire(timeout=10)
    return running


class TestSingleFlight:
    def test_two_threads_decode_once(self):
        kept, source = Cache(), Counting()
        source.gate.clear()
        with ThreadPoolExecutor(2) as pool:
            first = in_thread(pool, source, lambda: kept.load(source.decoder, 0, 4))
            second = pool.submit(kept.load, source.decoder, 2, 4)
            assert not second.done()
            source.gate.set()
            assert joined(first.result(10), 0, 4) == content(0, 4)
            assert joined(second.result(10), 2, 4) == content(2, 4)
        assert source.calls == [(0, 4)]

    def test_the_second_decodes_what_the_first_does_not(self):
        kept, source = Cache(), Counting()
        source.gate.clear()
        with ThreadPoolExecutor(2) as pool:
            first = in_thread(pool, source, lambda: kept.load(source.decoder, 0, 4))
            second = in_thread(pool, source, lambda: kept.load(source.decoder, 2, 6))
            source.gate.set()
            assert joined(first.result(10), 0, 4) == content(0, 4)
            assert joined(second.result(10), 2, 6) == content(2, 6)
        assert source.calls == [(0, 4), (4, 2)]

    def test_a_failure_is_raised_in_both_and_not_remembered(self):
        kept, source = Cache(), Counting()
        source.broken = {1}
        source.gate.clear()
        with ThreadPoolExecutor(2) as pool:
            first = in_thread(pool, source, lambda: kept.load(source.decoder, 0, 2))
            waiting = threading.Event()
            second = pool.submit(kept.load, source.decoder, 1, 2, lambda: waiting.set() or False)
            assert waiting.wait(10)
            source.gate.set()
            for each in (first, second):
                with pytest.raises(DamagedError):
                    each.result(10)
        assert source.calls == [(0, 2)]
        source.broken = set()
        assert joined(kept.load(source.decoder, 0, 2), 0, 2) == content(0, 2)

    def test_who_waits_does_something_useful(self):
        kept, source, other = Cache(), Counting(0), Counting(1)
        source.gate.clear()
        helped = []

        def help_once() -> bool:
            helped.append(kept.ahead(other.decoder, len(helped), len(helped) + 1))
            if len(helped) == 3:
                source.gate.set()
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            first = in_thread(pool, source, lambda: kept.load(source.decoder, 0, 1))
            assert joined(kept.load(source.decoder, 0, 1, help_once), 0, 1) == content(0, 1)
            first.result(10)
        assert (source.calls, other.calls) == ([(0, 1)], [(0, 1), (1, 1), (2, 1)])

    def test_an_interrupted_flight_is_flown_again(self):
        """Control-C in the thread that decodes is not the error of the thread that waits."""
        kept, source = Cache(), Counting()
        started, waiting = threading.Event(), threading.Event()

        def interrupted(first: int, count: int) -> bytes:
            started.set()
            assert waiting.wait(10)
            raise KeyboardInterrupt

        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(kept.load, Decoder(0, interrupted, 9), 0, 2)
            assert started.wait(10)
            second = pool.submit(kept.load, source.decoder, 0, 2, lambda: waiting.set() or False)
            assert joined(second.result(10), 0, 2) == content(0, 2)
            with pytest.raises(KeyboardInterrupt):
                first.result(10)


class TestReadingAhead:
    def test_it_decodes_what_is_not_there(self):
        kept, source = Cache(), Counting()
        kept.load(source.decoder, 2, 3)
        assert kept.ahead(source.decoder, 0, 5)
        assert source.calls == [(2, 1), (0, 2), (3, 2)]
        assert joined(kept.find(0, 0, 5), 0, 5) == content(0, 5)

    def test_errors_are_left_to_the_read(self):
        kept, source = Cache(), Counting()
        source.broken = {1}
        assert kept.ahead(source.decoder, 0, 2)
        with pytest.raises(DamagedError):
            kept.load(source.decoder, 1, 2)

    def test_it_never_drives_out_what_nobody_has_asked_for_yet(self):
        kept, source = Cache(8 * SIZE), Counting()
        for block in range(8):
            assert kept.ahead(source.decoder, block, block + 1)
        assert not kept.ahead(source.decoder, 8, 9)
        assert joined(kept.find(0, 0, 8), 0, 8) == content(0, 8)

    def test_it_goes_on_when_the_oldest_was_asked_for(self):
        kept, source = Cache(8 * SIZE), Counting()
        for block in range(8):
            kept.ahead(source.decoder, block, block + 1)
        for block in range(8):
            kept.find(0, block, block + 1)
        assert kept.ahead(source.decoder, 8, 9)
        assert kept.find(0, 0, 1) is None
        assert kept.find(0, 8, 9) is not None

    def test_what_is_decoded_and_does_not_fit_is_not_kept(self):
        kept, source = Cache(8 * SIZE), Counting()
        for block in range(7):
            kept.ahead(source.decoder, block, block + 1)
        kept.ahead(source.decoder, 7, 10)
        assert kept.find(0, 0, 7) is not None
        assert kept.find(0, 7, 8) is None

    def test_what_is_asked_for_drives_it_out(self):
        kept, source = Cache(4 * SIZE), Counting()
        kept.ahead(source.decoder, 0, 4)
        kept.load(source.decoder, 9, 10)
        assert kept.find(0, 9, 10) is not None


def test_counters():
    kept, source = Cache(4 * SIZE), Counting()
    kept.load(source.decoder, 0, 2)
    kept.load(source.decoder, 1, 4)
    kept.find(0, 3, 4)
    kept.ahead(source.decoder, 4, 5)
    kept.count_in(123)
    assert kept.counters() == cache.Counters(
        hits=2,
        misses=4,
        ahead=1,
        evictions=2,
        bytes_in=123,
        bytes_decoded=5 * SIZE,
        resident=3 * SIZE,
        limit=4 * SIZE,
    )


def test_one_cache_for_the_process(monkeypatch: pytest.MonkeyPatch):
    assert cache.shared() is cache.shared()
    before = cache.shared().limit
    cache.configure(12345678)
    assert cache.shared().counters().limit == 12345678
    cache.configure(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_does_not_wait_for_its_parents_threads():
    """The daemon forks; here it does so while a thread decodes and another one holds the lock."""
    kept, source = cache.shared(), Counting(owner=-1)
    kept.load(source.decoder, 5, 6)
    source.begun.acquire()
    source.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        flying = in_thread(pool, source, lambda: kept.load(source.decoder, 0, 4))
        with kept._lock:
            child = os.fork()
            if child == 0:
                source.gate.set()
                here = joined(kept.find(-1, 5, 6), 5, 6) == content(5, 6, -1)
                there = joined(kept.load(source.decoder, 0, 4), 0, 4) == content(0, 4, -1)
                os._exit(0 if here and there else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        source.gate.set()
        flying.result(10)
