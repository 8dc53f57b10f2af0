"""What trio does beside the serving: signals, the watchdog, the watch over the image's file."""

import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from imagefs.frontends.fuse import attach, notify, supervise
from imagefs.frontends.fuse.mount import Mount
from imagefs.frontends.fuse.supervise import GRACE_SECONDS, Supervisor
from imagefs.options import Options
from imagefs.sources import FileSource, open_source
from tests.builders.memory import MemoryFileSystem


@pytest.fixture(autouse=True)
def threads_are_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mock clock runs on while a thread works: do its work in place."""

    async def run_sync(call: Callable[..., Any], *args: Any, abandon_on_cancel: bool = False) -> Any:
        await trio.lowlevel.checkpoint()
        return call(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


@pytest.fixture
def detached(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """What was unmounted, and whether lazily; nothing really is."""
    calls: list[tuple[str, bool]] = []
    monkeypatch.setattr(attach, "detach", lambda mountpoint, lazy=False: calls.append((mountpoint, lazy)))
    return calls


@pytest.fixture
def source(tmp_path: Path) -> FileSource:
    path = tmp_path / "image.iso"
    path.write_bytes(bytes(100_000))
    return open_source(str(path))


@pytest.fixture
def supervisor(tmp_path: Path, source: FileSource) -> Supervisor:
    mount = Mount(MemoryFileSystem({"a": b"1"}, tmp_path / "backing"))
    image: Any = SimpleNamespace(path="image.iso", sources=[source])
    return Supervisor(mount, image, "/the/mountpoint", Options())


async def test_the_first_signal_unmounts_and_the_grace_ends(
    supervisor: Supervisor, detached: list[tuple[str, bool]], autojump_clock: trio.testing.MockClock
) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.wait_for_signals, [], scope)
            await trio.testing.wait_all_tasks_blocked()
            os.kill(os.getpid(), signal.SIGTERM)
            await trio.sleep_forever()
    assert detached == [("/the/mountpoint", True)]
    assert GRACE_SECONDS <= trio.current_time() < GRACE_SECONDS + 1


async def test_the_second_signal_ends_at_once(supervisor: Supervisor, detached: list[tuple[str, bool]]) -> None:
    start = trio.current_time()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.wait_for_signals, [], scope)
            await trio.testing.wait_all_tasks_blocked()
            os.kill(os.getpid(), signal.SIGTERM)
            while not detached:
                await trio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            await trio.sleep_forever()
    assert trio.current_time() - start < GRACE_SECONDS


async def test_a_signal_that_came_before_trio_listened_counts(
    supervisor: Supervisor, detached: list[tuple[str, bool]], autojump_clock: trio.testing.MockClock
) -> None:
    with trio.CancelScope() as scope:
        await supervisor.wait_for_signals([signal.SIGTERM], scope)
    assert len(detached) == 1


async def test_an_image_that_changes_is_noticed_and_its_mapping_not_used(
    supervisor: Supervisor, source: FileSource, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    assert supervisor.mount.view is not None and source.view is not None
    with trio.move_on_after(60), caplog.at_level(logging.WARNING):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.watch_image)
            await trio.sleep(10)
            assert not caplog.records
            os.truncate(source.name, 50_000)
            await trio.sleep(10)
            nursery.cancel_scope.cancel()
    assert [record.getMessage() for record in caplog.records] == [
        "image.iso changed while it is mounted: unmount it and mount it again"
    ]
    assert supervisor.mount.view is None and source.view is None


async def test_the_watchdog_is_fed_through_the_mount(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    asked, told = [], []
    monkeypatch.setattr(os, "statvfs", asked.append)
    monkeypatch.setattr(supervise, "watchdog_seconds", lambda: 30.0)
    monkeypatch.setattr(supervise, "notify", told.append)
    with trio.move_on_after(25):
        await supervisor.feed_watchdog()
    assert asked == ["/the/mountpoint"] * 3  # at 0, 10 and 20 seconds
    assert told == ["WATCHDOG=1"] * 3


@pytest.mark.parametrize("abstract", [False, True])
def test_readiness_is_told_to_the_service_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    address = f"\0{tmp_path}/n" if abstract else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        monkeypatch.setattr(notify, "_address", address.replace("\0", "@"))
        notify.notify("READY=1\nSTATUS=serving")
        assert manager.recv(100) == b"READY=1\nSTATUS=serving"


def test_nobody_to_tell_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("", str(tmp_path / "nobody")):
        monkeypatch.setattr(notify, "_address", address)
        notify.notify("READY=1")
