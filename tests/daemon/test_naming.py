"""Which files are images, what belongs together, how folders are called: by names alone."""

import pytest

from imagefs.daemon.naming import bare_parts, folder_name, is_relevant, numbered_name, sets


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("a.iso b.NRG notes.txt picture.jpg", {"a.iso": (), "b.NRG": ()}),
        ("x.cue x.bin", {"x.cue": ("x.bin",)}),
        ("X.CUE x.bin", {"X.CUE": ("x.bin",)}),
        ("x.cue x.bin.ecm", {"x.cue": ("x.bin.ecm",)}),
        ("x.mds x.mdf", {"x.mds": ("x.mdf",)}),
        ("x.mdf", {"x.mdf": ()}),
        ("x.ccd x.img x.sub", {"x.ccd": ("x.img", "x.sub")}),
        ("x.ccd x.cue x.img x.sub", {"x.ccd": ("x.cue", "x.img", "x.sub")}),
        ("x.bin y.cue", {"x.bin": (), "y.cue": ()}),
        ("x x.toc README", {"x.toc": ("x",)}),
        ("x.img x.img.toc", {"x.img.toc": ("x.img",)}),
        ("disc.gdi track01.bin track02.raw", {"disc.gdi": ("track01.bin", "track02.raw")}),
        ("disc.gdi other.cue track01.bin", {"disc.gdi": (), "other.cue": (), "track01.bin": ()}),
        ("x.iso.001 x.iso.002 x.iso.003", {"x.iso.001": ("x.iso.002", "x.iso.003")}),
        ("x.000 x.001", {"x.000": ("x.001",)}),
        ("x.iso.002 x.7z.001", {}),
        ("x.part01.daa x.part02.daa x.part03.daa", {"x.part01.daa": ("x.part02.daa", "x.part03.daa")}),
        ("x.PART001.GBI x.part002.gbi", {"x.PART001.GBI": ("x.part002.gbi",)}),
        ("x.part1.isz x.part2.isz", {"x.part1.isz": ("x.part2.isz",)}),
        ("x.part02.daa x.part03.daa", {}),
        ("x.daa x.d00 x.d01", {"x.daa": ("x.d00", "x.d01")}),
        ("x.gbi x.g00 x.d00", {"x.gbi": ("x.d00", "x.g00")}),
        ("x.d00 x.g00", {}),
        ("x.daa x.gbi x.part01.daa", {"x.daa": (), "x.gbi": (), "x.part01.daa": ()}),
        ("x.daa x.daa.gz", {"x.daa": (), "x.daa.gz": ()}),
        ("disc01.daa disc02.daa", {"disc01.daa": (), "disc02.daa": ()}),
        ("x.part01.iso x.part02.iso", {"x.part01.iso": (), "x.part02.iso": ()}),
        ("x.iso.gz notes.gz x.tar.gz y.isz", {"x.iso.gz": (), "y.isz": ()}),
        ("x.sub x.wav", {}),
        (".x.iso ._y.iso", {}),
    ],
)
def test_sets(names: str, found: dict[str, tuple[str, ...]]) -> None:
    assert sets(names.split()) == found


def test_tracks_with_numbers_belong_to_their_sheet() -> None:
    names = ["Game (USA).cue", "Game (USA) (Track 1).bin", "Game (USA) (Track 02).bin", "Game (Europe) (Track 1).bin"]
    assert sets(names) == {
        "Game (USA).cue": ("Game (USA) (Track 02).bin", "Game (USA) (Track 1).bin"),
        "Game (Europe) (Track 1).bin": (),
    }


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Game.cue", "Game"),
        ("Game v1.2.iso", "Game v1.2"),
        ("disc.iso.gz", "disc"),
        ("disc.iso.001", "disc"),
        ("disc.001", "disc"),
        ("disc.isz", "disc"),
        ("disc.part01.daa", "disc"),
        ("disc.part01.iso", "disc.part01"),
    ],
)
def test_folders_are_called_as_their_files_without_extensions(name: str, folder: str) -> None:
    assert folder_name(name) == folder


def test_a_number_makes_no_name_too_long() -> None:
    assert numbered_name("disc", 2) == "disc (2)"
    assert numbered_name("ü" * 127, 12) == "ü" * 125 + " (12)"


def test_what_may_be_a_part_is_watched_too() -> None:
    assert [name for name in ("x.sub", "x.wav", "x.txt", ".x.iso", "x.iso") if is_relevant(name)] == [
        "x.sub",
        "x.wav",
        "x.iso",
    ]


def test_without_an_extension_a_file_matters_beside_its_descriptor_alone() -> None:
    folder = ["Disc", "README", "disc.toc", "core", "game.img", "game.img.toc"]
    bare = bare_parts(folder)
    assert [name for name in folder if is_relevant(name, bare)] == ["Disc", "disc.toc", "game.img", "game.img.toc"]
    assert not bare_parts(["README", "x.cue", "x.iso"])
