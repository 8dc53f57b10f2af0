"""The sector cache: decoded blocks, one cache for the whole process.

It is bounded in bytes and forgets what was used least recently. A block is named by its reader's number and its own.
Adjacent blocks that were decoded in one go are kept, found and forgotten as one piece, so that a long read costs one look-up
and no copy. Raw data is not kept here, since the kernel's page cache has it already.

* Single flight: of two threads that want one block, one decodes it and the other waits for the result. A decode that fails
  raises in both and leaves nothing behind.
* What is read ahead never drives out what was read ahead before and nobody has asked for yet: then it is the reader ahead
  that stops. What is asked for may drive out anything.
* One lock guards everything and is never held while a block is decoded, read or waited for.
* After a fork the child has the blocks, a new lock and no flights: the threads that flew are not there.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from imagefs.errors import ImageError

DEFAULT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Counters:
    """What the cache did since it was made."""

    hits: int
    """Blocks that were there, or that another thread was decoding already."""
    misses: int
    """Blocks that had to be decoded because somebody asked for them."""
    ahead: int
    """Blocks that were decoded before anybody asked."""
    evictions: int
    """Blocks that were forgotten to make room."""
    bytes_in: int
    """Stored bytes that were read to be decoded."""
    bytes_decoded: int
    """Bytes that came out of the decoders."""
    resident: int
    """Bytes that are in the cache now."""
    limit: int
    """Bytes that may be."""


class Piece:
    """The content of the blocks `first` to `stop` (not included) of one reader. Only `asked` ever changes.

    `data` may be a view of memory that another process filled; it stays as it is for as long as anybody has a view of it.
    """

    __slots__ = ("asked", "data", "first", "owner", "stop")

    def __init__(self, owner: int, first: int, stop: int, data: bytes | memoryview, asked: bool) -> None:
        self.owner, self.first, self.stop, self.data, self.asked = owner, first, stop, data, asked


class Decoder(NamedTuple):
    """How the blocks of one reader are decoded."""

    owner: int
    """The number of the reader; no two have the same."""
    decode: Callable[[int, int], bytes | memoryview]
    """(first block, count) -> their content; raises ImageError or OSError when one of them cannot be had."""
    most: int
    """Blocks that are decoded in one go, at most."""


class _Flight:
    """Blocks that one thread is decoding. `landed` is a lock that the thread holds until it is done with them."""

    __slots__ = ("error", "landed", "pieces")

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.error: Exception | None = None
        self.landed = threading.Lock()
        self.landed.acquire()

    def wait(self, meanwhile: Callable[[], bool] | None) -> None:
        """Until it has landed; meanwhile something useful, for as long as there is something. Raises the flight's error."""
        while meanwhile is not None and self.landed.locked() and meanwhile():
            pass
        with self.landed:
            pass
        if self.error is not None:
            raise self.error


