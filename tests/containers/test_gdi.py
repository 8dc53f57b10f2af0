"""GD-ROMs described by GDI sheets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.containers.gdi import FORMAT
from imagefs.errors import DamagedError, MissingPartError, OutsideError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.image import open_image
from imagefs.readers import BytesReader
from tests.builders.descriptors import open_path, run_tool, sessions, table, try_path
from tests.builders.discs import write_cue
from tests.builders.gdi import Line, gdi
from tests.builders.sectors import pattern, stored, tone, volume
from tests.contract import check_reader

HIGH = 45_000
LOW_DATA, HIGH_DATA = volume(40), volume(60, HIGH)
LINES = [
    Line(1, 0, 4, 2352, "track01.bin"),
    Line(2, 190, 0, 2352, "track02.raw"),
    Line(3, HIGH, 4, 2352, "track03.bin"),
    Line(4, HIGH + 210, 0, 2352, "track04.raw"),
    Line(5, HIGH + 400, 4, 2352, "track 05.bin"),
]
FILES = {
    "track01.bin": stored(LOW_DATA, "MODE1/2352"),
    "track02.raw": tone(20),
    "track03.bin": stored(HIGH_DATA, "MODE1/2352", HIGH),
    "track04.raw": tone(30, 9),
    "track 05.bin": stored(pattern(30), "MODE1/2352", HIGH + 400),
}


def write_gdi(folder: Path, lines: list[Line] | str = LINES, files: dict[str, bytes] = FILES) -> Path:
    return write_cue(folder, lines if isinstance(lines, str) else gdi(lines), files, "disc.gdi")


def test_both_areas_are_sessions(tmp_path: Path) -> None:
    disc = open_path(FORMAT, write_gdi(tmp_path))
    assert table(disc) == [
        (1, "mode1/2352", 0, 40),
        (2, "audio", 190, 20),
        (3, "mode1/2352", HIGH, 60),
        (4, "audio", HIGH + 210, 30),
        (5, "mode1/2352", HIGH + 400, 30),
    ]
    assert sessions(disc) == [(1, [1, 2]), (2, [3, 4, 5])]
    assert (disc.medium, disc.warnings) == ("GD-ROM", ())
    check_reader(disc.raw, LOW_DATA + tone(20) + HIGH_DATA + tone(30, 9) + pattern(30))
    assert disc.space.pread(HIGH * 2048, 60 * 2048) == HIGH_DATA
    assert disc.space.pread((HIGH + 400) * 2048, 10**6) == pattern(30)
    with pytest.raises(DamagedError):
        disc.space.pread((HIGH + 399) * 2048, 2048)


def test_both_areas_are_shown(tmp_path: Path) -> None:
    with open_image(str(write_gdi(tmp_path))) as image:
        assert sorted(volume.number for volume, _ in image.filesystems) == [1, 3]
        names = [name for name, _ in image.tree.entries(image.tree.root)]
        assert [name.partition(b"-")[0] for name in names[:2]] == [b"1", b"3"]


@pytest.mark.parametrize(
    ("size", "mode", "shown"),
    [(2048, "MODE1/2048", "mode1/2048"), (2448, "MODE1/2448", "mode1/2448"), (2336, "MODE2/2336", "mode2/2336")],
)
def test_sectors_of_other_sizes(tmp_path: Path, size: int, mode: str, shown: str) -> None:
    path = write_gdi(tmp_path, [Line(1, 0, 4, size, "a.bin")], {"a.bin": stored(volume(40), mode)})
    disc = open_path(FORMAT, path)
    assert table(disc) == [(1, shown, 0, 40)]
    check_reader(disc.space, volume(40))


@pytest.mark.parametrize(
    ("told", "true"), [(2048, "MODE1/2352"), (2352, "MODE1/2048"), (2352, "MODE1/2448"), (2352, "MODE2/2352")]
)
def test_a_layout_that_the_sectors_contradict_is_corrected(tmp_path: Path, told: int, true: str) -> None:
    path = write_gdi(tmp_path, [Line(1, 0, 4, told, "a.bin")], {"a.bin": stored(volume(40), true)})
    disc = open_path(FORMAT, path)
    assert table(disc) == [(1, true.lower(), 0, 40)]
    (warning,) = disc.warnings
    assert f"is {true.lower()} by its sectors, not mode1/{told}" in warning
    check_reader(disc.space, volume(40))


def test_tracks_may_share_a_file(tmp_path: Path) -> None:
    whole = b"HEAD" + stored(volume(40), "MODE1/2352") + tone(20)
    lines = [Line(1, 0, 4, 2352, "all.bin", 4), Line(2, 190, 0, 2352, "all.bin", 4 + 40 * 2352)]
    disc = open_path(FORMAT, write_gdi(tmp_path, lines, {"all.bin": whole}))
    assert table(disc) == [(1, "mode1/2352", 0, 40), (2, "audio", 190, 20)]
    check_reader(disc.raw, volume(40) + tone(20))


@pytest.mark.parametrize(
    "text",
    [
        "1\r\n1 0 4 2352 a.bin 0\r\n",
        "\ufeff1\r1 0 4 2352 a.bin 0\r",
        '1\n\n  1  0  4  2352  "a.bin"  -9\n\x1a',
        "1\n1 0 4 2352 a.bin",
        "1\n1 0 4 2352 A.BIN 0\n",
        "1\n1 0 4 2352 .\\a.bin 0\n",
        "1\n1 0 4 2352 C:\\dumps\\a.bin 0\n",
        "1\n1 0 4 2352 lost/a.bin 0\n",
    ],
    ids=[
        "crlf",
        "cr, mark",
        "quotes, negative offset",
        "no offset",
        "case",
        "backslash",
        "windows path",
        "other folder",
    ],
)
def test_the_same_sheet_in_many_dresses(tmp_path: Path, text: str) -> None:
    disc = open_path(FORMAT, write_gdi(tmp_path, text, {"a.bin": stored(volume(40), "MODE1/2352")}))
    assert table(disc) == [(1, "mode1/2352", 0, 40)]
    assert disc.warnings == ()


def test_the_volume_knows_its_address_better_than_the_sheet(tmp_path: Path) -> None:
    files = {"a.bin": stored(volume(40, HIGH), "MODE1/2352", HIGH)}
    disc = open_path(FORMAT, write_gdi(tmp_path, [Line(3, HIGH + 150, 4, 2352, "a.bin")], files))
    assert table(disc) == [(3, "mode1/2352", HIGH, 40)]
    assert disc.warnings == (f"line 2: track 3 begins at LBA {HIGH} by its volume, not at {HIGH + 150}",)


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_the_set_opens_the_disc(tmp_path: Path, name: str) -> None:
    write_gdi(tmp_path)
    with open_image(str(tmp_path / name)) as image:
        assert [step.name for step in image.steps] == ["gdi"]


@pytest.mark.foreign
def test_chdman_takes_out_the_same(tmp_path: Path, need: Callable[..., None]) -> None:
    need("chdman")
    files = {name.replace(" ", ""): content for name, content in FILES.items()}
    path = write_gdi(tmp_path, [line._replace(name=line.name.replace(" ", "")) for line in LINES], files)
    run_tool("chdman", "createcd", "-i", path, "-o", tmp_path / "disc.chd", folder=tmp_path)
    run_tool("chdman", "extractcd", "-i", tmp_path / "disc.chd", "-o", tmp_path / "out.gdi", folder=tmp_path)
    theirs = open_path(FORMAT, tmp_path / "out.gdi")
    ours = open_path(FORMAT, path)
    assert [track.start for track in theirs.tracks] == [track.start for track in ours.tracks]
    for mine, name in zip(ours.tracks, files, strict=True):
        (made,) = (p for p in tmp_path.glob(f"out{mine.number:02}.*"))
        assert made.read_bytes()[: len(files[name])] == files[name]


# --- damage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    path = write_gdi(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(MissingPartError) as caught:
        open_path(FORMAT, path)
    assert caught.value.name == name


@pytest.mark.parametrize("name", ["../a.bin", "/etc/passwd", "a\\..\\..\\b.bin"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutsideError):
        open_path(FORMAT, write_gdi(tmp_path, f"1\n1 0 4 2352 {name} 0\n", {}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2\n1 0 4 2352 a.bin 0\n2 x 4 2352 a.bin 0\n", "line 3: '2 x 4 2352 a.bin 0' is no track"),
        ("1\n1 0 4 2353 a.bin 0\n", "line 2: no track has sectors of 2353 bytes"),
        ("1\n1 0 0 2048 a.bin 0\n", "line 2: no track has sectors of 2048 bytes"),
        ("1\n1 99999999 4 2352 a.bin 0\n", "line 2: LBA 99999999 lies outside"),
        ("1\n" + "1 0 4 2352 a.bin 0\n" * 100, "line 101: a disc has at most 99 tracks"),
        ("1\n100 0 4 2352 a.bin 0\n", "track 100: a disc has at most 99"),
        ("1\n1 0 4 2352 disc.gdi 0\n", "names itself"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DamagedError, match=says):
        open_path(FORMAT, write_gdi(tmp_path, text, {"a.bin": tone(5)}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2\n1 0 4 2048 a.bin 0\n", "line 1 announces 2 tracks, 1 are there"),
        ("1\n1 0 0 2352 a.bin 1\n", "line 2: track 1 does not end with a whole sector; the rest is left out"),
        ("1\n1 0 0 2352 a.bin 9999999\n", "line 2: track 1 lies past the end of 'a.bin' and is empty"),
        ("2\n1 0 0 2352 a.bin 0\n1 9 0 2352 a.bin 2352\n", "line 3: track 1 after track 1 is taken as 2"),
    ],
)
def test_what_can_be_passed_over_is_a_warning(tmp_path: Path, text: str, says: str) -> None:
    disc = open_path(FORMAT, write_gdi(tmp_path, text, {"a.bin": tone(2048)[: 2352 * 2048]}))
    assert disc.warnings == (says,)


def test_scrambled_sectors_are_named(tmp_path: Path) -> None:
    sector = stored(bytes(2048), "MODE1/2352")
    keys = b"\x01\x80\x00\x60"
    scrambled = sector[:12] + bytes(a ^ b for a, b in zip(sector[12:16], keys, strict=True)) + sector[16:]
    with pytest.raises(UnsupportedError, match="scrambled sectors in track 1"):
        open_path(FORMAT, write_gdi(tmp_path, [Line(1, 0, 4, 2352, "a.bin")], {"a.bin": scrambled * 20}))


def test_a_long_text_is_no_sheet() -> None:
    text = gdi(LINES).encode() + b" " * (1 << 20)
    assert FORMAT.probe(Candidate(BytesReader(text), "disc.gdi")) is None


@pytest.mark.parametrize(
    "data", [b"", b"3", b"3\n", b"3\n1 0 4 2352\n", b"CD_DA\n", b'FILE "x" BINARY\nTRACK 01 AUDIO\n', bytes(5000)]
)
def test_other_texts_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.gdi")) is None


@pytest.mark.parametrize("cut", range(0, len(gdi(LINES)), 5))
def test_a_cut_sheet_is_refused_or_read(tmp_path: Path, cut: int) -> None:
    disc = try_path(FORMAT, write_gdi(tmp_path, gdi(LINES)[:cut]))
    assert disc is None or len(disc.tracks) <= 5
