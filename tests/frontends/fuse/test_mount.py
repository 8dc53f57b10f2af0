"""The Mount that both engines serve: numbers, packed listings, attributes, reads, error numbers."""

import errno
import os
import stat
from pathlib import Path

import pytest

from imagefs.errors import DamagedError
from imagefs.frontends.fuse.mount import Listing, Mount, listing_slice
from imagefs.frontends.fuse.protocol import ATTR, DIRENT, DIRENTPLUS, ENTRY_OUT, ROOT_ID
from imagefs.nodes import FileSystem, Node
from imagefs.options import Options
from imagefs.readers import BytesReader, Extent, ExtentReader, Reader
from imagefs.sources import open_source
from tests.builders.memory import TIME, MemoryFileSystem

HOLE = 1 << 20
TREE = {
    "a": b"alpha",
    "empty": b"",
    "dir": {"b": b"bravo" * 1000, "deep": {"c": b"charlie"}},
    "link": "dir/b",
    "broken": {"still": b"here"},
    "sparse": ExtentReader(
        [
            Extent(0, 4096, BytesReader(b"x" * 4096)),
            Extent(4096, HOLE, None),
            Extent(4096 + HOLE, 8, BytesReader(b"y" * 8)),
        ],
        4096 + HOLE + 8,
    ),
}


@pytest.fixture
def filesystem(tmp_path: Path) -> MemoryFileSystem:
    return MemoryFileSystem(TREE, tmp_path / "backing", broken=["broken"])


@pytest.fixture
def mount(filesystem: MemoryFileSystem) -> Mount:
    return Mount(filesystem)


def names(listing: Listing) -> list[bytes]:
    """The names in packed READDIRPLUS entries, by the layout of linux/fuse.h."""
    found, at, packed = [], 0, bytes(listing.packed)
    while at < len(packed):
        _, _, length, _ = DIRENT.unpack_from(packed, at + ENTRY_OUT.size + ATTR.size)
        found.append(packed[at + DIRENTPLUS.size : at + DIRENTPLUS.size + length])
        at += (DIRENTPLUS.size + length + 7) & ~7
    return found


def number(mount: Mount, *path: bytes) -> int:
    at = ROOT_ID
    for name in path:
        found = mount.lookup(at, name)
        assert found is not None
        at = found[0].ids[found[1]]
    return at


def content(mount: Mount, where: int, offset: int = 0, length: int = 1 << 24) -> bytes:
    return b"".join(bytes(part) for part in mount.read(where, offset, length))


def test_a_listing_begins_with_dots_which_are_no_lookups(mount: Mount) -> None:
    listing = mount.listing(ROOT_ID)
    assert names(listing) == [b".", b"..", b"a", b"empty", b"dir", b"link", b"broken", b"sparse"]
    node_ids = [ENTRY_OUT.unpack_from(listing.packed, start)[0] for start in listing.starts[:-1]]
    assert node_ids[:2] == [0, 0]
    assert node_ids[2:] == list(listing.ids)[2:]


def test_a_listing_is_cut_at_whole_entries(mount: Mount) -> None:
    listing = mount.listing(ROOT_ID)
    one = listing.starts[1]
    assert len(listing_slice(listing, 0, one)) == one
    assert len(listing_slice(listing, 0, one - 1)) == 0
    assert bytes(listing_slice(listing, 0, 1 << 20)) == bytes(listing.packed)
    assert bytes(listing_slice(listing, 3, 1 << 20)) == bytes(listing.packed[listing.starts[3] :])
    assert len(listing_slice(listing, len(listing), 1 << 20)) == 0
    assert len(listing_slice(listing, 1 << 40, 1 << 20)) == 0


def test_the_directory_above_is_told_right(mount: Mount) -> None:
    deep = number(mount, b"dir", b"deep")
    assert mount.listing(deep).ids[1] == number(mount, b"dir")
    assert mount.listing(ROOT_ID).ids[1] == ROOT_ID
    up = mount.lookup(deep, b"..")
    assert up is not None and up[0].ids[up[1]] == number(mount, b"dir")


def test_attributes_are_those_of_the_node(mount: Mount) -> None:
    fields = ATTR.unpack(mount.attr(number(mount, b"dir", b"b")))
    ino, size, blocks, atime, mtime, ctime, a_ns, m_ns, c_ns, mode, nlink, uid, gid, rdev, _, _ = fields
    assert (ino, size, blocks) == (number(mount, b"dir", b"b"), 5000, 10)
    assert {(atime, a_ns), (mtime, m_ns), (ctime, c_ns)} == {divmod(TIME, 10**9)}
    assert (mode, nlink, uid, gid, rdev) == (stat.S_IFREG | 0o640, 1, 5, 6, 0)


