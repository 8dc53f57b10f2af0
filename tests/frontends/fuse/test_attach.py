"""What is handed to fusermount3, and what is said when it cannot be."""

import errno
import os
from pathlib import Path

import pytest

from imagefs.errors import UsageError
from imagefs.frontends.fuse import attach
from imagefs.options import Options

FAKE = """#!/bin/sh
printf '%s\\n' "$@" > "{folder}/words"
{action}
"""


@pytest.fixture
def fusermount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A fusermount3 that notes its words and does `action`."""

    def make(action: str) -> Path:
        program = tmp_path / "fusermount3"
        program.write_text(FAKE.format(folder=tmp_path, action=action))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        return tmp_path / "words"

    return make


def test_the_words_for_fusermount3(fusermount, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    words = fusermount("echo 'fusermount3: mount failed: not today' >&2; exit 1")
    with pytest.raises(OSError, match="not today"):
        attach.attach("/srv/a,b\\c ü.iso", str(tmp_path), Options(noexec=True))
    assert words.read_text().splitlines() == [
        "-o",
        "fsname=/srv/a\\,b\\\\c ü.iso,subtype=imagefs,ro,nosuid,nodev,default_permissions,noexec",
        "--",
        str(tmp_path),
    ]


def test_a_missing_fusermount3_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="install the package fuse3"):
        attach.attach("/srv/a.iso", str(tmp_path), Options())


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENODEV])
def test_a_system_without_fuse_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(path: str, flags: int) -> int:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match="`modprobe fuse`, or give the container the device /dev/fuse") as caught:
        attach.mount_directly("disc.iso", "/mnt", Options())
    assert (caught.value.errno, caught.value.filename) == (number, "/dev/fuse")


@pytest.mark.parametrize(("line", "allowed"), [("user_allow_other", True), ("#user_allow_other", False), ("", False)])
def test_allow_other_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, allowed: bool) -> None:
    conf = tmp_path / "fuse.conf"
    conf.write_text(f"mount_max = 1000\n{line}\n")
    monkeypatch.setattr(attach, "FUSE_CONF", str(conf))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    if allowed:
        attach.check_allow_other(Options(allow_other=True))
    else:
        with pytest.raises(UsageError, match="user_allow_other"):
            attach.check_allow_other(Options(allow_other=True))


def test_busy_is_told_apart(fusermount) -> None:  # type: ignore[no-untyped-def]
    words = fusermount("echo 'fusermount3: failed to unmount /m: Device or resource busy' >&2; exit 1")
    with pytest.raises(OSError, match="busy") as raised:
        attach.detach("/m")
    assert raised.value.errno == 16
    assert words.read_text().splitlines() == ["-u", "--", "/m"]
