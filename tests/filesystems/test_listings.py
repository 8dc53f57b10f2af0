"""Listings that are kept, of all file systems together, and the names of doubles."""

from collections.abc import Sequence

import pytest

from imagefs import limits
from imagefs.filesystems._listings import Doubles, Listing, Listings, unique
from imagefs.nodes import Node


def listing(count: int) -> Listing:
    return Listing([(b"%d" % number, Node(number + 2, 0o100644, 0, 0, 0, 0)) for number in range(count)], None)


class Reads:
    """A file system's listings, and which directories were read, in order."""

    def __init__(self) -> None:
        self.listings, self.read = Listings(), list[str]()

    def get(self, name: str, count: int, *, keep: bool = True) -> None:
        def read() -> Listing:
            self.read.append(name)
            return listing(count)

        self.listings.get(name, read, keep=keep)


def test_what_was_looked_into_is_kept() -> None:
    one = Reads()
    for _ in range(3):
        one.get("a", 5)
    one.get("b", 5, keep=False)
    one.get("b", 5)
    assert one.read == ["a", "b", "b"]


def test_all_file_systems_share_what_they_may_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image may have a hundred trees, each with a root as large as can be kept."""
    monkeypatch.setattr(limits, "CACHED_ENTRIES", 10)
    monkeypatch.setattr(Listings, "_all", set())
    one, two = Reads(), Reads()
    one.get("a", 4)
    one.get("b", 4)
    two.get("c", 4)  # takes the place of the one that nobody asked for longest
    one.get("b", 4)
    one.get("a", 4)  # takes that of what is in the other, which is idle
    two.get("c", 4)
    assert (one.read, two.read) == (["a", "b", "a"], ["c", "c"])


def test_those_of_a_file_system_that_is_gone_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CACHED_ENTRIES", 10)
    one, two = Reads(), Reads()
    one.get("a", 6)
    del one
    two.get("b", 4)
    two.get("c", 6)
    two.get("b", 4)
    assert two.read == ["b", "c"]


# --- doubles --------------------------------------------------------------------------------------------------------------


def shown(*names: bytes) -> Sequence[bytes]:
    entries = [(name, Node(number + 2, 0o100644, 0, 0, 0, 0)) for number, name in enumerate(names)]
    return [name for name, _ in unique(entries)]


def test_doubles_get_the_next_number_that_is_free() -> None:
    assert shown(b"a.txt", b"a.txt", b"a (2).txt", b"a.txt") == (
        [b"a.txt", b"a (2).txt", b"a (2) (2).txt", b"a (3).txt"]
    )
    assert shown(b".rc", b".rc", b"b", b"b") == [b".rc", b".rc (2)", b"b", b"b (2)"]
    long = b"x" * 255
    assert shown(long, long, long) == [long, long[:251] + b" (2)", long[:251] + b" (3)"]


def test_an_entry_that_stands_twice_is_one() -> None:
    node = Node(2, 0o100644, 0, 0, 0, 0)
    assert unique([(b"a", node), (b"a", node)]) == [(b"a", node)]


def test_long_names_that_are_cut_alike_share_their_numbers() -> None:
    """Each of thousands of pairs would try all the numbers of the pairs before it."""

    class Known(set[bytes]):
        asked = 0

        def __contains__(self, name: object) -> bool:
            self.asked += 1
            return super().__contains__(name)

    names = [b"x" * 250 + b"%05d" % number for number in range(3000)]
    known, doubles = Known(names), Doubles()
    for name in names:
        known.add(doubles.name(name, known))
    assert len(known) == 6000
    assert known.asked == 3000