@pytest.mark.parametrize(
    ("options", "file", "directory", "owner"),
    [
        (Options(), 0o640, 0o755, (5, 6)),
        (Options(uid=1, gid=2), 0o640, 0o755, (1, 2)),
        (Options(umask=0o077), 0o600, 0o700, (5, 6)),
        (Options(umask=0o077, fmask=0o000), 0o640, 0o700, (5, 6)),
        (Options(dmask=0o007), 0o640, 0o750, (5, 6)),
    ],
)
def test_options_change_owner_and_mode(
    filesystem: MemoryFileSystem, options: Options, file: int, directory: int, owner: tuple[int, int]
) -> None:
    mount = Mount(filesystem, options)
    one, other = ATTR.unpack(mount.attr(number(mount, b"a"))), ATTR.unpack(mount.attr(number(mount, b"dir")))
    assert one[9] == stat.S_IFREG | file
    assert other[9] == stat.S_IFDIR | directory
    assert one[11:13] == owner


def test_times_before_1970_keep_their_nanoseconds(tmp_path: Path) -> None:
    filesystem = MemoryFileSystem({"old": b"x"}, tmp_path / "b")
    listing = Mount(filesystem)._pack([(b"old", 9, filesystem.root._replace(mtime=-1, atime=-1, ctime=-(10**9)))])
    fields = ATTR.unpack(listing.attr(0))
    assert fields[3:9] == (-1, -1, -1, 999_999_999, 999_999_999, 0)


def test_device_numbers_are_the_kernel_s(tmp_path: Path) -> None:
    filesystem = MemoryFileSystem({}, tmp_path / "b")
    node = filesystem.root._replace(mode=stat.S_IFBLK | 0o600, rdev=os.makedev(300, 70000))
    rdev = ATTR.unpack(Mount(filesystem)._pack([(b"", 9, node)]).attr(0))[13]
    assert rdev == (70000 & 0xFF) | (300 << 8) | ((70000 & ~0xFF) << 12)  # new_encode_dev of the kernel


def test_a_plain_file_is_read_without_a_copy(mount: Mount) -> None:
    b = number(mount, b"dir", b"b")
    parts = mount.read(b, 4990, 4096)
    assert [type(part) for part in parts] == [memoryview]
    assert bytes(parts[0]) == (b"bravo" * 1000)[4990:]
    assert content(mount, b) == b"bravo" * 1000
    assert content(mount, b, 5000) == content(mount, b, 1 << 40) == b""
    assert content(mount, number(mount, b"empty")) == b""


def test_without_a_mapping_the_bytes_are_the_same(filesystem: MemoryFileSystem) -> None:
    mount = Mount(filesystem)
    mount.unmap()
    filesystem.reader.distrust()  # type: ignore[attr-defined]
    parts = mount.read(number(mount, b"dir", b"b"), 10, 100)
    assert [type(part) for part in parts] == [bytes]
    assert bytes(parts[0]) == (b"bravo" * 1000)[10:110]


def test_holes_are_told_and_read_as_zeros(mount: Mount) -> None:
    sparse = number(mount, b"sparse")
    assert content(mount, sparse) == b"x" * 4096 + bytes(HOLE) + b"y" * 8
    assert mount.seek(sparse, 0, os.SEEK_HOLE) == 4096
    assert mount.seek(sparse, 5000, os.SEEK_HOLE) == 5000
    assert mount.seek(sparse, 5000, os.SEEK_DATA) == 4096 + HOLE
    assert mount.seek(sparse, 4096 + HOLE, os.SEEK_HOLE) == 4096 + HOLE + 8


def test_a_plain_file_has_one_hole_at_its_end(mount: Mount) -> None:
    a = number(mount, b"a")
    assert mount.seek(a, 2, os.SEEK_DATA) == 2
    assert mount.seek(a, 2, os.SEEK_HOLE) == 5
    with pytest.raises(OSError) as raised:
        mount.seek(a, 5, os.SEEK_DATA)
    assert raised.value.errno == errno.ENXIO


