"""Whole images that are damaged anywhere, as the commands meet them: told, walked and copied out, and no internal error.

What one layer lets through another may not know how to take: an address before the disc's first, a link's target that no
system call accepts, a number that fits no field of the kernel's. IMAGEFS_FUZZ_SECONDS makes it last longer than the moment
that it takes among the other tests.
"""

import random
import shutil
import struct
import time
from pathlib import Path

import pytest

from imagefs import limits
from imagefs.cli.common import run_command
from imagefs.errors import INTERNAL_STATUS, ImageError
from imagefs.frontends.fuse.mount import Mount
from imagefs.image import open_image
from imagefs.nodes import ROOT_INO
from imagefs.options import Options
from tests.builders import xdvdfs
from tests.containers import test_b6t
from tests.filesystems.iso9660.test_damage import everything
from tests.fuzz import test_fuzz_udf
from tests.fuzz.test_discs import damaged

LEAST, SLOWEST_SECONDS = 15, 5.0
HEAD = 16 * 2048
IMAGES = {
    "iso9660": ("disc.iso", everything(), {}),
    "udf": ("disc.udf", test_fuzz_udf.SEEDS["physical"], {}),
    "xdvdfs": ("disc.iso", xdvdfs.xdvdfs({"a": b"a" * 3000, "sub": {"b": b"b", "c": b"c"}}), {}),
    "b6t": ("disc.b6t", test_b6t.WHOLE, {"disc.b6i": test_b6t.IMAGE}),
}
"""kind -> name, what is damaged, and the parts beside it."""


def broken(seed: bytes, busy: list[int], chance: random.Random) -> bytes:
    """Damaged as descriptors are in other targets, or with numbers that no field should have where bytes are `busy`."""
    if chance.random() < 0.4:
        return damaged(seed, busy[0], chance)
    data = bytearray(seed)
    for _ in range(chance.randrange(1, 12)):
        field, most = chance.choice((("H", 0xFFFF), ("I", 0xFFFF_FFFF)))
        number = chance.choice((0, 1, most >> 1, (most >> 1) + 1, most, len(seed) & most, len(seed) // 2048))
        struct.pack_into(chance.choice("<>") + field, data, chance.choice(busy), number)
    return bytes(data)


def commands_survive(image: Path, out: Path) -> None:
    for words in (["info", "--json"], ["extract", "-C", str(out)]):
        assert run_command(words[0], [*words[1:], "-q", str(image)]) != INTERNAL_STATUS
    shutil.rmtree(out, ignore_errors=True)


def kernel_gets(image: Path) -> None:
    """The root of all that can be shown, as a mount packs it; each of its numbers is found again."""
    try:
        with open_image(str(image), Options(layout="tree", meta=True)) as opened:
            tree = opened.tree
            Mount(tree).listing(ROOT_INO)
            for _, node in tree.entries(tree.root):
                assert tree.node(node.ino).ino == node.ino
    except ImageError:
        return


@pytest.mark.parametrize("kind", IMAGES)
def test_damaged_anywhere(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COPIED_BYTES", 16 << 20)
    monkeypatch.setattr(limits, "COPIED_RATIO", 4)
    name, seed, parts = IMAGES[kind]
    first = HEAD if len(seed) > 2 * HEAD else 0
    busy = [at for at in range(first, len(seed) - 4) if seed[at]]
    for part, content in parts.items():
        (tmp_path / part).write_bytes(content)
    end, number = time.monotonic() + test_fuzz_udf.SECONDS / len(IMAGES), 0
    while number < LEAST or time.monotonic() < end:
        image = tmp_path / name
        image.unlink(missing_ok=True)
        image.write_bytes(broken(seed, busy, random.Random(number)))
        begin = time.monotonic()
        commands_survive(image, tmp_path / "out")
        kernel_gets(image)
        assert time.monotonic() - begin < SLOWEST_SECONDS
        number += 1
