"""Images of Alcohol 120%: .mds with .mdf."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from imagefs.containers.mds import FORMAT
from imagefs.disc import Disc
from imagefs.errors import DamagedError, MissingPartError, OutsideError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.image import open_image
from imagefs.options import Options
from imagefs.readers import BytesReader
from imagefs.sources import FileSource, Folder
from tests.builders.descriptors import open_path, run_tool, sessions, table, try_path
from tests.builders.discs import write_cue
from tests.builders.mds import AUDIO, FORM1, MODE1, MODE2, Block, mds
from tests.builders.sectors import stored, tone, volume
from tests.contract import check_reader

DATA = stored(volume(40), "MODE1/2352")
SECOND = 90 + 11_400
SECOND_DATA = stored(volume(30, SECOND), "MODE2/2352", SECOND)
IMAGE = DATA + tone(15) + tone(30, 9) + SECOND_DATA
SESSIONS = [
    [
        Block(1, MODE1, 2352, 0, 0, 40, pregap=150),
        Block(2, AUDIO, 2352, 45, 40 * 2352, 15, pregap=5, control=0x12),
        Block(3, AUDIO, 2352, 60, 55 * 2352, 30, control=0x10),
    ],
    [Block(4, FORM1, 2352, SECOND, 85 * 2352, 30, pregap=150)],
]
WHOLE = mds(SESSIONS)


def write_mds(folder: Path, descriptor: bytes, files: dict[str, bytes], name: str = "disc.mds") -> Path:
    return write_cue(folder, descriptor, files, name)


def open_bytes(folder: Path, descriptor: bytes, image: bytes, name: str = "disc.mdf") -> Disc:
    return open_path(FORMAT, write_mds(folder, descriptor, {name: image}))


def test_sessions_of_data_and_audio(tmp_path: Path) -> None:
    disc = open_bytes(tmp_path, WHOLE, IMAGE)
    assert table(disc) == [
        (1, "mode1/2352", 0, 40),
        (2, "audio", 45, 15),
        (3, "audio", 60, 30),
        (4, "mode2/2352", SECOND, 30),
    ]
    assert sessions(disc) == [(1, [1, 2, 3]), (2, [4])]
    assert [track.pregap for track in disc.tracks] == [150, 5, 0, 150]
    assert [track.flags for track in disc.tracks] == [(), ("DCP",), (), ()]
    assert (disc.medium, disc.warnings) == ("CD", ())
    check_reader(disc.raw, volume(40) + tone(15) + tone(30, 9) + volume(30, SECOND))
    assert disc.space.pread(SECOND * 2048, 10**6) == volume(30, SECOND)


@pytest.mark.parametrize(
    ("mode", "sectors"),
    [
        (MODE1, "MODE1/2048"),
        (MODE1, "MODE1/2352"),
        (MODE1, "MODE1/2448"),
        (MODE2, "MODE2/2336"),
        (0xA8, "MODE2/2336"),
        (0xAF, "MODE2/2352"),
        (FORM1, "MODE2/2048"),
        (0xEC, "MODE2/2352"),
    ],
)
def test_data_tracks_of_every_mode(tmp_path: Path, mode: int, sectors: str) -> None:
    descriptor = mds([[Block(1, mode, int(sectors[6:]), 0, 0, 40)]])
    disc = open_bytes(tmp_path, descriptor, stored(volume(40), sectors))
    assert (table(disc), disc.warnings) == ([(1, sectors.lower(), 0, 40)], ())
    check_reader(disc.space, volume(40))


@pytest.mark.parametrize(("mode", "sectors"), [(MODE1, "MODE1/2048"), (MODE1, "MODE1/2352"), (FORM1, "MODE2/2336")])
def test_subchannel_behind_each_sector_is_passed_over(tmp_path: Path, mode: int, sectors: str) -> None:
    size, plain = int(sectors[6:]), stored(volume(40), sectors)
    data = b"".join(plain[at : at + size] + b"\xee" * 96 for at in range(0, len(plain), size))
    descriptor = mds([[Block(1, mode, size + 96, 0, 0, 40, subchannel=8)]])
    check_reader(open_bytes(tmp_path, descriptor, data).space, volume(40))


def test_audio_with_subchannel(tmp_path: Path) -> None:
    data = b"".join(tone(9)[at : at + 2352] + b"\xee" * 96 for at in range(0, 9 * 2352, 2352))
    disc = open_bytes(tmp_path, mds([[Block(1, AUDIO, 2448, 0, 0, 9, subchannel=8, control=0x10)]]), data)
    check_reader(disc.raw, tone(9))


@pytest.mark.parametrize("length", [40, None], ids=["with its length", "without"])
def test_a_dvd_is_its_file(tmp_path: Path, length: int | None) -> None:
    disc = open_bytes(tmp_path, mds([[Block(1, 2, 2048, 0, 0, length)]], medium=0x10), volume(40))
    assert (disc.medium, table(disc)) == ("DVD", [(1, "mode1/2048", 0, 40)])
    assert isinstance(disc.space, FileSource)
    check_reader(disc.space, volume(40))


def test_tracks_without_lengths_end_where_the_next_begins(tmp_path: Path) -> None:
    bare = [[block._replace(length=None) for block in session] for session in SESSIONS]
    disc = open_bytes(tmp_path, mds(bare), IMAGE)
    assert [track.length for track in disc.tracks] == [40, 15, 30, 30]


def test_split_files_are_joined_in_their_order(tmp_path: Path) -> None:
    head = b"x" * 2048
    whole = head + volume(40)
    files = {"disc.mdf": whole[: 11 * 2048], "disc.md1": whole[11 * 2048 : 30 * 2048], "disc.md2": whole[30 * 2048 :]}
    descriptor = mds([[Block(1, 2, 2048, 0, 2048, 40)]], ["*.mdf", "*.md1", "*.md2"], medium=0x10)
    path = write_mds(tmp_path, descriptor, files)
    check_reader(open_path(FORMAT, path).space, volume(40))
    for name in files:
        with open_image(str(tmp_path / name)) as image:
            assert [step.name for step in image.steps] == ["mds"]
    (tmp_path / "disc.md1").write_bytes(b"")
    with pytest.raises(DamagedError, match=r"'disc\.md1' is empty"):
        open_path(FORMAT, path)
    (tmp_path / "disc.md1").unlink()
    with pytest.raises(MissingPartError, match=r"'disc\.md1'"):
        open_path(FORMAT, path)


@pytest.mark.parametrize(
    ("named", "there"),
    [
        ("*.mdf", "disc.mdf"),
        ("*.mdf", "DISC.MDF"),
        ("other.mdf", "other.mdf"),
        ("Grüße.mdf", "Grüße.mdf"),
        ("", "disc.mdf"),
    ],
)
@pytest.mark.parametrize("wide", [True, False])
def test_names_of_the_data(tmp_path: Path, named: str, there: str, wide: bool) -> None:
    disc = open_bytes(tmp_path, mds(SESSIONS, [named], wide=wide), IMAGE, there)
    assert (len(disc.tracks), disc.warnings) == (4, ())


def test_a_name_in_another_code_page(tmp_path: Path) -> None:
    path = write_mds(tmp_path, mds(SESSIONS, ["日本.mdf"], wide=False, encoding="cp932"), {"日本.mdf": IMAGE})
    assert len(open_path(FORMAT, path, Options(iocharset="cp932")).tracks) == 4


@pytest.mark.parametrize("named", ["lost.mdf", "C:\\images\\lost.mdf"])
def test_the_descriptors_stem_stands_in_for_a_name_that_is_not_there(tmp_path: Path, named: str) -> None:
    disc = open_bytes(tmp_path, mds(SESSIONS, [named]), IMAGE)
    assert disc.warnings == (f"{named!r} is not there; 'disc.mdf' is used instead",)


def test_xmd(tmp_path: Path) -> None:
    path = write_mds(tmp_path, mds(SESSIONS, ["lost.xmf"]), {"disc.xmf": IMAGE}, "disc.xmd")
    assert len(open_path(FORMAT, path).tracks) == 4
    with open_image(str(tmp_path / "disc.xmf")) as image:
        assert [step.name for step in image.steps] == ["mds"]


def test_the_data_file_opens_the_disc(tmp_path: Path) -> None:
    write_mds(tmp_path, WHOLE, {"disc.mdf": IMAGE})
    with open_image(str(tmp_path / "disc.mdf")) as image:
        assert [step.name for step in image.steps] == ["mds"]


def test_two_sessions_with_descriptors_of_one_tree_show_it_once(tmp_path: Path) -> None:
    """The second one's volume begins anew in its session, and its addresses count from LBA 0."""
    again = volume(40)[: 18 * 2048]
    blocks = [[Block(1, MODE1, 2048, 0, 0, 40)], [Block(2, MODE1, 2048, 11_440, 40 * 2048, 18)]]
    write_mds(tmp_path, mds(blocks), {"disc.mdf": volume(40) + again})
    with open_image(str(tmp_path / "disc.mds")) as image:
        assert [shown.number for shown, _ in image.filesystems] == [2]
        assert list(image.tree.entries(image.tree.root)) == []
        assert [track.start for track in image.disc.tracks] == [0, 11_440]


