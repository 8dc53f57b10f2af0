"""A box for each file of tests, with an image at /srv/images/disc.iso."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.box import Box, unavailable

IMAGES = "/srv/images"
DISC = f"{IMAGES}/disc.iso"
CONTENT = b"hello\n" * 20_000
"""What hello.txt of every image holds."""


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a box shows as /srv/images."""
    if why := unavailable():
        pytest.skip(why)
    if not shutil.which("xorriso"):
        pytest.skip("xorriso is not installed")
    folder = tmp_path_factory.mktemp("images")
    folder.chmod(0o755)
    tree = tmp_path_factory.mktemp("tree")
    (tree / "hello.txt").write_bytes(CONTENT)
    words = ["xorriso", "-as", "mkisofs", "-quiet", "-r", "-V", "DISC", "-o", str(folder / "disc.iso"), str(tree)]
    subprocess.run(words, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def box(images: Path) -> Iterator[Box]:
    with Box(folders={IMAGES: images}) as box:
        yield box
