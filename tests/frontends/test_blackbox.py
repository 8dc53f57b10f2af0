"""A real mount, seen from outside: what programs may expect of a read-only file system, on both engines.

The reference is the folder that the image was made from, by xorriso. As root, the whole file runs a second time as an
ordinary user (`test_all_of_this_as_an_ordinary_user`), and the checks that only root can make are made too.
"""

import concurrent.futures
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import random
import re
import select
import shutil
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.fuse, pytest.mark.foreign]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")

ENGINES = ("direct", "pyfuse3")
EPOCH = 1_700_000_000
BIG = 3_000_123
"""Bytes of big.bin: not a multiple of a sector or a page."""
READY_SECONDS = 20.0
END_SECONDS = 1.0
"""How long a daemon may take to end; 0.1 s is usual."""
NOBODY = 65534


@dataclass
class Mount:
    """A mount, the process that serves it, and what it must look like."""

    path: Path
    process: "subprocess.Popen[str]"
    image: Path
    reference: Path


# --- helpers --------------------------------------------------------------------------------------------------------


def run(*words: object, check: bool = True) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(w) for w in words], check=check, capture_output=True, text=True, timeout=60)


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mounts_at(folder: Path) -> list[tuple[str, str, str]]:
    """(type, source, super options) of everything that is mounted on a folder."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        words = [re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), word) for word in line.split(" ")]
        if words[4] == str(folder):
            found.append(tuple(words[words.index("-") + 1 :]))
    return found


def start(
    image: Path, folder: Path, engine: str, *options: str, prefix: tuple[str, ...] = ()
) -> "subprocess.Popen[str]":
    """Mount in the foreground; the process, once the root answers."""
    with contextlib.suppress(FileExistsError):  # a dead mount exists, and cannot be looked at
        folder.mkdir()
    words = [
        *prefix,
        sys.executable,
        "-m",
        "imagefs",
        "mount",
        "--foreground",
        "-o",
        ",".join((f"engine={engine}", *options)),
    ]
    process = subprocess.Popen([*words, str(image), str(folder)], text=True, stderr=subprocess.PIPE)
    deadline = time.monotonic() + READY_SECONDS
    while not (answers(folder) and mounts_at(folder)):  # in this order: a dead mount is taken away in between
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"no mount: status {process.wait()}: {process.communicate()[1]}")
        time.sleep(0.01)
    return process


def answers(folder: Path) -> bool:
    try:
        os.statvfs(folder)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def is_dead(folder: Path) -> bool:
    try:
        os.statvfs(folder)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


@contextlib.contextmanager
def mounted(image: Path, folder: Path, engine: str, *options: str, reference: Path | None = None) -> Iterator[Mount]:
    process = start(image, folder, engine, *options)
    try:
        yield Mount(folder, process, image, reference or folder)
    finally:
        process.terminate()
        process.wait(10)
        if mounts_at(folder):
            umount(folder, lazy=True)


def umount(folder: Path, *, lazy: bool = False) -> "subprocess.CompletedProcess[str]":
    if os.geteuid() == 0:
        return run("umount", *(["-l"] if lazy else []), folder, check=False)
    return run("fusermount3", "-uz" if lazy else "-u", folder, check=False)


def make_iso(folder: Path, image: Path) -> Path:
    run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "BLACKBOX", "-o", image, folder)
    return image


# --- what is mounted ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of many sizes, links, a folder that no single request can list, and an image in the image."""
    top = tmp_path_factory.mktemp("blackbox") / "reference"
    chance = random.Random(5)
    (top / "docs" / "deep" / "deeper").mkdir(parents=True)
    (top / "many").mkdir()
    (top / "big.bin").write_bytes(chance.randbytes(BIG))
    (top / "small.txt").write_text("small\n")
    (top / "empty").write_bytes(b"")
    (top / "run.sh").write_text("#!/bin/sh\necho it runs\n")
    (top / "run.sh").chmod(0o755)
    (top / "docs" / "read me, please.txt").write_text("docs\n")
    (top / "docs" / "deep" / "grüße ☃.txt").write_text("deep\n")
    for size in (1, 2047, 2048, 2049, 4095, 4096, 4097, 131_072, 131_073):
        (top / "docs" / "deep" / "deeper" / f"{size}.bin").write_bytes(chance.randbytes(size))
    for index in range(400):
        (top / "many" / f"{index:04d} {'n' * (index % 100)}").write_bytes(b"%d" % index)
    (top / "link").symlink_to("docs/read me, please.txt")
    (top / "dangling").symlink_to("../not/there")
    make_iso(top / "docs", top / "inner.iso")
    for path in [top, *top.rglob("*")]:
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    return top