@pytest.mark.parametrize(
    ("call", "number_of", "error"),
    [
        (lambda mount, n: mount.listing(n), b"a", errno.ENOTDIR),
        (lambda mount, n: mount.read(n, 0, 1), b"dir", errno.EISDIR),
        (lambda mount, n: mount.readlink(n), b"a", errno.EINVAL),
        (lambda mount, n: mount.lookup(n, b"n" * 256), b"dir", errno.ENAMETOOLONG),
        (lambda mount, n: mount.lookup(n, b"x"), b"a", errno.ENOTDIR),
        (lambda mount, n: mount.attr(n + 1_000_000), b"a", errno.ESTALE),
    ],
)
def test_errors_are_those_of_the_kernel(mount: Mount, call: object, number_of: bytes, error: int) -> None:
    with pytest.raises(OSError) as raised:
        call(mount, number(mount, number_of))  # type: ignore[operator]
    assert raised.value.errno == error


def test_missing_names_and_links(mount: Mount) -> None:
    assert mount.lookup(ROOT_ID, b"nothing") is None
    assert mount.readlink(number(mount, b"link")) == b"dir/b"
    assert mount.xattrs(number(mount, b"a")) == {"user.ino": str(number(mount, b"a")).encode()}


def test_a_broken_directory_is_not_listed_but_its_files_are_found(mount: Mount) -> None:
    broken = number(mount, b"broken")
    with pytest.raises(DamagedError):
        mount.listing(broken)
    assert content(mount, number(mount, b"broken", b"still")) == b"here"
    assert mount.lookup(broken, b"other") is None


def test_a_listing_is_made_once_and_dropped_when_forgotten(mount: Mount, filesystem: MemoryFileSystem) -> None:
    directory = number(mount, b"dir")
    before = filesystem.calls
    first = bytes(mount.listing(directory).packed)
    assert bytes(mount.listing(directory).packed) == first and filesystem.calls == before + 1
    child = mount.listing(directory).ids[2]
    mount.forget(directory)
    assert child not in mount.nodes
    assert content(mount, child) == b"bravo" * 1000  # found again by its number alone
    assert bytes(mount.listing(directory).packed) == first
    mount.forget(ROOT_ID)
    assert mount.attr(ROOT_ID)


class Twisted(MemoryFileSystem):
    """`loop` is the root itself, `twice` is the same directory as `dir`."""

    def entries(self, directory: Node) -> list[tuple[bytes, Node]]:
        found = list(super().entries(directory))
        if directory.ino == ROOT_ID:
            found += [(b"loop", self.root), (b"twice", dict(found)[b"dir"])]
        return found


def test_a_directory_that_contains_itself_ends_there(tmp_path: Path) -> None:
    mount = Mount(Twisted({"dir": {"x": b"1"}}, tmp_path / "b"))
    listing = mount.listing(ROOT_ID)
    assert names(listing) == [b".", b"..", b"dir", b"loop", b"twice"]
    assert len(set(listing.ids[2:])) == 3  # a directory has one parent in the kernel, so each place has its number
    with pytest.raises(DamagedError):
        mount.listing(listing.ids[3])
    with pytest.raises(DamagedError):
        mount.lookup(listing.ids[3], b"dir")
    assert names(mount.listing(listing.ids[4])) == [b".", b"..", b"x"]


def test_a_number_is_not_given_twice_by_listings_made_at_once(tmp_path: Path) -> None:
    """Two folders hold the same one; both listings were made before either was asked for."""

    class Shared(MemoryFileSystem):
        def entries(self, directory: Node) -> list[tuple[bytes, Node]]:
            found = list(super().entries(directory))
            if self._names.get(directory.ino) == b"two":
                found += super().entries(self._nodes[self._parents[self._shared]])
            return found

        @property
        def _shared(self) -> int:
            return next(ino for ino, name in self._names.items() if name == b"shared")

    mount = Mount(Shared({"one": {"shared": {"x": b"1"}}, "two": {}}, tmp_path / "b"))
    one, two = mount.listing(ROOT_ID).ids[2:]
    mount.list_ahead(one)
    mount.list_ahead(two)
    numbers = {mount.listing(one).ids[2], mount.listing(two).ids[2]}
    assert len(numbers) == 2
    assert all(names(mount.listing(child)) == [b".", b"..", b"x"] for child in numbers)
    assert {mount.listing(child).ids[1] for child in numbers} == {one, two}


