"""`imagefs complete-path IMAGE TYPED`: what a shell offers for a path in an image of which TYPED is the beginning.

A line for each entry of the folder that was typed so far, folders with a slash behind them. It is for the completions alone,
so that it says nothing when there is nothing to say: no image, damage, a password. The image is read confined, as by a
mount: who presses the tabulator key has not said that he trusts it.
"""

from collections.abc import Iterator, Sequence

from imagefs.cli.output import guarded, stdout
from imagefs.errors import ImageError
from imagefs.nodes import FileSystem

MOST = 2000
"""Lines: more are of no use at a prompt."""


def main(words: Sequence[str]) -> int:
    """Write the paths; 1 when there are none to be had."""
    if len(words) != 2:
        return 64
    image, typed = words

    def run() -> int:
        from imagefs import confine
        from imagefs.image import open_image
        from imagefs.options import Options

        try:
            on_opened = confine.shut_in(image)
            with open_image(image, Options()) as opened:
                tree = opened.tree
                on_opened()
                for path in _paths(tree, typed.encode("utf-8", "surrogateescape")):
                    stdout().write(path + b"\n")
        except (ImageError, OSError):
            return 1
        return 0

    return guarded(run)


def _paths(tree: FileSystem, typed: bytes) -> Iterator[bytes]:
    from imagefs.cli.paths import resolve

    folder, slash, begun = typed.rpartition(b"/")
    node = resolve(tree, folder, follow=True)
    if not node.is_directory:
        return
    found = sorted(entry for entry in tree.entries(node) if entry[0].startswith(begun))
    for name, entry in found[:MOST]:
        if not any(byte < 0x20 for byte in name):  # a shell would take a newline for two names
            yield folder + slash + name + (b"/" if entry.is_directory else b"")
