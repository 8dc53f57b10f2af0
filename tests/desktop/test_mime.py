"""Types of images, as the database of the desktop has them once ours are added."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from imagefs.desktop import mime
from imagefs.disc.layouts import SYNC
from imagefs.formats import Candidate, Format, Layer, all_formats, register

DATABASE = Path("/usr/share/mime/packages/freedesktop.org.xml")
IN = {"m": mime.NAMESPACE}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder of data with our types in its database."""
    data = tmp_path_factory.mktemp("data")
    (data / "mime" / "packages").mkdir(parents=True)
    (data / "mime" / "packages" / "imagefs.xml").write_bytes(mime.package())
    environment = os.environ | {"XDG_DATA_HOME": str(data)}
    done = subprocess.run(["update-mime-database", data / "mime"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return data


SAMPLES = {
    # name: (content, type)
    "game.nrg": (b"anything", "application/x-nrg"),
    "game.mds": (b"MEDIA DESCRIPTOR\1\5", "application/x-mds"),
    "renamed": (b"MEDIA DESCRIPTOR\1\5", "application/x-mds"),
    "game.ccd": (b"[CloneCD]\r\nVersion=3\r\n", "application/x-ccd"),
    "game.isz": (b"IsZ!" + bytes(60), "application/x-isz"),
    "game.bin.ecm": (b"ECM\0" + bytes(60), "application/x-ecm"),
    "game.zso": (b"ZISO" + bytes(60), "application/x-compressed-iso"),
    "game.dax": (b"DAX\0" + bytes(60), "application/x-dax"),
    "game.jso": (b"JISO" + bytes(60), "application/x-jso"),
    "film.udf": (bytes(4096), "application/x-udf-image"),
    "raw.bin": (SYNC + bytes(2340), "application/x-raw-cd-image"),
    "raw.mdf": (SYNC + bytes(2340), "application/x-raw-cd-image"),
    # what the desktop knew before stays as it was
    "firmware.bin": (b"\x7f\x01\x02\x03" * 64, "application/octet-stream"),
    "disc.iso": (bytes(40_000), "application/x-cd-image"),
    "disk.img": (bytes(4096), "application/x-raw-disk-image"),
    "game.cue": (b'FILE "a.bin" BINARY\n', "application/x-cue"),
    "game.cso": (b"CISO" + bytes(60), "application/x-compressed-iso"),
    "photo.raw": (b"IIU\0" + bytes(60), "image/x-panasonic-rw"),
}


@pytest.mark.foreign
@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_has_its_type(name: str, data: Path, tmp_path: Path, need: Callable[..., None]) -> None:
    need("gio", "xdg-mime")
    content, expected = SAMPLES[name]
    path = tmp_path / name
    path.write_bytes(content)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_DATA_HOME": str(data), "LC_ALL": "C.UTF-8"}
    environment["XDG_CURRENT_DESKTOP"] = "GNOME"  # without a desktop xdg-mime asks file(1), which knows no database
    for words in (["gio", "info", "-a", "standard::content-type"], ["xdg-mime", "query", "filetype"]):
        done = subprocess.run([*words, str(path)], env=environment, capture_output=True, text=True, check=True)
        assert expected in done.stdout.split(), words


@pytest.mark.foreign
def test_the_file_is_well_formed(need: Callable[..., None]) -> None:
    need("xmllint")
    done = subprocess.run(["xmllint", "--noout", "-"], input=mime.package(), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def patterns_of_the_database() -> dict[str, set[str]]:
    """The types, with their aliases, that claim each extension."""
    found: dict[str, set[str]] = {}
    for element in ElementTree.parse(DATABASE).getroot().findall("m:mime-type", IN):
        names = {element.get("type", ""), *(alias.get("type", "") for alias in element.findall("m:alias", IN))}
        for glob in element.findall("m:glob", IN):
            found.setdefault(glob.get("pattern", "").removeprefix("*."), set()).update(names)
    return found


@pytest.mark.foreign
def test_what_is_known_is_what_the_database_has() -> None:
    there = patterns_of_the_database()
    for extension, names in mime.KNOWN.items():
        assert extension in there
        assert not names or there[extension] & set(names)


@pytest.mark.foreign
def test_no_extension_of_others_is_claimed() -> None:
    there = patterns_of_the_database()
    assert not {end for added in mime.additions() for end in added.extensions} & there.keys()


def test_every_image_can_be_started_from_the_desktop() -> None:
    """Each format is among the types: by its extension, by its magic, or by a type that the desktop has."""
    types = set(mime.types())
    for entry in all_formats():
        if entry.layer is Layer.CONTAINER:
            known = {name for end in entry.extensions for name in mime.KNOWN.get(end, ())}
            assert types & ({f"application/x-{entry.name}", *entry.mime} | known), entry.name
    assert "application/gzip" not in types


def test_a_format_without_words_on_types_gets_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(candidate: Candidate) -> None:
        return None

    entry = Format(
        "plop", "a PlopDisk image", Layer.CONTAINER, nothing, lambda *words: None, ("plp", "bin"), magic=((4, b"P<\n"),)
    )
    monkeypatch.setattr("imagefs.formats._registered", [])
    register(entry)
    try:
        assert mime.Type("application/x-plop", "PlopDisk image", ("plp",), ((4, b"P<\n"),)) in mime.additions()
        text = mime.package().decode()
        assert 'offset="4" value="P\\x3c\\x0a"' in text
        assert '<glob weight="40" pattern="*.plp" />' in text
        assert '"*.bin"' not in text
        assert "application/x-plop" in mime.types()
    finally:
        monkeypatch.undo()
        from imagefs import formats

        formats.formats.cache_clear()
