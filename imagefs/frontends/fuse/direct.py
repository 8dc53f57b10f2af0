"""The direct engine: speaks the kernel's protocol itself.

Serving threads (two, on cloned descriptors) each do a blocking `readv`, a dispatch and one `writev` per answer; nothing is
allocated per entry and nothing waits on the way. What must be decoded or fetched from a disk goes to a worker thread, which
writes the answer itself: answers may go out in any order, but through the descriptor that the request came from.

* OPEN and FLUSH answer ENOSYS: the kernel stops asking, and nothing hangs on a handle. OPENDIR is answered with "keep the
  listing": refusing it too would make the listing of a dead mount readable, and `fusermount3` unable to see it is dead.
* A page that cannot be read (bad sector, image cut meanwhile) is EFAULT from writev; the kernel has then answered EIO.
* After a small read or look-up the thread polls for some microseconds before it sleeps: the wake-up of a sleeping thread
  costs more than the request. Never while a push is under way.
"""

import errno
import fcntl
import logging
import os
import queue
import select
import struct
import threading
from collections.abc import Callable, Sequence

from imagefs.errors import ImageError, errno_of
from imagefs.frontends.fuse import protocol as p
from imagefs.frontends.fuse.mount import Buffer, Mount, listing_slice
from imagefs.frontends.fuse.prefetch import SMALL_BYTES, Prefetch
from imagefs.frontends.fuse.protocol import Op
from imagefs.readers import set_nowait

REQUEST_BYTES = (1 << 16) + 4096
"""The longest request: the kernel wants at least 8 KiB, and max_write + header."""
POLLS = 60
SINGLE_BYTES = 8 << 10
WORKERS = 4
"""Threads for what must wait: a decoder releases the GIL, a disk queue is deeper than one."""
_ENDED = (errno.ENODEV, errno.ENOTCONN, errno.ECONNABORTED)
_OUT_BYTES = p.OUT_HEADER.size
_OPENDIR_ANSWER = p.OPEN_OUT.pack(0, p.OPEN_KEEP_CACHE | p.OPEN_CACHE_DIR, 0)
_NEGATIVE = p.ENTRY_OUT.pack(0, 0, p.FOREVER, p.FOREVER, 0, 0) + bytes(p.ATTR.size)
_ATTR_HEAD = p.ATTR_OUT.pack(p.FOREVER, 0, 0)
READ, LOOKUP, GETATTR = int(Op.READ), int(Op.LOOKUP), int(Op.GETATTR)
_SILENT = frozenset((Op.FORGET, Op.BATCH_FORGET, Op.INTERRUPT))
_DONE = (Op.RELEASE, Op.RELEASEDIR, Op.DESTROY)

log = logging.getLogger(__name__)

Answer = Sequence[Buffer]
Handler = Callable[[int, memoryview], Answer]


class Job:
    """A request that must wait: which descriptor it came from, its unique number, and its bytes."""

    __slots__ = ("device", "number", "opcode", "payload", "unique")

    def __init__(self, device: int, unique: int, opcode: int, number: int, payload: bytes) -> None:
        self.device, self.unique, self.opcode, self.number, self.payload = device, unique, opcode, number, payload


