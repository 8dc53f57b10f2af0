"""CHD: user data of CDs are taken from sectors that their EDC proves, and no ECC is made for them.

Who asks for whole sectors gets them with their ECC, and a hunk whose sectors prove nothing is judged by its checksum.
"""

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import imagefs
from imagefs.disc import Track, ecc
from imagefs.errors import DamagedError
from imagefs.readers import Reader
from tests.builders.sectors import form1, form2, mode1, stored, volume, with_ecc

pytestmark = pytest.mark.foreign
Packed = Callable[[bytes, str], Path]
SHEET = 'FILE "disc.bin" BINARY\n  TRACK 01 {mode}\n    INDEX 01 00:00:00\n'
NOISE = random.Random(5).randbytes(70 * 2048)
USER = volume(30) + NOISE
"""A volume; of what packs well to the end chdman 0.251 makes files that it cannot open itself."""
SECTORS = len(USER) // 2048


@pytest.fixture
def packed(tmp_path: Path) -> Packed:
    """packed(sectors, "MODE1/2352"): a CHD of them, made by chdman with cdzl."""
    if not shutil.which("chdman"):
        pytest.skip("chdman is not installed")

    def pack(sectors: bytes, mode: str) -> Path:
        (tmp_path / "disc.bin").write_bytes(sectors)
        (tmp_path / "disc.cue").write_text(SHEET.format(mode=mode))
        words = ["chdman", "createcd", "-i", "disc.cue", "-o", "disc.chd", "-c", "cdzl"]
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, timeout=60)
        (tmp_path / "disc.bin").unlink()
        return tmp_path / "disc.chd"

    return pack


def user_of(path: Path) -> bytes:
    with imagefs.open_image(str(path)) as image:
        return image.raw.pread(0, image.raw.size)


def track_of(path: Path) -> Track:
    disc = imagefs.open_image(str(path)).disc
    assert disc is not None
    return disc.tracks[0]


@pytest.mark.parametrize("mode", ["MODE1/2352", "MODE2/2352"])
class TestProved:
    def test_user_data_need_no_ecc(self, packed: Packed, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
        user = track_of(packed(stored(USER, mode), mode)).user
        monkeypatch.setattr(ecc, "parity", None)
        assert user.pread(0, user.size) == USER
        assert user.pread(13 * 2048 + 5, 3 * 2048) == USER[13 * 2048 + 5 : 16 * 2048 + 5]

    def test_whole_sectors_have_it(self, packed: Packed, mode: str) -> None:
        sectors = stored(USER, mode)
        assert track_of(packed(sectors, mode)).stored.pread(0, len(sectors)) == sectors

    def test_without_a_fast_library_the_checksum_tells(
        self, packed: Packed, mode: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ecc, "is_edc_fast", lambda: False)
        assert user_of(packed(stored(USER, mode), mode)) == USER


def with_wrong_edc(sector: bytes) -> bytes:
    """The sector as some copy protections have it: ECC that is right over an EDC that is not."""
    return with_ecc(bytearray(sector[:2064] + b"\1\2\3\4" + sector[2068:]))


def test_sectors_whose_edc_is_wrong_on_the_disc_are_shown(packed: Packed) -> None:
    raw = stored(USER, "MODE1/2352")
    sectors = [raw[at : at + 2352] for at in range(0, len(raw), 2352)]
    sectors[30] = with_wrong_edc(sectors[30])
    path = packed(b"".join(sectors), "MODE1/2352")
    assert user_of(path) == USER
    assert track_of(path).stored.pread(30 * 2352, 2352) == sectors[30]


FORM2 = form2(SECTORS, NOISE[:2324])
BOTH_FORMS = stored(USER, "MODE2/2352") + FORM2 + form1(SECTORS + 1, NOISE[:2048])


def test_a_hunk_with_both_forms(packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A film: form 2 keeps all of its sector, and its EDC is over more."""
    track = track_of(packed(BOTH_FORMS, "MODE2/2352"))
    assert track.stored.pread(0, len(BOTH_FORMS)) == BOTH_FORMS
    monkeypatch.setattr(ecc, "parity", None)
    assert track.user.pread(0, track.user.size) == USER + FORM2[24:2072] + NOISE[:2048]


def test_form_2_without_edc_is_judged_by_the_hunk(packed: Packed) -> None:
    without = FORM2[:2348] + bytes(4)
    user = user_of(packed(BOTH_FORMS.replace(FORM2, without), "MODE2/2352"))
    assert user == USER + FORM2[24:2072] + NOISE[:2048]


def test_two_modes_in_a_hunk(packed: Packed) -> None:
    other = form1(SECTORS, NOISE[:2048])
    raw = stored(USER, "MODE1/2352") + other + mode1(SECTORS + 1, NOISE[2048:4096])
    assert user_of(packed(raw, "MODE1/2352")) == USER + other[16:2064] + NOISE[2048:4096]


def test_wrong_bytes_are_never_shown(packed: Packed) -> None:
    """Deflate has no check of its own: most of what a wrong bit leads to inflates as well."""
    path = packed(stored(USER, "MODE1/2352"), "MODE1/2352")
    image = path.read_bytes()
    for at in range(len(image) // 4, len(image) * 3 // 4, len(image) // 24):
        path.write_bytes(image[:at] + bytes([image[at] ^ 1 << at % 8]) + image[at + 1 :])
        bad = bad_sectors(track_of(path).user)
        assert bad == [*range(bad[0] // 8 * 8, bad[0] // 8 * 8 + 8)]


def bad_sectors(user: Reader) -> list[int]:
    """Those that cannot be read; all others are as they should be."""
    bad = []
    for sector in range(SECTORS):
        try:
            assert user.pread(sector * 2048, 2048) == USER[sector * 2048 : (sector + 1) * 2048]
        except DamagedError:
            bad.append(sector)
    return bad
