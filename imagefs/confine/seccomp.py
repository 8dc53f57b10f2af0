"""seccomp: a process gives up the system calls it has no use for (seccomp(2)), through libseccomp where that is installed.

The library is called directly: it comes with every system that has systemd, and knows the numbers of system calls on each
architecture, which no table here could keep up with. What is not allowed fails with EPERM: a call that was forgotten becomes
an error of one read, and not the end of the mount.
"""

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from imagefs.confine.landlock import forbid_new_privileges

_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_NO_NEW_PRIVS, _TSYNC, _OPTIMIZE = 3, 4, 8  # filter attributes; for all threads of the process; as a tree, not a list
_MASKED = 7
_CLONE_THREAD = 0x0001_0000
_STREAM, _SEQPACKET = 1, 5
_U32 = 0xFFFF_FFFF
_IOCTLS = {
    "TCGETS": 0x5401, "FIONREAD": 0x541B, "FIONBIO": 0x5421, "FIONCLEX": 0x5450, "FIOCLEX": 0x5451,
    "BLKSSZGET": 0x1268, "BLKGETSIZE64": 0x8008_1272, "FUSE_DEV_IOC_CLONE": 0x8004_E500,
}  # fmt: skip
_FCNTLS = (fcntl.F_DUPFD, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL, fcntl.F_DUPFD_CLOEXEC)
_PR_SET_NAME = 15

_CALLS = """
read readv pread64 preadv preadv2 write writev lseek close close_range dup dup2 dup3 splice
open openat openat2 access faccessat faccessat2 stat lstat fstat newfstatat stat64 lstat64 fstat64 fstatat64 statx statfs
statfs64 fstatfs fstatfs64 readlink readlinkat getdents getdents64 getcwd chdir fadvise64
mmap mmap2 munmap mremap mprotect madvise brk membarrier
futex futex_time64 futex_waitv set_robust_list get_robust_list rseq set_tid_address sched_yield sched_getaffinity exit
exit_group restart_syscall
rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack
poll ppoll ppoll_time64 select _newselect pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd2 pipe
pipe2
recvfrom send recv sendmsg recvmsg shutdown getsockopt setsockopt getsockname getpeername
clock_gettime clock_gettime64 clock_getres clock_nanosleep clock_nanosleep_time64 nanosleep gettimeofday time times
getrandom getpid gettid getppid getpgrp getuid geteuid getgid getegid getresuid getresgid getgroups getrusage sysinfo uname
getrlimit ugetrlimit setrlimit
capget capset wait4 waitid seccomp
"""
CALLS = tuple(_CALLS.split())
"""What serving, reading, importing modules and starting threads take; the last line is for what comes after opening."""


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp: argument `number` of the call (from 0), compared as `how` says."""

    _fields_ = (
        ("number", ctypes.c_uint),
        ("how", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


class Rule(NamedTuple):
    """A call that is allowed when its argument `number` has, among the bits of `mask`, this `value`."""

    call: str
    number: int
    value: int
    mask: int = (1 << 64) - 1


def special_rules() -> Sequence[Rule]:
    """Calls that do many things, of which few are harmless.

    ioctl types into a terminal that was left open (TIOCSTI), fcntl has signals sent to others (F_SETOWN), prlimit64 ends
    others by their limits, a datagram socket of a pair sends to any address: only what opening and serving ask is allowed.
    clone makes threads and no process, tgkill reaches this process alone, prctl names threads.
    """
    return (
        *(Rule("ioctl", 1, request, _U32) for request in _IOCTLS.values()),
        *(Rule("fcntl", 1, command, _U32) for command in _FCNTLS),
        Rule("prctl", 0, _PR_SET_NAME, _U32),
        Rule("prlimit64", 0, 0, _U32),
        Rule("socketpair", 1, _STREAM, 0xF),
        Rule("socketpair", 1, _SEQPACKET, 0xF),
        Rule("sendto", 4, 0),
        Rule("tgkill", 0, os.getpid(), _U32),
        Rule("clone", 0, _CLONE_THREAD, _CLONE_THREAD),
    )


LEASES = Rule("fcntl", 1, fcntl.F_SETLEASE, _U32)
"""Asking whether a file has a writer; whoever writes to it next waits a moment for the lease to be given back."""


def restrict(more: Iterable[str | Rule] = ()) -> bool:
    """Allow this process, all its threads, CALLS and `more` and nothing else. False where there is no libseccomp.

    Sets no_new_privs. Raises OSError when the kernel refuses.
    """
    library = _library()
    if library is None:
        return False
    forbid_new_privileges()
    more = tuple(more)
    extra = frozenset(call for call in more if isinstance(call, str))
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM)))
    try:
        library.seccomp_attr_set(context, _OPTIMIZE, ctypes.c_uint32(2))  # unknown before 2.5, which sorts by priority
        _checked(library.seccomp_attr_set(context, _TSYNC, ctypes.c_uint32(1)))
        for name in (*CALLS, *extra):
            _add(library, context, _ALLOW, name)
        for rule in (*special_rules(), *(call for call in more if isinstance(call, Rule))):
            if rule.call not in extra:
                _add(library, context, _ALLOW, rule.call, _Comparison(rule.number, _MASKED, rule.mask, rule.value))
        if "clone3" not in extra:
            # Its flags lie in memory, where no filter looks. The C library takes clone then.
            _add(library, context, _ERRNO | errno.ENOSYS, "clone3")
        _checked(library.seccomp_load(context))
    finally:
        library.seccomp_release(context)
    return True


def forbid_processes() -> bool:
    """Allow no new process any more, where `restrict` was told to allow "clone". False where there is no libseccomp.

    Raises OSError.
    """
    library = _library()
    if library is None:
        return False
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
    try:
        _checked(library.seccomp_attr_set(context, _NO_NEW_PRIVS, ctypes.c_uint32(0)))  # set, and no call for it left
        _checked(library.seccomp_attr_set(context, _TSYNC, ctypes.c_uint32(1)))
        _add(library, context, _ERRNO | errno.EPERM, "clone", _Comparison(0, _MASKED, _CLONE_THREAD, 0))
        _checked(library.seccomp_load(context))
    finally:
        library.seccomp_release(context)
    return True


def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    return library


def _add(library: ctypes.CDLL, context: ctypes.c_void_p, action: int, name: str, *where: _Comparison) -> None:
    """A rule for a system call. One that this library or architecture does not know is left out."""
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number < 0:
        return
    comparisons = (_Comparison * len(where))(*where)
    _checked(library.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, len(where), comparisons))


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(-result, f"system calls cannot be filtered: {os.strerror(-result)}")