@pytest.fixture(scope="module")
def image(reference: Path) -> Path:
    return make_iso(reference, reference.parent / "disc.iso")


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def mount(engine: str, image: Path, reference: Path) -> Iterator[Mount]:
    """One mount for all checks that leave it as it is. It must live to the end."""
    with mounted(image, reference.parent / f"mount-{engine}", engine, reference=reference) as found:
        yield found
        assert found.process.poll() is None


# --- the same tree --------------------------------------------------------------------------------------------------


def test_rsync_finds_no_difference(mount: Mount) -> None:
    assert run("rsync", "-rltpnc", "--delete", "-i", f"{mount.reference}/", f"{mount.path}/").stdout == ""


def test_diff_finds_no_difference(mount: Mount) -> None:
    assert run("diff", "-r", "--no-dereference", mount.reference, mount.path).stdout == ""


def test_find_sees_the_same_types_sizes_modes_and_targets(mount: Mount) -> None:
    def listing(top: Path) -> list[str]:
        lines = run("find", top, "-mindepth", "1", "(", "-type", "d", "-printf", "%P %y %m\n", ")", "-o", "-printf",
                    "%P %y %m %s %n %U %G %T@ %l\n").stdout.splitlines()  # fmt: skip
        return sorted(lines)

    assert listing(mount.path) == listing(mount.reference)


def test_tar_streams_are_equal(mount: Mount) -> None:
    def stream(top: Path) -> str:
        words = ["tar", "-C", top, "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-cf", "-", "."]
        return hashlib.sha256(subprocess.run(words, check=True, capture_output=True).stdout).hexdigest()

    assert stream(mount.path) == stream(mount.reference)


def test_cp_a_copies_everything_in_silence(mount: Mount, tmp_path: Path) -> None:
    copied = run("cp", "-a", mount.path, tmp_path / "copy")
    assert (copied.stdout, copied.stderr) == ("", "")
    assert run("rsync", "-rlnc", "--delete", "-i", f"{mount.reference}/", f"{tmp_path}/copy/").stdout == ""


def test_a_program_on_it_can_be_started(mount: Mount) -> None:
    assert run(mount.path / "run.sh").stdout == "it runs\n"


def test_listings(mount: Mount) -> None:
    names = run("ls", "-f", mount.path).stdout.split()
    assert names[:2] == [".", ".."]
    assert sorted(names[2:]) == sorted(os.listdir(mount.reference))
    with os.scandir(mount.path) as entries:
        assert all(entry.inode() == entry.stat(follow_symlinks=False).st_ino for entry in entries)


def test_a_listing_can_be_rewound(mount: Mount) -> None:
    descriptor = os.open(mount.path / "many", os.O_RDONLY)
    try:
        first = os.listdir(descriptor)
        assert len(first) == 400
        assert os.listdir(descriptor) == first
    finally:
        os.close(descriptor)