class Cache:
    """Decoded blocks, at most `limit` bytes of them. All methods may run in many threads at once."""

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._pieces: OrderedDict[Piece, None] = OrderedDict()  # the least recently used first
        self._where: dict[tuple[int, int], Piece] = {}
        self._flights: dict[tuple[int, int], _Flight] = {}
        self._resident = 0
        self._hits = self._misses = self._ahead = self._evictions = self._in = self._decoded = 0

    # --- asking -----------------------------------------------------------------------------------------------------

    def find(self, owner: int, first: int, stop: int) -> list[Piece] | None:
        """The pieces that hold the blocks `first` to `stop` (not included), in order, if all of these are there.

        Never waits, decodes or reads.
        """
        found = []
        block = first
        with self._lock:
            while block < stop:
                piece = self._where.get((owner, block))
                if piece is None:
                    return None
                found.append(piece)
                block = piece.stop
            for piece in found:
                self._pieces.move_to_end(piece)
                piece.asked = True
            self._hits += stop - first
        return found

    def load(self, decoder: Decoder, first: int, stop: int, meanwhile: Callable[[], bool] | None = None) -> list[Piece]:
        """The pieces that hold the blocks `first` to `stop` (not included), in order, decoded where they are not there.

        While another thread decodes some of them `meanwhile` is called, as long as it says that it did something.
        Raises what `decode` raises.
        """
        found: dict[int, Piece] = {}
        while True:
            flight, mine, others = self._board(decoder.owner, first, stop, found)
            if mine:
                self._fly(decoder, flight, mine, asked=True)
            for other in others:
                other.wait(meanwhile)
            for landed in (flight, *others):
                for piece in landed.pieces:
                    piece.asked = True
                    found.update(dict.fromkeys(range(piece.first, piece.stop), piece))
            if len(found) >= stop - first and all(block in found for block in range(first, stop)):
                return list(_in_order(found, first, stop))
            # A thread was interrupted in its flight and brought nothing: what it left is ours now.

    def ahead(self, decoder: Decoder, first: int, stop: int) -> bool:
        """Decode those of the blocks that are neither there nor being decoded; False when there is no room for them.

        Errors are dropped: the read that asks for the block will meet them itself.
        """
        owner = decoder.owner
        with self._lock:
            if not self._room():
                return False
            keys = [(owner, block) for block in range(first, stop)]
            mine = [key[1] for key in keys if key not in self._where and key not in self._flights]
            flight = _Flight()
            self._flights.update(((owner, block), flight) for block in mine)
        if mine:
            try:
                self._fly(decoder, flight, mine, asked=False)
            except (ImageError, OSError):
                return True
        return True

    # --- flying -----------------------------------------------------------------------------------------------------

    def _board(
        self, owner: int, first: int, stop: int, found: dict[int, Piece]
    ) -> tuple[_Flight, list[int], list[_Flight]]:
        """Put what is there into `found`: (our flight, the blocks it has to bring, the flights that bring the others)."""
        flight, others = _Flight(), []
        keys = [(owner, block) for block in range(first, stop) if block not in found]
        with self._lock:
            if self._where.keys().isdisjoint(keys) and self._flights.keys().isdisjoint(keys):
                mine = keys  # as nearly always
            else:
                mine = [key for key in keys if key not in self._where and key not in self._flights]
                others = [self._flights[key] for key in keys if key in self._flights]
                for key in keys:
                    if piece := self._where.get(key):
                        self._pieces.move_to_end(piece)
                        piece.asked = True
                        found[key[1]] = piece
            self._flights.update(dict.fromkeys(mine, flight))
            self._misses += len(mine)
            self._hits += len(keys) - len(mine)
        return flight, [block for _, block in mine], list(dict.fromkeys(others))

    def _fly(self, decoder: Decoder, flight: _Flight, blocks: Sequence[int], asked: bool) -> None:
        """Decode `blocks`, run by run, and let everybody have them."""
        owner, decode, most = decoder
        try:
            flight.pieces = [
                Piece(owner, first, first + count, decode(first, count), asked) for first, count in _runs(blocks, most)
            ]
        except Exception as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                for block in blocks:
                    self._flights.pop((owner, block), None)
                for piece in flight.pieces:
                    self._store(piece)
            flight.landed.release()

    def _store(self, piece: Piece) -> None:
        """Keep a piece, least recently used ones going first. The lock is held."""
        length, count = len(piece.data), piece.stop - piece.first
        self._decoded += length
        self._ahead += 0 if piece.asked else count
        if length > self.limit:
            return
        while self._resident + length > self.limit:
            if not piece.asked and not next(iter(self._pieces)).asked:
                return
            self._forget_oldest()
        self._pieces[piece] = None
        self._where.update(dict.fromkeys([(piece.owner, block) for block in range(piece.first, piece.stop)], piece))
        self._resident += length

    def _forget_oldest(self) -> None:
        piece, _ = self._pieces.popitem(last=False)
        for block in range(piece.first, piece.stop):
            del self._where[piece.owner, block]
        self._resident -= len(piece.data)
        self._evictions += piece.stop - piece.first

    def _room(self) -> bool:
        """Whether what is read ahead would be kept, as far as can be said before it is there. The lock is held."""
        nearly_full = self._resident * 8 > self.limit * 7
        return not nearly_full or next(iter(self._pieces)).asked

    # --- the rest ---------------------------------------------------------------------------------------------------

    def count_in(self, length: int) -> None:
        """Say that `length` stored bytes were read to be decoded."""
        with self._lock:
            self._in += length

    def counters(self) -> Counters:
        """What the cache did."""
        with self._lock:
            return Counters(
                self._hits,
                self._misses,
                self._ahead,
                self._evictions,
                self._in,
                self._decoded,
                self._resident,
                self.limit,
            )

    def resize(self, limit: int) -> None:
        """Another bound, in bytes; 0 keeps nothing."""
        with self._lock:
            self.limit = limit
            while self._resident > limit:
                self._forget_oldest()

    def clear(self) -> None:
        """Forget every block; the counters stay."""
        with self._lock:
            self._pieces.clear()
            self._where.clear()
            self._resident = 0

    def after_fork(self) -> None:
        """In the child: nobody else is there who could hold the lock or land a flight."""
        self._lock = threading.Lock()
        self._flights = {}


def _runs(blocks: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """(first, count) of each run of adjacent numbers in an ascending sequence, none longer than `most`."""
    first, count = blocks[0], 1
    for block in blocks[1:]:
        if block != first + count or count == most:
            yield first, count
            first, count = block, 0
        count += 1
    yield first, count


def _in_order(found: dict[int, Piece], first: int, stop: int) -> Iterator[Piece]:
    """Each piece once, from the one with block `first` on."""
    while first < stop:
        yield found[first]
        first = found[first].stop


_shared = Cache()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.after_fork)


def shared() -> Cache:
    """The cache of this process."""
    return _shared


def configure(limit: int) -> None:
    """Bound the cache of this process, in bytes (`--cache-size`)."""
    _shared.resize(limit)
