"""MDX, and MDS of version 2: whole discs, packed and encrypted; and what is left of them without their descriptor."""

import random
import struct
import sys
import zlib
from itertools import pairwise
from pathlib import Path

import pytest

from imagefs import limits
from imagefs.containers.mdx import FORMAT, sectors
from imagefs.disc import Disc, cdtext
from imagefs.errors import DamagedError, MissingPartError, OutsideError, PasswordError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.image import open_image
from imagefs.readers import BytesReader
from imagefs.sources import FileSource
from tests.builders.descriptors import open_path, sessions, table, try_path
from tests.builders.discs import write_cue
from tests.builders.mdx import (
    AUDIO,
    EDC,
    FORM1,
    FORM2,
    HEADER,
    MODE1,
    MODE2,
    RAW,
    SECTORS_AT,
    SUBHEADER,
    SYNC,
    Made,
    Track,
    made,
    sealed,
)
from tests.builders.sectors import form2, stored, tone, volume
from tests.contract import check_reader

SECOND = 100 + 11_400
DISC = [
    [
        Track(1, MODE1 | RAW, 2352, 0, stored(volume(40), "MODE1/2352"), pregap=150),
        Track(2, AUDIO, 2352, 45, tone(15), pregap=5, control=0x12),
        Track(3, AUDIO, 2352, 60, tone(40, 9), pregap=10, lengths=(12, 18), control=0x10),
    ],
    [Track(4, FORM1 | RAW | SUBHEADER, 2352, SECOND, stored(volume(30, SECOND), "MODE2/2352", SECOND), pregap=150)],
]
"""Track 3 has its pregap in the file, and an index 2."""
RAW_CONTENT = volume(40) + tone(15) + tone(40, 9)[10 * 2352 :] + volume(30, SECOND)
ONE = [[Track(1, MODE1, 2048, 0, volume(40), pregap=150)]]


def packed(tracks: list[list[Track]], group: int = 16) -> list[list[Track]]:
    return [[track._replace(group=group) for track in session] for session in tracks]


def write(folder: Path, image: Made) -> Path:
    return write_cue(folder, image.file, image.files, "disc.mds" if image.files else "disc.mdx")


def opened(folder: Path, image: Made | bytes) -> Disc:
    return open_path(FORMAT, write(folder, image if isinstance(image, Made) else Made(image, {}, b"")))


# --- discs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize("one_file", [True, False], ids=["mdx", "mds"])
@pytest.mark.parametrize("group", [0, 1, 16], ids=["plain", "packed one by one", "packed"])
@pytest.mark.parametrize("encrypted", [False, True], ids=["open", "encrypted"])
def test_sessions_of_data_and_audio(tmp_path: Path, minor: int, one_file: bool, group: int, encrypted: bool) -> None:
    disc = opened(tmp_path, made(packed(DISC, group), minor=minor, one_file=one_file, encrypted=encrypted))
    assert table(disc) == [
        (1, "mode1/2352", 0, 40),
        (2, "audio", 45, 15),
        (3, "audio", 70, 30),
        (4, "mode2/2352", SECOND, 30),
    ]
    assert sessions(disc) == [(1, [1, 2, 3]), (2, [4])]
    assert [(track.pregap, track.pregap_stored) for track in disc.tracks] == [(150, 0), (5, 0), (10, 10), (150, 0)]
    assert [track.indexes for track in disc.tracks] == [(), (), (82,), ()]
    assert [track.flags for track in disc.tracks] == [(), ("DCP",), (), ()]
    assert (disc.medium, disc.warnings, disc.cdtext) == ("CD", (), b"")
    check_reader(disc.raw, RAW_CONTENT)
    assert disc.tracks[2].main.pread(0, 10**6) == tone(40, 9)
    assert disc.space.pread(SECOND * 2048, 10**6) == volume(30, SECOND)


