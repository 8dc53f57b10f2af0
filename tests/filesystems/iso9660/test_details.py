"""What `info` tells: identifiers, dates, boot images; the UUID and label as blkid has them."""

import struct
import subprocess
from pathlib import Path

import pytest

from imagefs.filesystems.iso9660 import boot
from imagefs.filesystems.iso9660.dates import iso8601, long_time, short_time, uuid_of
from imagefs.readers import BytesReader
from tests.builders import iso
from tests.builders.iso import ROOT, SECTOR, directory, record, volume
from tests.filesystems.iso9660.images import opened


def made(tmp_path: Path, *words: str, **files: int) -> Path:
    """An image of files of the given sizes by xorriso."""
    top, image = tmp_path / "source", tmp_path / "disc.iso"
    top.mkdir()
    for name, size in files.items():
        (top / name).write_bytes(b"\xeb" * size)
    done = subprocess.run(
        ["xorriso", "-as", "mkisofs", "-quiet", *words, "-o", image, top], capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    return image


@pytest.mark.foreign
def test_identifiers_are_those_that_were_given(tmp_path: Path) -> None:
    words = (
        "-V",
        "LABEL 1",
        "-p",
        "PREPARER",
        "-publisher",
        "PUBLISHER",
        "-A",
        "APP",
        "-sysid",
        "SYS",
        "-volset",
        "SET",
    )
    image = made(tmp_path, *words, "-copyright", "COPY", "--modification-date=2020010203040506", "-J", a=5)
    details = opened(image).details()
    assert details["volume_id"] == "LABEL 1"
    assert (details["preparer_id"], details["publisher_id"], details["application_id"]) == (
        "PREPARER",
        "PUBLISHER",
        "APP",
    )
    assert (details["system_id"], details["volume_set_id"], details["copyright_file"]) == ("SYS", "SET", "COPY")
    assert details["dates"]["modified"] == "2020-01-02T03:04:05.06Z"
    assert details["trees"] == ["rr", "joliet", "iso"]
    assert details["logical_block_size"] == 2048
    assert details["volume_space_size"] * 2048 == image.stat().st_size
    assert details["joliet_level"] == 3


@pytest.mark.foreign
def test_label_and_uuid_are_those_of_blkid(tmp_path: Path) -> None:
    image = made(tmp_path, "-V", "The Label", "--modification-date=2020010203040506", a=5)
    words = ["blkid", "-p", "-o", "export", image]
    told = dict(
        line.split("=", 1)
        for line in subprocess.run(words, check=True, capture_output=True, text=True).stdout.split("\n")
        if "=" in line
    )
    filesystem = opened(image)
    assert filesystem.uuid == told["UUID"] == "2020-01-02-03-04-05-06"
    assert filesystem.label == told["LABEL"].replace("\\ ", " ")


@pytest.mark.foreign
def test_boot_images(tmp_path: Path) -> None:
    """BIOS without emulation, whose count is 4 sectors and whose file is longer, and EFI."""
    bios = (
        "-b",
        "bios.img",
        "-no-emul-boot",
        "-boot-load-size",
        "4",
        "-eltorito-platform",
        "efi",
        "-eltorito-alt-boot",
    )
    image = made(tmp_path, "-R", *bios, "-e", "efi.img", "-no-emul-boot", **{"bios.img": 30_000, "efi.img": 200_000})
    filesystem = opened(image)
    first, second = filesystem.details()["boot"]
    files = dict(filesystem.entries(filesystem.root))
    assert first["size"] == 30_000
    assert first["block"] * 2048 == files[b"bios.img"].start
    assert first["load_sectors"] == 4
    assert (second["platform"], second["media"], second["bootable"]) == ("efi", "none", True)
    assert second["size"] >= 200_000


@pytest.mark.foreign
def test_a_boot_floppy(tmp_path: Path) -> None:
    image = made(tmp_path, "-R", "-b", "floppy.img", **{"floppy.img": 1_474_560})
    (entry,) = opened(image).details()["boot"]
    assert (entry["media"], entry["size"], entry["platform"]) == ("floppy 1.44M", 1_474_560, "x86")


def catalog(*entries: bytes, validation: bytes = b"\1\0\0\0" + b"ID".ljust(24, b"\0") + b"\0\0\x55\xaa") -> bytes:
    return (validation + b"".join(entry.ljust(32, b"\0") for entry in entries)).ljust(SECTOR, b"\0")


def image_entry(kind: int, media: int, units: int, sector: int) -> bytes:
    return struct.pack("<BBHBxHI", kind, media, 0, 0, units, sector)


def test_catalogs_that_are_broken_are_read_while_they_make_sense() -> None:
    data = catalog(
        image_entry(0x88, 0, 4, 5), b"\x90\xef\x09\0EFI", image_entry(0x88, 0, 0, 6), b"\x44" + bytes(31),
        image_entry(0x88, 2, 1, 7), image_entry(0x00, 0, 1, 8), b"junk",
    )  # fmt: skip
    reader = BytesReader(data + bytes(10 * SECTOR))
    found = boot.read_catalog(reader, 0)
    assert [(entry.platform, entry.bootable, entry.sector) for entry in found] == [
        ("x86", True, 5), ("efi", True, 6), ("efi", True, 7), ("efi", False, 8),
    ]  # fmt: skip
    assert found[0].id == "ID"
    assert found[1].id == "EFI"
    assert boot.read_catalog(reader, 3) == []
    assert boot.read_catalog(reader, 1 << 31) == []


def test_the_sizes_of_boot_images() -> None:
    fat = bytearray(512)
    fat[11:14], fat[19:21], fat[510:] = struct.pack("<HB", 512, 1), struct.pack("<H", 2880), b"\x55\xaa"
    disk = bytearray(512)
    disk[454:462], disk[510:] = struct.pack("<II", 63, 1000), b"\x55\xaa"
    reader = BytesReader(
        bytes(SECTOR) + bytes(fat).ljust(SECTOR, b"\0") + bytes(disk).ljust(SECTOR, b"\0") + bytes(2_000_000)
    )

    def size(platform: str, media: int, units: int, sector: int, files: dict[int, int] | None = None) -> int:
        entry = boot.BootEntry(platform, True, media, 0, 0, units, sector, "")
        return boot.image_bytes(entry, reader, files or {}, reader.size)

    assert size("x86", 0, 4, 1) == 2880 * 512
    assert size("x86", 4, 1, 2) == 1063 * 512
    assert size("x86", 0, 4, 3) == 2048
    assert size("x86", 0, 4, 3, {3 * SECTOR: 5000}) == 5000
    assert size("x86", 2, 1, 3) == 1_474_560
    assert size("efi", 0, 0, 3) == reader.size - 3 * SECTOR
    assert size("x86", 3, 1, 3) == 2_000_000  # as much as there is


# --- dates ----------------------------------------------------------------------------------------------------------


def test_short_times() -> None:
    assert short_time(bytes((70, 1, 1, 0, 0, 0, 0))) == 0
    assert short_time(bytes((70, 1, 1, 1, 0, 0, 4))) == 0
    assert short_time(bytes((69, 12, 31, 23, 0, 0, 252))) == 0
    assert short_time(bytes((0, 1, 1, 0, 0, 0, 0))) == -2_208_988_800 * 10**9
    assert short_time(bytes((255, 12, 31, 23, 59, 59, 0))) == 5_869_583_999 * 10**9
    assert short_time(bytes((70, 1, 1, 0, 0, 9, 127))) == 9 * 10**9  # no zone is that far
    assert short_time(bytes((70, 1, 1, 25, 0, 0, 0))) == 25 * 3600 * 10**9  # as Linux reads it
    for nothing in (bytes(7), bytes((106, 13, 1, 0, 0, 0, 0)), bytes((106, 1, 32, 0, 0, 0, 0)), b"", b"\x6a\1"):
        assert short_time(nothing) == 0


def test_long_times() -> None:
    stamp = b"2006010215040599" + bytes((8,))
    assert long_time(stamp) == iso.TIME_NS - 7200 * 10**9 + 990_000_000
    assert iso8601(stamp) == "2006-01-02T15:04:05.99+02:00"
    assert iso8601(b"2006010215040500" + bytes((256 - 14,))) == "2006-01-02T15:04:05.00-03:30"
    assert uuid_of(stamp) == "2006-01-02-15-04-05-99"
    for nothing in (b"0" * 16 + b"\0", bytes(17), b" " * 16 + b"\0", b"2006130215040500\0", b"no date", b""):
        assert long_time(nothing) is None
        assert iso8601(nothing) is None
    assert uuid_of(b"0" * 16 + b"\0") is None
    assert uuid_of(b"0" * 16 + b"\x20") == "0000-00-00-00-00-00-00"


def test_usage_and_empty_identifiers() -> None:
    raw = bytearray(iso.descriptor(1, ROOT, blocks=77))
    raw[702:739] = b"_".ljust(37)
    filesystem = opened(volume({ROOT: directory(ROOT, ROOT, record(b"A.;1", 30, 1))}, bytes(raw)))
    assert filesystem.usage() == (2048, 77, 0, 0)
    details = filesystem.details()
    assert "copyright_file" not in details
    assert "publisher_id" not in details
    assert details["volume_id"] == "LABEL"
