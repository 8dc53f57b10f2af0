"""The units as they are shipped: understood, hardened as far as a mount can be, and nothing in them hides it."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.systemd.box import ROOT, Box, shipped_units

SERVICES = [path for path in shipped_units() if path.suffix == ".service"]
EXPOSURE = 35
"""The most that `systemd-analyze security` may say, in tenths."""

OF_ITS_OWN = """
PrivateTmp PrivateMounts ProtectSystem ProtectHome ProtectKernelTunables ProtectKernelModules ProtectKernelLogs
ProtectControlGroups ProtectProc ProcSubset TemporaryFileSystem PrivateIPC ReadWritePaths ReadOnlyPaths InaccessiblePaths
BindPaths BindReadOnlyPaths RootDirectory RootImage MountImages DynamicUser PrivateDevices PrivateUsers MountFlags
"""
"""Each gives a service a mount namespace in which nobody else would see the image, or takes /dev/fuse away."""


def instance(path: Path) -> str:
    """The name of a unit that can be started."""
    return path.name.replace("@.", "@srv-images-disc.iso.")


def settings(path: Path, section: str) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser[section]


def test_these_are_shipped() -> None:
    assert {path.name for path in shipped_units()} >= {"imagefs@.service", "imagefs@.path"}
    assert {path.name for path in shipped_units("user")} >= {"imagefs@.service"}


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_service_is_hardened(path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    words = ["systemd-analyze", "security", "--no-pager", "--offline=yes", f"--threshold={EXPOSURE}", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"exposure level for \S+: \d", done.stdout)  # it did look


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_nothing_in_a_service_hides_the_mount(path: Path) -> None:
    service = settings(path, "Service")
    assert [name for name in OF_ITS_OWN.split() if service.get(name, "no") != "no"] == []
    # What newer versions of systemd imply when PrivateNetwork is on.
    assert (service.get("PrivateNetwork", "no"), service.get("PrivateMounts")) in (("yes", "no"), ("no", None))


@pytest.mark.parametrize("path", [*SERVICES, *(ROOT / "systemd/user").glob("*.service")], ids=lambda p: p.parent.name)
def test_a_service_says_when_it_is_ready_and_cleans_up(path: Path) -> None:
    service = settings(path, "Service")
    assert service["Type"] == "notify"
    assert service["WatchdogSec"]
    assert service["ExecStart"].startswith("/usr/bin/imagefs ")
    assert re.search(r"^ExecStopPost=-/usr/bin/imagefs umount --dead", path.read_text(), re.MULTILINE)


@pytest.mark.slow
@pytest.mark.fuse
@pytest.mark.parametrize("manager", ["system", "user"])
def test_systemd_understands_them_all(box: Box, manager: str) -> None:
    """A user's manager is asked as root's, whose runtime folder is /run/user/0."""
    units = [instance(path) for path in shipped_units(manager)]
    if manager == "system":
        examples = [path for path in (ROOT / "systemd/examples").iterdir() if path.suffix in (".mount", ".automount")]
        for path in examples:
            box.write(f"/etc/systemd/system/{path.name}", path.read_text())
        units += [path.name for path in examples]
    runtime = ["env", "XDG_RUNTIME_DIR=/run"]
    done = box.run(*runtime, "systemd-analyze", "verify", f"--{manager}", "--man=no", *units)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.slow
@pytest.mark.fuse
def test_the_folders_of_tmpfiles(box: Box) -> None:
    box.run("rmdir", "/run/imagefs")
    done = box.run("systemd-tmpfiles", "--create", "--clean", "imagefs.conf")
    assert done.stderr == ""
    assert box.run("stat", "-c", "%U:%G %a", "/run/imagefs").stdout == "root:root 755\n"
