"""What a mount does with a packed image when a file is read in order, without the mount."""

import time

import imagefs
from imagefs import helpers
from imagefs.readahead import helpers_wanted

PIECE = 128 << 10
"""What the kernel asks for at a time."""


def through_reader(path: str) -> float:
    """Seconds that reading all of what files are made of takes: of a CD the user data of its first track.

    The root has been listed and the helpers are there, as they are when a mount begins to serve; views come before bytes.
    """
    with imagefs.open_image(path) as image:
        image.tree.entries(image.tree.root)
        reader = image.disc.tracks[0].user if image.disc else image.raw
        helpers.start(helpers_wanted())
        start = time.perf_counter()
        for at in range(0, reader.size, PIECE):
            if reader.views(at, PIECE) is None:
                reader.pread(at, PIECE)
        return time.perf_counter() - start
