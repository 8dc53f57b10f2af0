"""PlayStation discs in packages of the PSP."""

import struct
from pathlib import Path

import pytest

import imagefs
from imagefs.containers.pbp import FORMAT
from imagefs.disc import Disc
from imagefs.errors import DamagedError, ImageError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader
from tests.builders.descriptors import sessions, table
from tests.builders.pbp import AUDIO, BLOCK, CONTENT, DATA, PSAR_AT, TABLE_AT, Entry, contents, disc, msf, pbp, several
from tests.builders.sectors import pattern, stored, tone, volume
from tests.conftest import MakeIso, RunImagefs
from tests.contract import check_filesystem, check_reader

GAME = volume(70)
SECTORS = stored(GAME, "MODE2/2352")
"""4 blocks and 6 sectors."""
WITH_AUDIO = SECTORS + tone(330)
THREE = [Entry(DATA, 1, 0), Entry(AUDIO, 2, 220), Entry(AUDIO, 3, 300, 260)]


def opened(package: bytes) -> Disc:
    candidate = Candidate(BytesReader(package), "EBOOT.PBP")
    assert FORMAT.probe(candidate) is not None
    found = FORMAT.open(candidate, Options())
    assert isinstance(found, Disc)
    return found


def stored_in(found: Disc) -> bytes:
    """All stored sectors of the only session, which lie in a row."""
    return b"".join(track.stored.pread(0, track.stored.size) for track in found.tracks)


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


# --- one disc -------------------------------------------------------------------------------------------------------------


@pytest.mark.foreign
@pytest.mark.parametrize("tool", ["xorriso", "genisoimage"])
def test_the_files_of_a_bootable_disc(tree: Path, tmp_path: Path, make_iso: MakeIso, tool: str) -> None:
    boot = ("-b", "run.sh", "-no-emul-boot", "-boot-load-size", "4", "-c", "boot.cat")
    user = make_iso(tree, "-R", "-V", "GAME", "-no-pad", *boot, tool=tool).read_bytes()
    path = tmp_path / "EBOOT.PBP"
    path.write_bytes(pbp(disc(stored(user, "MODE2/2352"))))
    with imagefs.open_image(str(path)) as image:
        assert ([step.name for step in image.steps], image.warnings) == (["pbp"], [])
        check_reader(image.raw, user)
        found = check_filesystem(image.tree)
        assert found[b"/random.bin"] == (tree / "random.bin").read_bytes()
        assert found[b"/docs/Gr\xc3\xbc\xc3\x9fe.txt"] == "Grüße\n".encode()
        assert found[b"/link"] == "docs/Grüße.txt".encode()
        (starter,) = image.filesystems[0][1].boot_images()
        assert starter.content.pread(0, 18) == b"#!/bin/sh\necho hi\n"


@pytest.mark.parametrize("plain", [set(), {0, 1, 2, 3, 4}, {1, 4}])
@pytest.mark.parametrize("padding", [b"", bytes(13)])
def test_blocks_deflated_and_plain(plain: set[int], padding: bytes) -> None:
    found = opened(pbp(disc(SECTORS, is_plain=plain.__contains__, padding=padding)))
    assert (table(found), found.warnings) == ([(1, "mode2/2352", 0, 70)], ())
    check_reader(found.tracks[0].stored, SECTORS, BLOCK)
    check_reader(found.space, GAME)


def test_a_last_block_that_is_not_filled_up() -> None:
    check_reader(opened(pbp(disc(SECTORS, fill_up=False))).space, GAME)


def test_data_and_audio_tracks() -> None:
    found = opened(pbp(disc(WITH_AUDIO, contents(THREE, msf(400)))))
    assert table(found) == [(1, "mode2/2352", 0, 70), (2, "audio", 220, 40), (3, "audio", 300, 100)]
    assert [(track.pregap, track.pregap_stored) for track in found.tracks] == [(150, 0), (150, 150), (40, 40)]
    assert (sessions(found), found.warnings) == ([(1, [1, 2, 3])], ())
    check_reader(found.tracks[1].main, tone(330)[: 190 * 2352])
    check_reader(found.tracks[2].user, tone(330)[230 * 2352 :])


def test_mode_1() -> None:
    found = opened(pbp(disc(stored(GAME, "MODE1/2352"))))
    assert (table(found), found.warnings) == ([(1, "mode1/2352", 0, 70)], ())
    check_reader(found.space, GAME)


