"""Where bytes come from: local files, block devices, numbered splits. Nothing here knows a format."""

from imagefs.sources.folder import Folder
from imagefs.sources.local import FileSource, open_source
from imagefs.sources.split import open_split

__all__ = ["FileSource", "Folder", "open_source", "open_split"]
