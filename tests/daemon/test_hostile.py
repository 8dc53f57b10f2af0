"""Images whose decoder sleeps, computes for ever or fails unexpectedly harm nobody else."""

import errno
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import MakeIso
from tests.daemon.hostile import image
from tests.daemon.served import Served, until

pytestmark = [pytest.mark.fuse, pytest.mark.foreign]
DEADLINE = 1.0


@pytest.fixture
def served(tmp_path: Path, make_iso: MakeIso, tree: Path) -> Iterator[Served]:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "fine.iso").write_bytes(make_iso(tree, "-R").read_bytes())
    for how in ("sleep", "burn", "raise"):
        for where in ("open", "list", "read"):
            (folder / f"{how}-{where}.iso").write_bytes(image(f"{how}-{where}"))
    with Served(tmp_path, "--deadline", str(DEADLINE)) as served:
        yield served


def look(served: Served, name: str) -> int:
    """The errno of looking into the trap, or over the good file where the image does not open."""
    place = served.root / name
    try:
        if name.endswith("open"):
            os.stat(place / "good")
        elif name.endswith("list"):
            os.listdir(place / "trap")
        else:
            (place / "trap" / "file").read_bytes()
    except OSError as error:
        return error.errno or 0
    return 0


@pytest.mark.parametrize("where", ["open", "list", "read"])
@pytest.mark.parametrize("how", ["sleep", "burn"])
def test_an_image_that_does_not_answer_is_given_up(served: Served, how: str, where: str) -> None:
    begin = time.monotonic()
    assert look(served, f"{how}-{where}") == errno.EIO
    assert DEADLINE <= time.monotonic() - begin < DEADLINE + 1.5
    assert served.status(f"{how}-{where}")["state"] == "hung"
    assert served.status(f"{how}-{where}")["error"] == "no answer within 1 seconds"
    begin = time.monotonic()
    assert look(served, f"{how}-{where}") == errno.EIO
    assert time.monotonic() - begin < DEADLINE / 2, "it is known by now"
    assert served.log.read_text().count("no answer") == 1


def test_what_fails_unexpectedly_is_an_error_of_that_image_alone(served: Served) -> None:
    for where in ("open", "list", "read"):
        assert look(served, f"raise-{where}") == errno.EIO
        assert "ZeroDivisionError" in served.status(f"raise-{where}")["error"]
    assert served.status("raise-open")["state"] == "failed"
    assert (served.root / "raise-list" / "good").read_bytes() == b"good\n"
    assert look(served, "fine") == errno.ENOENT


def test_many_who_wait_for_hanging_images_do_not_keep_a_healthy_one_waiting(served: Served, tree: Path) -> None:
    traps = [f"{how}-{where}" for how in ("sleep", "burn") for where in ("open", "list", "read")]
    threads = [threading.Thread(target=look, args=(served, name), daemon=True) for name in traps for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    longest = 0.0
    while any(thread.is_alive() for thread in threads):
        begin = time.monotonic()
        assert sorted(os.listdir(served.root / "fine" / "docs")) == ["Grüße.txt", "deep"]
        with (served.root / "fine" / "random.bin").open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            assert file.read() == (tree / "random.bin").read_bytes()
        longest = max(longest, time.monotonic() - begin)
    assert longest < 1.5
    assert set(served.states().values()) == {"hung", "idle", "open"}


def test_what_computes_for_ever_is_interrupted(served: Served) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(look, [served] * 3, ["burn-open", "burn-list", "burn-read"])) == {errno.EIO}
    time.sleep(1.0)
    before = served.cpu_seconds()
    time.sleep(1.0)
    assert served.cpu_seconds() - before < 0.3


def test_a_hanging_image_that_is_replaced_is_another_one(served: Served, make_iso: MakeIso, tree: Path) -> None:
    assert look(served, "sleep-open") == errno.EIO
    (served.folder / "sleep-open.iso").write_bytes(make_iso(tree, "-R").read_bytes())

    def is_healthy() -> bool:
        try:
            return (served.root / "sleep-open" / "hello.txt").read_bytes() == b"hello\n"
        except OSError:
            return False

    until(is_healthy)
