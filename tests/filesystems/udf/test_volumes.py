"""Volumes on every kind of partition and with every block size, made here and by mkudffs; 7-Zip, udfinfo and blkid judge."""

import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.errors import DamagedError
from imagefs.filesystems.udf import FORMAT
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader
from tests.builders import udf
from tests.builders.udf import EMBEDDED, ROOT, Builder, timestamp
from tests.contract import check_filesystem
from tests.filesystems.udf.images import names, opened

KINDS = ("physical", "sparable", "virtual", "metadata")


def filled(
    kind: str, block_bytes: int = 2048, revision: int = 0x0201, *, ascii_only: bool = False
) -> tuple[Builder, dict[bytes, bytes]]:
    """A builder with files and directories in its root, and what is to be seen of them."""
    eight, sixteen = ("Uni", "Japan.txt") if ascii_only else ("Ünï", "日本.txt")
    made = Builder(kind, block_bytes, revision, extended=kind == "metadata")
    big, block = random.Random(1).randbytes(10 * block_bytes + 5), b"x" * block_bytes
    sub = made.block()
    many = made.directory([(f"file {index}", made.file(b"%d" % index, EMBEDDED)) for index in range(30)], sub)
    made.directory([("in.txt", made.file(block)), (sixteen, made.file(b"")), ("many", many)], block=sub)
    made.directory([("big.bin", made.file(big)), (eight, made.file(b"hello", EMBEDDED)), ("sub", sub)], block=ROOT)
    seen = {b"/big.bin": big, f"/{eight}".encode(): b"hello", b"/sub": b"", b"/sub/in.txt": block}
    seen |= {f"/sub/{sixteen}".encode(): b"", b"/sub/many": b""}
    return made, seen | {b"/sub/many/file %d" % index: b"%d" % index for index in range(30)}


@pytest.mark.parametrize("block_bytes", [512, 1024, 2048, 4096, 8192])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_partition(kind: str, block_bytes: int) -> None:
    made, seen = filled(kind, block_bytes)
    filesystem = opened(made.image())
    assert check_filesystem(filesystem) == seen
    assert filesystem.details()["partition_maps"][-1] == kind
    assert filesystem.usage().block_bytes == block_bytes
    assert filesystem.label == ("VAT LABEL" if kind == "virtual" else "LABEL")
    assert filesystem.warnings == ()


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 5 * 2048])
def test_files_lie_raw_in_the_image(size: int) -> None:
    content = random.Random(size).randbytes(size)
    for form in range(4 if size < 1500 else 3):
        made = Builder()
        made.directory([("file", made.file(content, form))], block=ROOT)
        filesystem = opened(made.image())
        node = filesystem.lookup(filesystem.root, b"file")
        assert node is not None and node.start >= 0
        assert filesystem.reader.pread(node.start, node.size) == content


def test_virtual_allocation_table_of_udf_1_50() -> None:
    made, seen = filled("virtual", revision=0x0150)
    filesystem = opened(made.image())
    assert check_filesystem(filesystem) == seen
    assert filesystem.label == "LABEL"


def test_virtual_allocation_table_before_run_out_and_padding() -> None:
    made, seen = filled("virtual")
    image = made.image() + b"\xff" * 5 * 2048 + bytes(150 * 2048)
    assert check_filesystem(opened(image)) == seen


def test_the_newest_virtual_allocation_table_counts() -> None:
    """A second session moves the root; an image that lacks it shows the first."""
    made, seen = filled("virtual")
    first = made.image()
    at = len(first) // 2048 - udf.START  # the block after the first session
    content = udf.identifier(b"", ROOT, 1, udf.PARENT) + udf.identifier(b"\x08new", 2, 1)
    table = struct.pack("<4I", made.place(0) - udf.START, at, at + 1, udf.NOT_SET)
    head = struct.pack("<HH", 152, 0) + udf.dstring("SECOND", 128) + struct.pack("<5I", 0, 1, 1, 0, 0)
    blocks = (
        udf.entry(ROOT, udf.DIRECTORY, len(content), content),
        udf.entry(2, udf.FILE, 5, b"later"),
        udf.entry(at + 2, 248, 152 + 16, head + table),
    )
    second = first + b"".join(block.ljust(2048, b"\0") for block in blocks)
    assert check_filesystem(opened(first)) == seen
    assert check_filesystem(opened(second)) == {b"/new": b"later"}
    assert opened(second).label == "SECOND"


@pytest.mark.parametrize("number", [0, 7, 8192])
def test_partition_numbers(number: int) -> None:
    for kind in KINDS:
        made, seen = filled(kind)
        assert check_filesystem(opened(made.image(number=number))) == seen


# --- finding the volume -------------------------------------------------------------------------------------------------


def without(image: bytes, *blocks: int, size: int = 2048) -> bytes:
    data = bytearray(image)
    for block in blocks:
        data[block * size : (block + 1) * size] = bytes(size)
    return bytes(data)


