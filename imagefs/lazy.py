"""Properties that are computed when they are first asked for, and kept."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class cached_property(Generic[T]):
    """functools.cached_property without its lock, which up to Python 3.11 is one for all instances of a class: an image that
    takes long, or hangs, would hold up every other one. Two threads may compute the same value; they are pure reads.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute, self.__doc__, self._name = compute, compute.__doc__, ""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> "cached_property[T]": ...

    @overload
    def __get__(self, instance: object, owner: type[Any]) -> T: ...

    def __get__(self, instance: object | None, owner: type[Any]) -> "T | cached_property[T]":
        if instance is None:
            return self
        value = self._compute(instance)
        instance.__dict__[self._name] = value  # found before this object from now on
        return value
