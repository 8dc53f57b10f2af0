"""Landlock: a process restricts itself to some folders (landlock(7), linux/landlock.h).

Three system calls, which have the same numbers on every architecture. A ruleset says what is *handled*: that is denied
everywhere but where a rule allows it. A kernel refuses what it does not know, so only what its ABI version has is asked for.

struct landlock_ruleset_attr     struct landlock_path_beneath_attr (packed)
0   u64  handled_access_fs       0   u64  allowed_access
8   u64  handled_access_net      8   s32  parent_fd
16  u64  scoped

The attributes grew with the ABI; a kernel takes a longer structure whose further fields are zero.
"""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38
_RULESET, _RULE = struct.Struct("=QQQ"), struct.Struct("=Qi")

WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
_FS_RIGHTS = ((1, (1 << 13) - 1), (2, 1 << 13), (3, TRUNCATE), (5, 1 << 15), (9, 1 << 16))
"""(ABI, rights): all from executing to making links; moving between folders; truncating; ioctl of devices opened from now
on; connecting to UNIX sockets by path."""
_TCP = (4, 0b11)
"""bind and connect"""
_SCOPES = (6, 0b11)
"""abstract UNIX sockets and signals, of and to processes outside"""


def version() -> int:
    """The ABI version of the kernel's Landlock, 0 where it has none or it is not switched on."""
    found = _libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    return max(0, int(found))


def handled(abi: int) -> tuple[int, int, int]:
    """(file system rights, network rights, scopes) that a kernel with this ABI version can take away."""
    rights = sum(bits for since, bits in _FS_RIGHTS if abi >= since)
    return rights, _TCP[1] if abi >= _TCP[0] else 0, _SCOPES[1] if abi >= _SCOPES[0] else 0


def restrict(readable: Iterable[str], writable: Iterable[str] = ()) -> int:
    """Deny this thread all that Landlock can deny, but reading at and below `readable` and writing to the files `writable`.

    The ABI version that holds it, 0 where there is none. Sets no_new_privs. Raises OSError.
    """
    abi = version()
    if not abi:
        return 0
    libc, rights = _libc(), handled(abi)
    attributes = _RULESET.pack(*rights)
    ruleset = _checked(libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)))
    try:
        for path in dict.fromkeys(readable):
            _allow(ruleset, path, READ_FILE | READ_DIR)
        for path in dict.fromkeys(writable):
            _allow(ruleset, path, (READ_FILE | WRITE_FILE | TRUNCATE) & rights[0])
        forbid_new_privileges()
        _checked(libc.syscall(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    finally:
        os.close(ruleset)
    return abi


def forbid_new_privileges() -> None:
    """No program that this process starts gets more rights than it has (no_new_privs). Raises OSError."""
    one, zero = ctypes.c_ulong(1), ctypes.c_ulong(0)
    _checked(_libc().prctl(_PR_SET_NO_NEW_PRIVS, one, zero, zero, zero))


def _allow(ruleset: int, path: str, access: int) -> None:
    """A rule for a folder with all below it, or for a file. One that is not there, or that one may not go to, has none."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            return
        raise
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            access &= ~READ_DIR  # a right of folders alone: the kernel refuses it for a file
        rule = _RULE.pack(access, place)
        _checked(_libc().syscall(ADD_RULE, ctypes.c_int(ruleset), _PATH_BENEATH, rule, ctypes.c_uint32(0)))
    finally:
        os.close(place)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    """What a call gave. Raises OSError."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the process cannot be confined: {os.strerror(number)}")
    return result
