"""imagefs: any disc or disk image is a folder.

with imagefs.open_image("disc.iso") as image:
    for name, node in image.tree.entries(image.tree.root):
        print(name, node.size)
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from imagefs.errors import (
        DamagedError,
        ImageError,
        MissingPartError,
        NotAnImageError,
        NotFoundError,
        OutsideError,
        PasswordError,
        UnsupportedError,
        UsageError,
    )
    from imagefs.image import Image, open_image
    from imagefs.nodes import FileSystem, Node
    from imagefs.options import Options
    from imagefs.readers import Reader

_HOME = {
    "Image": "image",
    "open_image": "image",
    "FileSystem": "nodes",
    "Node": "nodes",
    "Options": "options",
    "Reader": "readers",
} | dict.fromkeys(
    (
        "DamagedError",
        "ImageError",
        "MissingPartError",
        "NotAnImageError",
        "NotFoundError",
        "OutsideError",
        "PasswordError",
        "UnsupportedError",
        "UsageError",
    ),
    "errors",
)

__all__ = [
    "DamagedError",
    "FileSystem",
    "Image",
    "ImageError",
    "MissingPartError",
    "Node",
    "NotAnImageError",
    "NotFoundError",
    "Options",
    "OutsideError",
    "PasswordError",
    "Reader",
    "UnsupportedError",
    "UsageError",
    "open_image",
]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used: `imagefs --help` needs none of them."""
    if name not in _HOME:
        raise AttributeError(f"module 'imagefs' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"imagefs.{_HOME[name]}"), name)