@pytest.fixture(scope="module")
def of_counts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with folders that are named after how many files are in them."""
    top = tmp_path_factory.mktemp("counts") / "tree"
    for count in (0, 1, 2, 21, 22, 23, 24, 25, 1000):
        (top / str(count)).mkdir(parents=True)
        for number in range(count):
            (top / str(count) / f"file {number}").touch()
    return make_iso(top, top.with_name("counts.iso"))


@pytest.mark.parametrize("room", [64, 300, 4096, 1 << 16])
def test_folders_of_every_size_are_listed_into_buffers_of_every_size(
    of_counts: Path, engine: str, tmp_path: Path, room: int
) -> None:
    """A page, and so a request of the kernel, holds some 23 entries."""
    with mounted(of_counts, tmp_path / "mount", engine) as mount:
        for folder in mount.path.iterdir():
            names = listed(folder, room)
            assert sorted(names) == sorted([".", "..", *(f"file {n}" for n in range(int(folder.name)))])


def listed(folder: Path, room: int) -> list[str]:
    """The names that getdents64 gives into a buffer of so many bytes, in their order."""
    libc, names = ctypes.CDLL(None, use_errno=True), []
    buffer = ctypes.create_string_buffer(room)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while (done := libc.getdents64(descriptor, buffer, room)) > 0:
            at = 0
            while at < done:  # struct linux_dirent64: ino, off, reclen, type, name
                (length,) = struct.unpack_from("<H", buffer.raw, at + 16)
                names.append(os.fsdecode(buffer.raw[at + 19 : at + length].split(b"\0")[0]))
                at += length
        assert done == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(descriptor)
    return names


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2000 names, and 150 MB that pack to nearly nothing."""
    tree = tmp_path_factory.mktemp("packed") / "tree"
    tree.mkdir()
    for number in range(2000):
        (tree / f"{number}").touch()
    with open(tree / "big", "wb") as file:
        file.truncate(150_000_000)
    run("gzip", "-1", make_iso(tree, tree.with_name("disc.iso")))
    return tree.with_name("disc.iso.gz")


def test_memory_follows_the_cache_and_not_the_image(packed: Path, engine: str, tmp_path: Path) -> None:
    """64 MiB of what was decoded are held, and little else."""
    with mounted(packed, tmp_path / "mount", engine) as mount:
        assert run("wc", "-c", mount.path / "big").stdout.startswith("150000000 ")
        assert run("cmp", "-n", 150_000_000, mount.path / "big", "/dev/zero").stdout == ""
        assert len(os.listdir(mount.path)) == 2001
        assert sum(map(own_memory, family(mount.process.pid))) < (64 + 80) << 20


