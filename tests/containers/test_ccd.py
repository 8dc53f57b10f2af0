"""CloneCD images: .ccd, .img, .sub."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.containers.ccd import FORMAT
from imagefs.disc import Disc
from imagefs.errors import DamagedError, MissingPartError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.image import open_image
from imagefs.readers import BytesReader
from tests.builders.ccd import AUDIO, DATA, Row, ccd
from tests.builders.descriptors import open_path, run_tool, sessions, table, try_path
from tests.builders.discs import write_cue
from tests.builders.sectors import stored, tone, volume
from tests.contract import check_reader
from tests.disc.test_cdtext import PERFORMER, TITLE, packs

IMAGE = stored(volume(40), "MODE1/2352") + tone(20) + tone(30, 9)
ROWS = [
    Row(1, 1, DATA, 0, 1),
    Row(1, 2, AUDIO, 45, 0, {"INDEX 0": 40, "INDEX 1": 45, "INDEX 2": 50, "ISRC": "ABCDE1234567"}),
    Row(1, 3, AUDIO | 3, 60, 0),
]
MIXED = ccd(ROWS, [90], disc={"CATALOG": "1234567890123"})


def write_ccd(folder: Path, text: str, image: bytes | None, **others: bytes) -> Path:
    """`sub=` is the content of `disc.sub`."""
    files = {f"disc.{name}": content for name, content in others.items()}
    return write_cue(folder, text, files | ({} if image is None else {"disc.img": image}), "disc.ccd")


def open_text(folder: Path, text: str, image: bytes) -> Disc:
    return open_path(FORMAT, write_ccd(folder, text, image))


def test_data_and_audio(tmp_path: Path) -> None:
    disc = open_text(tmp_path, MIXED, IMAGE)
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "audio", 45, 15), (3, "audio", 60, 30)]
    assert [track.pregap_stored for track in disc.tracks] == [0, 5, 0]
    assert [track.indexes for track in disc.tracks] == [(), (50,), ()]
    assert [track.flags for track in disc.tracks] == [(), (), ("PRE", "DCP")]
    assert (disc.catalog, disc.tracks[1].isrc, disc.warnings) == ("1234567890123", "ABCDE1234567", ())
    check_reader(disc.raw, volume(40) + tone(20)[5 * 2352 :] + tone(30, 9))
    check_reader(disc.space, volume(40))


def test_without_track_sections(tmp_path: Path) -> None:
    disc = open_text(tmp_path, ccd(ROWS, [90], version=2), IMAGE)
    assert table(disc) == [(1, "mode1/2352", 0, 45), (2, "audio", 45, 15), (3, "audio", 60, 30)]


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("true", ["MODE1/2352", "MODE2/2352"])
def test_the_sectors_tell_the_mode(tmp_path: Path, mode: int, true: str) -> None:
    disc = open_text(tmp_path, ccd([Row(1, 1, DATA, 0, mode)], [40]), stored(volume(40), true))
    assert table(disc) == [(1, true.lower(), 0, 40)]
    check_reader(disc.space, volume(40))


def test_what_is_hidden_before_the_first_track_is_its_pregap(tmp_path: Path) -> None:
    disc = open_text(tmp_path, ccd([Row(1, 1, AUDIO, 12, 0)], [42]), tone(42))
    assert table(disc) == [(1, "audio", 12, 30)]
    assert disc.tracks[0].pregap_stored == 12
    check_reader(disc.raw, tone(42)[12 * 2352 :])


@pytest.mark.parametrize("gap", [11_400, 11_250])
@pytest.mark.parametrize("has_gaps", [False, True], ids=["without the gaps", "with the gaps"])
def test_sessions(tmp_path: Path, gap: int, has_gaps: bool) -> None:
    second, third = 40 + gap, 40 + gap + 30 + 6900
    rows = [Row(1, 1, DATA, 0, 1), Row(2, 2, DATA, second, 1), Row(3, 3, AUDIO, third, 0)]
    between = [bytes(gap * 2352), bytes(6900 * 2352)] if has_gaps else [b"", b""]
    data = stored(volume(30, second), "MODE1/2352", second)
    image = stored(volume(40), "MODE1/2352") + between[0] + data + between[1] + tone(9)
    disc = open_text(tmp_path, ccd(rows, [40, second + 30, third + 9]), image)
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "mode1/2352", second, 30), (3, "audio", third, 9)]
    assert sessions(disc) == [(1, [1]), (2, [2]), (3, [3])]
    assert disc.warnings == ()
    check_reader(disc.raw, volume(40) + volume(30, second) + tone(9))
    assert disc.space.pread(second * 2048, 10**6) == volume(30, second)


def test_cd_text(tmp_path: Path) -> None:
    text = packs(TITLE, 0, b"Disc\0One\0Two\0") + packs(PERFORMER, 0, b"All\0")
    cut = [text[at : at + 16] for at in range(0, len(text), 18)]
    disc = open_text(tmp_path, ccd(ROWS, [90], packs=[*cut, b"short"]), IMAGE)
    assert (disc.title, disc.performer) == ("Disc", "All")
    assert [track.title for track in disc.tracks] == ["One", "Two", ""]


@pytest.mark.parametrize(
    "text",
    [
        MIXED.replace("\r\n", "\n"),
        MIXED.replace("\r\n", "\r"),
        MIXED.upper(),
        MIXED.lower(),
        MIXED.replace("=", " = "),
        "\ufeff" + MIXED + "\x1a\0",
        MIXED.replace("Point=0x0", "Point=0").replace("Control=0x0", "Control="),
        MIXED.replace("PMin", "XMin").replace("PSec", "XSec").replace("PFrame", "XFrame"),
        MIXED.replace("PLBA", "XLBA"),
        MIXED.replace("\r\n[", "\r\n\r\nnonsense\r\n["),
    ],
    ids=["lf", "cr", "upper", "lower", "blanks", "marks", "decimal", "addresses", "times", "lines that mean nothing"],
)
def test_the_same_text_in_many_dresses(tmp_path: Path, text: str) -> None:
    disc = open_text(tmp_path, text, IMAGE)
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "audio", 45, 15), (3, "audio", 60, 30)]
    assert disc.warnings == ()


@pytest.mark.parametrize("name", ["disc.img", "DISC.IMG", "disc.bin"])
def test_names_of_the_image(tmp_path: Path, name: str) -> None:
    path = write_cue(tmp_path, MIXED, {name: IMAGE}, "disc.ccd")
    assert len(open_path(FORMAT, path).tracks) == 3


@pytest.mark.parametrize("name", ["disc.img", "disc.sub"])
def test_every_file_of_the_set_opens_the_disc(tmp_path: Path, name: str) -> None:
    write_ccd(tmp_path, MIXED, IMAGE, sub=bytes(90 * 96))
    with open_image(str(tmp_path / name)) as image:
        assert [step.name for step in image.steps] == ["ccd"]


# --- other readers --------------------------------------------------------------------------------------------------------


@pytest.mark.foreign
@pytest.mark.parametrize("mode", ["MODE1/2352", "MODE2/2352"])
def test_ccd2iso_takes_out_the_same(tmp_path: Path, need: Callable[..., None], mode: str) -> None:
    need("ccd2iso")
    path = write_ccd(tmp_path, ccd([Row(1, 1, DATA, 0, int(mode[4]))], [40]), stored(volume(40), mode))
    run_tool("ccd2iso", "disc.img", "out.iso", folder=tmp_path)
    assert (tmp_path / "out.iso").read_bytes() == open_path(FORMAT, path).raw.pread(0, 10**6) == volume(40)


# --- damage ---------------------------------------------------------------------------------------------------------------


def test_an_image_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match=r"'disc\.img'"):
        open_path(FORMAT, write_ccd(tmp_path, MIXED, None))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MIXED.replace("Point=0x01", "Point=one"), r"\[entry 3\] point: 'one' is no number"),
        (MIXED.replace("Point=0x01", ""), r"\[entry 3\] point: 'nothing' is no number"),
        (MIXED.replace("PLBA=45", "PLBA=-5"), r"\[entry 4\]: LBA -5 lies outside"),
        (MIXED.replace("PLBA=45", "PLBA=4555555555"), r"\[entry 4\]: LBA 4555555555 lies outside"),
        (MIXED.replace("Session=1", "Session=100"), "at most 99 sessions, this is 100"),
        (MIXED.replace("Point=0xa2", "Point=0xa3"), r"session 1 has no entry for its lead-out"),
        (MIXED.replace("INDEX 1=45", "INDEX 1=x"), r"\[track 2\] index 1: 'x' is no number"),
        ("[CloneCD]\nVersion=3\n", r"no \[Entry\] of it is a track"),
        ("[CloneCD]\n" * 17_000, "more than 16384 sections"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_section(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DamagedError, match=says):
        open_text(tmp_path, text, IMAGE)


def test_what_a_cut_image_has_lost_is_missing(tmp_path: Path) -> None:
    disc = open_text(tmp_path, ccd([Row(1, 1, DATA, 0, 1)], [40]), IMAGE[: 25 * 2352])
    assert disc.warnings == ("the last 15 of the 40 sectors of track 1 are not in the file",)
    check_reader(disc.raw, volume(40), missing=[(25 * 2048, 40 * 2048)])


def test_a_track_behind_its_successor_is_empty_with_a_warning(tmp_path: Path) -> None:
    rows = [Row(1, 1, AUDIO, 0, 0), Row(1, 2, AUDIO, 60, 0), Row(1, 3, AUDIO, 20, 0)]
    disc = open_text(tmp_path, ccd(rows, [90]), tone(90))
    assert disc.warnings == ("track 2 cannot have -40 sectors; it has 0",)
    assert table(disc) == [(1, "audio", 0, 60), (2, "audio", 60, 0), (3, "audio", 20, 70)]


def test_scrambled_sectors_are_named(tmp_path: Path) -> None:
    sector = stored(bytes(2048), "MODE1/2352")
    scrambled = (
        sector[:12] + bytes(a ^ b for a, b in zip(sector[12:16], b"\x01\x80\x00\x60", strict=True)) + sector[16:]
    )
    with pytest.raises(UnsupportedError, match="scrambled sectors in track 1"):
        open_text(tmp_path, ccd([Row(1, 1, DATA, 0, 1)], [20]), scrambled * 20)


def test_a_long_text_is_no_descriptor() -> None:
    assert FORMAT.probe(Candidate(BytesReader(MIXED.encode() + b" " * (1 << 20)), "disc.ccd")) is None


@pytest.mark.parametrize("data", [b"", b"[CloneC", b"[Clone]\n", b"CD_DA\n", bytes(5000), b"text\n[CloneCD]\n"])
def test_other_texts_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.ccd")) is None


@pytest.mark.parametrize("cut", range(0, len(MIXED), 11))
def test_a_cut_text_is_refused_or_read(tmp_path: Path, cut: int) -> None:
    disc = try_path(FORMAT, write_ccd(tmp_path, MIXED[:cut], IMAGE))
    assert disc is None or len(disc.tracks) <= 3
