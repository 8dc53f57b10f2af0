"""ISZ, by its specification: no packaged program reads or writes it."""

import struct
from pathlib import Path

import pytest

from imagefs import Options, open_image
from imagefs.errors import DamagedError, ImageError, MissingPartError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.readers import BytesReader
from imagefs.sources import Folder
from imagefs.wrappers.isz import FORMAT, probe
from tests.builders.isz import hidden, isz
from tests.builders.sectors import volume
from tests.contract import check_reader
from tests.wrappers.checks import CONTENT, opened

IMAGE = CONTENT[: 300 * 2048]
CHUNK = 16384
WITH_HOLES = IMAGE[: 5 * CHUNK] + bytes(3 * CHUNK) + IMAGE[8 * CHUNK :]


def mixed(chunk: int) -> str:
    return "zeros" if chunk in (5, 6, 7) else ("plain", "zlib", "bzip2")[chunk % 3]


class TestContent:
    @pytest.mark.parametrize("pointer", [3, 4])
    def test_all_kinds(self, pointer: int):
        check_reader(opened(FORMAT, isz(WITH_HOLES, mixed, pointer=pointer)[0]), WITH_HOLES, CHUNK)

    @pytest.mark.parametrize("chunk_bytes", [2048, 65536, 1 << 20])
    def test_chunk_sizes(self, chunk_bytes: int):
        check_reader(opened(FORMAT, isz(IMAGE, lambda chunk: "zlib", chunk_bytes)[0]), IMAGE, chunk_bytes)

    def test_no_chunk_table(self):
        packed = bytearray(isz(IMAGE, lambda chunk: "plain")[0])
        packed[35:39] = bytes(4)
        check_reader(opened(FORMAT, bytes(packed)), IMAGE, CHUNK)


def in_files(folder: Path, files: list[bytes], names: list[str]) -> Candidate:
    for name, content in zip(names, files, strict=True):
        (folder / name).write_bytes(content)
    there = Folder(str(folder))
    return Candidate(there.open(names[0]), names[0], there)


class TestFiles:
    @pytest.mark.parametrize(
        "names",
        [
            ["x.isz", "x.i01", "x.i02"],
            ["x.part01.isz", "x.part02.isz", "x.part03.isz"],
            ["x.PART001.ISZ", "x.part002.isz", "X.part003.isz"],
        ],
    )
    def test_chunks_across_their_borders(self, tmp_path: Path, names: list[str]):
        files = isz(WITH_HOLES, mixed, cuts=[50_001, 120_000])
        check_reader(FORMAT.open(in_files(tmp_path, files, names), Options()), WITH_HOLES, CHUNK)

    def test_borders_between_chunks(self, tmp_path: Path):
        files = isz(IMAGE, lambda chunk: "plain", cuts=[3 * CHUNK, 9 * CHUNK])
        reader = FORMAT.open(in_files(tmp_path, files, ["x.isz", "x.i01", "x.i02"]), Options())
        check_reader(reader, IMAGE, CHUNK)

    def test_one_is_missing(self, tmp_path: Path):
        files = isz(IMAGE, mixed, cuts=[50_001, 120_000])
        with pytest.raises(MissingPartError, match=r"x\.i02"):
            FORMAT.open(in_files(tmp_path, files[:2], ["x.isz", "x.i01"]), Options())

    def test_one_is_another(self, tmp_path: Path):
        files = isz(IMAGE, mixed, cuts=[50_001, 120_000])
        with pytest.raises(DamagedError, match=r"'x\.i01' is not file 1"):
            FORMAT.open(in_files(tmp_path, [files[0], files[2], files[1]], ["x.isz", "x.i01", "x.i02"]), Options())

    def test_a_further_file_alone(self):
        with pytest.raises(UnsupportedError, match="file 2 of an ISZ; open the first one"):
            opened(FORMAT, isz(IMAGE, mixed, cuts=[50_001])[1])

    def test_an_image(self, tmp_path: Path):
        files = isz(volume(64), lambda chunk: "zlib", 4096, cuts=[500])
        in_files(tmp_path, files, ["disc.isz", "disc.i01"])
        with open_image(str(tmp_path / "disc.isz"), Options()) as image:
            assert [step.name for step in image.steps] == ["isz"]
            assert image.raw.pread(0, 1 << 20) == volume(64)
            assert len(image.sources) == 2


class TestDamage:
    def refused(self, offset: int, data: bytes) -> ImageError:
        packed = bytearray(isz(IMAGE, mixed)[0])
        packed[offset : offset + len(data)] = data
        with pytest.raises(ImageError) as raised:
            opened(FORMAT, bytes(packed))
        return raised.value

    @pytest.mark.parametrize("kind", range(1, 5))
    def test_encryption(self, kind: int):
        assert str(self.refused(16, bytes([kind]))) == "an encrypted ISZ is not read"

    @pytest.mark.parametrize(
        ("offset", "value", "where"),
        [(25, 3, 25), (29, 0, 12), (29, 1 << 30, 12), (12, 0, 12), (35, 1 << 30, 1 << 30), (39, 64, 64)],
    )
    def test_fields(self, offset: int, value: int, where: int):
        error = self.refused(offset, struct.pack("<I", value))
        assert isinstance(error, DamagedError)
        assert error.where == where

    def test_chunks_that_the_file_does_not_have(self):
        packed = isz(IMAGE, lambda chunk: "plain")[0]
        reader = opened(FORMAT, packed[: -3 * CHUNK - 1])
        good = len(IMAGE) - len(IMAGE) % CHUNK - 3 * CHUNK
        assert reader.pread(0, good - 2 * CHUNK) == IMAGE[: good - 2 * CHUNK]
        with pytest.raises(DamagedError):
            reader.pread(len(IMAGE) - 1, 1)

    def test_a_broken_chunk_spoils_itself_alone(self):
        packed = bytearray(isz(IMAGE, lambda chunk: "zlib")[0])
        second = int.from_bytes(hidden(bytes(packed[64:70]))[:3], "little") & 0x3F_FFFF
        table_bytes = 3 * -(-len(IMAGE) // CHUNK)
        packed[64 + table_bytes + second + 100] ^= 0xFF
        reader = opened(FORMAT, bytes(packed))
        assert reader.pread(0, CHUNK) == IMAGE[:CHUNK]
        assert reader.pread(2 * CHUNK, 1 << 30) == IMAGE[2 * CHUNK :]
        with pytest.raises(DamagedError):
            reader.pread(2 * CHUNK - 1, 1)


@pytest.mark.parametrize("head", [b"", b"IsZ!", b"ISZ!" + bytes(60)])
def test_what_it_is_not(head: bytes):
    assert probe(Candidate(BytesReader(head))) is None