def family(process: int) -> list[int]:
    """A process and all that descend from it."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(each for child in children for each in family(int(child)))]


def own_memory(process: int) -> int:
    """Bytes that a process has for itself, other than pages of files."""
    status = Path(f"/proc/{process}/status").read_text()
    return sum(int(number) << 10 for number in re.findall(r"^(?:RssAnon|RssShmem):\s+(\d+)", status, re.MULTILINE))


def test_each_of_many_mounts_at_once_shows_its_own_image(engine: str, tmp_path: Path) -> None:
    def show(number: int) -> str:
        tree = tmp_path / f"tree{number}"
        tree.mkdir()
        (tree / "which").write_text(f"{number}")
        image = make_iso(tree, tmp_path / f"{number}.iso")
        with mounted(image, tmp_path / f"mount{number}", engine) as mount:
            barrier.wait(60)
            return (mount.path / "which").read_text()

    barrier = threading.Barrier(5)
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        assert list(pool.map(show, range(5))) == ["0", "1", "2", "3", "4"]


def test_inode_numbers_outlive_the_mount(mount: Mount, engine: str, tmp_path: Path) -> None:
    def numbers(top: Path) -> dict[str, int]:
        return {str(path.relative_to(top)): path.lstat().st_ino for path in top.rglob("*")}

    with mounted(mount.image, tmp_path / "again", engine) as again:
        assert numbers(again.path) == numbers(mount.path)


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.fixture
def big(mount: Mount) -> Iterator[int]:
    descriptor = os.open(mount.path / "big.bin", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(scope="module")
def content(reference: Path) -> bytes:
    return (reference / "big.bin").read_bytes()


def test_pread_across_and_beyond_the_end(big: int, content: bytes) -> None:
    assert os.pread(big, 4096, BIG - 100) == content[-100:]
    assert os.pread(big, 4096, BIG) == b""
    assert os.pread(big, 4096, BIG + 10_000_000) == b""


def test_many_threads_read_unaligned_pieces(big: int, content: bytes) -> None:
    def read(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(100):
            at, length = chance.randrange(BIG), chance.randrange(1, 70_000)
            assert os.pread(big, length, at) == content[at : at + length]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(8))) == [None] * 8


def test_four_tars_at_once(mount: Mount) -> None:
    words = ["tar", "-C", str(mount.path), "-cf", "-", "."]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        streams = pool.map(lambda _: subprocess.run(words, check=True, capture_output=True).stdout, range(4))
        assert len({hashlib.sha256(stream).digest() for stream in streams}) == 1


def test_a_private_mapping_can_be_written(big: int, content: bytes) -> None:
    with mmap.mmap(big, 0, access=mmap.ACCESS_COPY) as view:
        chance = random.Random(9)
        for at in (0, BIG - 1, *(chance.randrange(BIG) for _ in range(200))):
            assert view[at] == content[at]
        view[5] = (content[5] + 1) % 256
    assert os.pread(big, 1, 5) == content[5:6]


def test_a_shared_writable_mapping_is_refused(big: int) -> None:
    with pytest.raises(PermissionError):
        mmap.mmap(big, 0, access=mmap.ACCESS_WRITE)


def test_direct_io(mount: Mount, content: bytes) -> None:
    descriptor = os.open(mount.path / "big.bin", os.O_RDONLY | os.O_DIRECT)
    try:
        aligned = mmap.mmap(-1, 1 << 16)
        assert os.preadv(descriptor, [aligned], 1 << 20) == 1 << 16
        assert aligned[:] == content[1 << 20 : (1 << 20) + (1 << 16)]
        assert os.pread(descriptor, 5000, 777) == content[777:5777]
        assert os.pread(descriptor, 5000, BIG - 9) == content[-9:]
    finally:
        os.close(descriptor)


def test_asynchronous_direct_io(mount: Mount, tmp_path: Path) -> None:
    if not shutil.which("fio"):
        pytest.skip("fio is not installed")
    words = ["--name=x", "--readonly", "--ioengine=libaio", "--iodepth=8", "--direct=1", "--rw=randread", "--size=2M"]
    done = subprocess.run(
        ["fio", *words, f"--filename={mount.path / 'big.bin'}", "--output-format=terse"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split(";")[4]) == (0, "0"), done.stderr


def test_sendfile_and_splice(big: int, content: bytes, tmp_path: Path) -> None:
    with open(tmp_path / "sent", "wb") as out:
        sent = 0
        while count := os.sendfile(out.fileno(), big, sent, BIG):
            sent += count
    assert (tmp_path / "sent").read_bytes() == content
    reading, writing = os.pipe()
    try:
        moved = os.splice(big, writing, 60_000, offset_src=100)
        assert os.read(reading, moved) == content[100 : 100 + moved]
    finally:
        os.close(reading)
        os.close(writing)


def test_copies_to_another_file_system(mount: Mount, big: int, content: bytes, tmp_path: Path) -> None:
    with open(tmp_path / "copy", "wb") as out, pytest.raises(OSError) as caught:
        os.copy_file_range(big, out.fileno(), BIG)
    assert caught.value.errno == errno.EXDEV
    assert run("cp", "--reflink=always", mount.path / "big.bin", tmp_path / "no", check=False).returncode == 1
    run("cp", "--reflink=auto", mount.path / "big.bin", tmp_path / "yes")
    assert (tmp_path / "yes").read_bytes() == content


def test_seek_data_and_hole(big: int) -> None:
    assert os.lseek(big, 0, os.SEEK_HOLE) == BIG
    assert os.lseek(big, 12_345, os.SEEK_DATA) == 12_345
    with pytest.raises(OSError) as caught:
        os.lseek(big, BIG, os.SEEK_DATA)
    assert caught.value.errno == errno.ENXIO


def test_locks_leases_and_fsync(big: int) -> None:
    fcntl.flock(big, fcntl.LOCK_SH)
    fcntl.flock(big, fcntl.LOCK_UN)
    fcntl.lockf(big, fcntl.LOCK_SH)
    fcntl.lockf(big, fcntl.LOCK_UN)
    fcntl.fcntl(big, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    fcntl.fcntl(big, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    os.fsync(big)


def test_an_unknown_ioctl_is_enotty(big: int) -> None:
    with pytest.raises(OSError) as caught:
        fcntl.ioctl(big, 0x1234_5678)
    assert caught.value.errno == errno.ENOTTY


def test_inotify_sees_local_readers(mount: Mount) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    watch, opened, accessed = libc.inotify_init1(os.O_NONBLOCK), 0x20, 0x1
    try:
        assert libc.inotify_add_watch(watch, os.fsencode(mount.path / "small.txt"), opened | accessed) >= 0
        (mount.path / "small.txt").read_bytes()
        waiting = select.poll()
        waiting.register(watch, select.POLLIN)
        assert waiting.poll(5000)
        seen = 0
        data = os.read(watch, 4096)
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            seen, data = seen | mask, data[16 + length :]
        assert seen & (opened | accessed) == opened | accessed
    finally:
        os.close(watch)


# --- what is refused ------------------------------------------------------------------------------------------------


def _open(name: str, flags: int) -> Callable[[Path], object]:
    return lambda top: os.open(top / name, flags, 0o644)


WRITES: dict[str, Callable[[Path], object]] = {
    "open O_WRONLY": _open("small.txt", os.O_WRONLY),
    "open O_RDWR": _open("small.txt", os.O_RDWR),
    "open O_APPEND": _open("small.txt", os.O_WRONLY | os.O_APPEND),
    "open O_TRUNC": _open("small.txt", os.O_RDONLY | os.O_TRUNC),
    "open O_CREAT": _open("new", os.O_RDWR | os.O_CREAT),
    "open O_TMPFILE": _open("docs", os.O_RDWR | os.O_TMPFILE),
    "mkdir": lambda top: os.mkdir(top / "new"),
    "rmdir": lambda top: os.rmdir(top / "docs"),
    "unlink": lambda top: os.unlink(top / "small.txt"),
    "unlink of nothing": lambda top: os.unlink(top / "nothing"),
    "rename": lambda top: os.rename(top / "small.txt", top / "new"),
    "link": lambda top: os.link(top / "small.txt", top / "new"),
    "symlink": lambda top: os.symlink("target", top / "new"),
    "mkfifo": lambda top: os.mkfifo(top / "new"),
    "truncate": lambda top: os.truncate(top / "small.txt", 1),
    "chmod": lambda top: os.chmod(top / "small.txt", 0o600),
    "chown": lambda top: os.chown(top / "small.txt", os.getuid(), os.getgid()),
    "utime": lambda top: os.utime(top / "small.txt", (1, 1)),
    "setxattr": lambda top: os.setxattr(top / "small.txt", "user.x", b"1"),
    "removexattr": lambda top: os.removexattr(top / "small.txt", "user.x"),
}


@pytest.mark.parametrize("write", WRITES)
def test_every_write_is_erofs(mount: Mount, write: str) -> None:
    with pytest.raises(OSError) as caught:
        WRITES[write](mount.path)
    assert errno.errorcode[caught.value.errno or 0] == "EROFS"


def _read_directory(top: Path) -> None:
    descriptor = os.open(top / "docs", os.O_RDONLY)
    try:
        os.read(descriptor, 10)
    finally:
        os.close(descriptor)


ERRORS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "mkdir of what is there": ("EEXIST", lambda top: os.mkdir(top / "docs")),
    "read of a directory": ("EISDIR", _read_directory),
    "a file as a directory": ("ENOTDIR", lambda top: os.open(top / "small.txt", os.O_RDONLY | os.O_DIRECTORY)),
    "a path through a file": ("ENOTDIR", lambda top: os.stat(top / "small.txt" / "x")),
    "readlink of a file": ("EINVAL", lambda top: os.readlink(top / "small.txt")),
    "a name of 256 bytes": ("ENAMETOOLONG", lambda top: os.stat(top / ("x" * 256))),
    "a name that is not there": ("ENOENT", lambda top: os.stat(top / "nothing")),
    "the same once more": ("ENOENT", lambda top: os.stat(top / "nothing")),
    "a dangling link": ("ENOENT", lambda top: os.stat(top / "dangling")),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(mount: Mount, case: str) -> None:
    expected, act = ERRORS[case]
    with pytest.raises(OSError) as caught:
        act(mount.path)
    assert errno.errorcode[caught.value.errno or 0] == expected


def test_access(mount: Mount) -> None:
    assert os.access(mount.path / "small.txt", os.R_OK)
    assert not os.access(mount.path / "small.txt", os.W_OK)
    assert os.access(mount.path / "run.sh", os.X_OK)


def test_an_image_without_extended_attributes_supports_none(mount: Mount) -> None:
    """ENOTSUP, which `cp -a` and `ls -l` take in silence, and which the kernel remembers: it does not ask again."""
    for ask in (lambda path: os.getxattr(path, "user.x"), os.listxattr):
        with pytest.raises(OSError) as caught:
            ask(mount.path / "small.txt")
        assert caught.value.errno == errno.ENOTSUP


def test_statfs(mount: Mount) -> None:
    found = os.statvfs(mount.path)
    assert (found.f_bsize, found.f_bfree, found.f_bavail, found.f_namemax) == (2048, 0, 0, 255)
    assert found.f_blocks * 2048 <= mount.image.stat().st_size < (found.f_blocks + 200) * 2048
    assert found.f_flag & os.ST_RDONLY
    assert found.f_flag & os.ST_NOSUID
    assert run("df", "--output=pcent", mount.path).stdout.split()[-1] == "100%"


def test_how_far_the_kernel_reads_ahead(mount: Mount, engine: str) -> None:
    """As far as it lets one say: only root may, and pyfuse3 has the first request answered before it returns."""
    device = mount.path.stat().st_dev
    known = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb").read_text()
    assert int(known) == (1024 if engine == "direct" and os.geteuid() == 0 else 128)


def test_how_the_mount_is_listed(mount: Mount) -> None:
    ((kind, source, _),) = mounts_at(mount.path)
    assert (kind, source) == ("fuse.imagefs", str(mount.image))


# --- life and death -------------------------------------------------------------------------------------------------


def test_a_killed_reader_does_no_harm(mount: Mount, content: bytes) -> None:
    for pause in (0.0, 0.01, 0.05):
        reader = subprocess.Popen(
            ["dd", f"if={mount.path / 'big.bin'}", "of=/dev/null", "bs=512", "iflag=direct"], stderr=subprocess.DEVNULL
        )
        time.sleep(pause)
        reader.send_signal(signal.SIGKILL)
        reader.wait()
    assert (mount.path / "big.bin").read_bytes() == content


READER = """
import os, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
print("reading", flush=True)
while True:
    os.pread(descriptor, 4096, 0)
