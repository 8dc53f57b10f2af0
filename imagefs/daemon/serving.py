"""A library of images in one FUSE session: the direct engine, with workers that no image can take for itself.

A serving thread answers from tables what the kernel was told before, and the content of plain files from their image's
mapping, as in a mount of one image; it never asks an image anything. That is done by `imagefs.daemon.workers`, with a
deadline after which the kernel gets EIO.

How often the kernel has looked up something of an image, and has forgotten it again, is counted: so it is known whether an
image that is gone is still used.
"""

import errno
import logging
import os
import queue
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from imagefs.daemon.library import Library
from imagefs.daemon.numbers import is_folder, is_place, place_number, slot_of
from imagefs.daemon.workers import Pool
from imagefs.errors import ImageError
from imagefs.frontends.fuse import protocol as p
from imagefs.frontends.fuse.direct import Answer, DirectEngine, Job
from imagefs.frontends.fuse.mount import NAME_MAX, Backing, Buffer, Directory, Listing, Mount, listing_slice
from imagefs.frontends.fuse.prefetch import Prefetch
from imagefs.nodes import ROOT_INO, Node
from imagefs.options import Options
from imagefs.readers import is_nowait

RELEASE_SECONDS, LOOK_SECONDS = 0.5, 0.01
"""How long the kernel has to forget what nobody uses, and how often it is looked whether it has."""

log = logging.getLogger("imagefs")


