"""The box of these tests: what is in it stays in it, and it ends with whoever made it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.systemd.box import PREFIX, ROOT, USER, Box, BoxError, _control_groups, unavailable

pytestmark = [pytest.mark.slow, pytest.mark.fuse]


@pytest.fixture(autouse=True)
def possible() -> None:
    if why := unavailable():
        pytest.skip(why)


def groups(maker: int) -> list[Path]:
    root = _control_groups()
    assert root is not None
    return list(root.glob(f"{PREFIX}{maker}-*"))


def gone(pid: int) -> bool:
    """Whether a process ended within ten seconds."""
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.05)
    return False


def test_a_box_is_whole_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BoxError, match="false ended with 1"), Box({"/etc/x": "x\n"}, {"/srv/x": tmp_path}) as box:
        init, folder = box.init, box._dir
        assert box.run("cat", "/etc/x").stdout == "x\n"
        assert box.systemctl("is-system-running").stdout == "running\n"
        assert box.systemctl("--failed", "--quiet").stdout == ""
        assert box.run("id", "-un", user=USER).stdout == f"{USER}\n"
        box.run("touch", "/etc/machine-made", "/srv/x/made")
        box.run("false")
    assert gone(init)
    assert not folder.exists()
    assert groups(os.getpid()) == []
    assert folder.name not in Path("/proc/self/mountinfo").read_text()
    assert not Path("/etc/machine-made").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_box_ends_with_its_maker() -> None:
    code = """
import sys, time
from tests.systemd.box import Box
with Box() as box:
    print(box.init, box._dir, flush=True)
    time.sleep(60)
"""
    maker = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    init, folder = maker.stdout.readline().split()
    maker.send_signal(signal.SIGKILL)
    maker.communicate()
    assert gone(int(init))
    with Box():  # which tidies up
        pass
    assert groups(maker.pid) == []
    assert not Path(folder).exists()


def test_a_box_that_does_not_come_up_says_why() -> None:
    with (
        pytest.raises(BoxError, match="/no/such/folder does not exist"),
        Box(folders={"/srv": Path("/no/such/folder")}),
    ):
        pass
    assert groups(os.getpid()) == []
