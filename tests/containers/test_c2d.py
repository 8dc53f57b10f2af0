"""Images of WinOnCD."""

import pytest

from imagefs.containers.c2d import FORMAT
from imagefs.disc import Disc
from imagefs.errors import DamagedError, ImageError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader
from tests.builders.c2d import AUDIO, MODE1, MODE2, ROXIO, SIGNATURE, Block, c2d
from tests.builders.descriptors import sessions, table
from tests.builders.sectors import stored, tone, volume
from tests.contract import check_reader
from tests.disc.test_cdtext import TITLE, packs

SECOND = 90 + 11_400
SECOND_DATA = stored(volume(30, SECOND), "MODE2/2352", SECOND)
BLOCKS = [
    Block(1, MODE1, 2048, 0, 39, volume(40)),
    Block(2, AUDIO, 2352, 40, 44, tone(20), index=0, flags=2),
    Block(2, AUDIO, 2352, 45, 49, index=1, flags=2),
    Block(2, AUDIO, 2352, 50, 59, index=2, flags=2),
    Block(3, 0xFF, 2352, 60, 89, tone(30, 9), flags=0, isrc=b"ABCDE1234567"),
    Block(4, MODE2, 2352, SECOND, SECOND + 29, SECOND_DATA, session=2),
]
WHOLE = c2d(BLOCKS)
HEAD = 196 + 44 * len(BLOCKS)


def opened(image: bytes) -> Disc:
    candidate = Candidate(BytesReader(image), "disc.c2d")
    assert FORMAT.probe(candidate) is not None
    disc = FORMAT.open(candidate, Options())
    assert isinstance(disc, Disc)
    return disc


@pytest.mark.parametrize("signature", [SIGNATURE, ROXIO])
def test_sessions_of_data_and_audio(signature: bytes) -> None:
    disc = opened(c2d(BLOCKS, signature))
    assert table(disc) == [
        (1, "mode1/2048", 0, 40),
        (2, "audio", 45, 15),
        (3, "audio", 60, 30),
        (4, "mode2/2352", SECOND, 30),
    ]
    assert sessions(disc) == [(1, [1, 2, 3]), (2, [4])]
    assert [track.pregap for track in disc.tracks] == [150, 5, 0, 0]
    assert [track.flags for track in disc.tracks] == [(), ("PRE",), (), ()]
    assert [track.isrc for track in disc.tracks] == ["", "", "ABCDE1234567", ""]
    assert disc.tracks[1].indexes == (50,)
    assert (disc.title, disc.warnings) == ("About it", ())
    check_reader(disc.raw, volume(40) + tone(20)[5 * 2352 :] + tone(30, 9) + volume(30, SECOND))


@pytest.mark.parametrize(
    ("mode", "sectors"),
    [(MODE1, "MODE1/2448"), (MODE2, "MODE2/2048"), (MODE2, "MODE2/2336"), (MODE2, "MODE2/2352"), (MODE2, "MODE2/2448")],
)
def test_data_tracks_of_every_mode(mode: int, sectors: str) -> None:
    disc = opened(c2d([Block(1, mode, int(sectors[6:]), 0, 39, stored(volume(40), sectors))]))
    assert (table(disc), disc.warnings) == ([(1, sectors.lower(), 0, 40)], ())
    check_reader(disc.space, volume(40))


def test_what_the_disc_says_of_itself() -> None:
    disc = opened(c2d(BLOCKS, catalog=b"1234567890123", packs=packs(TITLE, 0, b"The Disc\0One\0Two\0")))
    assert (disc.catalog, disc.title) == ("1234567890123", "The Disc")
    assert [track.title for track in disc.tracks] == ["One", "Two", "", ""]


@pytest.mark.parametrize(
    ("block", "error", "says"),
    [
        (Block(1, MODE1, 2048, 0, 39, volume(40), compressed=1), UnsupportedError, "compressed"),
        (Block(1, 7, 2048, 0, 39, volume(40)), UnsupportedError, "mode 7"),
        (Block(1, MODE1, 2353, 0, 39, volume(40)), UnsupportedError, "2353 bytes a sector"),
        (Block(0, MODE1, 2048, 0, 39, volume(40)), DamagedError, "a track 0"),
        (Block(1, MODE1, 2048, 0, 1 << 31, volume(40)), DamagedError, "outside the disc"),
    ],
)
def test_what_makes_no_sense_is_named(block: Block, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        opened(c2d([block]))


def test_what_a_cut_file_has_lost_is_missing() -> None:
    whole = c2d([Block(1, MODE1, 2048, 0, 39, volume(40))])
    check_reader(opened(whole[: -30 * 2048]).raw, volume(40), missing=[(10 * 2048, 40 * 2048)])


@pytest.mark.parametrize("data", [b"", SIGNATURE, b"Adaptec CeQuadrat VirtualCD Fill" + bytes(300)])
def test_other_files_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.c2d")) is None


def test_a_flipped_byte_never_shows_what_the_image_has_not() -> None:
    refused = 0
    for at in range(32, HEAD):
        image = WHOLE[:at] + bytes((WHOLE[at] ^ 0x81,)) + WHOLE[at + 1 :]
        try:
            disc = opened(image)
        except ImageError:
            refused += 1
            continue
        for track in disc.tracks:
            assert sum(run.length for run in track.user.runs(0, 5000)) == min(5000, track.user.size)
    assert refused > 20


@pytest.mark.parametrize("length", range(196, HEAD, 7))
def test_a_cut_descriptor_is_refused(length: int) -> None:
    with pytest.raises(DamagedError):
        opened(WHOLE[:length])
