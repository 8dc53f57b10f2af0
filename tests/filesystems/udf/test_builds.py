"""The states that a disc was in: sessions of mkudffs and genisoimage, and builds by tables laid by hand."""

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs import limits
from imagefs.errors import DamagedError, NotFoundError
from imagefs.filesystems.udf import builds, open_build, states
from imagefs.filesystems.udf.descriptors import find_volume
from imagefs.filesystems.udf.space import Space
from imagefs.filesystems.udf.vat import find_vat, vat_at
from imagefs.formats import Candidate
from imagefs.readers import BytesReader
from imagefs.sources import open_source
from tests.builders import udf
from tests.builders.udf import EMBEDDED, ROOT, TIME_NS, Builder, timestamp
from tests.contract import check_filesystem
from tests.filesystems.udf.images import names, opened

SESSION = 300
"""Blocks of a session of mkudffs: its table is the last of them."""


@pytest.fixture
def three_sessions(tmp_path: Path, need: Callable[..., None]) -> Path:
    need("mkudffs")
    image = tmp_path / "disc.udf"
    with image.open("wb") as file:
        file.truncate(3 * SESSION * 2048)
    for number in range(3):
        words = ["mkudffs", "--media-type=cdr", "--blocksize=2048", f"--startblock={number * SESSION}", "--udfrev=2.01"]
        subprocess.run([*words, f"--label=Session {number}", image, "3000"], check=True, capture_output=True)
    return image


@pytest.mark.foreign
@pytest.mark.parametrize("padding", [0, 150 * 2048])
def test_sessions_of_mkudffs(three_sessions: Path, padding: int) -> None:
    """Each has an anchor, descriptors, a partition and a table of its own."""
    with three_sessions.open("ab") as file:
        file.write(bytes(padding))
    found = builds(Candidate(open_source(str(three_sessions))))
    assert [(b.number, b.session, b.origin, b.vat, b.label) for b in found] == [
        (n + 1, n + 1, n * SESSION * 2048, (n + 1) * SESSION - 1, f"Session {n}") for n in range(3)
    ]
    candidate = Candidate(open_source(str(three_sessions)))
    assert [state.name for state in states(candidate)] == ["session1", "session2", "session3"]
    assert opened(three_sessions).label == "Session 0"
    for number in (1, 2, 3):
        assert opened(three_sessions, session=number).label == f"Session {number - 1}"
        assert opened(three_sessions, origin=(number - 1) * SESSION * 2048).label == f"Session {number - 1}"
    with pytest.raises(NotFoundError, match="no session 4; the volume has 3"):
        opened(three_sessions, session=4)


@pytest.mark.foreign
def test_a_first_session_far_from_the_end(three_sessions: Path, tmp_path: Path) -> None:
    """Its table is not among the last blocks of the image."""
    image = tmp_path / "long.udf"
    data = three_sessions.read_bytes()
    image.write_bytes(data)
    for start in (900, 1200):
        words = ["mkudffs", "--media-type=cdr", "--blocksize=2048", f"--startblock={start}", image, "3000"]
        subprocess.run(words, check=True, capture_output=True)
    assert len(builds(Candidate(open_source(str(image))))) == 5
    assert opened(image).label == "Session 0"
    assert names(opened(image)) == []


@pytest.mark.foreign
def test_sessions_of_a_bridge_disc(tmp_path: Path, need: Callable[..., None]) -> None:
    """The ISO 9660 volume beside each tells where it ends."""
    need("genisoimage")
    data = b""
    for name in ("one", "two"):
        folder, part = tmp_path / name, tmp_path / f"{name}.iso"
        folder.mkdir()
        (folder / f"{name}.txt").write_bytes(name.encode())
        start = len(data) // 2048
        more = ["-C", f"0,{start}"] if start else []
        words = ["genisoimage", "-quiet", "-udf", "-V", name.upper(), *more, "-o", part, folder]
        subprocess.run(words, check=True, capture_output=True)
        data += part.read_bytes()
    assert [(b.session, b.vat, b.label) for b in builds(Candidate(BytesReader(data)))] == [
        (1, None, "ONE"), (2, None, "TWO"),
    ]  # fmt: skip
    assert check_filesystem(opened(data)) == {b"/one.txt": b"one"}
    assert check_filesystem(opened(data, session=2)) == {b"/two.txt": b"two"}


