"""Slots: what a fork writes is seen without a copy, and a slot is nobody else's while there is a view of it."""

import gc
import os

import pytest

from imagefs.slots import SPARE, Slots

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="helpers, which slots are for, are forks on Linux"
)


def resident(slots: Slots) -> int:
    """Bytes of memory that the slots hold."""
    return os.fstat(slots._file).st_blocks * 512


def test_a_fork_fills_a_slot():
    slots = Slots(3, 8192)
    slot = slots.take()
    assert slot is not None
    child = os.fork()
    if not child:
        slots.write(slot, b"from the child" * 100)
        os._exit(0)
    os.waitpid(child, 0)
    assert slots.view(slot, 1400) == b"from the child" * 100


def test_a_slot_comes_back_with_the_last_part_of_its_view():
    slots = Slots(1, 4096)
    slot = slots.take()
    assert slot == 0
    slots.write(slot, bytes(range(100)))
    view = slots.view(slot, 100)
    part = view[10:20]
    del view
    gc.collect()
    assert slots.take() is None
    assert bytes(part) == bytes(range(10, 20))
    del part
    assert slots.take() == 0


def test_a_slot_without_a_view_is_given_back():
    slots = Slots(2, 4096)
    assert {slots.take(), slots.take(), slots.take()} == {0, 1, None}
    slots.give(1)
    assert slots.take() == 1


def test_a_slot_that_came_back_is_used_before_one_without_memory():
    slots = Slots(100, 4096)
    first = slots.take()
    assert first is not None
    for _ in range(1000):
        slots.write(first, b"x" * 4096)
        slots.give(first)
        assert slots.take() == first
    assert resident(slots) == 4096


def test_memory_that_nobody_uses_goes_back():
    slots = Slots(100, 65536)
    taken = [slot for slot in iter(slots.take, None) if slot is not None]
    for slot in taken:
        slots.write(slot, b"x" * 65536)
    assert resident(slots) == 100 * 65536
    view = slots.view(taken.pop(), 65536)
    for slot in taken:
        slots.give(slot)
    assert resident(slots) == (1 + SPARE) * 65536
    assert view == b"x" * 65536
    assert len({slots.take() for _ in range(99)}) == 99


def test_views_cannot_be_written_to():
    slots = Slots(1, 4096)
    slot = slots.take()
    assert slot is not None
    with pytest.raises(TypeError):
        slots.view(slot, 4)[0] = 1


def test_what_was_not_written_whole_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    """The system writes as much as it has memory for."""
    slots = Slots(1, 4096)
    monkeypatch.setattr(os, "pwrite", lambda file, content, at: len(content) - 1)
    with pytest.raises(OSError, match="allocate memory"):
        slots.write(0, b"content")
