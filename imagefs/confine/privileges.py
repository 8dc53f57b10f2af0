"""Giving up the rights of root: what parses and serves belongs to somebody who owns nothing.

capset(2): the header is u32 version (3) and s32 process (0: this one), the data two times u32 effective, permitted and
inheritable, for the capabilities 0 to 31 and 32 to 63.
"""

import ctypes
import errno
import os
import resource
import stat
import struct
from collections.abc import Iterable
from typing import NamedTuple

from imagefs.errors import UsageError

NOBODY = 65534
"""The number of the user nobody, and of the group nogroup or nobody, on every Linux system; also the kernel's overflow."""
CAP_DAC_READ_SEARCH = 2
"""Reading files and going to folders whatever their modes are: what root has before others when it opens an image."""
CAP_LEASE = 28
"""Asking whether somebody else's file has a writer (fcntl(2), F_SETLEASE)."""
MOST_CAPABILITIES = 64
_HEADER, _DATA, _VERSION_3 = struct.Struct("=Ii"), struct.Struct("=IIIIII"), 0x2008_0522
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_CAPBSET_DROP = 1, 4, 8, 24


class Account(NamedTuple):
    """Who a process becomes. `chosen`: the user asked for it, so that anything else would be wrong."""

    uid: int
    gid: int
    chosen: bool


def account_of(uid: int | None) -> Account | None:
    """Whom a mount's server becomes: the user with this number, or nobody; None when this is no root, which stays itself.

    Raises UsageError when somebody else than root wants to be another.
    """
    own = os.geteuid()
    if own:
        if uid not in (None, own):
            raise UsageError("run_as is for root: others serve their mounts as themselves")
        return None
    if uid is None:
        return Account(NOBODY, NOBODY, chosen=False)
    import pwd

    try:
        return Account(uid, pwd.getpwuid(uid).pw_gid, chosen=True)
    except KeyError:
        return Account(uid, NOBODY, chosen=True)


def harden() -> None:
    """No core dump: it would hold what was read."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def keep_capabilities(kept: Iterable[int]) -> None:
    """Give up all capabilities of this thread but those `kept` that it has. Raises OSError."""
    wanted = sum(1 << number for number in kept)
    _, permitted, _, _, permitted_above, _ = capabilities()
    low, high = permitted & wanted, permitted_above & wanted >> 32
    _checked(_libc().capset(_HEADER.pack(_VERSION_3, 0), _DATA.pack(low, low, 0, high, high, 0)))


def capabilities() -> tuple[int, int, int, int, int, int]:
    """(effective, permitted, inheritable) of the capabilities 0 to 31, then of 32 to 63. Raises OSError."""
    data = ctypes.create_string_buffer(_DATA.size)
    _checked(_libc().capget(_HEADER.pack(_VERSION_3, 0), data))
    found: tuple[int, int, int, int, int, int] = _DATA.unpack(data.raw)
    return found


def is_let_in(account: Account, path: str) -> bool:
    """Whether the account could open a file or folder with CAP_DAC_READ_SEARCH.

    On a FUSE mount of root's nobody else may do anything. For root; who it is does not change. Raises OSError when root's
    own number cannot be had back.
    """
    try:
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return True  # opening a device may do something
        os.setresuid(account.uid, account.uid, 0)
    except OSError:
        return True  # whoever opens it, or becomes the account, meets that error
    try:
        _, permitted, _, _, permitted_above, _ = capabilities()
        effective = permitted & 1 << CAP_DAC_READ_SEARCH
        _checked(
            _libc().capset(_HEADER.pack(_VERSION_3, 0), _DATA.pack(effective, permitted, 0, 0, permitted_above, 0))
        )
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except PermissionError:
        return False
    except OSError:
        return True
    finally:
        os.setresuid(0, 0, 0)
    return True


def become(account: Account | None, kept: Iterable[int] = ()) -> bool:
    """Become the account for good, with no capabilities but those `kept` that this process has; None stays who it is.

    Capabilities may be kept for a while: `keep_capabilities(())` ends that. False where nobody cannot be become, which is so
    in a user namespace without such a user: then this process keeps its number, which is root's in there alone. Raises
    OSError for an account that was chosen.
    """
    libc, zero = _libc(), ctypes.c_ulong(0)
    for number in range(MOST_CAPABILITIES):  # EINVAL beyond the last; EPERM for who may not, and has none to lose by it
        libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), zero, zero, zero)
    changed = account is None or _change(account)
    keep_capabilities(kept)
    if account is not None:
        libc.prctl(_PR_SET_DUMPABLE, zero, zero, zero, zero)  # no other process that is nobody looks into it
        if changed and account.uid:
            _check_for_good()
    return changed


def _change(account: Account) -> bool:
    """Take the account's numbers, and keep the capabilities for now."""
    _libc().prctl(_PR_SET_KEEPCAPS, ctypes.c_ulong(1), *[ctypes.c_ulong(0)] * 3)
    try:
        os.setgroups([])
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    except OSError as error:
        if account.chosen or error.errno not in (errno.EPERM, errno.EINVAL):
            raise OSError(error.errno, f"cannot become the user {account.uid}: {error.strerror}") from None
        return False
    return True


def _check_for_good() -> None:
    """That root's number cannot be had again. Raises OSError."""
    for change in (os.setuid, os.setgid):
        try:
            change(0)
        except PermissionError:
            continue
        raise OSError(errno.EPERM, "root's rights could not be given up")


def end_with_parent(number: int, parent: int) -> None:
    """Have this process get a signal when the one that made it, `parent`, ends; at once if it has. Forgotten by `become`."""
    _libc().prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number), *[ctypes.c_ulong(0)] * 3)
    if os.getppid() != parent:
        os._exit(1)


def outlive_parent() -> None:
    """No signal any more when the parent ends."""
    _libc().prctl(_PR_SET_PDEATHSIG, *[ctypes.c_ulong(0)] * 4)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capabilities cannot be given up: {os.strerror(number)}")
