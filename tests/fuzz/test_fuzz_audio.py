"""Audio files that are damaged anywhere: an error of ours or as many samples as were asked for, soon.

IMAGEFS_FUZZ_SECONDS makes it last longer than the moment that it takes among the other tests.
"""

import os
import random
import time

import pytest

from imagefs.disc.audio import samples_of
from imagefs.errors import ImageError
from imagefs.readers import BytesReader
from tests.builders.audio import aiff, music, run, write_wav

pytestmark = pytest.mark.foreign
SECONDS = float(os.environ.get("IMAGEFS_FUZZ_SECONDS", "1")) / 4
SLOWEST_SECONDS = 2.0


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("music")
    wav = write_wav(folder / "music.wav", music(2))
    run("lame", "--quiet", wav, folder / "music.mp3")
    return {
        "flac": run("flac", "-s", "-b", "1152", "-c", wav),
        "mp3": (folder / "music.mp3").read_bytes(),
        "ogg": run("oggenc", "-Q", "-o", "-", wav),
        "aiff": aiff(music(1)),
    }


def target(data: bytes) -> None:
    begin = time.monotonic()
    try:
        found = samples_of(BytesReader(data))
        for offset in () if found is None else (0, found.reader.size // 2, max(0, found.reader.size - 5000)):
            assert found is not None
            assert len(found.reader.pread(offset, 5000)) == min(5000, found.reader.size - offset)
    except ImageError:
        pass
    assert time.monotonic() - begin < SLOWEST_SECONDS


@pytest.mark.parametrize("kind", ["flac", "mp3", "ogg", "aiff"])
def test_damaged_anywhere(seeds: dict[str, bytes], kind: str) -> None:
    seed, end, number = seeds[kind], time.monotonic() + SECONDS, 0
    while time.monotonic() < end or number < 60:
        chance, data = random.Random(number), bytearray(seed)
        for _ in range(chance.randrange(1, 6)):
            at = chance.choice((chance.randrange(200), chance.randrange(len(data))))
            data[at] = chance.choice((0, 0xFF, chance.randrange(256)))
            if chance.random() < 0.3:
                del data[at : at + chance.randrange(300)]
        target(bytes(data[: chance.choice((len(data), chance.randrange(1, len(data))))]))
        number += 1
