"""What the two processes of a confined mount tell each other."""

import errno
import logging
import os
import signal
import time
from collections.abc import Iterator

import pytest

from imagefs.errors import DamagedError, ImageError, MissingPartError, NotFoundError, errno_of, exit_status, message_of
from imagefs.frontends.fuse import keeper
from imagefs.frontends.fuse.keeper import Keeper, Line, LineLog, WorkerEnded, pack_error, unpack_error


@pytest.fixture
def kept() -> Iterator[Keeper]:
    made = Keeper()
    yield made
    made.close()


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("there is no such file"),
        DamagedError(17, "grüße"),
        MissingPartError("a.bin", ["/srv"]),
        OSError(errno.EBUSY, "in use", "/mnt/\udcff"),
        OSError(errno.EIO, "broken"),
    ],
)
def test_errors_arrive_as_they_were(error: ImageError | OSError) -> None:
    found = unpack_error(pack_error(error))
    assert type(found) is type(error)
    assert (message_of(found), errno_of(found), exit_status(found)) == (
        message_of(error),
        errno_of(error),
        exit_status(error),
    )


def test_an_error_of_ours_asks_to_be_reported() -> None:
    found = unpack_error(pack_error(KeyError("x")))
    assert (type(found), exit_status(found)) == (WorkerEnded, 70)
    assert str(found) == "internal error, please report it, with what --verbose adds: KeyError: 'x'"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\0\0",
        b"SystemExit\x000\0x",
        b"_errno\0",
        b"Sequence\0\0x",
        b"\xff\xfe",
        b"OSError\0x\0y",
        b"x" * 9000,
    ],
)
def test_whatever_the_worker_says_becomes_an_error_of_ours(data: bytes) -> None:
    found = unpack_error(data)
    assert type(found) in (WorkerEnded, OSError)
    assert message_of(found)


def test_the_worker_fails_to_open(kept: Keeper) -> None:
    def work(line: Line) -> None:
        raise DamagedError(5, "bad")

    kept.start(work)
    with pytest.raises(DamagedError, match="damaged at byte 5: bad"):
        kept.wait_until_opened()


def test_the_worker_leaves_without_a_word(kept: Keeper) -> None:
    kept.start(lambda line: None)
    with pytest.raises(WorkerEnded, match="ended with status 0"):
        kept.wait_until_opened()


def test_a_worker_that_stays_without_a_word_is_ended(kept: Keeper) -> None:
    def work(line: Line) -> None:
        line._sock.close()
        time.sleep(60)

    kept.start(work)
    began = time.monotonic()
    with pytest.raises(WorkerEnded, match="was ended by SIGKILL"):
        kept.wait_until_opened()
    assert time.monotonic() - began < keeper.GRACE_SECONDS + 2


def test_what_the_worker_has_made_ends_with_it(kept: Keeper) -> None:
    reading, writing = os.pipe()

    def work(line: Line) -> None:
        os.setsid()
        if not os.fork():
            line._sock.close()
            time.sleep(60)
        os._exit(3)

    kept.start(work)
    os.close(writing)
    with pytest.raises(WorkerEnded, match="ended with status 3"):
        kept.wait_until_opened()
    assert os.read(reading, 1) == b""  # its copy is gone too
    os.close(reading)


def test_descriptors_are_handed_over_and_let_go(kept: Keeper) -> None:
    reading, writing = os.pipe()

    def work(line: Line) -> None:
        first, second = line.opened()
        os.write(second, f"{os.fstat(first).st_ino == os.fstat(second).st_ino}".encode())
        line.live()
        line.ended()

    kept.start(work)
    kept.wait_until_opened()
    live: list[bool] = []
    kept.give([os.dup(writing), writing])
    kept.wait_until_ended([], lambda: None, lambda: live.append(True))
    assert live == [True]
    kept.close()
    assert os.read(reading, 100) == b"True"
    assert os.read(reading, 100) == b""  # nobody else has it open
    os.close(reading)


def test_a_worker_is_not_believed_before_it_has_opened(kept: Keeper, caplog: pytest.LogCaptureFixture) -> None:
    def work(line: Line) -> None:
        for message in (
            b"live",
            b"ended",
            b"\x0f",
            b"log\0x\0y",
            b"log\x0099999999\0\x1b[2Jcleared\n\xff",
            b"?" * 9000,
        ):
            line._sock.send(message)
        line.opened()
        line.live()
        line.ended()

    kept.start(work)
    with caplog.at_level(logging.DEBUG):
        kept.wait_until_opened()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(50, "?[2Jcleared\n\ufffd")]
    kept.give([os.open(os.devnull, os.O_RDONLY)])
    live: list[bool] = []
    kept.wait_until_ended([], lambda: None, lambda: live.append(True))
    assert live == [True]


def test_a_signal_unmounts_and_the_grace_ends(kept: Keeper) -> None:
    def work(line: Line) -> None:
        line.opened()
        line.live()
        time.sleep(60)

    kept.start(work)
    kept.wait_until_opened()
    kept.give([os.open(os.devnull, os.O_RDONLY)])
    pending: list[int] = []
    unmounted: list[float] = []
    began = time.monotonic()
    kept.wait_until_ended(pending, lambda: unmounted.append(time.monotonic()), lambda: pending.append(signal.SIGTERM))
    assert len(unmounted) == 1
    assert keeper.GRACE_SECONDS <= time.monotonic() - began < keeper.GRACE_SECONDS + 2


def test_the_second_signal_cuts_at_once(kept: Keeper) -> None:
    def work(line: Line) -> None:
        line.opened()
        line.live()
        time.sleep(60)

    kept.start(work)
    kept.wait_until_opened()
    kept.give([os.open(os.devnull, os.O_RDONLY)])
    pending: list[int] = []
    began = time.monotonic()
    kept.wait_until_ended(pending, lambda: None, lambda: pending.extend([signal.SIGTERM, signal.SIGINT]))
    assert time.monotonic() - began < keeper.GRACE_SECONDS


def test_records_of_the_worker_go_to_the_log(kept: Keeper, caplog: pytest.LogCaptureFixture) -> None:
    def work(line: Line) -> None:
        logging.getLogger("imagefs").handlers[:] = [LineLog(line)]
        logging.getLogger("imagefs").warning("%s changed", "grüße")
        line.opened()

    kept.start(work)
    with caplog.at_level(logging.WARNING, logger="imagefs"):
        kept.wait_until_opened()
    assert caplog.messages == ["grüße changed"]