def second_table(first: bytes, made: Builder, previous: int) -> bytes:
    """The same disc with a second session that replaces the root, and a table that names the block of the one before."""
    at = len(first) // 2048 - udf.START
    content = udf.identifier(b"", ROOT, 1, udf.PARENT) + udf.identifier(b"\x08new", 2, 1)
    table = struct.pack("<4I", made.place(0) - udf.START, at, at + 1, udf.NOT_SET)
    if made.revision >= 0x200:
        head = struct.pack("<HH", 152, 0) + udf.dstring("SECOND", 128) + struct.pack("<5I", previous, 1, 1, 0, 0)
        kind, content_of_table = 248, head + table
    else:
        kind, content_of_table = 0, table + udf.regid(b"*UDF Virtual Alloc Tbl") + struct.pack("<I", previous)
    written = timestamp(year=2007)
    blocks = (
        udf.entry(ROOT, udf.DIRECTORY, len(content), content),
        udf.entry(2, udf.FILE, 5, b"later"),
        udf.entry(at + 2, kind, len(content_of_table), content_of_table, times=(written, written, written)),
    )
    return first + b"".join(block.ljust(2048, b"\0") for block in blocks)


def old_disc(revision: int) -> tuple[Builder, bytes, int]:
    """A disc with one table: builder, image, and the block of the table in the partition."""
    made = Builder("virtual", revision=revision)
    made.directory([("old", made.file(b"first", EMBEDDED))], block=ROOT)
    image = made.image()
    return made, image, len(image) // 2048 - 1 - udf.START