@pytest.mark.parametrize(
    ("lead_out", "sectors"),
    [
        (70, 70),  # popstation: the number of sectors
        (70 + 150, 70),  # its address, as a disc has it
        (65, 65),
        (64, 80),  # not in the last block: not of this disc
        (81, 80),
        (64 + 150, 80),
        (27 * 4500, 80),
    ],
)
def test_the_lead_out_is_believed_in_the_last_block_alone(lead_out: int, sectors: int) -> None:
    found = opened(pbp(disc(SECTORS, contents([Entry(DATA, 1, 0)], msf(lead_out)))))
    assert table(found) == [(1, "mode2/2352", 0, sectors)]
    assert found.tracks[0].stored.pread(0, sectors * 2352) == SECTORS.ljust(80 * 2352, b"\0")[: sectors * 2352]


def row(control: int, point: int, index0: bytes, index1: bytes) -> bytes:
    return struct.pack("<BBB3sB3s", control, 0, point, index0, 0, index1)


ZEROS = bytes(3)


@pytest.mark.parametrize(
    ("entries", "tracks", "says"),
    [
        # a table out of CloneCD has no index 0
        (
            row(DATA, 1, ZEROS, msf(150)) + row(AUDIO, 2, ZEROS, msf(370)) + row(AUDIO, 3, ZEROS, msf(450)),
            [(1, "mode2/2352", 0, 220, 0), (2, "audio", 220, 80, 0), (3, "audio", 300, 100, 0)],
            (),
        ),
        # index 1 of track 1 before index 0, as in the table that popstation comes with
        (row(DATA, 1, msf(151), msf(150)), [(1, "mode2/2352", 0, 400, 0)], ()),
        # index 1 where index 0 belongs, track 1 once more at the end
        (
            row(AUDIO, 1, msf(150), ZEROS) + row(AUDIO, 2, msf(370), ZEROS) + row(DATA, 1, msf(151), msf(150)),
            [(1, "mode2/2352", 0, 220, 0), (2, "audio", 220, 180, 0)],
            (),
        ),
        (
            row(AUDIO, 1, msf(150), ZEROS) + row(AUDIO, 2, msf(370), ZEROS),
            [(1, "mode2/2352", 0, 220, 0), (2, "audio", 220, 180, 0)],
            ("track 1 is mode2/2352 by its sectors, not audio",),
        ),
        (b"", [(1, "mode2/2352", 0, 400, 0)], ("its table of contents names no track; all of it is taken as one",)),
        (
            row(DATA, 0x1A, ZEROS, msf(150)) + row(DATA, 1, ZEROS, b"\xff\xff\xff"),
            [(1, "mode2/2352", 0, 400, 0)],
            ("its table of contents names no track; all of it is taken as one",),
        ),
    ],
)
def test_tables_of_contents_in_the_wild(
    entries: bytes, tracks: list[tuple[int, str, int, int, int]], says: tuple[str, ...]
) -> None:
    found = opened(pbp(disc(WITH_AUDIO, entries)))
    assert [(*row, track.pregap_stored) for row, track in zip(table(found), found.tracks, strict=True)] == tracks
    assert found.warnings == says
    assert stored_in(found) == WITH_AUDIO


def test_what_is_hidden_before_the_first_track_is_its_pregap() -> None:
    found = opened(pbp(disc(tone(42), contents([Entry(AUDIO, 1, 12)], msf(42)))))
    assert table(found) == [(1, "audio", 12, 30)]
    assert (found.tracks[0].pregap, found.tracks[0].pregap_stored) == (162, 12)
    check_reader(found.raw, tone(42)[12 * 2352 :])


def test_tracks_without_sectors_are_left_out() -> None:
    found = opened(pbp(disc(SECTORS, contents(THREE, msf(550)))))
    assert table(found) == [(1, "mode2/2352", 0, 80)]
    assert found.warnings == (
        "of its tracks 2, 3 there are no sectors (audio in ATRAC3 is not read); they are left out",
    )


# --- several discs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def set_of_three(tmp_path: Path) -> Path:
    """The second of its discs has audio, the third begins with other data."""
    third = stored(volume(50)[: 30 * 2048] + pattern(20, seed=9), "MODE2/2352")
    discs = [disc(SECTORS), disc(WITH_AUDIO, contents(THREE, msf(400))), disc(third)]
    path = tmp_path / "EBOOT.PBP"
    path.write_bytes(pbp(several(discs)))
    return path


def test_the_discs_of_a_set(set_of_three: Path) -> None:
    found = opened(set_of_three.read_bytes())
    assert sessions(found) == [(1, [1]), (2, [2, 3, 4]), (3, [5])]
    assert [track.start for track in found.tracks] == [0, 0, 220, 300, 0]
    assert (found.is_set, found.warnings) == (True, ())
    check_reader(found.space_until(1), GAME)
    check_reader(found.space_until(2), GAME)
    check_reader(found.space_until(3), volume(50)[: 30 * 2048] + pattern(20, seed=9))


