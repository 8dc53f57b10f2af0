"""What Python needs of the file system while it runs: its modules and the libraries they load.

Decoders are imported when an image needs them, which may be long after the process was confined. So these folders stay
readable. They may still be out of reach for the user that root's process becomes (a Python in root's own home); then all
that may ever be needed is imported before.
"""

import codecs
import importlib
import os
import pkgutil
import stat
import sys
from collections.abc import Iterable, Iterator

import imagefs
from imagefs.confine.privileges import Account

_SHARED = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/usr/share/zoneinfo")
_OF_THE_SYSTEM = ("/dev/urandom", "/sys/devices/system/cpu")
PARTS = ("codecs", "disc", "wrappers", "containers", "volumes", "filesystems")
"""The parts of the package whose modules may be imported when an image needs them."""
LATE = ("traceback", "deflate", "fastcrc.crc16", "fastcrc.crc32")
"""What these import when they need it."""
DECODERS = (
    "lz4.block",
    "lz4.frame",
    "zstandard",
    "compression.zstd",
    "backports.zstd",
    "miniaudio",
    "cryptography.hazmat.primitives.ciphers",
    "cryptography.hazmat.primitives.ciphers.algorithms",
    "cryptography.hazmat.decrepit.ciphers.algorithms",
    "cryptography.hazmat.backends.openssl.backend",
)
"""The same, where something is packed or encrypted: all of these together take longer than a mount."""
CHARSETS = (
    "utf-8-sig",
    "utf-16",
    "utf-16-be",
    "utf-16-le",
    "ascii",
    "latin-1",
    "cp437",
    "cp932",
    "cp1252",
    "mac-roman",
)
"""Character sets that images are written in; Python has a module for each."""


def folders() -> list[str]:
    """The files and folders that an interpreter with this package may read from while it runs.

    Not the first place of sys.path, the script's folder or the one somebody happens to be in. That one also comes from a
    colon too many in PYTHONPATH, as `PYTHONPATH=/opt/lib:$PYTHONPATH` leaves it.
    """
    here = os.path.abspath(os.curdir)
    places = [
        path for path in (sys.path if sys.flags.safe_path else sys.path[1:]) if path != here or _has_packages(path)
    ]
    own = [os.path.dirname(imagefs.__file__), os.path.dirname(os.__file__), os.path.join(sys.base_prefix, "lib")]
    return [*own, *(path for path in places if path not in ("", "/")), *_SHARED, *_OF_THE_SYSTEM]


def _has_packages(path: str) -> bool:
    """Whether a folder is one that packages are installed into, and nothing else lies in."""
    return os.path.basename(path) in ("site-packages", "dist-packages")


def preload(account: Account | None) -> bool:
    """Import all that may be needed where the account could not; whether that was so. None is who this is already.

    To be called with the rights of root and before `confine`.
    """
    if account is None or not account.uid or all(_is_open_to_all(path) for path in (os.__file__, imagefs.__file__)):
        return False
    _import_all((*_modules(), *LATE))
    for name in CHARSETS:
        codecs.lookup(name)
    return True


def preload_decoders() -> None:
    """Import what only packed images need, with the right to read that is left until the image is open."""
    _import_all(DECODERS)


def _import_all(names: Iterable[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # not installed; who needs it is told so


def _modules() -> Iterator[str]:
    """The names of all modules of PARTS."""
    for part in PARTS:
        name = f"imagefs.{part}"
        yield name
        found = pkgutil.walk_packages(getattr(importlib.import_module(name), "__path__", ()), f"{name}.")
        yield from (module.name for module in found)


def _is_open_to_all(path: str) -> bool:
    """Whether others than its owner and group may go to a file and read it."""
    if not os.stat(path).st_mode & stat.S_IROTH:
        return False
    folder = os.path.dirname(os.path.realpath(path))
    while folder != os.path.dirname(folder):
        if not os.stat(folder).st_mode & stat.S_IXOTH:
            return False
        folder = os.path.dirname(folder)
    return True