"""


def test_sigterm_ends_the_mount_at_once_though_it_is_read(image: Path, engine: str, tmp_path: Path) -> None:
    with mounted(image, tmp_path / "mount", engine) as mount:
        words = [sys.executable, "-c", READER, str(mount.path / "big.bin")]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
            assert reader.stdout and reader.stdout.readline() == b"reading\n"
            began = time.monotonic()
            mount.process.terminate()
            assert mount.process.wait(10) == 0
            assert time.monotonic() - began < END_SECONDS
            assert mounts_at(mount.path) == []
            assert b"[Errno " in reader.communicate(timeout=10)[1]
            assert reader.returncode == 1


def test_a_busy_mount_stays_and_a_lazy_unmount_waits(image: Path, engine: str, tmp_path: Path, content: bytes) -> None:
    with mounted(image, tmp_path / "mount", engine) as mount, open(mount.path / "big.bin", "rb", buffering=0) as file:
        refused = umount(mount.path)
        assert refused.returncode == (32 if os.geteuid() == 0 else 1)
        assert "busy" in refused.stderr
        refused = run(sys.executable, "-m", "imagefs", "umount", mount.path, check=False)
        assert refused.returncode not in (0, 70)
        assert len(refused.stderr.splitlines()) == 1
        assert mount.process.poll() is None
        assert umount(mount.path, lazy=True).returncode == 0
        assert mounts_at(mount.path) == []
        assert mount.process.poll() is None
        assert file.read(5000) == content[:5000]
        file.close()
        assert mount.process.wait(10) == 0


def test_a_plain_unmount_ends_the_daemon(image: Path, engine: str, tmp_path: Path) -> None:
    with mounted(image, tmp_path / "mount", engine) as mount:
        assert umount(mount.path).returncode == 0
        assert mount.process.wait(10) == 0


def test_a_dead_mount_is_replaced(image: Path, engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = tmp_path / "mount"
    process = start(image, folder, engine)
    process.kill()
    process.wait(10)
    request.addfinalizer(lambda: [umount(folder, lazy=True) for _ in mounts_at(folder)])
    deadline = time.monotonic() + END_SECONDS
    # Who serves dies with who was killed, a moment later; until the last of its descriptors is closed requests are aborted.
    while not is_dead(folder) and time.monotonic() < deadline:
        time.sleep(0.001)
    with pytest.raises(OSError) as caught:
        os.statvfs(folder)
    assert caught.value.errno == errno.ENOTCONN
    with mounted(image, folder, engine) as mount:
        assert len(mounts_at(folder)) == 1
        assert (mount.path / "small.txt").read_text() == "small\n"


def test_the_image_is_truncated_under_the_mount(engine: str, tmp_path: Path) -> None:
    """What is gone is EIO, for those reads alone."""
    folder, chance = tmp_path / "tree", random.Random(11)
    folder.mkdir()
    parts = {name: chance.randbytes(1 << 20) for name in ("one", "two")}
    for name, data in parts.items():
        (folder / name).write_bytes(data)
    image = make_iso(folder, tmp_path / "disc.iso")
    place = {name: image.read_bytes().index(data) for name, data in parts.items()}
    first, last = sorted(place, key=lambda name: place[name])
    with mounted(image, tmp_path / "mount", engine) as mount:
        assert sorted(os.listdir(mount.path)) == ["one", "two"]
        os.truncate(image, place[last])
        with pytest.raises(OSError) as caught:
            (mount.path / last).read_bytes()
        assert caught.value.errno == errno.EIO
        assert (mount.path / first).read_bytes() == parts[first]
        assert mount.process.poll() is None


@pytest.mark.parametrize("name", ["a,comma", "a space", "a\\back\\slash", "ünïcode ☃", 'quo"te', "tab\tnew\nline"])
def test_awkward_names_of_images(image: Path, engine: str, tmp_path: Path, name: str) -> None:
    awkward = tmp_path / f"{name}.iso"
    awkward.hardlink_to(image)
    with mounted(awkward, tmp_path / "mount", engine) as mount:
        ((kind, source, _),) = mounts_at(mount.path)
        assert kind == "fuse.imagefs"
        assert source == str(awkward)
        assert (mount.path / "small.txt").read_text() == "small\n"


def test_pyfuse3_alone_can_say_ascii(image: Path, tmp_path: Path) -> None:
    """Without a process that mounts for it: libfuse gets the name from pyfuse3, whose options are ASCII."""
    awkward = tmp_path / "ünïcode ☃.iso"
    awkward.hardlink_to(image)
    with mounted(awkward, tmp_path / "mount", "pyfuse3", "nosandbox") as mount:
        ((_, source, _),) = mounts_at(mount.path)
        assert source == str(awkward.with_name("?n?code ?.iso"))
        assert (mount.path / "small.txt").read_text() == "small\n"


def test_an_image_inside_a_mount(mount: Mount, engine: str, tmp_path: Path) -> None:
    with mounted(mount.path / "inner.iso", tmp_path / "mount", engine) as inner:
        assert run("diff", "-r", mount.reference / "docs", inner.path).stdout == ""


# --- as root only ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def kernel_mount(folder: Path, *words: object) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    run("mount", *words, folder)
    try:
        yield folder
    finally:
        run("umount", folder)


@needs_root
def test_a_folder_of_it_can_be_bound_elsewhere(mount: Mount, tmp_path: Path) -> None:
    with kernel_mount(tmp_path / "bound", "--bind", mount.path / "docs") as bound:
        assert run("diff", "-r", mount.reference / "docs", bound).stdout == ""


@needs_root
def test_a_loop_device_on_a_file_of_it(mount: Mount) -> None:
    device = run("losetup", "--find", "--show", "--read-only", mount.path / "inner.iso").stdout.strip()
    try:
        assert sha256(Path(device)) == sha256(mount.reference / "inner.iso")
    finally:
        run("losetup", "--detach", device)


@needs_root
def test_it_can_be_the_lower_layer_of_an_overlay(mount: Mount, tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    with kernel_mount(tmp_path / "layers", "-t", "tmpfs", "none") as layers:
        for name in ("upper", "work"):
            (layers / name).mkdir()
        options = f"lowerdir={mount.path},upperdir={layers}/upper,workdir={layers}/work"
        with kernel_mount(tmp_path / "merged", "-t", "overlay", "-o", options, "none") as merged:
            assert sorted(os.listdir(merged)) == sorted(os.listdir(mount.reference))
            with open(merged / "small.txt", "a") as file:
                file.write("and more\n")
            (merged / "big.bin").unlink()
            assert (merged / "small.txt").read_text() == "small\nand more\n"
            assert not (merged / "big.bin").exists()
            assert stat.S_ISCHR((layers / "upper" / "big.bin").lstat().st_mode)
    assert (mount.path / "small.txt").read_text() == "small\n"
    assert (mount.path / "big.bin").stat().st_size == BIG


class _Handle(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("handle", ctypes.c_ubyte * 128))


@needs_root
@pytest.mark.parametrize("name", ["small.txt", "docs/deep/deeper/4097.bin"])
def test_open_by_handle_after_the_kernel_forgot(mount: Mount, name: str) -> None:
    """What an NFS server does with a handle from before a restart."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle, mount_id = _Handle(bytes=128), ctypes.c_int()
    path = os.fsencode(mount.path / name)
    assert libc.name_to_handle_at(-100, path, ctypes.byref(handle), ctypes.byref(mount_id), 0) == 0
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("2")
    top = os.open(mount.path, os.O_RDONLY)
    try:
        descriptor = libc.open_by_handle_at(top, ctypes.byref(handle), os.O_RDONLY)
        assert descriptor >= 0, os.strerror(ctypes.get_errno())
        assert os.pread(descriptor, 10_000, 0) == (mount.reference / name).read_bytes()
        os.close(descriptor)
    finally:
        os.close(top)


