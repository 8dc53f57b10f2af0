"""Inode numbers over all images: to and fro, unique, positive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefs import limits
from imagefs.daemon.numbers import SLOT_SHIFT, SLOTS, Numbers, is_folder, is_place, place_number, slot_of
from imagefs.errors import NotFoundError, UnsupportedError
from imagefs.nodes import INO_BITS

INODES = st.one_of(
    st.integers(1, (1 << 63) - 1),
    st.integers(1, 1 << 46),
    st.builds(lambda volume, inside: volume << INO_BITS | inside, st.integers(0, 127), st.integers(0, 1 << 40)),
)


@given(st.integers(1, SLOTS - 1), st.sets(INODES))
def test_every_number_leads_back_to_its_image_and_inode(slot: int, inodes: set[int]) -> None:
    numbers = Numbers(slot)
    given_out = {numbers.outer(ino): ino for ino in inodes}
    assert len(given_out) == len(inodes)
    for number, ino in given_out.items():
        assert 0 < number < 1 << 63
        assert slot_of(number) == slot
        assert numbers.inner(number) == ino
        assert not is_place(number)
        assert is_folder(number) == (ino == 1)


def test_most_numbers_are_the_image_s_own() -> None:
    assert Numbers(5).outer(1) == 5 << SLOT_SHIFT | 1
    assert Numbers(5).outer((1 << 45) - 1) == 5 << SLOT_SHIFT | (1 << 45) - 1


def test_a_further_place_of_a_directory_is_told_apart() -> None:
    number = place_number(Numbers(5).outer(77), 1 << 62 | 12)
    assert (slot_of(number), is_place(number), is_folder(number)) == (5, True, False)
    with pytest.raises(NotFoundError):
        Numbers(5).inner(number)


def test_a_number_that_was_not_given_is_not_found() -> None:
    numbers = Numbers(3)
    large = numbers.outer(1 << 50)
    with pytest.raises(NotFoundError):
        numbers.inner(large + 1)


def test_the_table_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TABLED_INODES", 2)
    numbers = Numbers(3)
    assert numbers.outer(1 << 50) == numbers.outer(1 << 50)
    numbers.outer(1 << 51)
    with pytest.raises(UnsupportedError, match="too many"):
        numbers.outer(1 << 52)