def names(path: Path, **options: object) -> list[bytes]:
    with imagefs.open_image(str(path), Options(**options)) as image:  # type: ignore[arg-type]
        assert not image.warnings
        return [name for name, _ in image.tree.entries(image.tree.root)]


def test_they_lie_side_by_side(set_of_three: Path) -> None:
    audio = [b"track03.wav", b"track04.wav"]
    assert names(set_of_three) == [b"1-iso9660", b"2-iso9660", b"5-iso9660", *audio]
    assert names(set_of_three, layout="tree") == [b"disc1", b"disc2", b"disc3"]


def test_info_calls_them_discs(set_of_three: Path, run_imagefs: RunImagefs) -> None:
    lines = run_imagefs("info", str(set_of_three)).stdout.decode().splitlines()
    assert [line.split()[:2] for line in lines if " track " in line] == [["disc", "track"]]


def test_each_has_a_sheet_of_its_own(set_of_three: Path, tmp_path: Path) -> None:
    with imagefs.open_image(str(set_of_three), Options(meta=True)) as image:
        folder = image.find("/.imagefs/tracks")
        for name, node in image.tree.entries(folder):
            content = image.tree.open(node)
            (tmp_path / name.decode()).write_bytes(content.pread(0, content.size))
    assert sorted(path.name for path in tmp_path.glob("*.cue")) == ["disc1.cue", "disc2.cue", "disc3.cue"]
    with imagefs.open_image(str(tmp_path / "disc2.cue")) as image:
        assert image.disc is not None
        assert table(image.disc) == [(1, "mode2/2352", 0, 70), (2, "audio", 220, 40), (3, "audio", 300, 100)]
        check_reader(image.disc.space, GAME)
        assert not image.warnings


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.foreign
def test_one_of_them_alone(tmp_path: Path, make_iso: MakeIso, number: int) -> None:
    discs = []
    for each in (1, 2, 3):
        folder = tmp_path / f"disc{each}"
        folder.mkdir()
        (folder / f"GAME{each}.BIN").write_bytes(b"%d" % each * 5000)
        user = make_iso(folder, "-V", f"DISC{each}", "-no-pad", name=f"{each}.iso").read_bytes()
        discs.append(disc(stored(user, "MODE2/2352")))
    path = tmp_path / "EBOOT.PBP"
    path.write_bytes(pbp(several(discs)))
    for options in (Options(session=number), Options(volume=number)):
        with imagefs.open_image(str(path), options) as image:
            assert check_filesystem(image.tree) == {b"/GAME%d.BIN" % number: b"%d" % number * 5000}
    assert names(path) == [b"1-DISC1", b"2-DISC2", b"3-DISC3"]
    assert names(path, layout="flat") == [b"GAME1.BIN"]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (disc(SECTORS, game=b"\0PGD"), "it is an encrypted PlayStation disc (PGD), which imagefs has no keys for"),
        (patched(disc(SECTORS), 0, b"X"), "a disc would begin there with PSISOIMG0000"),
    ],
)
def test_a_disc_of_a_set_that_cannot_be_read_is_left_out(second: bytes, why: str) -> None:
    found = opened(pbp(several([disc(SECTORS), second, disc(SECTORS)])))
    assert sessions(found) == [(1, [1]), (3, [2])]
    (warning,) = found.warnings
    assert warning.startswith("its disc 2 is left out: ")
    assert warning.endswith(why)


def test_what_is_wrong_with_a_disc_of_a_set_is_said_of_it() -> None:
    found = opened(pbp(several([disc(SECTORS), disc(SECTORS, b"")])))
    assert found.warnings == ("disc 2: its table of contents names no track; all of it is taken as one",)


