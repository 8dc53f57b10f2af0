"""Which mounts there are, from the text that proc_pid_mountinfo(5) describes."""

import os
from pathlib import Path

import pytest

from imagefs.errors import UsageError
from imagefs.frontends.fuse import mountinfo
from imagefs.frontends.fuse.mountinfo import all_mounts, is_dead, mounted_at, parse, place_of

TEXT = rb"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
36 22 0:50 / /mnt/a\040b ro,nosuid,nodev,relatime shared:2 - fuse.imagefs /srv/we,ird\040\134na\040me.iso ro,user_id=0
37 22 0:51 / /mnt/tab\011and\012line\rback ro - fuse.imagefs /srv/\303\274.iso ro
38 22 0:52 / /mnt/other rw master:1 propagate_from:2 - fuse.sshfs host: rw
broken line
""".replace(rb"\r", b"\r")


def test_mounts_are_told_with_their_real_names() -> None:
    found = parse(TEXT)
    assert [(m.kind, m.source, m.mountpoint) for m in found] == [
        ("ext4", "/dev/vda", "/"),
        ("fuse.imagefs", "/srv/we,ird \\na me.iso", "/mnt/a b"),
        ("fuse.imagefs", "/srv/ü.iso", "/mnt/tab\tand\nline\rback"),
        ("fuse.sshfs", "host:", "/mnt/other"),
    ]
    assert (found[1].options, found[1].device) == ("ro,nosuid,nodev,relatime", "0:50")
    assert found[1].of_fs == "ro,user_id=0"


def test_the_root_is_mounted_and_alive() -> None:
    assert any(m.mountpoint == "/" for m in all_mounts())
    root = mounted_at("/")
    assert root is not None
    assert not is_dead("/")
    assert mounted_at("/no/such/place") is None


def test_the_place_of_a_mount_point_has_no_links_and_no_detours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder" / "m").mkdir(parents=True)
    (tmp_path / "link").symlink_to("folder/m")
    (tmp_path / "short").symlink_to("folder")
    place = str(tmp_path / "folder" / "m")
    monkeypatch.chdir(place)
    for words in (place, f"{place}/", "../m", ".", f"{tmp_path}/link", f"{tmp_path}/short/m", f"{tmp_path}/link/../m"):
        assert place_of(words) == place
    assert place_of("/proc") == "/proc"
    assert place_of("/") == "/"
    with pytest.raises(UsageError, match="empty"):
        place_of("")


def test_what_is_mounted_is_not_asked_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "m"
    place.mkdir()
    monkeypatch.setattr(mountinfo, "all_mounts", lambda: parse(b"1 2 0:3 / %s ro - fuse x ro" % bytes(place)))
    lstat = os.lstat

    def guarded(path: str, **more: int) -> os.stat_result:
        assert os.fspath(path) != str(place)
        return lstat(path, **more)

    monkeypatch.setattr(os, "lstat", guarded)
    assert place_of(str(place)) == str(place)
