"""MacBinary files of macstream (version I), and of versions II and III by their descriptions, read by macsave too."""

import binascii
import struct
import subprocess
from pathlib import Path

import pytest

from imagefs import Options, open_image
from imagefs.errors import DamagedError
from imagefs.formats import Candidate
from imagefs.readers import BytesReader
from imagefs.wrappers.macbinary import FORMAT, probe
from tests.builders.sectors import volume
from tests.contract import check_reader
from tests.wrappers.checks import SMALL, opened


def macbinary(
    data: bytes, resource: bytes = b"", version: int = 129, second: bytes = b"", name: bytes = b"disk.img"
) -> bytes:
    """A file of version II (129) or III (130)."""
    signature = b"mBIN" if version == 130 else bytes(4)
    head = struct.pack(
        ">xB63s4s4sx8xxII8xHx4s14xHBB",
        len(name),
        name,
        b"dImg",
        b"ddsk",
        len(data),
        len(resource),
        0,
        signature,
        len(second),
        version,
        129,
    )
    head = head[:124]
    head += struct.pack(">Hxx", binascii.crc_hqx(head, 0))
    return b"".join(part.ljust(-(-len(part) // 128) * 128, b"\0") for part in (head, second, data, resource))


class TestContent:
    @pytest.mark.parametrize("version", [129, 130])
    @pytest.mark.parametrize("resource", [b"", b"resources" * 99])
    def test_forks(self, version: int, resource: bytes):
        check_reader(opened(FORMAT, macbinary(SMALL, resource, version)), SMALL)

    def test_a_second_header(self):
        check_reader(opened(FORMAT, macbinary(SMALL, second=b"more about it" * 20)), SMALL)

    @pytest.mark.foreign
    def test_what_macstream_writes(self, tmp_path: Path, need):
        need("macstream")
        (tmp_path / "disk.img").write_bytes(SMALL)
        packed = subprocess.run(["macstream", "-d", "disk.img"], cwd=tmp_path, check=True, capture_output=True).stdout
        check_reader(opened(FORMAT, packed), SMALL)

    @pytest.mark.foreign
    def test_what_macsave_reads(self, tmp_path: Path, need):
        need("macsave")
        packed = macbinary(SMALL, b"resources")
        subprocess.run(["macsave", "-d"], input=packed, cwd=tmp_path, check=True, capture_output=True)
        (saved,) = tmp_path.iterdir()
        assert saved.read_bytes() == opened(FORMAT, packed).pread(0, 1 << 20)

    def test_an_image(self, tmp_path: Path):
        (tmp_path / "disc.iso.bin").write_bytes(macbinary(volume(40)))
        with open_image(str(tmp_path / "disc.iso.bin"), Options()) as image:
            assert [step.name for step in image.steps] == ["macbinary"]
            assert image.raw.pread(0, 1 << 20) == volume(40)


class TestDamage:
    def test_cut(self):
        reader = opened(FORMAT, macbinary(SMALL)[:20_000])
        assert reader.size == len(SMALL)
        assert reader.pread(0, 19_872) == SMALL[:19_872]
        with pytest.raises(DamagedError):
            reader.pread(19_871, 2)

    def test_cut_before_the_data(self):
        with pytest.raises(DamagedError):
            opened(FORMAT, macbinary(SMALL)[:128])


def changed(offset: int, value: int) -> bytes:
    packed = bytearray(macbinary(SMALL))
    packed[offset] ^= value
    return bytes(packed)


@pytest.mark.parametrize("offset", [0, 1, 2, 65, 74, 82, 83, 87, 123, 124])
def test_a_header_that_fails_its_checksum_is_none(offset: int):
    assert probe(Candidate(BytesReader(changed(offset, 0x40)))) is None


@pytest.mark.parametrize("head", [b"", bytes(127), bytes(60_000), SMALL, volume(40)])
def test_what_it_is_not(head: bytes):
    assert probe(Candidate(BytesReader(head))) is None