@pytest.mark.parametrize("revision", [0x0150, 0x0201])
def test_builds_of_one_table_after_the_other(revision: int) -> None:
    made, first, block = old_disc(revision)
    image = second_table(first, made, block)
    candidate = Candidate(BytesReader(image))
    found = builds(candidate)
    assert [(b.number, b.session, b.vat) for b in found] == [
        (1, 1, len(first) // 2048 - 1), (2, 1, len(image) // 2048 - 1),
    ]  # fmt: skip
    assert [b.time for b in found] == [TIME_NS, TIME_NS + 365 * 86_400 * 10**9]
    assert [check_filesystem(open_build(candidate, b)) for b in found] == [{b"/old": b"first"}, {b"/new": b"later"}]
    assert check_filesystem(opened(image)) == {b"/new": b"later"}
    assert check_filesystem(opened(image, session=1)) == {b"/old": b"first"}
    assert [state.name for state in states(candidate)] == ["build1", "build2"]
    if revision > 0x0150:
        assert [b.label for b in found] == ["VAT LABEL", "SECOND"]


@pytest.mark.parametrize("previous", [0, 1, 5_000_000, udf.NOT_SET - 1])
def test_a_chain_that_is_broken_ends_there(previous: int) -> None:
    made, first, _ = old_disc(0x0201)
    found = builds(Candidate(BytesReader(second_table(first, made, previous))))
    assert [b.label for b in found] == ["SECOND"]


def test_a_chain_that_leads_to_itself_ends() -> None:
    made, first, block = old_disc(0x0201)
    found = builds(Candidate(BytesReader(second_table(first, made, block + 3))))
    assert [b.label for b in found] == ["SECOND"]


def test_the_blocks_of_a_table_are_not_read_to_list_it() -> None:
    """A hundred tables of a full disc are gigabytes."""
    made, first, block = old_disc(0x0201)
    image = second_table(first, made, block)
    read: list[int] = []

    class Watched(BytesReader):
        def pread(self, offset: int, length: int) -> bytes:
            read.append(length)
            return super().pread(offset, length)

    many = 1 << 20
    at = len(image) // 2048 - 1 - udf.START
    head = struct.pack("<HH", 152, 0) + udf.dstring("LARGE", 128) + struct.pack("<5I", at, 1, 1, 0, 0)
    large = udf.entry(at + 1, 248, 152 + 4 * many, struct.pack("<II", 152 + 4 * many, at + 2), form=udf.SHORT)
    content = (head + bytes(4 * many)).ljust(-(-(152 + 4 * many) // 2048) * 2048, b"\0")
    image += large.ljust(2048, b"\0") + content
    found = vat_at(Space(Watched(image), 2048), at + 1 + udf.START)
    assert found is not None and (found.label, found.previous) == ("LARGE", at)
    assert max(read) <= 2048
    assert len(found.blocks) == many


class Counted(BytesReader):
    """Counts the reads."""

    reads = 0

    def pread(self, offset: int, length: int) -> bytes:
        self.reads += 1
        return super().pread(offset, length)


def test_a_search_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has an image made so that each of many blocks has to be tried in vain does not keep anybody waiting."""
    made, first, block = old_disc(0x0201)
    reader = Counted(second_table(first, made, block))
    assert len(builds(Candidate(reader))) == 2
    monkeypatch.setattr(limits, "SEARCH_READS", reader.reads - 1)
    reader.reads = 0
    with pytest.raises(DamagedError, match="too much has to be searched"):
        builds(Candidate(reader))
    assert reader.reads == limits.SEARCH_READS


def test_what_is_like_a_table_costs_no_more_than_one() -> None:
    """Each of the last blocks may be the entry of a file whose extents go on and on."""
    _, first, _ = old_disc(0x0201)
    at, chained, tried = len(first) // 2048 - udf.START, 500, 100
    blocks = []
    for block in range(at, at + chained):
        ads = udf.short_ad(2048, at) + udf.short_ad(2048, block + 1, udf.NEXT)
        blocks.append(udf.tagged(258, block, struct.pack("<II", 0, len(ads)) + ads))
    for block in range(at + chained, at + chained + tried):
        blocks.append(udf.entry(block, 248, 1 << 20, udf.short_ad(2048, at, udf.NEXT), form=udf.SHORT))
    reader = Counted(first + b"".join(block.ljust(2048, b"\0") for block in blocks))
    assert vat_at(Space(reader, 2048), udf.START + at + chained) is None
    assert reader.reads <= limits.VAT_EXTENTS + 2
    reader.reads = 0
    table = find_vat(Space(reader, 2048))
    assert table is not None and table.label == "VAT LABEL"
    assert reader.reads <= (tried + chained) * (limits.VAT_EXTENTS + 2)


@pytest.mark.foreign
def test_builds_in_one_of_several_sessions(three_sessions: Path) -> None:
    """The third session was added to, and nothing changed but the label."""
    data = three_sessions.read_bytes()
    candidate = Candidate(BytesReader(data))
    volume = find_volume(Candidate(BytesReader(data), origin=2 * SESSION * 2048))
    last = vat_at(Space(candidate.reader, 2048), 3 * SESSION - 1)
    assert last is not None and last.partition_start == volume.partitions[0].start
    block = 3 * SESSION - last.partition_start
    head = struct.pack("<HH", 152, 0) + udf.dstring("AGAIN", 128) + struct.pack("<5I", block - 1, 0, 1, 0, 0)
    table = head + struct.pack(f"<{len(last.blocks)}I", *last.blocks)
    candidate = Candidate(BytesReader(data + udf.entry(block, 248, len(table), table).ljust(2048, b"\0")))
    assert [state.name for state in states(candidate)] == ["session1", "session2", "session3-build1", "session3-build2"]
    assert [b.label for b in builds(candidate)] == ["Session 0", "Session 1", "Session 2", "AGAIN"]
    assert [names(open_build(candidate, b)) for b in builds(candidate)] == [[], [], [], []]


def test_a_volume_that_is_not_virtual_has_one_state() -> None:
    made = Builder()
    made.directory([("file", made.file(b"x"))], block=ROOT)
    (only,) = builds(Candidate(BytesReader(made.image())))
    assert states(Candidate(BytesReader(made.image()))) == []
    assert only == (1, 1, 0, None, TIME_NS, "LABEL")
    assert opened(made.image(), session=1).label == "LABEL"
    with pytest.raises(NotFoundError, match="no session 2; the volume has 1"):
        opened(made.image(), session=2)
