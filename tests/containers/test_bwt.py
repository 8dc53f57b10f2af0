"""Images of BlindWrite 4: .bwt, .bwi, .bws."""

import struct
from pathlib import Path

import pytest

from imagefs.containers.bwt import FORMAT, parts
from imagefs.disc import Disc
from imagefs.errors import DamagedError, ImageError, MissingPartError, OutsideError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.image import open_image
from imagefs.readers import BytesReader
from imagefs.sources import Folder
from tests.builders.bwt import AUDIO, MODE1, MODE2, Entry, bwt
from tests.builders.descriptors import open_path, sessions, table
from tests.builders.discs import write_cue
from tests.builders.sectors import stored, tone, volume
from tests.builders.subchannel import linear, position
from tests.contract import check_reader

SECOND = 40 + 150 + 30 + 11_400
GAP = stored(bytes(150 * 2048), "MODE1/2352", SECOND - 150)
IMAGE = stored(volume(40), "MODE1/2352") + tone(180) + GAP + stored(volume(30, SECOND), "MODE2/2352", SECOND)
ENTRIES = [
    Entry(0xA1, 0, 0, 0, 0, title=b"The Disc", performer=b"All", code=b"1234567890123"),
    Entry(1, MODE1, -150, 0, 40, skipped=150),
    Entry(2, AUDIO, 40, 190, 220, 40 * 2352, control=3, title=b"Caf\xe9\0", performer=b"Me", code=b"ABCDE1234567"),
    Entry(3, MODE2, SECOND - 150, SECOND, SECOND + 30, 220 * 2352, session=2),
]
WHOLE = bwt(ENTRIES)


def open_bytes(folder: Path, descriptor: bytes, files: dict[str, bytes]) -> Disc:
    return open_path(FORMAT, write_cue(folder, descriptor, files, "disc.bwt"))


def test_sessions_of_data_and_audio(tmp_path: Path) -> None:
    disc = open_bytes(tmp_path, WHOLE, {"disc.bwi": IMAGE})
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "audio", 190, 30), (3, "mode2/2352", SECOND, 30)]
    assert sessions(disc) == [(1, [1, 2]), (2, [3])]
    assert [(track.pregap, track.pregap_stored) for track in disc.tracks] == [(150, 0), (150, 150), (150, 150)]
    assert [track.flags for track in disc.tracks] == [(), ("PRE", "DCP"), ()]
    assert [track.texts for track in disc.tracks] == [{}, {"title": "Café", "performer": "Me"}, {}]
    assert (disc.catalog, disc.tracks[1].isrc) == ("1234567890123", "ABCDE1234567")
    assert (disc.title, disc.performer, disc.warnings) == ("The Disc", "All", ())
    check_reader(disc.raw, volume(40) + tone(180)[150 * 2352 :] + volume(30, SECOND))


def test_what_is_hidden_before_the_first_track_is_its_pregap(tmp_path: Path) -> None:
    disc = open_bytes(tmp_path, bwt([Entry(1, AUDIO, -150, 12, 42, skipped=150)]), {"disc.bwi": tone(42)})
    assert table(disc) == [(1, "audio", 12, 30)]
    assert (disc.tracks[0].pregap, disc.tracks[0].pregap_stored) == (162, 12)
    check_reader(disc.raw, tone(42)[12 * 2352 :])


def test_the_first_sectors_of_the_file_may_belong_to_the_pregap(tmp_path: Path) -> None:
    image = stored(bytes(150 * 2048), "MODE1/2352", -150) + stored(volume(40), "MODE1/2352")
    disc = open_bytes(tmp_path, bwt([Entry(1, MODE1, -150, 0, 40)]), {"disc.bwi": image})
    assert (table(disc), disc.warnings) == ([(1, "mode1/2352", 0, 40)], ())
    check_reader(disc.raw, volume(40))


