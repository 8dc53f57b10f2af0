"""Images of readcd -clone: NAME and NAME.toc."""

from pathlib import Path

import pytest

from imagefs.containers.readcd import FORMAT
from imagefs.disc import Disc
from imagefs.errors import DamagedError, ImageError, MissingPartError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.image import open_image
from imagefs.readers import BytesReader
from tests.builders.descriptors import open_path, sessions, table, try_path
from tests.builders.discs import write_cue
from tests.builders.readcd import AUDIO, DATA, Row, clone, toc
from tests.builders.sectors import stored, tone, volume
from tests.builders.subchannel import catalog, isrc
from tests.builders.toc import Statements
from tests.builders.toc import toc as cdrdao_toc
from tests.contract import check_reader

ROWS = [Row(1, 1, DATA, 0), Row(1, 2, AUDIO, 45, pregap=5), Row(1, 3, AUDIO | 3, 60)]
MAIN = stored(volume(40), "MODE1/2352") + tone(20) + tone(30, 9)
NUMBERS = {7: catalog(7, "1234567890123"), 50: isrc(50, "ABCDE1234567")}
IMAGE = clone(MAIN, ROWS, NUMBERS)
TOC = toc(ROWS, [90])


def write_clone(folder: Path, table_of_contents: bytes, image: bytes | None, name: str = "disc") -> Path:
    return write_cue(folder, table_of_contents, {} if image is None else {name: image}, "disc.toc")


def open_clone(folder: Path, rows: list[Row], lead_outs: list[int], main: bytes) -> Disc:
    return open_path(FORMAT, write_clone(folder, toc(rows, lead_outs), clone(main, rows)))


def test_data_and_audio(tmp_path: Path) -> None:
    disc = open_path(FORMAT, write_clone(tmp_path, TOC, IMAGE))
    assert table(disc) == [(1, "mode1/2448", 0, 40), (2, "audio", 45, 15), (3, "audio", 60, 30)]
    assert [(track.pregap, track.pregap_stored) for track in disc.tracks] == [(150, 0), (5, 5), (0, 0)]
    assert [track.flags for track in disc.tracks] == [(), (), ("PRE", "DCP")]
    assert [track.isrc for track in disc.tracks] == ["", "ABCDE1234567", ""]
    assert (disc.catalog, disc.warnings) == ("1234567890123", ())
    check_reader(disc.raw, volume(40) + tone(20)[5 * 2352 :] + tone(30, 9))
    check_reader(disc.space, volume(40))


def test_the_subchannel_of_a_track_is_what_lies_behind_its_sectors(tmp_path: Path) -> None:
    disc = open_path(FORMAT, write_clone(tmp_path, TOC, IMAGE))
    subchannel = disc.tracks[2].subchannel
    assert subchannel is not None
    check_reader(subchannel, b"".join(IMAGE[at * 2448 + 2352 : (at + 1) * 2448] for at in range(60, 90)))


@pytest.mark.parametrize("true", ["MODE1/2352", "MODE2/2352"])
def test_the_sectors_tell_the_mode(tmp_path: Path, true: str) -> None:
    disc = open_clone(tmp_path, [Row(1, 1, DATA, 0)], [40], stored(volume(40), true))
    assert [track.mode for track in disc.tracks] == [f"{true[:5].lower()}/2448"]
    check_reader(disc.space, volume(40))


@pytest.mark.parametrize("end", [b"\x01\0", b"\0\x01\0", b"", b"\0"], ids=["cdrkit", "cdrtools", "-fulltoc", "filled"])
def test_what_stands_behind_the_entries(tmp_path: Path, end: bytes) -> None:
    disc = open_path(FORMAT, write_clone(tmp_path, toc(ROWS, [90], end), IMAGE))
    assert len(disc.tracks) == 3


def test_what_is_hidden_before_the_first_track_is_its_pregap(tmp_path: Path) -> None:
    disc = open_clone(tmp_path, [Row(1, 1, AUDIO, 12, pregap=12)], [42], tone(42))
    assert table(disc) == [(1, "audio", 12, 30)]
    assert (disc.tracks[0].pregap, disc.tracks[0].pregap_stored) == (162, 12)
    check_reader(disc.raw, tone(42)[12 * 2352 :])


def test_sessions_with_the_gap_between_them(tmp_path: Path) -> None:
    second = 40 + 11_400
    main = stored(volume(40), "MODE1/2352") + bytes(11_400 * 2352)
    main += stored(volume(30, second), "MODE2/2352", second)
    disc = open_clone(tmp_path, [Row(1, 1, DATA, 0), Row(2, 2, DATA, second)], [40, second + 30], main)
    assert table(disc) == [(1, "mode1/2448", 0, 40), (2, "mode2/2448", second, 30)]
    assert (sessions(disc), disc.warnings) == ([(1, [1]), (2, [2])], ())
    check_reader(disc.raw, volume(40) + volume(30, second))


def test_entries_in_another_order(tmp_path: Path) -> None:
    entries = [TOC[at : at + 11] for at in range(4, len(TOC) - 2, 11)]
    disc = open_path(FORMAT, write_clone(tmp_path, TOC[:4] + b"".join(entries[::-1]) + TOC[-2:], IMAGE))
    assert table(disc) == [(1, "mode1/2448", 0, 40), (2, "audio", 45, 15), (3, "audio", 60, 30)]


@pytest.mark.parametrize("name", ["disc", "DISC", "disc.bin", "disc.img"])
def test_every_file_of_the_set_opens_the_disc(tmp_path: Path, name: str) -> None:
    path = write_clone(tmp_path, TOC, IMAGE, name)
    for file in (path.name, name):
        with open_image(str(tmp_path / file)) as image:
            assert [step.name for step in image.steps] == ["readcd"]


