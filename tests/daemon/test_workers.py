"""The workers: shares, deadlines, and threads that do not come back."""

import threading
import time
from collections.abc import Iterator

import pytest

from imagefs.daemon import workers
from imagefs.daemon.workers import PER_KEY, WORKERS, Interrupted, Pool
from tests.daemon.served import until


@pytest.fixture
def hung() -> list[int]:
    return []


@pytest.fixture
def pool(hung: list[int]) -> Iterator[Pool]:
    pool = Pool(0.5, hung.append)
    pool.start()
    yield pool
    pool.stop()


class Sleepers:
    """Tasks that end when they are woken."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.begun, self.ended, self.expired = list[int](), list[int](), list[int]()

    def submit(self, pool: Pool, key: int, number: int = 0) -> None:
        def run() -> None:
            self.begun.append(number)
            self.woken.wait(20)
            self.ended.append(number)

        pool.submit(key, run, lambda: self.expired.append(number))


def test_what_is_submitted_is_done(pool: Pool) -> None:
    done: list[int] = []
    for number in range(100):
        pool.submit(number % 7, lambda number=number: done.append(number))  # type: ignore[misc]
    until(lambda: len(done) == 100)
    assert sorted(done) == list(range(100))


def test_a_key_has_its_share_and_no_more(pool: Pool) -> None:
    sleepers = Sleepers()
    for number in range(10):
        sleepers.submit(pool, 1, number)
    until(lambda: len(sleepers.begun) == PER_KEY)
    others: list[int] = []
    pool.submit(2, lambda: others.append(2))
    until(lambda: others == [2])
    assert sleepers.begun == list(range(PER_KEY))
    sleepers.woken.set()
    until(lambda: len(sleepers.ended) == 10)
    assert sorted(sleepers.begun[:PER_KEY]) == list(range(PER_KEY))


def test_at_the_deadline_all_who_wait_for_a_key_are_answered_and_it_is_hung(pool: Pool, hung: list[int]) -> None:
    sleepers = Sleepers()
    for number in range(PER_KEY + 5):
        sleepers.submit(pool, 1, number)
    begin = time.monotonic()
    until(lambda: len(sleepers.expired) == PER_KEY + 5)
    assert 0.4 < time.monotonic() - begin < 1.5
    assert hung == [1]
    assert pool.stuck(1) == PER_KEY
    assert len(sleepers.begun) == PER_KEY
    after: list[int] = []
    pool.submit(1, lambda: after.append(1))  # its share is free again
    until(lambda: after == [1])
    sleepers.woken.set()
    until(lambda: pool.stuck(1) == 0)
    assert pool._share == {} and pool._waiting == {} and pool._tasks == set()


def test_more_keys_than_threads_may_hang(pool: Pool) -> None:
    sleepers = Sleepers()
    for key in range(WORKERS + 10):
        sleepers.submit(pool, key)
    done: list[int] = []
    begin = time.monotonic()
    pool.submit(99, lambda: done.append(99))
    until(lambda: done == [99])
    assert time.monotonic() - begin < 2
    sleepers.woken.set()
    until(lambda: pool._threads == WORKERS)


def test_a_thread_that_computes_for_ever_is_interrupted(pool: Pool) -> None:
    ends: list[type[BaseException]] = []

    def burn() -> None:
        try:
            while True:
                pass
        except BaseException as error:
            ends.append(type(error))
            raise

    pool.submit(1, burn)
    until(lambda: ends == [Interrupted])
    until(lambda: pool.stuck(1) == 0)
    until(lambda: pool._threads == WORKERS)


def test_a_thread_that_holds_what_others_need_is_not_interrupted(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_KEEPS_LOCKS", (*workers._KEEPS_LOCKS, "tests.daemon"))
    ended = threading.Event()
    survived: list[bool] = []

    def burn() -> None:
        while not ended.is_set():
            pass
        survived.append(True)

    pool.submit(1, burn)
    until(lambda: pool.stuck(1) == 1)
    time.sleep(0.5)
    ended.set()
    until(lambda: survived == [True])


def test_a_task_that_fails_ends_no_thread(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2 * WORKERS):
        pool.submit(1, lambda: 1 // 0)  # type: ignore[arg-type]
    done: list[int] = []
    pool.submit(1, lambda: done.append(1))
    until(lambda: done == [1])
    assert pool._threads == WORKERS
    assert "a task failed unexpectedly" in caplog.text