def test_anchor_at_the_end() -> None:
    made, seen = filled("physical")
    filesystem = opened(without(made.image(), udf.ANCHOR))
    assert check_filesystem(filesystem) == seen
    assert filesystem.warnings == ("the anchor at sector 256 is missing",)


def test_anchor_256_before_the_end_and_at_512() -> None:
    made, seen = filled("physical")
    image = made.image()
    last = len(image) // 2048 - 1
    for place in (last - 256, 512):
        moved = bytearray(without(image, udf.ANCHOR, last))
        anchor = udf.tagged(2, place, image[udf.ANCHOR * 2048 + 16 : udf.ANCHOR * 2048 + 512])
        moved[place * 2048 : place * 2048 + 512] = anchor
        assert check_filesystem(opened(bytes(moved))) == seen


def test_an_anchor_in_the_wrong_place_is_none() -> None:
    made, _ = filled("physical")
    image = without(made.image(), udf.ANCHOR, len(made.image()) // 2048 - 1)
    stray = bytearray(image)
    stray[udf.ANCHOR * 2048 : udf.ANCHOR * 2048 + 512] = udf.tagged(2, 255, bytes(496))
    for each in (image, bytes(stray)):
        with pytest.raises(DamagedError, match="no anchor"):
            opened(each)


def test_reserve_descriptors() -> None:
    made, seen = filled("physical")
    for lost in (range(udf.MAIN, udf.MAIN + 4), (udf.MAIN + 2,), (udf.MAIN + 1,)):
        filesystem = opened(without(made.image(), *lost))
        assert check_filesystem(filesystem) == seen
        assert filesystem.warnings == ("the main volume descriptors are damaged",)


def test_a_changed_descriptor_gives_way_to_its_reserve() -> None:
    """Its tag is right and its CRC is not."""
    made, seen = filled("physical")
    image = bytearray(made.image())
    image[(udf.MAIN + 1) * 2048 + 188] ^= 0x55  # where the partition starts
    assert check_filesystem(opened(bytes(image))) == seen


def test_the_descriptor_of_the_highest_number_prevails() -> None:
    made, _ = filled("physical")
    image = bytearray(made.image("OLD", serial=1))
    newer = made.image("NEW", serial=2)
    image[(udf.MAIN + 3) * 2048 : (udf.MAIN + 4) * 2048] = newer[(udf.MAIN + 2) * 2048 : (udf.MAIN + 3) * 2048]
    assert opened(bytes(image)).label == "NEW"


def test_descriptors_go_on_elsewhere() -> None:
    made, seen = filled("physical")
    image = bytearray(made.image())
    sequence = image[udf.MAIN * 2048 : (udf.MAIN + 4) * 2048]
    image[200 * 2048 : 204 * 2048] = sequence
    pointer = udf.tagged(3, udf.MAIN, struct.pack("<III", 1, 16 * 2048, 200) + bytes(484))
    for first in (udf.MAIN, udf.RESERVE):
        image[first * 2048 : (first + 4) * 2048] = pointer.ljust(4 * 2048, b"\0")
    assert check_filesystem(opened(bytes(image))) == seen


def test_descriptors_that_lead_round_end() -> None:
    made, _ = filled("physical")
    image = bytearray(made.image())
    for first in (udf.MAIN, udf.RESERVE):
        pointer = udf.tagged(3, first, struct.pack("<III", 1, 1 << 29, first) + bytes(484))
        image[first * 2048 : (first + 4) * 2048] = pointer.ljust(4 * 2048, b"\0")
    with pytest.raises(DamagedError):
        opened(bytes(image))


def test_no_recognition_sequence() -> None:
    made, seen = filled("physical")
    image = without(made.image(), 16, 17, 18)
    match = FORMAT.probe(Candidate(BytesReader(image)))
    assert match is not None and match.why == "UDF anchor at sector 256 of 2048 bytes"
    assert check_filesystem(opened(image)) == seen


class FarEnd(BytesReader):
    """Its end costs seconds, as that of a compressed stream does."""

    def is_far(self, offset: int) -> bool:
        return offset > 4 << 20

    def pread(self, offset: int, length: int) -> bytes:
        assert not length or not self.is_far(offset), "the end is read without need"
        return super().pread(offset, length)


def test_the_end_is_not_read_without_need() -> None:
    made, _ = filled("physical")
    image = made.image()
    sound = FarEnd(image + bytes(8 << 20))
    assert FORMAT.open(Candidate(sound), Options()).label == "LABEL"
    nothing = FarEnd(without(image, 16, 17, 18, udf.ANCHOR) + bytes(8 << 20))
    assert FORMAT.probe(Candidate(nothing)) is None


def test_a_former_volume_with_other_blocks_is_not_shown() -> None:
    """Its descriptors are whole; the recognition sequence has slots of the new volume's blocks."""
    made, seen = filled("physical", 4096)
    new = made.image("NEW")
    old = Builder("physical", 512)
    old.directory([("old", old.file(b"old"))], block=ROOT)
    image = bytearray(new)
    former = old.image("OLD", recorded=timestamp(year=2020))
    for first, last in ((100 * 512, 160 * 512), (256 * 512, 257 * 512), (300 * 512, 320 * 512)):
        if not any(new[first:last]):
            image[first:last] = former[first:last]
    filesystem = opened(bytes(image))
    assert filesystem.label == "NEW"
    assert check_filesystem(filesystem) == seen


def test_what_is_no_udf() -> None:
    for data in (b"", bytes(1 << 20), random.Random(1).randbytes(1 << 20)):
        assert FORMAT.probe(Candidate(BytesReader(data))) is None


def test_metadata_mirror() -> None:
    """The main file's entry is lost; its blocks are; or one directory in it is."""
    made, seen = filled("metadata")
    image = made.image()
    main = [made.place(block) for block in made.blocks]
    for lost in ((udf.START + 10,), tuple(main), (made.place(ROOT),), (made.place(5), made.place(9))):
        assert check_filesystem(opened(without(image, *lost))) == seen


def test_more_partitions_than_can_be() -> None:
    """Each may have tables as large as can be kept."""
    image = bytearray(filled("physical")[0].image())
    for sequence in (udf.MAIN, udf.RESERVE):
        image[(sequence + 2) * 2048 + 268] = 9
    with pytest.raises(DamagedError, match="9 partition maps; 8 can be"):
        opened(bytes(image))


def test_unknown_partitions() -> None:
    made, _ = filled("sparable")
    image = made.image().replace(b"*UDF Sparable Partition", b"*UDF Rotating Partition")
    with pytest.raises(Exception, match=r"Rotating|damaged"):
        opened(image)


def test_dates_and_identifiers() -> None:
    made, _ = filled("physical")
    recorded = timestamp(2020, 2, 29, 23, 59, 58, zone=-120, parts=(1, 2, 3))
    details = opened(made.image("Лейбл", recorded=recorded, set_id="0123456789abcdefТом")).details()
    assert details["logical_volume_id"] == details["volume_id"] == "Лейбл"
    assert details["volume_set_id"] == "0123456789abcdefТом"
    assert details["file_set_id"] == "SET"
    assert details["revision"] == "2.01"
    assert details["dates"] == {
        "created": "2020-02-29T23:59:58.010203-02:00",
        "file_set": "2006-01-02T15:04:05Z",
        "written": "2007-01-02T15:04:05Z",
    }
    assert details["partitions"] == [{"number": 0, "access": "read-only", "start": 300, "length": 400}]
    assert (details["closed"], details["free_blocks"], details["files"], details["directories"]) == (True, 77, 3, 1)


# --- other judges -------------------------------------------------------------------------------------------------------


@pytest.mark.foreign
def test_what_is_made_here_is_what_7zip_reads(tmp_path: Path, need: Callable[..., None]) -> None:
    need("7zz")
    made, seen = filled("physical", revision=0x0102)
    image = tmp_path / "disc.udf"
    image.write_bytes(made.image())
    subprocess.run(["7zz", "x", "-tudf", f"-o{tmp_path}/out", image], check=True, capture_output=True)
    out = tmp_path / "out"
    found = {b"/" + str(p.relative_to(out)).encode(): p.read_bytes() if p.is_file() else b"" for p in out.rglob("*")}
    assert found == seen == check_filesystem(opened(image))


def by_udfinfo(image: Path) -> dict[str, str]:
    output = subprocess.run(["udfinfo", "--utf8", image], check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line and not line.startswith("start="))


def by_blkid(image: Path) -> dict[str, str]:
    words = ["blkid", "--probe", "-o", "export", image]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)


