"""What all streams share: decoders that are parked, what is passed over, forks."""

import lzma
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from imagefs.errors import DamagedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, RunKind
from imagefs.wrappers import _streams
from imagefs.wrappers.xz import XzReader, open_xz
from tests.contract import check_reader
from tests.wrappers.checks import CONTENT, SMALL

PACKED = lzma.compress(CONTENT, preset=1)


class Counting:
    """An xz file in one piece that is decoded forward; `begun` counts how often that began at its front."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_streams, "WHOLE_BYTES", 1 << 10)
        reader = open_xz(Candidate(BytesReader(PACKED)), Options())
        assert isinstance(reader, XzReader)
        self.reader, self.begun = reader, 0
        begin = reader.begin

        def counted(piece: int) -> _streams.Stream:
            self.begun += 1
            return begin(piece)

        monkeypatch.setattr(reader, "begin", counted)

    def read(self, offset: int, length: int = 1000) -> None:
        assert self.reader.pread(offset, length) == CONTENT[offset : offset + length]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


def test_two_places_that_are_read_by_turns(counting: Counting):
    """Each gets a decoder of its own after the first turn."""
    for step in range(0, 5 * _streams.BLOCK_BYTES, _streams.BLOCK_BYTES):
        counting.read(step)
        counting.read(700_000 + step)
    assert counting.begun <= 3


def test_a_little_back_is_at_hand(counting: Counting):
    counting.read(1_200_000)
    for offset in range(1_100_000, 200_000, -100_000):
        counting.read(offset)
    assert counting.begun == 1


def test_many_threads(counting: Counting):
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(counting.read, offset, 40_000) for offset in range(0, len(CONTENT), 40_000)]:
            done.result()
    assert counting.begun <= 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_does_not_wait_for_threads_of_its_parent(counting: Counting):
    """A mount forks to become a daemon; here it does so while all pieces are being decoded."""
    reader = counting.reader
    for lock in (*reader._locks, reader._lock):
        lock.acquire()
    child = os.fork()
    if not child:
        good = reader.pread(700_000, 100) == CONTENT[700_000:700_100]
        os._exit(0 if good else 1)
    for lock in (*reader._locks, reader._lock):
        lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_before_damage():
    good, error = BytesReader(SMALL), DamagedError(7, "cut")
    assert _streams.before_damage(good, None) is good
    reader = _streams.before_damage(good, error)
    check_reader(reader, SMALL + bytes(reader.size - len(SMALL)), missing=[(len(SMALL), reader.size)])
    assert [run.kind for run in reader.runs(0, reader.size)] == [RunKind.PACKED, RunKind.MISSING]
    with pytest.raises(DamagedError, match="damaged at byte 7: cut"):
        reader.pread(reader.size - 1, 1)
    with pytest.raises(DamagedError, match="damaged at byte 7: cut"):
        _streams.before_damage(BytesReader(b""), error)
