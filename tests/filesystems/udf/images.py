"""What the tests of UDF share beside `tests.filesystems.images`."""

from pathlib import Path

from imagefs.errors import DamagedError
from imagefs.filesystems.udf import FORMAT
from imagefs.filesystems.udf.filesystem import Udf
from tests.filesystems import images
from tests.filesystems.images import find, read

__all__ = ["find", "names", "opened", "read", "survives"]


def opened(image: Path | bytes, origin: int = 0, **options: object) -> Udf:
    """The volume in a file or in bytes."""
    filesystem = images.opened_by(FORMAT, image, origin, **options)
    assert isinstance(filesystem, Udf)
    return filesystem


def names(filesystem: Udf, path: str = "") -> list[str]:
    """The names in a directory, in its order, as text."""
    return [name.decode() for name in images.names(filesystem, path)]


def survives(image: bytes) -> bool:
    """Walk a damaged image; whether it opens. Only DamagedError may come up."""
    try:
        filesystem = opened(image)
    except DamagedError:
        return False
    filesystem.details()
    images.walk_damaged(filesystem)
    return True
