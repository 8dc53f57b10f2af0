"""Every media type and revision that mkudffs writes: empty, filled by UDFclient, filled here; and who else reads ours.

mkudffs 2.3 knows worm and mo as well, and finds no disc large enough for them; of hard disks it makes some with their
allocation strategy (4096).

UDFclient is another implementation of all of UDF, in user space; it writes all but virtual partitions.
"""

import random
import re
import struct
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from imagefs.filesystems.udf.builds import builds
from imagefs.filesystems.udf.filesystem import Udf
from imagefs.filesystems.udf.space import Space
from imagefs.filesystems.udf.vat import vat_at
from imagefs.formats import Candidate
from imagefs.readers import BytesReader
from tests.builders import udf
from tests.contract import check_filesystem
from tests.filesystems.udf.images import names, opened
from tests.filesystems.udf.test_volumes import KINDS, by_blkid, by_udfinfo, filled

Result = TypeVar("Result")

pytestmark = pytest.mark.foreign

REWRITABLE = {
    "hd": ("1.01", "1.02", "1.50", "2.00", "2.01"),
    "dvd": ("1.01", "1.02", "1.50", "2.00", "2.01"),
    "dvdram": ("1.01", "1.02", "1.50", "2.00", "2.01"),
    "cd": ("1.01", "1.02", "1.50", "2.00", "2.01"),
    "cdrw": ("1.50", "2.00", "2.01"),
    "dvdrw": ("1.50", "2.00", "2.01"),
}
WRITE_ONCE = {
    "cdr": ("1.50", "2.00", "2.01", "2.50", "2.60"),
    "dvdr": ("1.50", "2.00", "2.01", "2.50", "2.60"),
    "bdr": ("2.50", "2.60"),
}


def each(media: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(kind, revision) for kind, revisions in media.items() for revision in revisions]


def mkudffs(image: Path, media: str, revision: str, *options: str) -> Path:
    words = ["mkudffs", "--utf8", "--new-file", f"--media-type={media}", f"--udfrev={revision}", "--label=Größe 1"]
    more = ["--minblocks=1000"] if media in WRITE_ONCE else []  # UDFclient refuses discs of less than 1.2 MB
    subprocess.run([*words, "--blocksize=2048", *more, *options, image, "32768"], check=True, capture_output=True)
    return image


@pytest.mark.parametrize(
    ("media", "revision", "options"),
    [
        *((media, revision, ()) for media, revision in each(REWRITABLE | WRITE_ONCE)),
        *(("hd", revision, ("--strategy=4096",)) for revision in REWRITABLE["hd"]),
        *(("hd", "2.01", ("--noefe", f"--ad={ad}", "--space=unalloctable")) for ad in ("short", "long")),
    ],
)
def test_empty(tmp_path: Path, need: Callable[..., None], media: str, revision: str, options: tuple[str, ...]) -> None:
    need("mkudffs", "udfinfo", "blkid")
    image = mkudffs(tmp_path / "disc.udf", media, revision, *options)
    filesystem, info = opened(image), by_udfinfo(image)
    assert set(names(filesystem)) <= {"lost+found"}
    details = filesystem.details()
    assert (filesystem.label, filesystem.uuid) == (info["label"], info["uuid"])
    assert filesystem.uuid == by_blkid(image)["UUID"]
    assert details["revision"] == revision
    assert details["logical_block_size"] == int(info["blocksize"])
    assert (details["files"], details["directories"]) == (int(info["numfiles"]), int(info["numdirs"]))
    assert details["volume_set_id"] == info["fullvsid"]
    if details["partition_maps"][-1] != "virtual":
        assert details["free_blocks"] == int(info["freeblocks"])


def at_once(job: Callable[..., Result], *cases: tuple[object, ...]) -> dict[tuple[object, ...], Result]:
    """job(*case) of every case: UDFclient spends its time asleep."""
    with ThreadPoolExecutor(len(cases)) as pool:
        return dict(zip(cases, pool.map(lambda case: job(*case), cases), strict=True))


# --- filled by UDFclient ------------------------------------------------------------------------------------------------


def udfclient(image: Path, block_bytes: int, *commands: str, write: bool = False) -> str:
    """What UDFclient says to commands."""
    words = ["udfclient", *(["-W"] if write else []), "-b", str(block_bytes), image]
    script = "\n".join([*commands, "quit", ""])
    done = subprocess.run(words, input=script.encode(), check=True, capture_output=True, timeout=30)
    return done.stdout.decode("utf-8", "replace")


def top_of(image: Path, block_bytes: int) -> str:
    """The folder in which UDFclient shows the volume: set, primary volume, logical volume, file set."""
    found = re.search(r"^(?:UDF> )?d[rwx-]{9} +-?\d+ +-?\d+ +\d+  (.*:.*)$", udfclient(image, block_bytes, "ls"), re.M)
    assert found is not None, "UDFclient finds no volume"
    return found[1]


def fetched(image: Path, block_bytes: int, folder: Path) -> dict[bytes, bytes]:
    """Path -> content as UDFclient reads it."""
    folder.mkdir()
    udfclient(image, block_bytes, f"lcd {folder}", f'get "/{top_of(image, block_bytes)}" all')
    top = folder / "all"
    return {
        b"/" + str(path.relative_to(top)).encode(): path.read_bytes() if path.is_file() else b""
        for path in top.rglob("*")
    }


