"""Audio files beside other programs' decoders: the same samples, in any order, and nothing decoded before it is wanted."""

from pathlib import Path

import pytest

from imagefs.disc.audio import decoder, samples_of
from imagefs.disc.samples import Samples
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.packed import PackedReader
from imagefs.readers import BytesReader, Reader
from tests.builders.audio import (
    aiff,
    flac_of_changing_blocks,
    largest_difference,
    music,
    read_wav,
    run,
    write_wav,
)
from tests.contract import check_reader

pytestmark = pytest.mark.foreign
MUSIC = music(4.3)
ID3 = b"ID3\4\0\0\0\0\1\x02" + bytes(130)
"""A tag of 130 bytes: the length has 7 bits in each byte."""


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("music") / "music.wav", MUSIC)


def of(content: bytes) -> Samples:
    found = samples_of(BytesReader(content))
    assert found is not None
    return found


def reader_of(content: bytes) -> Reader:
    found = of(content)
    assert not found.is_big_endian
    return found.reader


def whole(reader: Reader) -> bytes:
    return reader.pread(0, reader.size)


def check_each_block(reader: Reader, content: bytes) -> None:
    """Decoded alone, each has what it has in the whole."""
    assert isinstance(reader, PackedReader)
    for offset in range(0, reader.size, decoder.BLOCK_BYTES):
        block = content[offset : offset + decoder.BLOCK_BYTES]
        assert reader.unpack(offset // decoder.BLOCK_BYTES, 1) == block


# --- FLAC -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [("-0",), ("-8",), ("-b", "576"), ("-b", "1000", "--no-seektable"), ("--lax", "-b", "16384"), ("-r", "0", "-m")],
    ids=" ".join,
)
def test_flac(wav: Path, words: tuple[str, ...]) -> None:
    check_reader(reader_of(run("flac", "-s", *words, "-c", wav)), MUSIC, decoder.BLOCK_BYTES)


def test_flac_written_to_a_pipe_does_not_know_its_length(wav: Path) -> None:
    words = ("--endian=little", "--sign=signed", "--channels=2", "--bps=16", "--sample-rate=44100")
    content = run("flac", "-s", "-c", "--force-raw-format", *words, "-", stdin=MUSIC)
    assert int.from_bytes(content[18:26], "big") & (1 << 36) - 1 == 0
    check_reader(reader_of(content), MUSIC, decoder.BLOCK_BYTES)


def test_flac_whose_blocks_change_their_size(tmp_path: Path) -> None:
    content = flac_of_changing_blocks(tmp_path, MUSIC[:400_000], [4096, 100, 16384, 777, 192])
    (tmp_path / "x.flac").write_bytes(content)
    assert (
        run("flac", "-s", "-d", "-c", "--force-raw-format", "--endian=little", "--sign=signed", tmp_path / "x.flac")
        == (MUSIC[:400_000])
    )
    check_reader(reader_of(content), MUSIC[:400_000], decoder.BLOCK_BYTES)


def test_flac_behind_a_tag(wav: Path) -> None:
    assert whole(reader_of(ID3 + run("flac", "-s", "-c", wav))) == MUSIC


