"""Calls that trio's tasks leave to a thread."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import trio

T = TypeVar("T")


@functools.cache
def _how() -> dict[str, Any]:
    """How a call is told that its task may leave it: trio 0.23 renamed the word, and Debian 12 has 0.22."""
    import trio

    known = inspect.signature(trio.to_thread.run_sync).parameters
    return {"abandon_on_cancel" if "abandon_on_cancel" in known else "cancellable": True}


async def in_thread(call: Callable[..., T], *args: object, limiter: trio.CapacityLimiter | None = None) -> T:
    """What `call(*args)` gives, from a thread. When the task is cancelled the thread is left to itself."""
    import trio

    return await trio.to_thread.run_sync(call, *args, limiter=limiter, **_how())