def test_parents_that_go_in_a_circle_end(tmp_path: Path) -> None:
    """As a damaged image may have them, when a handle of an earlier mount is looked up."""
    filesystem = MemoryFileSystem({"a": {"b": {"c": {}}}}, tmp_path / "b")
    a, b, c = (next(i for i, name in filesystem._names.items() if name == wanted) for wanted in (b"a", b"b", b"c"))
    filesystem._parents |= {a: b, b: a}
    mount = Mount(filesystem)
    assert mount.attr(a) and mount.attr(b)
    assert mount.listing(b).ids[2] == c


def test_a_node_found_by_its_number_alone_is_forgotten(mount: Mount, filesystem: MemoryFileSystem) -> None:
    where = next(ino for ino, name in filesystem._names.items() if name == b"deep")
    assert mount.attr(where) and where in mount.nodes
    assert names(mount.listing(where)) == [b".", b"..", b"c"]
    before = len(mount.nodes)
    mount.forget(where)
    assert where not in mount.nodes and len(mount.nodes) == before - 2
    assert names(mount.listing(where)) == [b".", b"..", b"c"]


def test_listings_made_ahead_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = {f"{i}": {f"file{j}": b"" for j in range(100)} for i in range(8)}
    mount = Mount(MemoryFileSystem(tree, tmp_path / "b"))
    folders = mount.listing(ROOT_ID).ids[2:]
    mount.list_ahead(folders[0])
    one = mount._ahead_bytes
    monkeypatch.setattr("imagefs.frontends.fuse.mount.AHEAD_BYTES", 3 * one)
    for folder in folders:
        mount.list_ahead(folder)
    assert [mount.is_listed(folder) for folder in folders] == [False] * 5 + [True] * 3
    assert mount._ahead_bytes == 3 * one
    for folder in folders:
        mount.listing(folder)
    assert mount._ahead_bytes == 0


def test_an_engine_that_cannot_send_many_views_gets_bytes_that_were_read(tmp_path: Path) -> None:
    source = open_source(str(Path(__file__)))
    pieces = ExtentReader([Extent(0, 10, source, 100), Extent(10, 10, source, 300)], 20)
    mount = Mount(MemoryFileSystem({"pieces": pieces}, tmp_path / "b"))
    where = number(mount, b"pieces")
    assert [type(part) for part in mount.read(where, 0, 20)] == [memoryview, memoryview]
    mount.most_views = 1
    text = Path(__file__).read_bytes()
    assert mount.read(where, 0, 20) == (text[100:110] + text[300:310],)


def test_a_directory_of_many_names(tmp_path: Path) -> None:
    tree = {f"file{i:05d}": b"%d" % i for i in range(5000)}
    mount = Mount(MemoryFileSystem(tree, tmp_path / "b"))
    assert names(mount.listing(ROOT_ID))[2:] == [name.encode() for name in tree]
    assert content(mount, number(mount, b"file04321")) == b"4321"


def test_small_files_that_follow_are_found_in_order(tmp_path: Path) -> None:
    tree = {
        "0": b"a",
        "1": b"bb",
        "empty": b"",
        "dir": {},
        "2": b"c" * 100,
        "large": b"d" * 5000,
        "link": "0",
        "3": b"e",
    }
    listing = Mount(MemoryFileSystem(tree, tmp_path / "b")).listing(ROOT_ID)
    first = listing.ids.index(number(Mount(MemoryFileSystem(tree, tmp_path / "b")), b"0"))
    order = names(listing)
    assert [order[at] for at in listing.small_files_after(first, 10, 1000, 1 << 20)] == [b"1", b"2", b"3"]
    assert [order[at] for at in listing.small_files_after(first, 2, 1000, 1 << 20)] == [b"1", b"2"]
    assert [order[at] for at in listing.small_files_after(first, 10, 1000, 102)] == [b"1", b"2"]
    assert listing.small_files_after(len(listing) - 1, 10, 1000, 1 << 20) == []


class Shrunk(Reader):
    """A reader that ends before it says."""

    size = 100

    def pread(self, offset: int, length: int) -> bytes:
        return b"z" * max(0, min(length, 50 - offset))

    def runs(self, offset: int, length: int):  # type: ignore[no-untyped-def]
        return iter(())


def test_a_short_answer_is_an_error_never_zeros(tmp_path: Path) -> None:
    mount = Mount(MemoryFileSystem({"f": Shrunk()}, tmp_path / "b"))
    with pytest.raises(DamagedError):
        mount.read(number(mount, b"f"), 0, 100)


def test_every_filesystem_method_that_a_mount_needs_is_abstract() -> None:
    assert {"entries", "node", "parent", "readlink", "usage"} == FileSystem.__abstractmethods__