CONTENT = {
    b"/big.bin": random.Random(1).randbytes(300_001),
    b"/block": b"b" * 2048,
    b"/sub/small": b"small",
    b"/sub/deep/empty": b"",
    **{b"/sub/number %d" % number: b"%d" % number for number in range(9)},
}


def fill(top: Path, source: Path, media: str, revision: str) -> Path:
    """An image of mkudffs into which UDFclient copied the folder `source`."""
    image = mkudffs(top / f"{media}-{revision}.udf", media, revision)
    put = [f"lcd {source}", f'cd "/{top_of(image, 2048)}"', "mput big.bin sub block", "sync"]
    udfclient(image, 2048, *put, write=True)
    return image


def test_filled_by_udfclient(need: Callable[..., None], tmp_path: Path) -> None:
    need("mkudffs", "udfclient")
    source = tmp_path / "source"
    (source / "sub" / "deep").mkdir(parents=True)
    for path, data in CONTENT.items():
        (source / path.decode().lstrip("/")).write_bytes(data)
    images = at_once(partial(fill, tmp_path, source), *each(REWRITABLE))
    assert len(images) == len(each(REWRITABLE))
    for case, image in images.items():
        filesystem = opened(image)
        found = check_filesystem(filesystem)
        found.pop(b"/lost+found", None)
        assert found == CONTENT | {b"/sub": b"", b"/sub/deep": b""}, case
        assert filesystem.warnings == (), case


# --- filled here --------------------------------------------------------------------------------------------------------


def with_a_second_session(image: bytes, filesystem: Udf, content: bytes) -> bytes:
    """A write-once disc, and a session behind it that puts a file into the root."""
    (build,) = builds(Candidate(BytesReader(image)))
    assert build.vat is not None
    last = vat_at(Space(BytesReader(image), 2048), build.vat)
    assert last is not None
    root = filesystem._root_address[1]
    end = len(image) // 2048 - last.partition_start
    entries = udf.identifier(b"", root, 1, udf.PARENT | udf.IS_DIRECTORY) + udf.identifier(
        b"\x08new", len(last.blocks), 1
    )
    where = [*last.blocks, end + 1]
    where[root] = end
    table = struct.pack(f"<{len(where)}I", *where)
    if last.files is None:
        kind, table = 0, table + udf.regid(b"*UDF Virtual Alloc Tbl", b"\x50\x01") + struct.pack("<I", udf.NOT_SET)
    else:
        counts = struct.pack("<IIIHHHH", build.vat - last.partition_start, 1, 1, 0x201, 0x201, 0x201, 0)
        kind, table = 248, struct.pack("<HH", 152, 0) + udf.dstring("SECOND", 128) + counts + table
    blocks = (
        udf.entry(root, udf.DIRECTORY, len(entries), entries),
        udf.entry(len(last.blocks), udf.FILE, len(content), content),
        udf.entry(end + 2, kind, len(table), table),
    )
    return image + b"".join(block.ljust(2048, b"\0") for block in blocks)


def fetched_after_a_second_session(top: Path, media: str, revision: str) -> tuple[Path, dict[bytes, bytes]]:
    image = mkudffs(top / f"{media}-{revision}.udf", media, revision)
    image.write_bytes(with_a_second_session(image.read_bytes(), opened(image), b"of a later session"))
    return image, fetched(image, 2048, top / f"{media}-{revision}")


def test_write_once_media_filled_here(need: Callable[..., None], tmp_path: Path) -> None:
    need("mkudffs", "udfclient")
    for case, (image, theirs) in at_once(partial(fetched_after_a_second_session, tmp_path), *each(WRITE_ONCE)).items():
        assert check_filesystem(opened(image)) == {b"/new": b"of a later session"} == theirs, case


def fetched_from_a_builder(
    top: Path, kind: str, block_bytes: int, revision: int
) -> tuple[Path, dict[bytes, bytes], dict[bytes, bytes]]:
    """An image laid here, what it was made of, and what UDFclient reads in it."""
    made, seen = filled(kind, block_bytes, revision, ascii_only=True)
    data = bytearray(made.image())
    if kind == "sparable":  # UDFclient takes the first table, which is not the newest here
        at = udf.TABLES * block_bytes
        table = udf.tagged(0, udf.TABLES, bytes(data[at + block_bytes + 16 : at + block_bytes + 80]))
        data[at : at + len(table)] = table
    name = f"{kind}-{block_bytes}-{revision:x}"
    image = top / f"{name}.udf"
    image.write_bytes(data)
    return image, seen, fetched(image, block_bytes, top / name)


def test_udfclient_reads_the_same(need: Callable[..., None], tmp_path: Path) -> None:
    need("udfclient")
    cases = [(kind, size, 0x0201) for kind in KINDS for size in (512, 1024, 2048, 4096)]
    cases += [(kind, 2048, revision) for kind in KINDS for revision in (0x0102, 0x0150, 0x0200, 0x0250, 0x0260)]
    for case, (image, seen, theirs) in at_once(partial(fetched_from_a_builder, tmp_path), *cases).items():
        assert check_filesystem(opened(image)) == seen == theirs, case