MODES = [
    (MODE1, "MODE1/2048"),
    (MODE1 | HEADER, "MODE1/2052"),
    (MODE1 | RAW, "MODE1/2352"),
    (MODE1 | SYNC | EDC, "MODE1/2352"),
    (MODE2, "MODE2/2336"),
    (MODE2 | SYNC | HEADER, "MODE2/2352"),
    (FORM1, "MODE2/2048"),
    (FORM1 | SUBHEADER, "MODE2/2056"),
    (FORM1 | HEADER | SUBHEADER, "MODE2/2060"),
    (FORM1 | SUBHEADER | EDC, "MODE2/2336"),
    (FORM1 | RAW | SUBHEADER, "MODE2/2352"),
    (FORM1 | RAW, "MODE2/2352"),
    (FORM2, "MODE2/2324"),
    (FORM2 | SUBHEADER, "MODE2/2332"),
    (0, "MODE2/2352"),
]
"""Those that stand for no sector of that size are read by the size."""


@pytest.mark.parametrize("encrypted", [False, True], ids=["open", "encrypted"])
@pytest.mark.parametrize(("mode", "layout"), MODES)
def test_data_tracks_of_every_mode(tmp_path: Path, mode: int, layout: str, encrypted: bool) -> None:
    track = Track(1, mode, int(layout[6:]), 0, stored(volume(40), layout))
    disc = opened(tmp_path, made([[track]], encrypted=encrypted))
    assert (table(disc), disc.warnings) == ([(1, layout.lower(), 0, 40)], ())
    check_reader(disc.space, volume(40))