# --- other readers --------------------------------------------------------------------------------------------------------


@pytest.mark.foreign
def test_mdf2iso_takes_out_the_same(tmp_path: Path, need: Callable[..., None]) -> None:
    need("mdf2iso")
    disc = open_bytes(tmp_path, mds([[Block(1, MODE1, 2352, 0, 0, 40)]]), DATA)
    run_tool("mdf2iso", "disc.mdf", "out.iso", folder=tmp_path)
    assert (tmp_path / "out.iso").read_bytes() == disc.raw.pread(0, 10**6) == volume(40)


@pytest.mark.foreign
@pytest.mark.parametrize("sectors", ["MODE1/2352", "MODE1/2448", "MODE2/2352", "MODE2/2336"])
def test_iat_takes_out_the_same(tmp_path: Path, need: Callable[..., None], sectors: str) -> None:
    need("iat")
    mode, size = MODE1 if sectors.startswith("MODE1") else FORM1, int(sectors[6:])
    disc = open_bytes(tmp_path, mds([[Block(1, mode, size, 0, 0, 40)]]), stored(volume(40), sectors))
    run_tool("iat", "disc.mdf", "out.iso", folder=tmp_path)
    assert (tmp_path / "out.iso").read_bytes() == disc.raw.pread(0, 10**6) == volume(40)