def test_tracks_in_files_of_their_own(tmp_path: Path) -> None:
    entries = [
        Entry(1, MODE1, -150, 0, 40, skipped=150),
        Entry(2, AUDIO, 40, 40, 60, skipped=150, name=b"D:\\two.bwi\0"),
        Entry(3, AUDIO, 60, 60, 90, 40 * 2352, skipped=150, name=b"gone.bwi"),
    ]
    files = {"disc.bwi": stored(volume(40), "MODE1/2352") + tone(30, 9), "two.bwi": tone(20)}
    disc = open_bytes(tmp_path, bwt(entries), files)
    check_reader(disc.raw, volume(40) + tone(20) + tone(30, 9))
    assert disc.warnings == ("track 3 is taken from 'disc.bwi', since its own file 'gone.bwi' is not there",)


def test_tracks_that_name_the_common_file_under_its_old_name(tmp_path: Path) -> None:
    entries = [Entry(1, MODE1, -150, 0, 40, skipped=150, name=b"C:\\CD\\old.bwi")]
    disc = open_bytes(tmp_path, bwt(entries, b"C:\\CD\\old.bwi"), {"disc.bwi": stored(volume(40), "MODE1/2352")})
    assert (table(disc), disc.warnings) == ([(1, "mode1/2352", 0, 40)], ())


