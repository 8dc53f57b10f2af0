"""Write one file of an image to standard output: extract_one.py IMAGE PATH."""

import sys

import imagefs

PIECE_BYTES = 1 << 20


def main(image_path: str, path: str) -> None:
    with imagefs.open_image(image_path) as image:
        reader = image.tree.open(image.find(path))  # bytes at any offset; nothing is read yet
        for offset in range(0, reader.size, PIECE_BYTES):
            sys.stdout.buffer.write(reader.pread(offset, PIECE_BYTES))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except imagefs.NotFoundError as error:
        sys.exit(f"not found: {error}")
    except imagefs.DamagedError as error:  # bytes that the image cannot give are never made up
        sys.exit(f"damaged: {error}")