@pytest.mark.parametrize("group", [0, 4], ids=["plain", "packed"])
@pytest.mark.parametrize(("minor", "field"), [(0, 0), (1, 8), (1, 32)])
@pytest.mark.parametrize(
    ("mode", "layout"), [(MODE1, "MODE1/2048"), (MODE1 | RAW, "MODE1/2352"), (FORM1 | SUBHEADER | EDC, "MODE2/2336")]
)
def test_subchannel_behind_each_sector(
    tmp_path: Path, mode: int, layout: str, minor: int, field: int, group: int
) -> None:
    """Minor version 0 does not say that it is there: a sector is longer than what it has."""
    size, plain = int(layout[6:]), stored(volume(40), layout)
    data = b"".join(plain[at : at + size] + bytes([at // size]) * 96 for at in range(0, len(plain), size))
    track = Track(1, mode, size + 96, 0, data, subchannel=field, group=group)
    disc = opened(tmp_path, made([[track]], minor=minor))
    check_reader(disc.space, volume(40))
    subchannel = disc.tracks[0].subchannel
    if size == 2352:
        assert subchannel is not None
        check_reader(subchannel, b"".join(bytes([number]) * 96 for number in range(40)), block=96)


@pytest.mark.parametrize(("mode", "layout"), [(MODE1, "MODE1/2048"), (MODE1 | RAW, "MODE1/2352")])
def test_q_subchannel_behind_each_sector(tmp_path: Path, mode: int, layout: str) -> None:
    size, plain = int(layout[6:]), stored(volume(40), layout)
    data = b"".join(plain[at : at + size] + b"\xee" * 16 for at in range(0, len(plain), size))
    disc = opened(tmp_path, made([[Track(1, mode, size + 16, 0, data, subchannel=16)]]))
    check_reader(disc.space, volume(40))


def test_form_2_is_what_linux_reads_of_it(tmp_path: Path) -> None:
    user = [bytes([number]) * 2324 for number in range(5)]
    data = b"".join(form2(number, each) for number, each in enumerate(user))
    disc = opened(tmp_path, made([[Track(1, FORM2 | RAW | SUBHEADER, 2352, 0, data)]]))
    check_reader(disc.raw, b"".join(each[:2048] for each in user))


@pytest.mark.parametrize("one_file", [True, False], ids=["mdx", "mds"])
def test_a_dvd_is_its_file(tmp_path: Path, one_file: bool) -> None:
    disc = opened(tmp_path, made(ONE, medium=3, one_file=one_file))
    assert (disc.medium, table(disc), disc.warnings) == ("DVD", [(1, "mode1/2048", 0, 40)], ())
    assert one_file or isinstance(disc.space, FileSource)
    check_reader(disc.space, volume(40))


@pytest.mark.parametrize("group", [0, 8], ids=["plain", "packed"])
@pytest.mark.parametrize("encrypted", [False, True], ids=["open", "encrypted"])
def test_split_files_are_joined_in_their_order(tmp_path: Path, group: int, encrypted: bool) -> None:
    """Each has its own table, and its own numbers of blocks."""
    image = made([[ONE[0][0]._replace(cut=(11, 19, 10), group=group)]], medium=3, encrypted=encrypted)
    assert set(image.files) == {"disc.mdf", "disc.md1", "disc.md2"}
    check_reader(opened(tmp_path, image).space, volume(40))
    for name in image.files:
        with open_image(str(tmp_path / name)) as found:
            assert [step.name for step in found.steps] == ["mdx"]
    (tmp_path / "disc.md1").unlink()
    with pytest.raises(MissingPartError, match=r"'disc\.md1'"):
        open_path(FORMAT, tmp_path / "disc.mds")


def test_cd_text(tmp_path: Path) -> None:
    text = b"Album\0First\0\0\0"
    parts = [text[at : at + 12].ljust(12, b"\0") for at in range(0, len(text), 12)]
    packs = b"".join(cdtext.with_checksum(struct.pack("BBBB12s", 0x80, 0, n, 0, part)) for n, part in enumerate(parts))
    for one_file in (True, False):
        disc = opened(tmp_path, made(DISC, cdtext=packs, one_file=one_file))
        assert (disc.title, disc.cdtext) == ("Album", packs)
        assert [track.title for track in disc.tracks] == ["First", "", "", ""]


def test_any_file_opens_the_disc(tmp_path: Path) -> None:
    write(tmp_path, made(DISC))
    for name in ("disc.mds", "disc.mdf"):
        with open_image(str(tmp_path / name)) as image:
            assert [step.name for step in image.steps] == ["mdx"]
            assert image.disc is not None and len(image.disc.tracks) == 4


@pytest.mark.parametrize(
    ("named", "there"),
    [("*.mdf", "DISC.MDF"), ("other.mdf", "other.mdf"), ("Grüße.mdf", "Grüße.mdf"), ("", "disc.mdf")],
)
def test_names_of_the_data(tmp_path: Path, named: str, there: str) -> None:
    image = made(DISC, names=[named])
    disc = opened(tmp_path, image._replace(files={there: image.files["disc.mdf"]}))
    assert (len(disc.tracks), disc.warnings) == (4, ())


def test_the_descriptors_stem_stands_in_for_a_name_that_is_not_there(tmp_path: Path) -> None:
    disc = opened(tmp_path, made(DISC, names=["lost.mdf"]))
    assert disc.warnings == ("'lost.mdf' is not there; 'disc.mdf' is used instead",)


@pytest.mark.parametrize("name", ["../disc.mdf", "/etc/passwd", "a\\..\\..\\b.mdf"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutsideError):
        opened(tmp_path, made(DISC, names=[name]))


# --- packed sectors -------------------------------------------------------------------------------------------------------


def uneven(group_bytes: int) -> bytes:
    """Groups that are stored in every way: zeros, another byte, deflated, as they are; the last one is partial."""
    chance = random.Random(3)
    noise = chance.randbytes(group_bytes)
    text = (b"all work and no play " * group_bytes)[:group_bytes]
    return bytes(2 * group_bytes) + noise + text + b"\x41" * group_bytes + noise[::-1] + bytes(group_bytes) + text


@pytest.mark.parametrize("last", ["deflated", "as it is", "a run"])
@pytest.mark.parametrize("encrypted", [False, True], ids=["open", "encrypted"])
@pytest.mark.parametrize(("size", "group"), [(2352, 4), (2448, 1), (2352, 16)])
def test_groups_of_every_kind(tmp_path: Path, size: int, group: int, encrypted: bool, last: str) -> None:
    group_bytes = size * group
    end = {"deflated": b"abc" * size, "as it is": random.Random(5).randbytes(size), "a run": b"\xff" * size}[last]
    content = uneven(group_bytes) + end[:size]
    image = made([[Track(1, AUDIO, size, 0, content, group=group, control=0x10)]], one_file=True, encrypted=encrypted)
    (track,) = opened(tmp_path, image).tracks
    reader = track.stored
    assert isinstance(reader, sectors.GroupReader)
    check_reader(reader, content, block=group_bytes)


def test_groups_of_zeros_are_holes(tmp_path: Path) -> None:
    content = bytes(8 * 2048) + b"\x01" * 2048 * 8 + bytes(2048)
    disc = opened(tmp_path, made([[Track(1, MODE1, 2048, 0, content, group=4)]]))
    kinds = [(run.kind.name, run.length // 2048) for run in disc.raw.runs(0, 10**6)]
    assert kinds == [("ZERO", 8), ("PACKED", 8), ("ZERO", 1)]


def test_a_broken_group_spoils_what_is_in_it(tmp_path: Path) -> None:
    """Zeros where deflate's first block should be: stored, and its length is not what it should be."""
    noise = random.Random(1).randbytes(30)
    content = b"".join(noise * 100 + bytes([number]) * (2048 * 4 - 3000) for number in range(10))
    image = made([[Track(1, MODE1, 2048, 0, content, group=4)]])
    data = bytearray(image.files["disc.mdf"])
    lengths = struct.unpack("<10H", zlib.decompress(data[data.rindex(b"\x78\x9c") :]))
    at = sum(lengths[:3])
    data[at : at + 8] = bytes(8)
    disc = opened(tmp_path, image._replace(files={"disc.mdf": bytes(data)}))
    assert disc.raw.pread(0, 12 * 2048) == content[: 12 * 2048]
    assert disc.raw.pread(16 * 2048, 10**6) == content[16 * 2048 :]
    with pytest.raises(DamagedError, match=f"damaged at byte {at}: the deflate data"):
        disc.raw.pread(13 * 2048, 1)


def test_a_broken_table_spoils_its_track(tmp_path: Path) -> None:
    image = made(packed(DISC))
    data = image.files["disc.mdf"]
    first = data.index(b"\x78\x9c")
    broken = data[: first + 2] + b"\xff" * 4 + data[first + 6 :]
    disc = opened(tmp_path, image._replace(files={"disc.mdf": broken}))
    assert disc.warnings[0].startswith(f"sectors of track 1 are lost: damaged at byte {first}: the zlib data is broken")
    assert disc.warnings[1:] == ("the last 40 of the 40 sectors of track 1 are not in the file",)
    check_reader(disc.raw, RAW_CONTENT, missing=[(0, 40 * 2048)])
    (tmp_path / "disc.mdf").write_bytes(b"x" * 50)
    with pytest.raises(DamagedError, match="a table of groups would begin there, and the file ends at 50"):
        open_path(FORMAT, tmp_path / "disc.mds")


# --- encryption -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one_file", [True, False], ids=["mdx", "mds"])
def test_sectors_with_a_password_are_refused(tmp_path: Path, one_file: bool) -> None:
    image = made(ONE, encrypted=True, password=b"secret", one_file=one_file)
    with pytest.raises(PasswordError) as found:
        opened(tmp_path, image)
    assert str(found.value) == "its sectors are encrypted with a password, and imagefs cannot be given one"


@pytest.mark.parametrize("size", [2048, 2052, 2340, 2352, 2368, 2448])
def test_the_rest_of_a_sector_is_not_encrypted(tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(50 * size)
    track = Track(1, MODE1, size, 0, content)
    image = made([[track]], encrypted=True)
    hidden, whole = image.files["disc.mdf"], size // 16 * 16
    for at in range(0, len(content), size):
        assert hidden[at : at + 16] != content[at : at + 16]
        assert hidden[at + whole : at + size] == content[at + whole : at + size]
    (found,) = opened(tmp_path, image).tracks
    check_reader(found.stored, content, block=size)


# --- without the descriptor -----------------------------------------------------------------------------------------------


@pytest.fixture
def without_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)


PLAIN = ["MODE1/2048", "MODE1/2352", "MODE2/2352", "MODE1/2448", "MODE2/2336"]
REMEDY = "it is encrypted with AES: pip install 'imagefs[crypto]'"


@pytest.mark.usefixtures("without_cryptography")
@pytest.mark.parametrize("one_file", [True, False], ids=["mdx", "mds"])
@pytest.mark.parametrize("layout", PLAIN)
def test_without_the_library_plain_sectors_are_read(tmp_path: Path, layout: str, one_file: bool) -> None:
    track = Track(1, MODE1, int(layout[6:]), 0, stored(volume(40), layout))
    path = write(tmp_path, made([[track]], one_file=one_file))
    disc = open_path(FORMAT, path)
    assert table(disc) == [(1, layout.lower(), 0, 40)]
    assert disc.warnings == (f"its descriptor is not used ({REMEDY}): all of the image is taken for one data track",)
    check_reader(disc.space, volume(40))
    for file in tmp_path.iterdir():
        with open_image(str(file)) as image:
            assert [step.name for step in image.steps] == ["mdx"]


@pytest.mark.usefixtures("without_cryptography")
@pytest.mark.parametrize(
    "image",
    [
        made(packed(ONE), one_file=True),
        made(ONE, one_file=True, encrypted=True),
        made([[Track(1, AUDIO, 2352, 0, tone(100))]], one_file=True),
        made(packed(ONE)),
    ],
    ids=["packed", "encrypted", "audio", "mds"],
)
def test_without_the_library_others_are_refused(tmp_path: Path, image: Made) -> None:
    with pytest.raises(UnsupportedError) as found:
        opened(tmp_path, image)
    assert str(found.value) == REMEDY


@pytest.mark.parametrize("one_file", [True, False], ids=["mdx", "mds"])
def test_data_that_are_missing_are_named(tmp_path: Path, one_file: bool) -> None:
    image = made(DISC)
    file = image.file[: -200 if one_file else None]  # the same for a descriptor that is cut
    with pytest.raises(MissingPartError, match=r"'disc\.mdf'"):
        open_path(FORMAT, write_cue(tmp_path, file, {}, "disc.mds"))


# --- damage ---------------------------------------------------------------------------------------------------------------

MDX = made([[Track(1, MODE1 | RAW, 2352, 0, stored(volume(25), "MODE1/2352"), pregap=150)]], one_file=True)
DESCRIPTOR_AT = SECTORS_AT + 25 * 2352
KEYS_AT = len(MDX.file) - 512
SALT_END, KEYS_END, SIZES_END = KEYS_AT + 64, KEYS_AT + 336, KEYS_AT + 344
PACKED_MDX = made(packed([[Track(1, MODE1, 2048, 0, volume(40), pregap=150)]]), one_file=True).file


def outcome(folder: Path, file: bytes) -> str:
    """What becomes of an image of one track: "whole", "plain" without its descriptor, "" when it is none, or an error."""
    path = write_cue(folder, file, {}, "disc.mdx")
    if FORMAT.probe(Candidate(BytesReader(file), "disc.mdx")) is None:
        return ""
    try:
        disc = open_path(FORMAT, path)
    except (DamagedError, MissingPartError) as error:
        return str(error).split(" (looked in")[0]
    if disc.warnings:
        (warning,) = disc.warnings
        assert warning.endswith("all of the image is taken for one data track")
        return "plain"
    assert table(disc) == [(1, disc.tracks[0].mode, 0, disc.tracks[0].length)] and disc.tracks[0].pregap == 150
    return "whole"


def flipped(file: bytes, at: int) -> bytes:
    return file[:at] + bytes([file[at] ^ 0x81]) + file[at + 1 :]


def expected_of_flip(at: int) -> set[str]:
    """A byte of the image MDX: what may become of it."""
    if at < 17:
        return {""}
    if at < 44 or SECTORS_AT <= at < DESCRIPTOR_AT:
        return {"whole"}  # the minor version, the copyright, a sector
    if at < 48:
        return {"its part 'disc.mdf' is missing"}  # it is an MDS now
    if at < SECTORS_AT or KEYS_AT <= at < SIZES_END:
        return {"plain"}
    return {"plain", "whole"}  # padding of the descriptor, and of its keys, which is in one block with the sizes


def test_a_flipped_byte_leaves_the_disc_or_its_sectors(tmp_path: Path) -> None:
    places = [*range(SECTORS_AT), 70, *range(DESCRIPTOR_AT, len(MDX.file))]
    found = {at: outcome(tmp_path, flipped(MDX.file, at)) for at in places}
    assert {at: found[at] for at in places if found[at] not in expected_of_flip(at)} == {}
    descriptor = [found[at] for at in range(DESCRIPTOR_AT, KEYS_AT)]
    assert descriptor.count("plain") > len(descriptor) - 32


@pytest.mark.parametrize(
    ("at", "says"),
    [
        (48, "damaged at byte"),
        (55, "damaged at byte 44: the descriptor is said to lie from byte"),
        (56, "damaged at byte"),
        (63, "damaged at byte 44: the descriptor is said to lie from byte"),
        (len(PACKED_MDX) - 512, "the block of keys there has not the checksum it should have"),
        (len(PACKED_MDX) - 440, "the block of keys there has not the checksum it should have"),
        (len(PACKED_MDX) - 512 + 330, "the block of keys there has not the checksum it should have"),
        (len(PACKED_MDX) - 512 + 337, "a descriptor of"),
        (len(PACKED_MDX) - 600, "the zlib data is broken"),
    ],
)
def test_where_sectors_are_packed_the_damage_is_told(tmp_path: Path, at: int, says: str) -> None:
    found = outcome(tmp_path, flipped(PACKED_MDX, at))
    assert found.startswith("damaged at byte") and says in found


def test_an_image_that_was_cut_is_read_without_its_descriptor(tmp_path: Path) -> None:
    """Its sectors are in front; those that are lost are not claimed to be there."""
    file = MDX.file
    for end in (*range(0, 64, 5), 64, 70, 30_000, 50_000, *range(DESCRIPTOR_AT, len(file), 7), len(file) - 1):
        if end < SECTORS_AT + 2352:
            assert try_path(FORMAT, write_cue(tmp_path, file[:end], {}, "disc.mdx")) is None
            continue
        disc = opened(tmp_path, file[:end])
        assert "(damaged at byte 44: the descriptor is said to lie from byte" in disc.warnings[0]
        count = min((end - SECTORS_AT) // 2352, 25)
        assert disc.tracks[0].length == (end - SECTORS_AT) // 2352
        assert disc.space.pread(0, count * 2048) == volume(25)[: count * 2048]


def test_a_cut_descriptor_beside_its_data(tmp_path: Path) -> None:
    image = made(DISC)
    for end in range(50, len(image.file), 11):
        disc = opened(tmp_path, image._replace(file=image.file[:end]))
        assert [track.number for track in disc.tracks] == [1]
        assert disc.space.pread(0, 40 * 2048) == volume(40)


@pytest.mark.parametrize("encrypted", [False, True], ids=["open", "encrypted"])
def test_what_a_cut_file_has_lost_is_missing(tmp_path: Path, encrypted: bool) -> None:
    image = made([[Track(1, MODE1 | RAW, 2352, 0, stored(volume(40), "MODE1/2352"))]], encrypted=encrypted)
    disc = opened(tmp_path, image._replace(files={"disc.mdf": image.files["disc.mdf"][: 25 * 2352 + 100]}))
    assert disc.warnings == ("the last 15 of the 40 sectors of track 1 are not in the file",)
    check_reader(disc.raw, volume(40), missing=[(25 * 2048, 40 * 2048)])


def test_files_that_have_more_or_less_than_the_track(tmp_path: Path) -> None:
    track = Track(1, MODE1, 2048, 0, volume(40))
    disc = opened(tmp_path, made([[track._replace(lengths=(30,))]]))
    assert disc.warnings == ("track 1 has 30 sectors, and its files 40 of it",)
    check_reader(disc.raw, volume(40)[: 30 * 2048])
    disc = opened(tmp_path, made([[track._replace(lengths=(50,))]]))
    assert disc.warnings == (
        "track 1 has 50 sectors, and its files 40 of it",
        "the last 10 of the 50 sectors of track 1 are not in the file",
    )
    check_reader(disc.raw, volume(40) + bytes(10 * 2048), missing=[(40 * 2048, 50 * 2048)])


SESSIONS, BLOCKS = 96, 96 + 2 * 32
TRACK1 = BLOCKS + 80
"""Behind the point 0xA0."""
FOOT = BLOCKS + 6 * 80 + 4 * 8 + 4
"""Of track 1: one of the extra blocks has a third length."""
U32, U64 = b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff\xff\xff\xff\x7f"


@pytest.mark.parametrize(
    ("at", "content", "says"),
    [
        (20, b"\x64\0", "100 sessions; a disc has at most 99"),
        (20, b"\0\0", "a descriptor without a track"),
        (80, U32, "damaged at byte 2147483647"),
        (88, U32, "damaged at byte 2147483647"),
        (SESSIONS + 20, U32, "damaged at byte 2147483647"),
        (SESSIONS + 10, b"\xff", "bytes wanted"),
        (TRACK1 + 12, U32, "a table of 2 entries cannot lie there"),
        (TRACK1 + 48, b"\xff\xff", "65535 files of track 1"),
        (TRACK1 + 52, U32, "damaged at byte 2147483647"),
        (TRACK1 + 36, U32, "LBA 2147483647, outside the disc"),
        (TRACK1 + 56, U64, "LBA 9223372036854775807, outside the disc"),
    ],
)
def test_what_makes_no_sense_is_damage(tmp_path: Path, at: int, content: bytes, says: str) -> None:
    image = made(DISC)
    descriptor = image.descriptor[:at] + content + image.descriptor[at + len(content) :]
    image = image._replace(file=sealed(descriptor))
    with pytest.raises(DamagedError, match=says):
        opened(tmp_path, image)


@pytest.mark.parametrize(
    ("at", "content", "says"),
    [
        (FOOT + 12, b"\0\0\0\0", "groups of 0 sectors of 2352 bytes"),
        (FOOT + 12, U32, "groups of 2147483647 sectors of 2352 bytes"),
        (FOOT + 16, U64, "9223372036854775807 sectors; the limit is"),
        (FOOT + 16, struct.pack("<Q", limits.DISC_SECTORS), "a table of 4194304 groups cannot lie there, in"),
        (FOOT + 16, struct.pack("<Q", 10_000), "the zlib data ends after 6 of 1250 bytes"),
        (FOOT + 24, U64, "a table of groups would begin there"),
        (TRACK1 + 40, U64, "a table of groups would begin there"),
    ],
)
def test_groups_that_make_no_sense_spoil_their_track(tmp_path: Path, at: int, content: bytes, says: str) -> None:
    image = made(packed(DISC))
    descriptor = image.descriptor[:at] + content + image.descriptor[at + len(content) :]
    disc = opened(tmp_path, image._replace(file=sealed(descriptor)))
    assert len(disc.tracks) == 4 and any(says in warning for warning in disc.warnings)
    with pytest.raises(DamagedError):
        disc.tracks[0].user.pread(0, 1)
    assert disc.tracks[1].user.pread(0, 10**6) == tone(15)


def test_too_many_files_of_all_tracks_together(tmp_path: Path) -> None:
    """Five tracks that share a list of 250 files: each would get as many readers."""
    image = made([[Track(number, AUDIO, 2352, number, tone(1)) for number in range(1, 6)]], one_file=True)
    descriptor = bytearray(image.descriptor)
    for number in range(1, 6):
        struct.pack_into("<II", descriptor, 96 + 32 + 80 * number + 48, 250, len(descriptor))
    file = sealed(bytes(descriptor) + struct.pack("<IB7xIQQ", 0, 0, 0, 1, 0) * 250, tone(5))
    with pytest.raises(DamagedError, match="1250 files of tracks; the limit is 1024"):
        opened(tmp_path, file)


@pytest.mark.parametrize("group", [0, 4], ids=["plain", "packed"])
def test_behind_a_file_of_too_many_sectors_nothing_has_a_place(tmp_path: Path, group: int) -> None:
    image = made([[ONE[0][0]._replace(cut=(11, 19, 10), group=group)]], medium=3)
    second = len(image.descriptor) - 3 * len("*.mdf\0".encode("utf-16-le")) - 2 * 32
    descriptor = image.descriptor[: second + 16] + U64 + image.descriptor[second + 24 :]
    disc = opened(tmp_path, image._replace(file=sealed(descriptor)))
    assert disc.warnings == (
        "track 1 has 40 sectors, and its files 9223372036854775828 of it",
        "sectors of track 1 are lost: 9223372036854775807 sectors; the limit is 67108864",
        "the last 29 of the 40 sectors of track 1 are not in the file",
    )
    check_reader(disc.raw, volume(40), missing=[(11 * 2048, 40 * 2048)])


def test_too_many_groups_in_all_tracks_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = made(packed(DISC, 1))
    monkeypatch.setattr(limits, "PIECES", 60)
    disc = opened(tmp_path, image)
    lost = [warning for warning in disc.warnings if "groups of sectors; the limit is 60" in warning]
    assert [warning.split()[3] for warning in lost] == ["3", "4"]
    assert disc.tracks[1].user.pread(0, 10**6) == tone(15)


@pytest.mark.parametrize(
    "sizes", [(0, 500), (1 << 31, 500), (200, limits.MEDIA_DESCRIPTOR_BYTES + 1), (200, 20), (90, 90)]
)
def test_a_descriptor_of_another_size_than_its_keys_say(tmp_path: Path, sizes: tuple[int, int]) -> None:
    file = sealed(made(packed(ONE), one_file=True).descriptor, b"", key_sizes=sizes)
    with pytest.raises(DamagedError, match=r"a descriptor of|the zlib data"):
        opened(tmp_path, file)


def test_a_descriptor_that_is_too_short(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="a descriptor of 22 bytes"):
        opened(tmp_path, sealed(MDX.descriptor[:40], b""))


@pytest.mark.parametrize(("mode", "size"), [(MODE1, 2353), (AUDIO, 2048), (AUDIO, 2336), (MODE1, 0), (6, 1)])
def test_sectors_that_nothing_has_are_named(tmp_path: Path, mode: int, size: int) -> None:
    image = made(ONE)
    at = 96 + 32 + 80
    descriptor = bytearray(image.descriptor)
    descriptor[at] = mode
    descriptor[at + 16 : at + 18] = struct.pack("<H", size)
    with pytest.raises(UnsupportedError, match=f"sectors of {size} bytes"):
        opened(tmp_path, image._replace(file=sealed(bytes(descriptor))))


def test_a_flipped_byte_of_the_descriptor_never_shows_what_the_image_has_not(tmp_path: Path) -> None:
    image = made(packed(DISC))
    path, refused = write(tmp_path, image), 0
    for at in (*range(18, 96, 3), *range(96, len(image.descriptor))):
        descriptor = image.descriptor[:at] + bytes([image.descriptor[at] ^ 0x81]) + image.descriptor[at + 1 :]
        path.write_bytes(sealed(descriptor))
        disc = try_path(FORMAT, path)
        refused += disc is None
        for track in disc.tracks if disc else ():
            assert sum(run.length for run in track.user.runs(0, 5000)) == min(5000, track.user.size)
    assert refused > 50


@pytest.mark.parametrize("data", [b"", b"MEDIA DESCRIPTOR\2", b"MEDIA DESCRIPTOR\1" + bytes(100)])
def test_other_files_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.mdx")) is None


def test_starts_of_groups_are_in_a_row() -> None:
    """What is kept of a table: a group as it is counts whole, a run nothing, the last one what it has."""
    from array import array

    base = BytesReader(bytes(10))
    starts = sectors._starts(sectors.Packed(base, 100, 9, 2048, 2), array("H", [0, 0x8041, 700, 0x8000, 0]))
    assert [end - begin for begin, end in pairwise(starts)] == [4096, 0, 700, 0, 2048]
    assert starts[0] == 100
