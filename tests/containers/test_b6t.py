"""Images of BlindWrite 5 to 7: .b5t with .b5i, .b6t with .b6i."""

import struct
from pathlib import Path

import pytest

from imagefs.containers.b6t import FORMAT
from imagefs.disc import Disc
from imagefs.errors import DamagedError, MissingPartError, OutsideError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.image import open_image
from imagefs.readers import BytesReader
from tests.builders.b6t import AUDIO, DVD, FORM1, MODE1, MODE2, Block, Entry, b6t
from tests.builders.descriptors import open_path, sessions, table, try_path
from tests.builders.discs import write_cue
from tests.builders.sectors import stored, tone, volume
from tests.contract import check_reader
from tests.disc.test_cdtext import TITLE, packs

PREGAP = stored(bytes(150 * 2048), "MODE1/2352", -150)
SECOND = 90 + 11_400
DATA, SECOND_DATA = stored(volume(40), "MODE1/2352"), stored(volume(30, SECOND), "MODE2/2352", SECOND)
IMAGE = PREGAP + DATA + tone(20) + tone(30, 9) + SECOND_DATA
BLOCKS = [
    Block("disc.b6i", -150, 190, 2352),
    Block("disc.b6i", 40, 50, 2352, 190 * 2352),
    Block("disc.b6i", SECOND, 30, 2352, 240 * 2352),
]
SESSIONS = [
    [
        Entry(1, MODE1, -150, 190, pregap=150),
        Entry(2, AUDIO, 40, 20, pregap=5, control=2),
        Entry(3, AUDIO, 60, 30, control=0),
    ],
    [Entry(4, MODE2, SECOND, 30)],
]
WHOLE = b6t(SESSIONS, BLOCKS)


def open_bytes(folder: Path, descriptor: bytes, files: dict[str, bytes], name: str = "disc.b6t") -> Disc:
    return open_path(FORMAT, write_cue(folder, descriptor, files, name))


def test_sessions_of_data_and_audio(tmp_path: Path) -> None:
    disc = open_bytes(tmp_path, WHOLE, {"disc.b6i": IMAGE})
    assert table(disc) == [
        (1, "mode1/2352", 0, 40),
        (2, "audio", 45, 15),
        (3, "audio", 60, 30),
        (4, "mode2/2352", SECOND, 30),
    ]
    assert sessions(disc) == [(1, [1, 2, 3]), (2, [4])]
    assert [track.pregap for track in disc.tracks] == [150, 5, 0, 0]
    assert [track.flags for track in disc.tracks] == [(), ("DCP",), (), ()]
    assert (disc.medium, disc.warnings) == ("CD", ())
    check_reader(disc.raw, volume(40) + tone(20)[5 * 2352 :] + tone(30, 9) + volume(30, SECOND))


def test_a_block_without_a_sector_says_nothing_of_its_size(tmp_path: Path) -> None:
    blocks = [Block("disc.b6i", 0, 40, 2352), Block("disc.b6i", 10, 0, 2352)]
    disc = open_bytes(tmp_path, b6t([[Entry(1, MODE1, 0, 40)]], blocks), {"disc.b6i": DATA})
    check_reader(disc.space, volume(40))


def test_sectors_that_a_file_has_lost_are_missing_and_said_to_be(tmp_path: Path) -> None:
    blocks = [Block("disc.b6i", 0, 40, 2352)]
    disc = open_bytes(tmp_path, b6t([[Entry(1, MODE1, 0, 40)]], blocks), {"disc.b6i": DATA[: 30 * 2352]})
    check_reader(disc.space, volume(40), missing=[(30 * 2048, 40 * 2048)])
    assert disc.warnings == ("10 of the 40 sectors of track 1 are not in the files",)


def test_a_pregap_that_is_in_no_block(tmp_path: Path) -> None:
    blocks = [Block("disc.b6i", 0, 40, 2352)]
    disc = open_bytes(tmp_path, b6t([[Entry(1, MODE1, -150, 190, pregap=150)]], blocks), {"disc.b6i": DATA})
    assert (table(disc), disc.tracks[0].pregap_stored) == ([(1, "mode1/2352", 0, 40)], 0)
    check_reader(disc.space, volume(40))


@pytest.mark.parametrize(
    ("kind", "sectors"),
    [(MODE1, "MODE1/2048"), (MODE1, "MODE1/2448"), (MODE2, "MODE2/2336"), (FORM1, "MODE2/2352"), (FORM1, "MODE2/2448")],
)
def test_data_tracks_of_every_mode(tmp_path: Path, kind: int, sectors: str) -> None:
    blocks = [Block("disc.b6i", 0, 40, int(sectors[6:]))]
    disc = open_bytes(tmp_path, b6t([[Entry(1, kind, 0, 40)]], blocks), {"disc.b6i": stored(volume(40), sectors)})
    assert (table(disc), disc.warnings) == ([(1, sectors.lower(), 0, 40)], ())
    check_reader(disc.space, volume(40))


@pytest.mark.parametrize(("profile", "medium"), [(0x10, "DVD"), (0x1B, "DVD"), (0x40, "BD")])
def test_a_dvd_in_pieces(tmp_path: Path, profile: int, medium: str) -> None:
    blocks = [Block("disc.b00", 0, 15, 2048), Block("disc.b01", 15, 25, 2048)]
    files = {"disc.b00": volume(40)[: 15 * 2048], "disc.b01": volume(40)[15 * 2048 :]}
    disc = open_bytes(tmp_path, b6t([[Entry(1, DVD, 0, 40)]], blocks, profile), files)
    assert (disc.medium, table(disc)) == (medium, [(1, "mode1/2048", 0, 40)])
    check_reader(disc.space, volume(40))
    with open_image(str(tmp_path / "disc.b01")) as image:
        assert [step.name for step in image.steps] == ["b6t"]
    (tmp_path / "disc.b01").unlink()
    with pytest.raises(MissingPartError, match=r"'disc\.b01'"):
        open_path(FORMAT, tmp_path / "disc.b6t")