def as_nobody(home: Path, *words: object) -> tuple[str, ...]:
    """A command line that runs as an ordinary user.

    It may read and search everywhere, as the checkout or the interpreter may lie in root's home.
    """
    rights = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    setpriv = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *rights)
    return (*setpriv, "env", f"HOME={home}", f"TMPDIR={home}", "PYTHONDONTWRITEBYTECODE=1", *map(str, words))


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of the ordinary user's, where every path to it is open to him. FUSE is open to everybody, as udev has it."""
    os.chmod("/dev/fuse", 0o666)
    folder = Path(run("mktemp", "-d", "/tmp/blackbox-XXXXXX").stdout.strip())
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@needs_root
def test_others_see_it_only_with_allow_other(image: Path, engine: str, home: Path) -> None:
    look = as_nobody(home, "ls", home / "mount")
    shutil.copy(image, home / "disc.iso")
    with mounted(home / "disc.iso", home / "mount", engine):
        refused = run(*look, check=False)
        assert refused.returncode == 2
        assert "Permission denied" in refused.stderr
    with mounted(home / "disc.iso", home / "mount", engine, "allow_other"):
        assert "small.txt" in run(*look).stdout


@needs_root
def test_not_even_root_sees_the_mount_of_a_user(image: Path, engine: str, home: Path) -> None:
    shutil.copy(image, home / "disc.iso")
    run(*as_nobody(home, "mkdir", home / "mount"))
    process = start(home / "disc.iso", home / "mount", engine, prefix=as_nobody(home))
    try:
        with pytest.raises(PermissionError):
            os.listdir(home / "mount")
        assert "small.txt" in run(*as_nobody(home, "ls", home / "mount")).stdout
        assert f"user_id={NOBODY}" in mounts_at(home / "mount")[0][2]
    finally:
        process.terminate()
        assert process.wait(10) == 0


@needs_root
@pytest.mark.timeout(300)
def test_all_of_this_as_an_ordinary_user(home: Path) -> None:
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={home}/tests", __file__]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "IMAGEFS_"))}
    done = subprocess.run(
        as_nobody(home, sys.executable, *words),
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    assert re.search(r"\d\d+ passed", done.stdout)