def test_the_subchannel(tmp_path: Path) -> None:
    subchannel = b"".join(linear(position(lba, 1, 1)) for lba in range(len(IMAGE) // 2352))
    disc = open_bytes(tmp_path, bwt(ENTRIES, subchannel=b"disc.bws"), {"disc.bwi": IMAGE, "disc.bws": subchannel})
    parts = [track.subchannel for track in disc.tracks]
    assert None not in parts
    assert [part.size // 96 for part in parts if part] == [40, 180, 180]
    assert b"".join(part.pread(0, part.size) for part in parts if part) == subchannel


@pytest.mark.parametrize("file", ["disc.bwt", "disc.bwi", "disc.bws", "DISC.BWI"])
def test_every_file_of_the_set_opens_the_disc(tmp_path: Path, file: str) -> None:
    files = {"DISC.BWI" if file == "DISC.BWI" else "disc.bwi": IMAGE, "disc.bws": bytes(96 * 300)}
    write_cue(tmp_path, WHOLE, files, "disc.bwt")
    with open_image(str(tmp_path / file)) as image:
        assert [step.name for step in image.steps] == ["bwt"]


@pytest.mark.parametrize("name", [b"old name.bwi", b"", b"C:\\Old\\name.bwi"])
def test_a_renamed_image(tmp_path: Path, name: bytes) -> None:
    assert len(open_bytes(tmp_path, bwt(ENTRIES, name), {"disc.bwi": IMAGE}).tracks) == 3


# --- damage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "missing"), [(b"disc.bwi", "disc.bwi"), (b"", "disc.bwi"), (b"old.bwi", "old.bwi")])
def test_data_that_are_missing_are_named(tmp_path: Path, name: bytes, missing: str) -> None:
    with pytest.raises(MissingPartError, match=f"its part '{missing}' is missing"):
        open_bytes(tmp_path, bwt(ENTRIES, name), {})


@pytest.mark.parametrize("name", [b"../disc.bwi", b"/etc/passwd"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: bytes) -> None:
    with pytest.raises(OutsideError):
        open_bytes(tmp_path, bwt(ENTRIES, name), {"disc.bwi": IMAGE})
    with pytest.raises(OutsideError):
        open_bytes(tmp_path, bwt([ENTRIES[1]._replace(name=name)]), {"disc.bwi": IMAGE})


def test_a_subchannel_that_leaves_the_folder_is_left_out(tmp_path: Path) -> None:
    disc = open_bytes(tmp_path, bwt(ENTRIES, subchannel=b"../disc.bws"), {"disc.bwi": IMAGE})
    assert [line.partition(": ")[0] for line in disc.warnings] == ["its subchannel is left out"]


@pytest.mark.parametrize(
    ("entry", "error", "says"),
    [
        (Entry(1, 3, -150, 0, 40), UnsupportedError, "track 1 of a BlindWrite image, of mode 3"),
        (Entry(0, MODE1, -150, 0, 40), DamagedError, "with a track 0"),
        (Entry(100, MODE1, -150, 0, 40), DamagedError, "with a track 100"),
        (Entry(1, MODE1, 10, 0, 40), DamagedError, "track 1 lies from LBA 10 over 0 to 40, outside"),
        (Entry(1, MODE1, -150, -10, 40), DamagedError, "over -10 to 40"),
        (Entry(1, MODE1, -150, 50, 40), DamagedError, "over 50 to 40"),
        (Entry(1, MODE1, -150, 0, 1 << 31), DamagedError, "to 2147483648, outside"),
        (Entry(1, MODE1, -(1 << 31), 0, 40), DamagedError, "from LBA -2147483648"),
        (Entry(1, MODE1, -150, 0, 40, skipped=151), DamagedError, "track 1 begins 2352 bytes before its file"),
        (Entry(1, MODE1, -150, 0, 40, skipped=0xFFFF_FFFF), DamagedError, "bytes before its file"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path: Path, entry: Entry, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        open_bytes(tmp_path, bwt([entry]), {"disc.bwi": IMAGE})


def test_a_descriptor_without_a_track(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="without a track"):
        open_bytes(tmp_path, bwt([]), {"disc.bwi": IMAGE})


def test_far_too_many_entries(tmp_path: Path) -> None:
    count = WHOLE.index(struct.pack("<I", len(ENTRIES) + 1), 31)
    with pytest.raises(DamagedError, match="4294967295 entries"):
        open_bytes(tmp_path, WHOLE[:count] + b"\xff" * 4 + WHOLE[count + 4 :], {"disc.bwi": IMAGE})


def test_more_tracks_than_a_disc_can_have_are_not_even_looked_for(tmp_path: Path) -> None:
    entries = [Entry(1, MODE1, -150, 0, 40, name=b"%d.bwi" % number) for number in range(100)]
    descriptor = Candidate(BytesReader(bwt(entries)), "disc.bwt", Folder(str(tmp_path)))
    with pytest.raises(DamagedError, match="100 tracks of a BlindWrite descriptor; a disc has at most 99"):
        parts(descriptor)


def test_what_a_cut_image_has_lost_is_missing(tmp_path: Path) -> None:
    disc = open_bytes(tmp_path, bwt(ENTRIES[1:2]), {"disc.bwi": IMAGE[: 25 * 2352]})
    assert disc.warnings == ("the last 15 of the 40 sectors of track 1 are not in the file",)
    check_reader(disc.raw, volume(40), missing=[(25 * 2048, 40 * 2048)])


@pytest.mark.parametrize("data", [b"", b"BLINDWRITE TOC FIL", b"BWT5 STREAM SIGN" + bytes(300)])
def test_other_files_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.bwt")) is None


def test_a_flipped_byte_never_shows_what_the_image_has_not(tmp_path: Path) -> None:
    path = write_cue(tmp_path, WHOLE, {"disc.bwi": IMAGE}, "disc.bwt")
    refused = 0
    for at in range(19, len(WHOLE), 7):
        path.write_bytes(WHOLE[:at] + bytes((WHOLE[at] ^ 0x81,)) + WHOLE[at + 1 :])
        try:
            disc = open_path(FORMAT, path)
        except ImageError:
            refused += 1
            continue
        for track in disc.tracks:
            assert sum(run.length for run in track.user.runs(0, 5000)) == min(5000, track.user.size)
    assert refused > 15


@pytest.mark.parametrize("cut", range(19, len(WHOLE), 17))
def test_a_cut_descriptor_is_refused(tmp_path: Path, cut: int) -> None:
    with pytest.raises(DamagedError):
        open_bytes(tmp_path, WHOLE[:cut], {"disc.bwi": IMAGE})