def test_what_the_disc_says_of_itself(tmp_path: Path) -> None:
    text = packs(TITLE, 0, b"The Disc\0One\0Two\0")
    disc = open_bytes(tmp_path, b6t(SESSIONS, BLOCKS, 8, b"1234567890123", text), {"disc.b6i": IMAGE})
    assert (disc.catalog, disc.title) == ("1234567890123", "The Disc")
    assert [track.title for track in disc.tracks] == ["One", "Two", "", ""]


@pytest.mark.parametrize(
    ("name", "data"), [("disc.b6t", "disc.b6i"), ("disc.b5t", "disc.B5I"), ("DISC.B6T", "disc.b6i")]
)
def test_the_data_file_opens_the_disc(tmp_path: Path, name: str, data: str) -> None:
    blocks = [block._replace(name=data) for block in BLOCKS]
    write_cue(tmp_path, b6t(SESSIONS, blocks), {data: IMAGE}, name)
    with open_image(str(tmp_path / data)) as image:
        assert [step.name for step in image.steps] == ["b6t"]


def test_a_renamed_image(tmp_path: Path) -> None:
    blocks = [block._replace(name="C:\\Old\\name.b6i") for block in BLOCKS]
    assert len(open_bytes(tmp_path, b6t(SESSIONS, blocks), {"disc.b6i": IMAGE}).tracks) == 4


# --- damage ---------------------------------------------------------------------------------------------------------------


def test_data_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match=r"'disc\.b6i'"):
        open_path(FORMAT, write_cue(tmp_path, WHOLE, {}, "disc.b6t"))


@pytest.mark.parametrize("name", ["../disc.b6i", "/etc/passwd"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutsideError):
        open_bytes(tmp_path, b6t(SESSIONS, [block._replace(name=name) for block in BLOCKS]), {"disc.b6i": IMAGE})


@pytest.mark.parametrize(
    ("blocks", "entry", "error", "says"),
    [
        ([Block("disc.b6i", 0, 40, 2353)], Entry(1, MODE1, 0, 40), UnsupportedError, "2353 bytes a sector"),
        ([Block("disc.b6i", 0, 40, 2352)], Entry(1, 9, 0, 40), UnsupportedError, "of type 9"),
        ([Block("disc.b6i", 100, 40, 2352)], Entry(1, MODE1, 0, 40), DamagedError, "no data block"),
        ([Block("disc.b6i", 0, 0, 2352)], Entry(1, MODE1, 0, 40), DamagedError, "no data block"),
        ([Block("disc.b6i", 0, 40, 2352)], Entry(1, MODE1, 1 << 30, 40), DamagedError, "outside the disc"),
        ([Block("disc.b6i", 0, 40, 2352)], Entry(0, MODE1, 0, 40), DamagedError, "without a track"),
    ],
)
def test_what_makes_no_sense_is_named(
    tmp_path: Path, blocks: list[Block], entry: Entry, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        open_bytes(tmp_path, b6t([[entry]], blocks), {"disc.b6i": DATA})


def test_what_a_cut_file_has_lost_is_missing(tmp_path: Path) -> None:
    disc = open_bytes(
        tmp_path, b6t([[Entry(1, MODE1, 0, 40)]], [Block("disc.b6i", 0, 40, 2352)]), {"disc.b6i": DATA[:9408]}
    )
    check_reader(disc.raw, volume(40), missing=[(4 * 2048, 40 * 2048)])


def test_far_too_many_blocks(tmp_path: Path) -> None:
    at = WHOLE.index(struct.pack("<II", 3, 20))
    with pytest.raises(DamagedError, match="data blocks"):
        open_bytes(tmp_path, WHOLE[:at] + b"\xff\xff\xff\x7f" + WHOLE[at + 4 :], {"disc.b6i": IMAGE})


@pytest.mark.parametrize("data", [b"", b"BWT5 STREAM SIG", b"BWT5 STREAM FOOT" + bytes(300)])
def test_other_files_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.b6t")) is None


@pytest.mark.parametrize("cut", range(1, len(WHOLE), 11))
def test_a_cut_descriptor_is_refused_or_read(tmp_path: Path, cut: int) -> None:
    disc = try_path(FORMAT, write_cue(tmp_path, WHOLE[:-cut], {"disc.b6i": IMAGE}, "disc.b6t"))
    assert disc is None or len(disc.tracks) <= 4


def test_a_flipped_byte_never_shows_what_the_image_has_not(tmp_path: Path) -> None:
    path = write_cue(tmp_path, WHOLE, {"disc.b6i": IMAGE}, "disc.b6t")
    refused = 0
    for at in range(16, len(WHOLE), 2):
        path.write_bytes(WHOLE[:at] + bytes((WHOLE[at] ^ 0x81,)) + WHOLE[at + 1 :])
        disc = try_path(FORMAT, path)
        refused += disc is None
        for track in disc.tracks if disc else ():
            assert sum(run.length for run in track.user.runs(0, 5000)) == min(5000, track.user.size)
    assert refused > 50