def test_a_broken_frame_of_flac_spoils_what_it_holds_alone(wav: Path) -> None:
    content = bytearray(run("flac", "-s", "--no-seektable", "--no-padding", "-c", wav))
    content[len(content) // 2] ^= 4
    reader = reader_of(bytes(content))
    lost = 0
    for offset in range(0, reader.size, 4096):
        try:
            assert reader.pread(offset, 4096) == MUSIC[offset : offset + 4096]
        except DamagedError:
            lost += 4096
    assert 0 < lost <= 4 * decoder.BLOCK_BYTES


def test_flac_that_was_cut_short(wav: Path) -> None:
    content = run("flac", "-s", "-c", wav)
    reader = reader_of(content[: len(content) * 2 // 3])
    assert reader.size == len(MUSIC)
    assert reader.pread(0, 100_000) == MUSIC[:100_000]
    with pytest.raises(DamagedError):
        reader.pread(reader.size - 100, 100)


# --- MP3 ------------------------------------------------------------------------------------------------------------------


def mp3(wav: Path, *words: str) -> bytes:
    """Not through a pipe, into which lame writes no note."""
    run("lame", "--quiet", *words, wav, wav.with_suffix(".mp3"))
    return wav.with_suffix(".mp3").read_bytes()


def check_mp3(folder: Path, content: bytes, *words: str) -> Reader:
    """The same as mpg123 gives but for the last bit, and what is read in pieces is what is read at once."""
    (folder / "x.mp3").write_bytes(content)
    run("mpg123", "-q", *words, "-w", folder / "x.wav", folder / "x.mp3")
    reader = reader_of(content)
    assert largest_difference(whole(reader), read_wav(folder / "x.wav")) <= 1
    check_reader(reader_of(content), whole(reader), decoder.BLOCK_BYTES)
    check_each_block(reader_of(content), whole(reader))
    return reader


@pytest.mark.parametrize(
    "words",
    [("-b", "128"), ("-V2",), ("-b", "320", "-m", "s"), ("-b", "64", "-m", "j"), ("--abr", "100"), ("-p", "-b", "96")],
    ids=" ".join,
)
def test_mp3(tmp_path: Path, wav: Path, words: tuple[str, ...]) -> None:
    """With the encoder's note the samples are those of the original, one for one."""
    assert check_mp3(tmp_path, mp3(wav, "--resample", "44.1", *words)).size == len(MUSIC)


@pytest.mark.parametrize(
    "words", [("-t", "-b", "128"), ("-b", "32", "--resample", "44.1")], ids=["told not to", "no room"]
)
def test_mp3_without_a_note_has_every_frame(tmp_path: Path, wav: Path, words: tuple[str, ...]) -> None:
    assert check_mp3(tmp_path, mp3(wav, *words)).size % (1152 * 4) == 0


def test_mp3_between_tags(tmp_path: Path, wav: Path) -> None:
    content = mp3(wav, "--add-id3v2", "--tt", "A title", "--ta", "Somebody")
    assert content.startswith(b"ID3")
    assert check_mp3(tmp_path, content + b"TAG" + bytes(125)).size == len(MUSIC)


def test_mp3_with_something_else_in_the_middle(tmp_path: Path, wav: Path) -> None:
    """Two files that were put together: the tag between them is skipped."""
    content = mp3(wav, "-t", "-b", "128", "--nores")
    check_mp3(tmp_path, content + ID3 + content)


def test_mp3_that_was_cut_out_begins_with_silence(tmp_path: Path, wav: Path) -> None:
    content = mp3(wav, "-t", "-b", "64", "--resample", "44.1")
    at = content.index(content[:2] + b"\x50", len(content) // 2)
    reader = check_mp3(tmp_path, content[at:])
    assert not any(reader.pread(0, 1000))


def test_a_note_that_promises_too_much(wav: Path) -> None:
    content = bytearray(mp3(wav, "-b", "128"))
    at = content.index(b"Info") + 8
    frames = int.from_bytes(content[at : at + 4], "big")
    content[at : at + 4] = (frames + 40).to_bytes(4, "big")
    reader = reader_of(bytes(content))
    assert reader.size == len(MUSIC) + 40 * 1152 * 4
    assert reader.pread(0, 5000)
    with pytest.raises(DamagedError):
        reader.pread(reader.size - 5000, 5000)


# --- Ogg Vorbis -----------------------------------------------------------------------------------------------------------


def check_ogg(folder: Path, content: bytes) -> Reader:
    """The same as oggdec gives but for the last bit, and what is read in pieces is what is read at once."""
    (folder / "x.ogg").write_bytes(content)
    run("oggdec", "-Q", "-o", folder / "x.wav", folder / "x.ogg")
    reader = reader_of(content)
    assert largest_difference(whole(reader), read_wav(folder / "x.wav")) <= 1
    check_reader(reader_of(content), whole(reader), decoder.BLOCK_BYTES)
    check_each_block(reader_of(content), whole(reader))
    return reader


@pytest.mark.parametrize("quality", ["-1", "3", "5", "8", "10"])
def test_ogg(tmp_path: Path, wav: Path, quality: str) -> None:
    assert check_ogg(tmp_path, run("oggenc", "-Q", "-q", quality, "-o", "-", wav)).size == len(MUSIC)


@pytest.mark.parametrize("samples", [1, 300, 2000, 30_000])
def test_a_short_ogg(tmp_path: Path, samples: int) -> None:
    path = write_wav(tmp_path / "short.wav", MUSIC[-samples * 4 :])
    assert check_ogg(tmp_path, run("oggenc", "-Q", "-o", "-", path)).size == samples * 4


def test_a_comment_as_large_as_a_picture(tmp_path: Path, wav: Path) -> None:
    content = run("oggenc", "-Q", "-c", "PICTURE=" + "x" * 120_000, "-o", "-", wav)
    assert check_ogg(tmp_path, content).size == len(MUSIC)


def test_a_broken_page_spoils_what_it_holds_alone(wav: Path) -> None:
    content = bytearray(run("oggenc", "-Q", "-q", "8", "-o", "-", wav))
    sound = whole(reader_of(bytes(content)))
    content[len(content) // 2] ^= 4
    reader = reader_of(bytes(content))
    lost = 0
    for offset in range(0, reader.size, 4096):
        try:
            assert reader.pread(offset, 4096) == sound[offset : offset + 4096]
        except DamagedError:
            lost += 4096
    assert 0 < lost <= 200_000


# --- AIFF -----------------------------------------------------------------------------------------------------------------


def swapped(content: bytes) -> bytes:
    samples = bytearray(content)
    samples[::2], samples[1::2] = content[1::2], content[::2]
    return bytes(samples)


def test_aiff_by_sox(tmp_path: Path, wav: Path) -> None:
    run("sox", wav, tmp_path / "x.aiff")
    found = of((tmp_path / "x.aiff").read_bytes())
    assert (found.is_big_endian, whole(found.reader)) == (True, swapped(MUSIC))


@pytest.mark.parametrize(("compression", "is_big"), [(b"", True), (b"NONE", True), (b"sowt", False)])
def test_aiff_in_both_orders(tmp_path: Path, compression: bytes, is_big: bool) -> None:
    content = aiff(swapped(MUSIC) if is_big else MUSIC, compression)
    (tmp_path / "x.aiff").write_bytes(content)
    assert run("sox", tmp_path / "x.aiff", "-t", "raw", "-L", "-") == MUSIC, "sox reads it"
    found = of(content)
    assert found.is_big_endian is is_big
    check_reader(found.reader, swapped(MUSIC) if is_big else MUSIC)


# --- what is not read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (aiff(MUSIC, rate=48000), "48000 Hz"),
        (aiff(MUSIC, b"ulaw"), "ulaw"),
        (aiff(MUSIC, bits=24), "24 bits"),
        (b"MAC \x96\x0f" + bytes(100), "Monkey's Audio"),
        (b"wvpk" + bytes(100), "WavPack"),
    ],
)
def test_other_codings_are_named(content: bytes, says: str) -> None:
    with pytest.raises(UnsupportedError, match=says):
        of(content)


def test_other_rates_and_channels_are_named(tmp_path: Path) -> None:
    slow = write_wav(tmp_path / "slow.wav", MUSIC[:40_000], rate=32_000)
    mono = write_wav(tmp_path / "mono.wav", MUSIC[:40_000], channels=1)
    for content, says in [
        (run("flac", "-s", "-c", slow), "32000 Hz"),
        (run("flac", "-s", "-c", mono), "1 channels"),
        (mp3(mono, "-m", "m"), "1 channel"),
        (mp3(slow), "44100 Hz"),
        (mp3(slow, "--resample", "16", "-b", "32"), "44100 Hz"),
        (run("oggenc", "-Q", "-o", "-", slow), "32000 Hz"),
        (run("oggenc", "-Q", "-o", "-", mono), "1 channels"),
    ]:
        with pytest.raises(UnsupportedError, match=says):
            of(content)


def test_what_is_no_audio() -> None:
    for content in (b"", b"\0" * 5000, MUSIC[:5000], b"\xff\xfb\x90\x44" + bytes(5000), b"BM" + bytes(100)):
        assert samples_of(BytesReader(content)) is None


def test_nothing_is_decoded_before_it_is_read(wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [run("flac", "-s", "-c", wav), mp3(wav), run("oggenc", "-Q", "-o", "-", wav)]
    monkeypatch.setitem(__import__("sys").modules, "miniaudio", type("Nothing", (), {"__spec__": object()}))
    for content in contents:
        assert reader_of(content).size == len(MUSIC)


def test_without_miniaudio_the_extra_is_named(wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [run("flac", "-s", "-c", wav), mp3(wav), run("oggenc", "-Q", "-o", "-", wav)]
    monkeypatch.setitem(__import__("sys").modules, "miniaudio", None)
    for content in contents:
        with pytest.raises(UnsupportedError, match=r"pip install 'imagefs\[audio\]'"):
            of(content)