# --- damage ---------------------------------------------------------------------------------------------------------------


def test_data_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match=r"'disc\.mdf'"):
        open_path(FORMAT, write_mds(tmp_path, WHOLE, {}))


@pytest.mark.parametrize("name", ["../disc.mdf", "/etc/passwd", "a\\..\\..\\b.mdf"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutsideError):
        open_bytes(tmp_path, mds(SESSIONS, [name]), IMAGE)


def test_other_versions_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="MDS version 3"):
        open_bytes(tmp_path, mds(SESSIONS, version=3), IMAGE)


@pytest.mark.parametrize(("mode", "size"), [(MODE1, 2353), (AUDIO, 2048), (AUDIO, 2336), (MODE1, 0)])
def test_sectors_that_nothing_has_are_named(tmp_path: Path, mode: int, size: int) -> None:
    with pytest.raises(UnsupportedError, match=f"sectors of {size} bytes"):
        open_bytes(tmp_path, mds([[Block(1, mode, size, 0, 0, 40)]]), IMAGE)


def changed(at: int, *values: int) -> bytes:
    return WHOLE[:at] + bytes(values) + WHOLE[at + len(values) :]


TRACK1 = 88 + 2 * 24 + 80
"""The first block that is a track, behind two sessions and the point 0xA0."""