class LibraryMount(Mount):
    """A library as the kernel sees it. What was read of an image is known by its Backing, and dropped with it."""

    filesystem: Library

    def __init__(self, library: Library, options: Options, owner: tuple[int, int] | None = None) -> None:
        self._known: dict[Backing, set[int]] = {}  # the directories that were listed, and nodes that stand alone
        self._places: dict[int, tuple[int, int, bool]] = {}  # inode, parent, loops of PLACE numbers of closed images
        self._folders: Counter[int] = Counter()  # look-ups of each slot's folder that the kernel has not forgotten
        self._inside: Counter[int] = Counter()  # and of what is in it
        self._holding = threading.Lock()
        self._version = -1
        super().__init__(library, options, owner)

    @property
    def library(self) -> Library:
        return self.filesystem

    # --- tables -------------------------------------------------------------------------------------------------------

    def backing(self) -> Backing:
        opened = self.library.current
        return self._whole if opened is None else opened.backing

    def children(self, directory: Node) -> Sequence[tuple[bytes, Node]]:
        return self.library.placed_entries(directory)

    def spare_number(self, ino: int, seed: int) -> int:
        return place_number(ino, seed)

    def _note(self, backing: Backing, number: int) -> None:
        with self._lock:
            self._known.setdefault(backing, set()).add(number)

    def listing(self, number: int) -> Listing:
        if number == ROOT_INO:
            return self._root_listing()
        found = self._listings.get(number)
        if found is None:
            if is_nowait():
                self.library.refuse(number)
            with self.library.using(number) as opened:
                found = super().listing(number)
                self._note(opened.backing, number)
        return found

    def _root_listing(self) -> Listing:
        version = self.library.version
        if version != self._version:
            with self._lock:
                self._listings.pop(ROOT_INO, None)
                self._indexes.pop(ROOT_INO, None)
            self._directories[ROOT_INO] = Directory(self.library.root, ROOT_INO)
            self.nodes[ROOT_INO] = (self._pack([(b"", ROOT_INO, self.library.root)]), 0)
            self._version = version
        return super().listing(ROOT_INO)

    def listings_of(self, slot: int) -> list[tuple[int, Listing]]:
        """The directories of an image that were listed."""
        with self._lock:
            own = [known for known in self._known.values() if known and slot_of(next(iter(known))) == slot]
            numbers = [number for known in own for number in known]
            return [(number, self._listings[number]) for number in numbers if number in self._listings]

    def list_ahead(self, number: int) -> None:
        """Only in an image that is open: a guess opens none."""
        if self.library.is_open(slot_of(number)):
            with self.library.using(number):
                super().list_ahead(number)

    def entry(self, number: int) -> tuple[Listing, int]:
        found = self.nodes.get(number)
        if found is not None:
            return found
        if is_folder(number):
            node = self.library.node(number)
            self._directories[number] = Directory(node, ROOT_INO)
            found = self.nodes[number] = (self._pack([(b"", number, node)]), 0)
            return found
        if is_nowait():
            self.library.refuse(number)
        with self.library.using(number) as opened:
            found = self._again(number) if is_place(number) else super().entry(number)
            self._note(opened.backing, number)
        return found

    def _again(self, number: int) -> tuple[Listing, int]:
        """A directory's further place, after its image was closed."""
        place = self._places.get(number)
        if place is None:
            raise OSError(errno.ESTALE, "no such inode")
        ino, parent, loops = place
        node = self.library.node(ino)
        self._directories[number] = Directory(node, parent, loops)
        found = self.nodes[number] = (self._pack([(b"", number, node)]), 0)
        return found

    def lookup(self, parent: int, name: bytes) -> tuple[Listing, int] | None:
        if len(name) > NAME_MAX:
            raise OSError(errno.ENAMETOOLONG, "name too long")
        if parent == ROOT_INO:
            if name in (b".", b".."):
                return self.entry(ROOT_INO)
            node = self.library.lookup(self.library.root, name)
            return None if node is None else self.entry(node.ino)
        if is_nowait():
            listing = self._listings.get(parent)
            index = None if listing is None else self._names(parent, listing).get(name)
            if listing is None or index is None:
                self.library.refuse(parent)
            return listing, index
        with self.library.using(parent) as opened:
            found = super().lookup(parent, name)
            if found is not None and len(found[0]) == 1:
                self._note(opened.backing, found[0].ids[0])
        return found

    def forget(self, number: int, lookups: int = 1) -> None:
        self.hold({slot_of(number): -lookups}, is_folder(number))
        self._places.pop(number, None)
        super().forget(number)

    def drop(self, backing: Backing) -> None:
        """Forget what was read of an image that was closed. The kernel may go on using the numbers."""
        with self._lock:
            numbers = self._known.pop(backing, set())
        for number in numbers:
            listing = self._listings.get(number)
            for child, directory in [*(listing.directories.items() if listing else ()), (number, None)]:
                found = directory or self._directories.get(child)
                if found is not None and is_place(child):
                    self._places[child] = (found.node.ino, found.parent, found.loops)
        for number in numbers:
            super().forget(number)
        for number in numbers:
            if not is_folder(number):
                self._directories.pop(number, None)
                self.nodes.pop(number, None)
        slots = {slot_of(number) for number in numbers}
        with self._lock:
            for table in (self._readers, self._indexes):
                for number in [number for number in table if slot_of(number) in slots]:
                    del table[number]
            for number in [number for number in self._ahead if slot_of(number) in slots]:
                self._take_ahead(number)

    def remove(self, number: int) -> None:
        """Forget an image's folder."""
        super().forget(number)
        self.nodes.pop(number, None)
        self._directories.pop(number, None)
        slot = slot_of(number)
        for place in [place for place in self._places if slot_of(place) == slot]:
            del self._places[place]
        with self._holding:
            self._folders.pop(slot, None)
            self._inside.pop(slot, None)

    # --- what the kernel holds ----------------------------------------------------------------------------------------

    def hold(self, slots: Mapping[int, int], of_folders: bool) -> None:
        """The kernel has looked up so much more of these images; less, when it is negative."""
        with self._holding:
            held = self._folders if of_folders else self._inside
            for slot, count in slots.items():
                held[slot] += count

    def held(self, slot: int) -> tuple[int, int]:
        """Look-ups that the kernel has not forgotten: of an image's folder, and of what is in it."""
        return self._folders[slot], self._inside[slot]

    # --- content ------------------------------------------------------------------------------------------------------

    def read(self, number: int, offset: int, length: int) -> Sequence[Buffer]:
        listing, index = self.entry(number)
        place, backing = listing.places[index], listing.backing
        if place >= 0 and backing.view is not None and place + listing.sizes[index] <= backing.bytes:
            return super().read(number, offset, length)
        if is_nowait():
            self.library.refuse(number)
        with self.library.using(number):
            return super().read(number, offset, length)

    def seek(self, number: int, offset: int, whence: int) -> int:
        if is_nowait():
            self.library.refuse(number)
        with self.library.using(number):
            return super().seek(number, offset, whence)

    def readlink(self, number: int) -> bytes:
        if is_nowait():
            self.library.refuse(number)
        with self.library.using(number):
            return super().readlink(number)


