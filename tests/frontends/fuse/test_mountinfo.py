"""Which mounts there are, from the text that proc_pid_mountinfo(5) describes."""

from imagefs.frontends.fuse.mountinfo import all_mounts, is_dead, mounted_at, parse

TEXT = rb"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
36 22 0:50 / /mnt/a\040b ro,nosuid,nodev,relatime shared:2 - fuse.imagefs /srv/we,ird\040\134na\040me.iso ro,user_id=0
37 22 0:51 / /mnt/tab\011and\012line ro - fuse.imagefs /srv/\303\274.iso ro
38 22 0:52 / /mnt/other rw master:1 propagate_from:2 - fuse.sshfs host: rw
broken line
"""


def test_mounts_are_told_with_their_real_names() -> None:
    found = parse(TEXT)
    assert [(m.kind, m.source, m.mountpoint) for m in found] == [
        ("ext4", "/dev/vda", "/"),
        ("fuse.imagefs", "/srv/we,ird \\na me.iso", "/mnt/a b"),
        ("fuse.imagefs", "/srv/ü.iso", "/mnt/tab\tand\nline"),
        ("fuse.sshfs", "host:", "/mnt/other"),
    ]
    assert found[1].options == "ro,nosuid,nodev,relatime"


def test_the_root_is_mounted_and_alive() -> None:
    assert any(m.mountpoint == "/" for m in all_mounts())
    root = mounted_at("/")
    assert root is not None
    assert not is_dead("/")
    assert mounted_at("/no/such/place") is None
