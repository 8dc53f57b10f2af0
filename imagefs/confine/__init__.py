"""Confinement: a process that parses images gives up all it does not need, before it looks at the first byte of one.

Landlock (Linux 5.13, no library) leaves it reading the folders it names and nothing else: no writing, no programs, no
network, no signals to others, as far as the kernel's version goes. seccomp (through libseccomp, where that is installed)
leaves it the system calls of a server of reads: no sockets, no new processes, no mounts. Either holds for the calling thread
and what it starts afterwards, so it comes before the first thread; files opened and sockets connected before go on working.
Neither can be undone.

A process that serves a mount looks like this:

    account = account_of(run_as)             None when this is not root
    preload(account)                         what could not be imported afterwards; and trio, where it is used
    become(account, [CAP_DAC_READ_SEARCH])   no more root; what only root may read can be opened still
    confinement = confine([folder of the image])
    ... open the image ...
    keep_capabilities(())
    ... serve ...

It can neither mount nor unmount: another process does that (`frontends.fuse.keeper`). One that only looks into an image and
writes to its standard output calls `shut_in` instead.
"""

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from imagefs.confine import landlock, seccomp
from imagefs.confine.images import close_inherited, let_in, named_by, places_of
from imagefs.confine.library import folders, preload, preload_decoders
from imagefs.confine.privileges import (
    CAP_DAC_READ_SEARCH,
    CAP_LEASE,
    Account,
    account_of,
    become,
    end_with_parent,
    harden,
    is_let_in,
    keep_capabilities,
    outlive_parent,
)
from imagefs.confine.seccomp import LEASES, Rule, forbid_processes

__all__ = [
    "CAP_DAC_READ_SEARCH",
    "CAP_LEASE",
    "LEASES",
    "PROCESSES",
    "Account",
    "Confinement",
    "account_of",
    "become",
    "close_inherited",
    "confine",
    "end_with_parent",
    "forbid_processes",
    "harden",
    "is_let_in",
    "keep_capabilities",
    "let_in",
    "named_by",
    "outlive_parent",
    "places_of",
    "preload",
    "preload_decoders",
    "shut_in",
]

log = logging.getLogger("imagefs")


PROCESSES = ("clone", "memfd_create", "ftruncate", "pwrite64")
"""What forks, and what memory takes that forks share."""
SCOPED_SIGNALS = 6
"""The ABI version of Landlock from which on signals reach nobody outside: then a process may end its own helpers."""


class Confinement(NamedTuple):
    """What holds a process: the version of Landlock's ABI (0: none), and whether system calls are filtered."""

    landlock: int
    seccomp: bool

    def __str__(self) -> str:
        parts = [f"Landlock (ABI {self.landlock})"] if self.landlock else []
        return " and ".join([*parts, *(["seccomp"] if self.seccomp else [])]) or "nothing"

    @property
    def words(self) -> str:
        """The same for programs: landlock+seccomp, landlock, seccomp or off."""
        return "+".join(name for name, holds in zip(self._fields, self, strict=True) if holds) or "off"


def confine(readable: Iterable[str], *, calls: Iterable[str | Rule] = ()) -> Confinement:
    """Confine this process for good. To be called while it has one thread.

    `readable` are files, and folders with all below them, that may be opened for reading, besides what Python itself needs;
    those that are not there are passed over. `calls` are system calls allowed beyond `seccomp.CALLS`, by name: a daemon with
    a control socket that listens already asks for "accept4", one that watches folders for "inotify_add_watch",
    "inotify_rm_watch" and `LEASES`, one that makes processes for `PROCESSES`; these are confined like it, and
    `forbid_processes` ends that.

    What the system lacks is left out, and told in the log by one line. Raises OSError when it refuses for another reason.
    """
    harden()
    version = landlock.restrict([*readable, *folders()], writable=("/dev/null",))
    signals = ("kill",) if version >= SCOPED_SIGNALS else ()
    confinement = Confinement(version, seccomp.restrict([*calls, *signals]))
    if not all(confinement):
        lacking = "Landlock" if not version else "libseccomp"
        log.info("the process that reads images is confined by %s: there is no %s here", confinement, lacking)
    return confinement


def shut_in(path: str) -> Callable[[], None]:
    """Confine this process, for good, to reading the image at `path` and to the descriptors 0 to 2.

    Who was root is nobody afterwards, and can still read what only root may until what this gives is called. Raises OSError.
    """
    close_inherited({*named_by(path)})
    account = let_in(account_of(None), path)
    out_of_reach = preload(account)
    become(account, [CAP_DAC_READ_SEARCH])
    confine(places_of(path))

    def opened() -> None:
        if out_of_reach:
            preload_decoders()
        keep_capabilities(())

    return opened