class DirectEngine:
    """Serves a Mount on a descriptor of /dev/fuse until it is unmounted.

    `on_ready` is called once, by the first serving thread, when the kernel's INIT has been answered. `spares` are further
    descriptors of /dev/fuse for the other serving threads, for a process that can open none itself.
    """

    def __init__(
        self,
        mount: Mount,
        device: int,
        *,
        threads: int = 2,
        on_ready: Callable[[], None] = lambda: None,
        spares: Sequence[int] = (),
    ) -> None:
        self._mount, self._device, self._threads, self._on_ready = mount, device, threads, on_ready
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._prefetch = Prefetch(mount, device)
        self._told: set[str] = set()
        self._xattrs = mount.filesystem.has_xattrs
        self._devices = [device]
        self._spares = list(spares)
        self._ended = threading.Event()
        self._when_ended: Callable[[], None] = lambda: None
        self._handlers: dict[int, Handler] = {
            Op.LOOKUP: self._lookup,
            Op.GETATTR: self._getattr,
            Op.READ: self._read,
            Op.READDIRPLUS: self._readdirplus,
            Op.READLINK: lambda number, _: (self._mount.readlink(number),),
            Op.OPENDIR: lambda number, _: (_OPENDIR_ANSWER,),
            **dict.fromkeys(_DONE, lambda number, _: ()),
            Op.STATFS: self._statfs,
            Op.LSEEK: self._lseek,
        }
        if self._xattrs:
            self._handlers |= {Op.GETXATTR: self._getxattr, Op.LISTXATTR: self._listxattr}

    def invalidate(self) -> None:
        """Have the kernel forget all content and listings that it keeps. May wait for readers: not for a serving thread."""
        size = _OUT_BYTES + p.INVAL_INODE_OUT.size
        head = p.OUT_HEADER.pack(size, p.NOTIFY_INVAL_INODE, 0)
        for number in list(self._mount.nodes):
            try:
                os.writev(self._device, (head, p.INVAL_INODE_OUT.pack(number, 0, 0)))
            except OSError as error:
                if error.errno != errno.ENOENT:  # the kernel does not know it (any more)
                    return

    def when_ended(self, call: Callable[[], None]) -> None:
        """Have `call` called from a serving thread when the mount is gone; at once if it is."""
        self._when_ended = call
        if self._ended.is_set():
            call()

    def wait_until_ended(self, seconds: float) -> bool:
        """Wait at most so long; whether the mount is gone."""
        return self._ended.wait(seconds)

    def start(self) -> None:
        """Start the first serving thread; it starts all others once INIT is answered. Call after the last fork."""
        threading.Thread(target=self._serve, args=(self._device,), name="serve-1", daemon=True).start()

    def _start_others(self) -> None:
        for index in range(1, self._threads):
            try:
                device = self._spares.pop() if self._spares else os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
                self._devices.append(device)
                fcntl.ioctl(device, p.DEV_IOC_CLONE, struct.pack("<I", self._device))
            except OSError as error:
                log.info("one serving thread less: %s", error)
                break
            threading.Thread(target=self._serve, args=(device,), name=f"serve-{index + 1}", daemon=True).start()
        self.start_workers()
        self._prefetch.start()

    def start_workers(self) -> None:
        """Start the threads for what must wait."""
        for index in range(WORKERS):
            threading.Thread(target=self._work, name=f"worker-{index + 1}", daemon=True).start()

    # --- the loop -------------------------------------------------------------------------------------------------------

    def _serve(self, device: int) -> None:
        """Answer requests until the mount is gone."""
        set_nowait(True)
        buffer = bytearray(REQUEST_BYTES)
        view, buffers = memoryview(buffer), [buffer]
        header, poller = p.IN_HEADER, select.poll()
        poller.register(device, select.POLLIN)
        poll, readv, prefetch = poller.poll, os.readv, self._prefetch
        mount, read_in, out = self._mount, p.READ_IN, p.OUT_HEADER
        nodes, writev, nothing = mount.nodes, os.writev, mount.nodes[p.ROOT_ID]
        polls = 0
        while True:
            while polls > 0 and not poll(0):
                polls -= 1
            polls = 0
            try:
                if readv(device, buffers) < p.IN_HEADER.size:
                    break  # not the kernel, and gone
            except OSError as error:
                if error.errno in _ENDED:
                    break
                if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):  # interrupted meanwhile
                    continue
                log.critical("the kernel's device cannot be read: %s", error)
                break
            length, opcode, unique, number, *_ = header.unpack_from(buffer)
            if opcode == READ:  # the hot one, spelled out where the file is a plain run
                _, offset, size = read_in.unpack_from(buffer, 40)
                listing, index = nodes.get(number, nothing)
                place, whole, backing = listing.places[index], listing.sizes[index], listing.backing
                source = backing.view
                if place >= 0 and source is not None and place + whole <= backing.bytes:
                    backing.reads += 1
                    if size <= SINGLE_BYTES and not prefetch.busy:
                        polls = POLLS
                    size = max(0, min(size, whole - offset))
                    if not offset and whole <= SMALL_BYTES:
                        prefetch.seen(listing, index)
                    start = backing.base + place + offset
                    try:
                        writev(device, (out.pack(16 + size, 0, unique), source[start : start + size]))
                    except OSError as error:
                        self._answer_failed(device, unique, error)
                    source = None  # it would keep the file of an image open that is closed meanwhile
                    continue
            elif opcode in (LOOKUP, GETATTR):
                polls = 0 if prefetch.busy else POLLS
            self._dispatch(device, unique, opcode, number, view[40:length])
        self._ended.set()
        self._when_ended()

    def _dispatch(self, device: int, unique: int, opcode: int, number: int, payload: memoryview) -> None:
        """Answer one request now, or hand it to a worker when it would wait."""
        handler = self._handlers.get(opcode)
        try:
            if handler is None:
                self._dispatch_rare(device, unique, opcode, number, payload)
                return
            answer = handler(number, payload)
        except BlockingIOError:
            self.defer(Job(device, unique, opcode, number, bytes(payload)))
        except (OSError, ImageError) as error:
            self._refuse(device, unique, error)
        except Exception:  # noqa: BLE001 - nothing that one request meets may end the mount
            self._unexpected(device, unique, opcode, number)
        else:
            self._send(device, unique, answer)

    def _dispatch_rare(self, device: int, unique: int, opcode: int, number: int, payload: memoryview) -> None:
        """Requests without an answer, the first one, and those that are not known: they are never asked again."""
        if opcode in _SILENT:
            self._forget(opcode, number, payload)
        elif opcode == Op.INIT:
            self._init(device, unique, payload)
        else:
            self._error(device, unique, errno.ENOSYS)  # OPEN, FLUSH and what writes

    def defer(self, job: Job) -> None:
        """Have a worker answer."""
        self._jobs.put(job)

    def _work(self) -> None:
        """A worker."""
        while job := self._jobs.get():
            self.answer(job)

    def answer(self, job: Job) -> None:
        """Answer a request with the same handlers, allowed to wait."""
        try:
            answer = self._handlers[job.opcode](job.number, memoryview(job.payload))
        except (OSError, ImageError) as error:
            self._refuse(job.device, job.unique, error)
        except Exception:  # noqa: BLE001
            self._unexpected(job.device, job.unique, job.opcode, job.number)
        else:
            self._send(job.device, job.unique, answer)

    # --- answers --------------------------------------------------------------------------------------------------------

    def _send(self, device: int, unique: int, answer: Answer) -> bool:
        """Whether the kernel has taken the answer."""
        size = _OUT_BYTES + sum(map(len, answer))
        try:
            os.writev(device, (p.OUT_HEADER.pack(size, 0, unique), *answer))
        except OSError as error:
            self._answer_failed(device, unique, error)
            return False
        return True

    def _answer_failed(self, device: int, unique: int, error: OSError) -> None:
        """ENOENT: nobody waits any more. EFAULT: a page was not there, the kernel answered EIO. Gone: the next read ends."""
        if error.errno in (errno.ENOENT, errno.EFAULT, *_ENDED):
            return
        log.warning("the kernel refused an answer: %s", error)
        self._error(device, unique, errno.EIO)

    def _error(self, device: int, unique: int, number: int) -> None:
        try:
            os.write(device, p.OUT_HEADER.pack(_OUT_BYTES, -number, unique))
        except OSError as error:
            if error.errno not in (errno.ENOENT, *_ENDED):
                log.warning("the kernel refused an error: %s", error)

    def _refuse(self, device: int, unique: int, error: OSError | ImageError) -> None:
        number = errno_of(error)
        if number == errno.EIO:
            log.info("%s", error)
        self._error(device, unique, number)

    def _unexpected(self, device: int, unique: int, opcode: int, number: int) -> None:
        """Log the exception being handled with its stack, once for each place, and answer EIO."""
        import sys
        import traceback

        kind, _, trace = sys.exc_info()
        last = traceback.extract_tb(trace)[-1] if trace else None
        place = f"{kind} {last.filename}:{last.lineno}" if last else str(kind)
        if place not in self._told:
            self._told.add(place)
            log.exception("request %d on %d failed unexpectedly", opcode, number)
        self._error(device, unique, errno.EIO)

    # --- operations -----------------------------------------------------------------------------------------------------

    def _init(self, device: int, unique: int, payload: memoryview) -> None:
        major, minor, readahead, flags = p.INIT_IN.unpack_from(payload)
        if major != p.MAJOR:
            log.critical("the kernel speaks FUSE %d.%d, imagefs %d.%d", major, minor, p.MAJOR, p.MINOR)
            self._error(device, unique, errno.EPROTO)
            return
        # The kernel takes the less of this and of what it has by now, which may be more than what it offered.
        answer = p.InitOut(min(minor, p.MINOR), max(readahead, p.READ_AHEAD_BYTES), flags & p.WANTED)
        self._send(device, unique, (answer.pack(),))
        self._on_ready()
        self._start_others()

    def _forget(self, opcode: int, number: int, payload: memoryview) -> None:
        if opcode == Op.FORGET:
            self._mount.forget(number, int.from_bytes(payload[:8], "little"))
        elif opcode == Op.BATCH_FORGET:
            count = int.from_bytes(payload[:4], "little")
            for gone, lookups in struct.iter_unpack("<QQ", payload[8 : 8 + 16 * count]):
                self._mount.forget(gone, lookups)

    def _lookup(self, number: int, payload: memoryview) -> Answer:
        found = self._mount.lookup(number, bytes(payload[:-1]))
        if found is None:
            return (_NEGATIVE,)
        listing, index = found
        node = listing.ids[index]
        return (p.ENTRY_OUT.pack(node, 0, p.FOREVER, p.FOREVER, 0, 0), listing.attr(index))

    def _getattr(self, number: int, payload: memoryview) -> Answer:
        return (_ATTR_HEAD, self._mount.attr(number))

    def _readdirplus(self, number: int, payload: memoryview) -> Answer:
        _, offset, size = p.READ_IN.unpack_from(payload)
        listing = self._mount.listing(number)
        if not offset:
            self._prefetch.listed(number, listing)
        return (listing_slice(listing, offset, size),)

    def _read(self, number: int, payload: memoryview) -> Answer:
        _, offset, size = p.READ_IN.unpack_from(payload)
        answer = self._mount.read(number, offset, size)
        if not offset:
            listing, index = self._mount.entry(number)
            if 0 < listing.sizes[index] <= SMALL_BYTES and listing.places[index] >= 0:
                self._prefetch.seen(listing, index)
        return answer

    def _statfs(self, number: int, payload: memoryview) -> Answer:
        usage = self._mount.usage()
        size = usage.block_bytes
        return (
            p.STATFS_OUT.pack(usage.blocks, usage.free_blocks, usage.free_blocks, usage.files, 0, size, 255, size, 0),
        )

    def _lseek(self, number: int, payload: memoryview) -> Answer:
        _, offset, whence = p.LSEEK_IN.unpack_from(payload)
        return (p.LSEEK_OUT.pack(self._mount.seek(number, offset, whence)),)

    def _getxattr(self, number: int, payload: memoryview) -> Answer:
        (size,) = p.XATTR_IN.unpack_from(payload)
        name = os.fsdecode(bytes(payload[p.XATTR_IN.size : -1]))
        value = self._mount.xattrs(number).get(name)
        if value is None:
            raise OSError(errno.ENODATA, "no such attribute")
        return self._sized(size, value)

    def _listxattr(self, number: int, payload: memoryview) -> Answer:
        (size,) = p.XATTR_IN.unpack_from(payload)
        return self._sized(size, b"".join(os.fsencode(name) + b"\0" for name in self._mount.xattrs(number)))

    def _sized(self, size: int, value: bytes) -> Answer:
        """xattr answers: the length alone when none is offered, ERANGE when it is too small."""
        if not size:
            return (p.XATTR_OUT.pack(len(value)),)
        if len(value) > size:
            raise OSError(errno.ERANGE, "attribute too long")
        return (value,)

    def close(self) -> None:
        """Let workers end and close the descriptors, once the mount is gone."""
        self._prefetch.stop()
        for _ in range(WORKERS):
            self._jobs.put(None)
        for device in self._devices:
            try:
                os.close(device)
            except OSError as error:
                log.debug("closing: %s", error)
        self._devices.clear()
