"""What trio does beside the serving: signals, the watchdog, the watch over the image's file."""

import errno
import logging
import os
import signal
import socket
import syslog
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from imagefs.frontends.fuse import attach, mountinfo, notify, supervise, threads
from imagefs.frontends.fuse.mount import Mount
from imagefs.frontends.fuse.supervise import GRACE_SECONDS, Supervisor, ending_signals
from imagefs.options import Options
from imagefs.sources import FileSource, open_source
from tests.builders.memory import MemoryFileSystem


@pytest.fixture(autouse=True)
def threads_are_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mock clock runs on while a thread works: do its work in place."""

    async def run_sync(call: Callable[..., Any], *args: Any, **how: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return call(*args)

    threads._how()  # what is remembered for all tests is of trio's own
    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


@pytest.fixture
def detached(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """What was unmounted, and whether lazily; nothing really is. The mount is 0:77, where MOUNTS has it."""
    calls: list[tuple[str, bool]] = []
    monkeypatch.setattr(attach, "detach", lambda mountpoint, lazy=False: calls.append((mountpoint, lazy)))
    monkeypatch.setattr(mountinfo, "all_mounts", lambda: mountinfo.parse(MOUNTS))
    return calls


MOUNTS = b"""22 1 254:0 / / rw - ext4 /dev/vda rw
36 22 0:77 / /the/mountpoint ro - fuse.imagefs /srv/image.iso ro
"""


@pytest.fixture
def source(tmp_path: Path) -> FileSource:
    path = tmp_path / "image.iso"
    path.write_bytes(bytes(100_000))
    return open_source(str(path))


@pytest.fixture
def supervisor(tmp_path: Path, source: FileSource) -> Supervisor:
    mount = Mount(MemoryFileSystem({"a": b"1"}, tmp_path / "backing"))
    image: Any = SimpleNamespace(path="image.iso", sources=[source])
    supervisor = Supervisor(mount, image, "/the/mountpoint", Options())
    supervisor._mounted = mountinfo.parse(MOUNTS)[-1]
    return supervisor


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


@pytest.mark.parametrize(
    ("mounts", "taken_away"),
    [
        (MOUNTS, ["/the/mountpoint"]),
        (MOUNTS.replace(b"0:77", b"0:78"), []),  # gone, and another is there now
        (MOUNTS.replace(b"image.iso", b"other.iso"), []),  # gone, and another has its number
        (MOUNTS.replace(b"/the/", b"/renamed/"), ["/renamed/mountpoint"]),
        (MOUNTS + b"37 22 0:77 /docs /bound ro - fuse.imagefs /srv/image.iso ro\n", ["/bound", "/the/mountpoint"]),
        (MOUNTS + b"37 36 0:5 / /the/mountpoint rw - tmpfs none rw\n", []),  # covered
    ],
)
def test_what_is_unmounted_is_this_mount_wherever_it_is(
    supervisor: Supervisor,
    detached: list[tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
    mounts: bytes,
    taken_away: list[str],
) -> None:
    monkeypatch.setattr(mountinfo, "all_mounts", lambda: mountinfo.parse(mounts))
    supervisor.detach()
    assert detached == [(place, True) for place in taken_away]


async def test_an_image_that_cannot_be_looked_at_counts_as_changed(
    supervisor: Supervisor, source: FileSource, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone() -> bool:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(source, "changed", gone)
    with caplog.at_level(logging.WARNING):
        await supervisor.watch_image()
    assert [record.getMessage() for record in caplog.records] == [
        "image.iso: Stale file handle",
        "image.iso changed while it is mounted: unmount it and mount it again",
    ]
    assert supervisor.mount.view is None


def test_a_hangup_ends_a_mount_unless_it_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert ending_signals() == [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert ending_signals() == [signal.SIGTERM, signal.SIGINT]
    finally:
        signal.signal(signal.SIGHUP, before)


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
    asked: list[str] = []
    told: list[str] = []

    def statvfs(path: str) -> None:
        asked.append(path)
        if len(asked) == 2:  # detached, and the folder gone: who is in it is served on
            raise FileNotFoundError

    monkeypatch.setattr(os, "statvfs", statvfs)
    monkeypatch.setattr(supervise, "watchdog_seconds", lambda: 30.0)
    monkeypatch.setattr(notify, "notify", told.append)
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


def test_the_log_of_the_system_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[int, str]] = []
    monkeypatch.setattr(syslog, "syslog", lambda level, text: lines.append((level, text)))
    handler = notify.SystemLog()
    for level in (logging.CRITICAL, logging.WARNING, logging.INFO):
        handler.handle(logging.LogRecord("imagefs", level, "", 0, "a\0b %s", ("\udcff",), None))
    daemon = syslog.LOG_DAEMON
    assert lines == [
        (daemon | level, "imagefs: ab ?") for level in (syslog.LOG_ERR, syslog.LOG_WARNING, syslog.LOG_INFO)
    ]


def test_nobody_to_tell_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("", str(tmp_path / "nobody")):
        monkeypatch.setattr(notify, "_address", address)
        notify.notify("READY=1")