class LibraryPrefetch(Prefetch):
    """Works ahead as for one image; what has to ask an image is done by the pool."""

    def __init__(self, mount: LibraryMount, device: int, pool: Pool) -> None:
        super().__init__(mount, device)
        self._pool = pool

    def ahead(self, number: int) -> None:
        self._pool.submit(slot_of(number), partial(self._list, number))

    def _list(self, number: int) -> None:
        try:
            self._mount.list_ahead(number)
        except (OSError, ImageError):
            log.debug("directory %d not listed ahead", number, exc_info=True)

    def _push_all(self, listing: Listing, batch: list[int]) -> None:
        if listing.backing.view is not None:  # else it would have to be decoded, in the one thread for all images
            super()._push_all(listing, batch)


class Held(tuple[Buffer, ...]):
    """An answer that gives the kernel numbers to hold: how many of each slot, of folders or of what is in one."""

    slots: Mapping[int, int]
    of_folders: bool


class LibraryEngine(DirectEngine):
    """Serves a LibraryMount, and tells the kernel what changes (`imagefs.daemon.entries.Kernel`)."""

    _mount: LibraryMount

    def __init__(
        self,
        mount: LibraryMount,
        device: int,
        *,
        pool: Pool,
        look: Callable[[bytes], None],
        threads: int,
        on_ready: Callable[[], None],
        spares: Sequence[int] = (),
    ) -> None:
        """`look` asks the kernel for what stands in the root under a name."""
        super().__init__(mount, device, threads=threads, on_ready=on_ready, spares=spares)
        self._prefetch = LibraryPrefetch(mount, device, pool)
        self._pool, self._look = pool, look
        self._snapshots: dict[int, Listing | None] = {}  # of the root, for each who lists it
        self._last_handle = 0
        self._news: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._handlers |= {p.Op.OPENDIR: self._opendir, p.Op.RELEASEDIR: self._releasedir}

    def start_workers(self) -> None:
        self._pool.start()
        threading.Thread(target=self._tell_news, name="news", daemon=True).start()

    def close(self) -> None:
        self._pool.stop()
        self._news.put(None)
        super().close()

    def defer(self, job: Job) -> None:
        expire = partial(self._error, job.device, job.unique, errno.EIO)
        self._pool.submit(slot_of(job.number), partial(self.answer, job), expire)

    # --- answers that are counted -------------------------------------------------------------------------------------

    def _send(self, device: int, unique: int, answer: Answer) -> bool:
        taken = super()._send(device, unique, answer)
        if not taken and isinstance(answer, Held):
            self._mount.hold({slot: -count for slot, count in answer.slots.items()}, answer.of_folders)
        return taken

    def _holding(self, answer: Answer, slots: Mapping[int, int], of_folders: bool) -> Answer:
        """Counted before it is sent: the kernel may forget at once."""
        held = Held(answer)
        held.slots, held.of_folders = slots, of_folders
        self._mount.hold(slots, of_folders)
        return held

    def _lookup(self, number: int, payload: memoryview) -> Answer:
        answer = super()._lookup(number, payload)
        found = int.from_bytes(answer[0][:8], "little")
        return self._holding(answer, {slot_of(found): 1}, is_folder(found)) if found else answer

    def _opendir(self, number: int, payload: memoryview) -> Answer:
        """Who lists the root gets what it is now, to the end, however it changes meanwhile; and the kernel keeps nothing."""
        if number != ROOT_INO:
            return (p.OPEN_OUT.pack(0, p.OPEN_KEEP_CACHE | p.OPEN_CACHE_DIR, 0),)
        with self._mount._holding:
            self._last_handle += 1
            handle = self._last_handle
        self._snapshots[handle] = None
        return (p.OPEN_OUT.pack(handle, 0, 0),)

    def _releasedir(self, number: int, payload: memoryview) -> Answer:
        self._snapshots.pop(int.from_bytes(payload[:8], "little"), None)
        return ()

    def _readdirplus(self, number: int, payload: memoryview) -> Answer:
        handle, offset, size = p.READ_IN.unpack_from(payload)
        listing = self._snapshots.get(handle) if offset and number == ROOT_INO else None
        if listing is None:
            listing = self._mount.listing(number)
            if number == ROOT_INO and handle in self._snapshots:
                self._snapshots[handle] = listing
        if not offset:
            self._prefetch.listed(number, listing)
        data = listing_slice(listing, offset, size)
        if not data:
            return (data,)
        end = bisect_right(listing.starts, listing.starts[offset] + len(data)) - 1
        first = max(offset, 2)  # . and .. are no look-ups
        if number == ROOT_INO:
            return self._holding((data,), Counter(map(slot_of, listing.ids[first:end])), True)
        return self._holding((data,), {slot_of(number): max(0, end - first)}, False)

    # --- what the kernel is told --------------------------------------------------------------------------------------

    def _tell_news(self) -> None:
        """One thread for it: a notification waits for locks that somebody holds who waits for an answer."""
        while task := self._news.get():
            task()

    def _notify(self, code: int, *parts: bytes) -> bool:
        """Whether the kernel knew what it was told of."""
        size = p.OUT_HEADER.size + sum(map(len, parts))
        try:
            os.writev(self._device, (p.OUT_HEADER.pack(size, code, 0), *parts))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.ENOTDIR):
                log.debug("notification %d: %s", code, error)
            return False
        return True

    def _forget_name(self, name: bytes) -> None:
        self._notify(p.NOTIFY_INVAL_ENTRY, p.INVAL_ENTRY_OUT.pack(ROOT_INO, len(name), 0), name, b"\0")

    def _forget_inode(self, number: int) -> None:
        self._notify(p.NOTIFY_INVAL_INODE, p.INVAL_INODE_OUT.pack(number, 0, 0))

    def _forget_inodes(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._forget_inode(number)

    def _tell_change(self, name: bytes, gone: int | None) -> None:
        deleted = gone is not None and not self._pool.is_busy(slot_of(gone))  # it waits for who is in the folder
        if not deleted or not self._notify(
            p.NOTIFY_DELETE, p.DELETE_OUT.pack(ROOT_INO, gone or 0, len(name), 0), name, b"\0"
        ):
            self._forget_name(name)
        self._forget_inode(ROOT_INO)

    def changed(self, name: bytes, gone: int | None) -> None:
        self._news.put(partial(self._tell_change, name, gone))

    def dropped(self, backing: Backing) -> None:
        self._mount.drop(backing)

    def removed(self, number: int) -> None:
        self._mount.remove(number)

    def outdated(self, number: int) -> None:
        slot = slot_of(number)
        numbers = [known for known in list(self._mount.nodes) if slot_of(known) == slot]
        self._news.put(partial(self._forget_inodes, numbers))

    def prune(self, number: int) -> None:
        if self._pool.is_busy(slot_of(number)):  # it would wait for who is in the folder
            return
        for directory, listing in self._mount.listings_of(slot_of(number)):
            for name in listing.names():
                self._notify(p.NOTIFY_INVAL_ENTRY, p.INVAL_ENTRY_OUT.pack(directory, len(name), 0), name, b"\0")

    def is_used(self, number: int) -> bool:
        return self._mount.held(slot_of(number))[1] > 0

    def is_known(self, number: int) -> bool:
        return any(self._mount.held(slot_of(number)))

    def release(self, name: bytes, number: int) -> bool:
        self._forget_name(name)
        end = time.monotonic() + RELEASE_SECONDS
        while self.is_used(number):
            if time.monotonic() > end:
                self._look(name)  # who is in the folder finds the way back to its name by this
                return False
            time.sleep(LOOK_SECONDS)
        return True
