"""List every file of an image with its size: list_files.py IMAGE."""

import sys
from collections.abc import Iterator

import imagefs


def files(tree: imagefs.FileSystem, folder: imagefs.Node, path: str = "") -> Iterator[tuple[str, imagefs.Node]]:
    """(path, node) of everything below a folder, which is read when its turn comes."""
    for name, node in tree.entries(folder):
        here = f"{path}/{name.decode('utf-8', 'backslashreplace')}"
        yield here, node
        if node.is_directory:
            yield from files(tree, node, here)


def main(path: str) -> None:
    with imagefs.open_image(path) as image:
        for name, node in files(image.tree, image.tree.root):
            print(f"{node.size:12} {name}{'/' if node.is_directory else ''}")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except imagefs.ImageError as error:  # says what is wrong in one line
        sys.exit(f"{sys.argv[1]}: {error}")
