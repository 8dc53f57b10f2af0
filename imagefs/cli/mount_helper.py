"""mount.imagefs: what mount(8) runs for `mount -t imagefs IMAGE DIR`, for fstab and for systemd's mount units.

mount.imagefs SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]

-f checks everything and mounts nothing, -s lets unknown options pass, -v says what was mounted; -n, -N and -t mean nothing
here. `rw` is accepted, and the mount is read-only. `nofail` makes a missing image no failure. A remount that changes nothing
succeeds; one that would change what is shown has to be an unmount and a new mount. Nothing is ever mounted on top of itself.

Exit statuses are those of mount(8): 0 done, 1 usage, 2 system error, 4 internal error, 8 interrupted, 32 failure.
"""

import errno
import getopt
import os
import sys
from collections.abc import Sequence

from imagefs.errors import ImageError, NotFoundError, UsageError, message_of
from imagefs.options import HARMLESS, Options, is_known, parse, split_words

DONE, USAGE, SYSTEM, INTERNAL, INTERRUPTED, FAILURE = 0, 1, 2, 4, 8, 32
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
        _run(paths[0], paths[1], flags)
    except getopt.GetoptError as error:
        return _end(f"{error}", USAGE)
    except Refusal as refusal:
        return _end(f"{refusal}", refusal.status)
    except KeyboardInterrupt:
        return _end("interrupted", INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - mount(8) passes a helper's traceback on to the boot's console
        return _end(f"internal error, please report it: {type(error).__name__}: {message_of(error)}", INTERNAL)
    return DONE


def _end(text: str, status: int) -> int:
    print(f"mount.imagefs: {text}", file=sys.stderr)
    return status


def _run(source: str, folder: str, flags: Sequence[tuple[str, str]]) -> None:
    given = {flag for flag, _ in flags}
    words = [word for flag, value in flags if flag == "-o" for word in split_words(value)]
    if "remount" in words:
        _remount(words)
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
        print(f"mount.imagefs: {source} mounted on {folder}, read-only")


def _passed(words: Sequence[str], *, sloppy: bool) -> list[str]:
    """The words for imagefs: without what speaks to helpers, and with -s without what nobody knows."""
    kept = [word for word in words if not word.startswith(("helper=", "uhelper=", "user="))]
    return [word for word in kept if is_known(word)] if sloppy else kept


def _remount(words: Sequence[str]) -> None:
    """Nothing to do for flags of every mount; whatever else is asked for cannot be done to a mount that is there."""
    if "rw" in words and "ro" not in words:
        raise Refusal("imagefs mounts are read-only", FAILURE)
    changes = [word for word in words if word not in HARMLESS and word not in ("remount", "noexec")]
    if any(not word.startswith(("x-", "X-", "comment")) for word in changes):
        raise Refusal(f"a mount cannot be changed ({', '.join(changes)}): unmount it and mount it again", FAILURE)


def _check(source: str, folder: str, options: Options) -> None:
    """All that can fail before the mount itself."""
    from imagefs.frontends.fuse.session import prepare
    from imagefs.image import open_image

    with open_image(source, options) as image:
        image.tree.entries(image.tree.root)
    prepare(os.path.abspath(folder))


if __name__ == "__main__":
    sys.exit(main())
