"""mount.imagefs: what mount(8) runs for `mount -t imagefs IMAGE DIR`, for fstab and for systemd's mount units.

mount.imagefs SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]

-f checks everything and changes nothing, -s lets unknown options pass, -v says what was mounted, -N names the mount
namespace in which SOURCE and DIR are meant; -n and -t mean nothing here. `rw` is accepted, and the mount is read-only.
`nofail` makes a missing image no failure. A remount that changes nothing succeeds; one that would change what is shown has
to be an unmount and a new mount. Nothing is ever mounted on top of itself.

Under the name mount.fuse.imagefs mount(8) runs the same program where it has the type from the list of mounts, as for a
remount: without it, a shell would be asked to run `imagefs` with words that are no command of it.

Exit statuses are those of mount(8): 0 done, 1 usage, 2 system error, 4 internal error, 8 interrupted, 32 failure.
"""

import ctypes
import errno
import getopt
import os
import re
import sys
from collections.abc import Sequence

from imagefs.cli.output import printable
from imagefs.errors import ImageError, NotFoundError, UsageError, message_of
from imagefs.options import HARMLESS, Options, is_known, parse, split_words

DONE, USAGE, SYSTEM, INTERNAL, INTERRUPTED, FAILURE = 0, 1, 2, 4, 8, 32
CLONE_NEWNS = 0x20000
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/\d+")
_OF_THE_SYSTEM = (errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENODEV, errno.ENXIO)


class Refusal(Exception):
    """The line and the exit status that end the helper."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the helper with `argv` (without its name); the exit status."""
    words = sys.argv[1:] if argv is None else argv
    try:
        flags, paths = getopt.gnu_getopt(list(words), "sfnvo:t:N:")
        if len(paths) != 2:
            raise Refusal("usage: mount.imagefs SOURCE DIR [-sfnv] [-o OPTIONS]", USAGE)
        _run(_named(paths[0]), paths[1], flags)
    except getopt.GetoptError as error:
        return _end(f"{error}", USAGE)
    except UsageError as error:
        return _end(message_of(error), USAGE)
    except Refusal as refusal:
        return _end(f"{refusal}", refusal.status)
    except KeyboardInterrupt:
        return _end("interrupted", INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - mount(8) passes a helper's traceback on to the boot's console
        return _end(f"internal error, please report it: {type(error).__name__}: {message_of(error)}", INTERNAL)
    return DONE


def _end(text: str, status: int) -> int:
    print(f"mount.imagefs: {printable(text)}", file=sys.stderr)
    return status


def _named(source: str) -> str:
    """The name of an image that is given as a descriptor of ours, where it still has one."""
    path = os.path.realpath(source) if _DESCRIPTOR.fullmatch(source) else source
    return path if os.path.exists(path) else source


def _run(source: str, folder: str, flags: Sequence[tuple[str, str]]) -> None:
    given = dict(flags)
    words = [word for flag, value in flags if flag == "-o" for word in split_words(value)]
    if "-N" in given:
        _enter(given["-N"])
    if "remount" in words:
        _remount(folder, words)
        return
    try:
        options = parse(_passed(words, sloppy="-s" in given))
    except UsageError as error:
        raise Refusal(f"{source}: {message_of(error)}", USAGE) from None
    try:
        if "-f" in given:
            _check(source, folder, options)
        else:
            from imagefs.frontends.fuse.session import mount_image

            status = mount_image(source, folder, options)
            if status > 128:  # a signal's
                raise KeyboardInterrupt
            if status:
                raise Refusal(f"{source}: the mount ended as soon as it was made", FAILURE)
    except NotFoundError as error:
        if "nofail" in words and not os.path.lexists(source):
            return
        raise Refusal(f"{source}: {message_of(error)}", FAILURE) from None
    except ImageError as error:
        raise Refusal(f"{source}: {message_of(error)}", FAILURE) from None
    except OSError as error:
        of_the_system = error.errno in _OF_THE_SYSTEM or error.filename == "/dev/fuse"
        raise Refusal(f"{source}: {message_of(error)}", SYSTEM if of_the_system else FAILURE) from None
    if "-v" in given:
        done = "can be" if "-f" in given else "is"
        print(printable(f"mount.imagefs: {source} {done} mounted on {folder}, read-only"))


def _passed(words: Sequence[str], *, sloppy: bool) -> list[str]:
    """The words for imagefs: without what speaks to helpers, and with -s without what nobody knows."""
    kept = [word for word in words if not word.startswith(("helper=", "uhelper=", "user="))]
    return [word for word in kept if is_known(word)] if sloppy else kept


def _enter(namespace: str) -> None:
    """Go into a mount namespace, named by a file of /proc/PID/ns or a descriptor to one."""
    try:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNS):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), namespace)
        os.close(descriptor)
    except OSError as error:
        raise Refusal(f"cannot enter the namespace: {message_of(error)}", SYSTEM) from None


def _remount(folder: str, words: Sequence[str]) -> None:
    """Nothing to do for flags of every mount and for what holds already (mount(8) repeats it); the rest cannot be done to
    a mount that is there."""
    from imagefs.frontends.fuse import mountinfo

    if "rw" in words and "ro" not in words:
        raise Refusal("imagefs mounts are read-only", FAILURE)
    there = mountinfo.mounted_at(mountinfo.place_of(folder))
    if there is None or there.kind != mountinfo.TYPE:
        raise Refusal(f"{folder}: no imagefs is mounted there", FAILURE)
    without_effect = HARMLESS.union(("remount", "noexec"), there.options.split(","), there.of_fs.split(","))
    changes = [word for word in words if word not in without_effect]
    if any(not word.startswith(("x-", "X-", "comment")) for word in changes):
        raise Refusal(f"a mount cannot be changed ({', '.join(changes)}): unmount it and mount it again", FAILURE)


def _check(source: str, folder: str, options: Options) -> None:
    """All that can fail before the mount itself. A dead mount, which a mount would replace, stays."""
    from imagefs.frontends.fuse import mountinfo, session

    session.check_image(source, options)
    place = mountinfo.place_of(folder)
    there = mountinfo.mounted_at(place)
    if there is None or there.kind != mountinfo.TYPE or not mountinfo.is_dead(place):
        session.prepare(place)


if __name__ == "__main__":
    sys.exit(main())