@pytest.mark.foreign
@pytest.mark.parametrize(
    "set_id", ["0123456789ABCDEFset", "01234567set of volumes", "Some other set", "Комплект томов диска"]
)
def test_uuid_as_blkid_has_it(tmp_path: Path, need: Callable[..., None], set_id: str) -> None:
    need("blkid", "udfinfo")
    made, _ = filled("physical")
    image = tmp_path / "disc.udf"
    image.write_bytes(made.image("Tom – 1", set_id=set_id))
    filesystem = opened(image)
    assert filesystem.uuid == by_blkid(image)["UUID"] == by_udfinfo(image)["uuid"]
    assert filesystem.label == by_udfinfo(image)["label"] == "Tom – 1"


@pytest.mark.foreign
@pytest.mark.parametrize("block_bytes", [512, 1024, 2048, 4096, 16384, 32768])
def test_block_sizes_of_mkudffs(tmp_path: Path, need: Callable[..., None], block_bytes: int) -> None:
    need("mkudffs")
    image = tmp_path / "disc.udf"
    words = ["mkudffs", "--new-file", f"--blocksize={block_bytes}", image, "1024"]
    subprocess.run(words, check=True, capture_output=True)
    filesystem = opened(image)
    assert filesystem.details()["logical_block_size"] == block_bytes
    assert names(filesystem) in ([], ["lost+found"])
    assert check_filesystem(filesystem).keys() <= {b"/lost+found"}
