"""ECM files, by the format's description; the sectors come from an encoder of the tests' own."""

import random
from pathlib import Path

import pytest

from imagefs import Options, limits, open_image
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.readers import BytesReader
from imagefs.wrappers import ecm as module
from imagefs.wrappers.ecm import FORMAT, EcmReader, probe
from tests.builders.ecm import END, ecm, head, mode1, mode2_without_headers, plain, xa
from tests.builders.sectors import form1, form2, stored, tone, volume
from tests.contract import check_reader
from tests.wrappers.checks import check_cut, good_bytes, opened

CHANCE = random.Random(5)
MODE1 = stored(CHANCE.randbytes(40 * 2048), "MODE1/2352", 1234)
FORM1 = stored(CHANCE.randbytes(40 * 2048), "MODE2/2352", 77)
FORM2 = b"".join(form2(500 + number, CHANCE.randbytes(2324)) for number in range(9))
AUDIO = tone(3)
INTERLEAVED = b"".join(
    form2(number, bytes(2324), b"\1\2\x64\3") if number % 8 == 7 else form1(number, bytes(2048), b"\1\1\x48\0")
    for number in range(50)
)
IMAGE = MODE1 + AUDIO + FORM1 + FORM2 + INTERLEAVED + b"tail"
PACKED = ecm([mode1(MODE1), plain(AUDIO), *xa(FORM1 + FORM2 + INTERLEAVED), plain(b"tail")], IMAGE)


class TestContent:
    def test_everything(self):
        check_reader(opened(FORMAT, PACKED), IMAGE, module.BLOCK_BYTES)

    def test_sectors_without_headers(self):
        image = b"".join(FORM1[at + 16 : at + 2352] for at in range(0, len(FORM1), 2352))
        check_reader(opened(FORMAT, ecm([mode2_without_headers(image)], image)), image, 2336)

    def test_pairs_are_one_run(self):
        reader = opened(FORMAT, ecm(xa(FORM1 + FORM2), FORM1 + FORM2))
        assert isinstance(reader, EcmReader)
        assert list(reader._starts) == [0, len(FORM1), len(FORM1 + FORM2)]

    @pytest.mark.parametrize(("offset", "length"), [(16, 2048), (24, 2048), (24, 2324), (16, 8), (0, 16), (20, 2332)])
    @pytest.mark.parametrize("start", [0, 2352, 5, len(MODE1) - 2352, len(MODE1 + AUDIO)])
    def test_user_data_are_those_of_the_sectors(self, start: int, offset: int, length: int):
        count = (len(IMAGE) - start) // 2352
        found = opened(FORMAT, PACKED).user_data(start, 2352, offset, length, count)
        assert found is not None
        sectors = [IMAGE[start + at + offset :][:length] for at in range(0, count * 2352, 2352)]
        check_reader(found, b"".join(sectors), length)

    def test_user_data_behind_the_end_are_missing(self):
        found = opened(FORMAT, PACKED).user_data(0, 2352, 16, 2048, len(IMAGE) // 2352 + 2)
        assert found is not None
        assert found.pread(0, 2048) == MODE1[16:2064]
        with pytest.raises(DamagedError):
            found.pread(found.size - 2048, 2048)

    def test_user_data_lie_in_the_file_itself(self, monkeypatch: pytest.MonkeyPatch):
        """So that a mount sends them from there, and computes nothing."""
        monkeypatch.delattr(EcmReader, "unpack")
        found = opened(FORMAT, PACKED).user_data(0, 2352, 16, 2048, 40)
        assert found is not None
        assert found.pread(2000, 100) == MODE1[2016:2064] + MODE1[2368:2420]

    def test_too_many_changes_of_kind_are_made_sector_by_sector(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(module, "MOST_EXTENTS", 3)
        assert opened(FORMAT, PACKED).user_data(0, 2352, 24, 2048, len(IMAGE) // 2352) is None

    @pytest.mark.parametrize("length", [1, 31, 32, 33, 4095, 4096, 4097, 600_000])
    def test_counts(self, length: int):
        content = CHANCE.randbytes(length)
        assert opened(FORMAT, b"ECM\0" + head(0, length) + content + END + bytes(4)).pread(0, 10**6) == content

    def test_nothing(self):
        assert opened(FORMAT, b"ECM\0" + END + bytes(4)).size == 0


class TestDamage:
    def test_cut(self):
        found = check_cut(FORMAT, PACKED, IMAGE)
        assert found == sorted(found)
        assert found[-1] > len(IMAGE) * 0.8

    @pytest.mark.parametrize("length", [1, 4, 5, 9])
    def test_cut_at_the_end(self, length: int):
        reader = opened(FORMAT, PACKED[:-length])
        assert good_bytes(reader, IMAGE) == len(IMAGE) < reader.size

    def test_a_count_of_too_many_bits(self):
        for raw in (b"\x80\x80\x80\x80\x40", b"\x80\x80\x80\x80\x80"):
            with pytest.raises(DamagedError, match="more than 32 bits"):
                opened(FORMAT, b"ECM\0" + raw + bytes(100))

    def test_more_than_the_file_has(self):
        reader = opened(FORMAT, b"ECM\0" + b"\xfd\xff\xff\xff\x1f" + MODE1[12:15] + MODE1[16:2064])
        assert good_bytes(reader, MODE1) == 2352 < reader.size

    def test_records_are_counted(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(limits, "PIECES", 10)
        reader = opened(FORMAT, b"ECM\0" + (head(0, 1) + b"x") * 20 + END + bytes(4))
        assert good_bytes(reader, b"x" * 20) == 10 < reader.size

    def test_other_versions(self):
        with pytest.raises(UnsupportedError, match="ECM version 1"):
            opened(FORMAT, b"ECM\1" + bytes(100))


@pytest.mark.parametrize("head", [b"", b"ECM\0", b"ECM is a text", b"ecm\0\0"])
def test_what_it_is_not(head: bytes):
    assert probe(Candidate(BytesReader(head))) is None


class TestImage:
    SHEET = (
        b'FILE "disc.bin" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n'
        b"  TRACK 02 AUDIO\n    INDEX 01 00:00:40\n"
    )

    @pytest.mark.parametrize("opened", ["disc.cue", "disc.bin.ecm"])
    @pytest.mark.parametrize("name", ["disc.bin.ecm", "DISC.BIN.ECM"])
    def test_a_sheet_names_what_is_packed(self, tmp_path: Path, opened: str, name: str):
        """Whichever of the two is opened, the disc has its audio."""
        data, audio = stored(volume(40), "MODE1/2352"), tone(4)
        (tmp_path / name).write_bytes(ecm([mode1(data), plain(audio)], data + audio))
        (tmp_path / "disc.cue").write_bytes(self.SHEET)
        with open_image(str(tmp_path / (opened if opened == "disc.cue" else name)), Options()) as image:
            assert image.disc is not None
            assert [track.is_data for track in image.disc.tracks] == [True, False]
            first, second = image.disc.tracks
            assert first.user.pread(0, 1 << 20) == volume(40)
            assert second.user.pread(0, 1 << 20) == audio

    def test_without_a_sheet(self, tmp_path: Path):
        data = stored(volume(40), "MODE1/2352")
        (tmp_path / "x.bin.ecm").write_bytes(ecm([mode1(data)], data))
        with open_image(str(tmp_path / "x.bin.ecm"), Options()) as image:
            assert [step.name for step in image.steps] == ["ecm", "raw"]
            assert image.raw.pread(0, 1 << 20) == volume(40)