# --- what is not read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "error", "says"),
    [
        (pbp(disc(SECTORS, game=b"\0PGD")), UnsupportedError, "encrypted PlayStation disc"),
        (pbp(several([disc(SECTORS)], table=b"\0PGD" + bytes(16))), UnsupportedError, "encrypted PlayStation disc"),
        (pbp(several([disc(SECTORS, game=b"\0PGD")])), UnsupportedError, "encrypted PlayStation disc"),
        (pbp(b"NPUMDIMG" + bytes(400)), UnsupportedError, "encrypted disc of the PSP"),
        (pbp(b"~PSP" + bytes(400)), UnsupportedError, "without the image of a disc"),
        (pbp(several([])), DamagedError, "names none"),
        (pbp(b"", psar_at=0x1000)[:0x400], DamagedError, "the file ends before"),
        (pbp(disc(SECTORS, content=0x4000)), DamagedError, "has no blocks"),
        (pbp(disc(b"")), DamagedError, "has no blocks"),
        (pbp(disc(SECTORS))[: PSAR_AT + 0x900], DamagedError, "bytes wanted"),
        (pbp(disc(SECTORS))[: PSAR_AT + TABLE_AT], DamagedError, "has no blocks"),
        (pbp(disc(GAME)), UnsupportedError, "sectors of 2048 bytes in a PSP package; a PlayStation has 2352"),
    ],
)
def test_what_is_not_read_is_named(package: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        opened(package)


@pytest.mark.parametrize("data", [b"", b"\0PBP", b"\0PBX" + bytes(100), b"PBP\0" + bytes(100)])
def test_other_files_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "EBOOT.PBP")) is None


# --- damage ---------------------------------------------------------------------------------------------------------------

WHOLE = pbp(disc(SECTORS))
TABLE, BLOCKS = PSAR_AT + TABLE_AT, PSAR_AT + CONTENT
PLACES = [struct.unpack_from("<IH", WHOLE, TABLE + 32 * block) for block in range(5)]
"""(offset, length) of each block."""


def check_spoilt(package: bytes, *blocks: int) -> None:
    """The blocks cannot be read, and nothing else is spoilt."""
    reader = opened(package).tracks[0].stored
    for block in range(5):
        first, length = block * BLOCK, min(BLOCK, len(SECTORS) - block * BLOCK)
        if block in blocks:
            with pytest.raises(DamagedError):
                reader.pread(first, length)
        else:
            assert reader.pread(first, length) == SECTORS[first : first + length]


@pytest.mark.parametrize("block", range(5))
def test_a_block_that_does_not_inflate_spoils_itself_alone(block: int) -> None:
    offset, length = PLACES[block]
    check_spoilt(patched(WHOLE, BLOCKS + offset, b"\xff" * length), block)


@pytest.mark.parametrize("block", range(5))
@pytest.mark.parametrize("entry", [bytes(6), struct.pack("<IH", 0xFFFF_FFFF, 0xFFFF), struct.pack("<IH", 5, 500)])
def test_a_wrong_entry_of_the_table_spoils_its_block_alone(block: int, entry: bytes) -> None:
    package = patched(WHOLE, TABLE + 32 * block, entry)
    if block == 4 and not any(entry):  # then the table ends before
        check_reader(opened(package).tracks[0].stored, SECTORS[: 4 * BLOCK], BLOCK)
    else:
        check_spoilt(package, block)


@pytest.mark.parametrize("block", range(5))
@pytest.mark.parametrize("other", range(5))
def test_the_place_of_another_block_is_not_believed(block: int, other: int) -> None:
    package = patched(WHOLE, TABLE + 32 * block, struct.pack("<IH", *PLACES[other]))
    check_spoilt(package, *([block] if block != other else []))


@pytest.mark.parametrize("blocks", range(5))
def test_a_cut_file_has_the_blocks_before_its_end(blocks: int) -> None:
    offset, length = PLACES[blocks]
    cut = WHOLE[: BLOCKS + offset + length // 2]
    check_spoilt(cut, *range(blocks, 5))
    assert opened(cut).warnings[0] == f"{5 - blocks} of the 5 blocks of the disc are not in the file"


@pytest.mark.parametrize("value", [0xFFFF_FFFF, 0x3FFF, 0])
def test_a_wrong_place_of_the_blocks(value: int) -> None:
    package = patched(WHOLE, PSAR_AT + 0xBFC, struct.pack("<I", value))
    with pytest.raises(DamagedError):
        opened(package).tracks[0].stored.pread(0, 2352)


def test_a_flipped_byte_gives_an_error_or_what_was_there() -> None:
    places = [*range(4, 40), *range(PSAR_AT, PSAR_AT + 16), *range(PSAR_AT + 0xBFC, PSAR_AT + 0xC00)]
    places += [TABLE + 32 * block + byte for block in range(5) for byte in range(6)]
    refused = 0
    for at in places:
        try:
            track = opened(patched(WHOLE, at, bytes((WHOLE[at] ^ 0x41,)))).tracks[0]
            for block in range(-(-track.stored.size // BLOCK)):
                assert track.stored.pread(block * BLOCK, BLOCK) == SECTORS[block * BLOCK : (block + 1) * BLOCK]
        except ImageError:
            refused += 1
    assert refused > 20