@pytest.mark.parametrize("name", ["game.img", "game.v1.bin", "game.clone"])
def test_a_name_that_keeps_its_extension(tmp_path: Path, name: str) -> None:
    write_cue(tmp_path, TOC, {name: IMAGE}, f"{name}.toc")
    for file in (name, f"{name}.toc"):
        with open_image(str(tmp_path / file)) as image:
            assert [step.name for step in image.steps] == ["readcd"]


def test_a_cdrdao_toc_of_the_same_name_is_told_apart(tmp_path: Path) -> None:
    text = cdrdao_toc([Statements("MODE1_RAW RW_RAW", ['DATAFILE "disc.bin"'])])
    write_cue(tmp_path, text, {"disc.bin": IMAGE[: 40 * 2448]}, "disc.toc")
    for file in ("disc.toc", "disc.bin"):
        with open_image(str(tmp_path / file)) as image:
            assert [step.name for step in image.steps] == ["toc"]


# --- damage ---------------------------------------------------------------------------------------------------------------


def test_an_image_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match=r"its part 'disc' is missing"):
        open_path(FORMAT, write_clone(tmp_path, TOC, None))


@pytest.mark.parametrize("sectors", ["MODE1/2048", "MODE1/2352"])
def test_an_image_without_subchannel_is_no_clone(tmp_path: Path, sectors: str) -> None:
    path = write_clone(tmp_path, toc([Row(1, 1, DATA, 0)], [40]), stored(volume(40), sectors))
    with pytest.raises(DamagedError, match=f"sectors of {sectors[6:]} bytes, not the 2448"):
        open_path(FORMAT, path)
    with open_image(str(tmp_path / "disc")) as image:
        assert "readcd" not in [step.name for step in image.steps]
        assert image.warnings[0].startswith("disc.toc beside it is not used: its data file has sectors of")


@pytest.mark.parametrize(
    ("rows", "lead_outs", "says"),
    [
        ([Row(1, 1, DATA, -1)], [40], "before LBA 0"),
        ([Row(1, 1, DATA, 0), Row(2, 2, DATA, 60)], [40], "session 2 has no entry for its lead-out"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path: Path, rows: list[Row], lead_outs: list[int], says: str) -> None:
    entries = toc(rows[:1], lead_outs, b"")
    for row in rows[1:]:
        entries += bytes((row.session, 0x14, 0, row.number, 0, 0, 0, 0, 0, 4, 0))
    whole = (len(entries) - 2).to_bytes(2, "big") + bytes((1, rows[-1].session)) + entries[4:]
    with pytest.raises(DamagedError, match=says):
        open_path(FORMAT, write_clone(tmp_path, whole, IMAGE))


def test_what_a_cut_image_has_lost_is_missing(tmp_path: Path) -> None:
    rows = [Row(1, 1, DATA, 0)]
    image = clone(stored(volume(40), "MODE1/2352"), rows)
    disc = open_path(FORMAT, write_clone(tmp_path, toc(rows, [40]), image[: 25 * 2448]))
    assert disc.warnings == ("the last 15 of the 40 sectors of track 1 are not in the file",)
    check_reader(disc.raw, volume(40), missing=[(25 * 2048, 40 * 2048)])


def test_a_track_behind_its_successor_is_empty_with_a_warning(tmp_path: Path) -> None:
    rows = [Row(1, 1, AUDIO, 0), Row(1, 2, AUDIO, 60), Row(1, 3, AUDIO, 20)]
    disc = open_path(FORMAT, write_clone(tmp_path, toc(rows, [90]), clone(tone(90), rows[:1])))
    assert disc.warnings == ("track 2 cannot have -40 sectors; it has 0",)
    assert table(disc) == [(1, "audio", 0, 60), (2, "audio", 60, 0), (3, "audio", 20, 70)]


def test_scrambled_sectors_are_named(tmp_path: Path) -> None:
    sector = stored(bytes(2048), "MODE1/2352")
    key = b"\x01\x80\x00\x60"
    scrambled = sector[:12] + bytes(a ^ b for a, b in zip(sector[12:16], key, strict=True)) + sector[16:]
    with pytest.raises(UnsupportedError, match="scrambled sectors in track 1"):
        open_clone(tmp_path, [Row(1, 1, DATA, 0)], [20], scrambled * 20)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"CD_ROM\n\nTRACK MODE1_RAW\n",
        bytes(5000),
        TOC[:-3],
        TOC + b"123",
        TOC[:2] + b"\0\0" + TOC[4:],
        toc(ROWS, [90]).replace(b"\0\xa2", b"\0\xa3"),
        b"\0\x02\x01\x01\x01\0",
        TOC + bytes(1 << 16),
    ],
)
def test_other_files_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.toc")) is None


def test_a_flipped_byte_never_shows_what_the_image_has_not(tmp_path: Path) -> None:
    path = write_clone(tmp_path, TOC, IMAGE)
    read = 0
    for at in range(len(TOC)):
        path.write_bytes(TOC[:at] + bytes((TOC[at] ^ 0x11,)) + TOC[at + 1 :])
        try:
            disc = try_path(FORMAT, path)
        except ImageError:
            continue
        for track in disc.tracks if disc else ():
            assert sum(run.length for run in track.user.runs(0, 5000)) == min(5000, track.user.size)
            read += 1
    assert read > 50


@pytest.mark.parametrize("cut", range(0, len(TOC) - 2, 3))
def test_a_cut_table_of_contents_is_left_alone(cut: int) -> None:
    assert FORMAT.probe(Candidate(BytesReader(TOC[:cut]), "disc.toc")) is None