@pytest.mark.parametrize(
    ("descriptor", "says"),
    [
        (changed(20, 100), "100 sessions; a disc has at most 99"),
        (changed(80, 0xFF, 0xFF, 0xFF, 0x7F), "damaged at byte 2147483647"),
        (changed(88 + 20, 0xFF, 0xFF, 0xFF, 0x7F), "damaged at byte 2147483647"),
        (changed(88 + 10, 255), "bytes wanted"),
        (changed(TRACK1 + 12, 0xFF, 0xFF, 0xFF, 0x7F), "damaged at byte 2147483647"),
        (changed(TRACK1 + 36, 0xFF, 0xFF, 0xFF, 0x7F), "LBA 2147483647, outside the disc"),
        (changed(TRACK1 + 48, 0xFF, 0xFF), "65535 files of track 1"),
        (changed(TRACK1 + 52, 0xFF, 0xFF, 0xFF, 0x7F), "damaged at byte 2147483647"),
        (mds([[]]), "without a track"),
        (mds([]), "without a track"),
        (mds([[Block(1, AUDIO, 2352, 0, 0, 1)] * 50] * 2), "more tracks than a disc can have"),
    ],
)
def test_what_makes_no_sense_is_damage(tmp_path: Path, descriptor: bytes, says: str) -> None:
    with pytest.raises(DamagedError, match=says):
        open_bytes(tmp_path, descriptor, IMAGE)


def test_what_a_cut_file_has_lost_is_missing(tmp_path: Path) -> None:
    disc = open_bytes(tmp_path, mds([[Block(1, MODE1, 2352, 0, 0, 40)]]), DATA[: 25 * 2352])
    assert disc.warnings == ("the last 15 of the 40 sectors of track 1 are not in the file",)
    check_reader(disc.raw, volume(40), missing=[(25 * 2048, 40 * 2048)])


@pytest.mark.parametrize("data", [b"", b"MEDIA DESCRIPTOR", b"MEDIA DESCRIPTOS" + bytes(100), bytes(500)])
def test_other_files_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.mds")) is None


@pytest.mark.parametrize("cut", range(1, len(WHOLE), 7))
def test_a_cut_descriptor_is_refused_or_read(tmp_path: Path, cut: int) -> None:
    disc = try_path(FORMAT, write_mds(tmp_path, WHOLE[:-cut], {"disc.mdf": IMAGE}))
    assert disc is None or len(disc.tracks) <= 4


def test_a_flipped_byte_never_shows_what_the_image_has_not(tmp_path: Path) -> None:
    path = write_mds(tmp_path, WHOLE, {"disc.mdf": IMAGE})
    refused = 0
    for at in range(16, len(WHOLE)):
        path.write_bytes(changed(at, WHOLE[at] ^ 0x81))
        disc = try_path(FORMAT, path)
        refused += disc is None
        for track in disc.tracks if disc else ():
            assert track.length >= 0 and sum(run.length for run in track.user.runs(0, 5000)) == min(
                5000, track.user.size
            )
    assert refused > 50


def test_more_names_than_an_image_has_files(tmp_path: Path) -> None:
    """Three for each of 99 tracks: every one that is not there would be sought in many ways."""
    names = [f"{number}.mdf" for number in range(99 * 3)]
    blocks = [Block(number, AUDIO, 2352, number, 0, 1, control=0x10) for number in range(1, 100)]
    descriptor = bytearray(mds([blocks], names))
    rows_at = 88 + 24 + 80 * 100 + 8 * 99
    for number in range(99):
        struct.pack_into("<II", descriptor, 88 + 24 + 80 * (number + 1) + 48, 3, rows_at + 16 * 3 * number)
    path = write_mds(tmp_path, bytes(descriptor), dict.fromkeys(names, tone(1)))
    with pytest.raises(DamagedError, match="names 257 files; the limit is 256"):
        open_path(FORMAT, path)
    with pytest.raises(DamagedError, match="names 297 files"):
        names_of(path)


def test_a_name_that_is_nowhere_is_the_usual_one(tmp_path: Path) -> None:
    descriptor = bytearray(mds([[Block(1, MODE1, 2352, 0, 0, 40)]]))
    descriptor[-16 - 12 : -16 - 8] = bytes(4)
    disc = open_bytes(tmp_path, bytes(descriptor), DATA)
    assert (table(disc), disc.warnings) == ([(1, "mode1/2352", 0, 40)], ())


def names_of(path: Path) -> Sequence[str]:
    folder = Folder(str(path.parent))
    assert FORMAT.parts is not None
    return FORMAT.parts(Candidate(folder.open(path.name), path.name, folder))
