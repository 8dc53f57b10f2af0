"""Mount an image under ~/imagefs and show it in the file manager; what a double click does.

The folder is named after the image and goes away with the mount. An image that is mounted there already is only shown.
Without a screen the folder's path is written to standard output instead. Started by a desktop, without a terminal, it shows
what goes wrong as a notification.
"""

import argparse
import contextlib
import os

from imagefs.cli.common import add_image_arguments, options_of, size_in_bytes
from imagefs.cli.output import printable, stdout
from imagefs.errors import ImageError, message_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-u", "--unmount", action="store_true", help="take the mount of IMAGE, or at that folder, away again"
    )
    add_image_arguments(parser)


def run(args: argparse.Namespace) -> int:
    try:
        return _unmount(args) if args.unmount else _open(args)
    except (ImageError, OSError) as error:
        from imagefs.desktop.notice import show_error

        show_error(printable(f"{os.path.basename(args.image)}: {message_of(error)}"))
        raise


def _unmount(args: argparse.Namespace) -> int:
    from imagefs.frontends.fuse.session import unmount

    unmount(args.image)
    return 0


def _open(args: argparse.Namespace) -> int:
    options = options_of(args)
    from imagefs.desktop import folder
    from imagefs.desktop.notice import show_folder
    from imagefs.frontends.fuse.keeper import listen_to_none
    from imagefs.frontends.fuse.session import mount_image

    home = folder.home()
    with folder.alone(home):
        place = folder.mounted(home, args.image)
        if place is None:
            place = folder.place_for(home, args.image)
            status = 70
            try:
                status = mount_image(
                    args.image, place, options, cache_bytes=size_in_bytes(args.cache_size), remove=True
                )
            finally:
                if status:
                    with contextlib.suppress(OSError):  # it may be gone, or hold somebody else's mount by now
                        os.rmdir(place)
            if status:
                return status
            listen_to_none()  # whoever is started to show it shall not inherit that signals are ignored
    if not show_folder(place):
        stdout().write(os.fsencode(place) + b"\n")
    return 0
