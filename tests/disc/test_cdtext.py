"""CD-TEXT packs: a checksum with a known answer, and texts that run over packs."""

import struct

import pytest

from imagefs.disc.cdtext import MAX_BYTES, crc16, packs_in, texts

TITLE, PERFORMER, SONGWRITER, SIZES = 0x80, 0x81, 0x82, 0x8F


def packs(kind: int, first: int, text: bytes, block: int = 0, wide: bool = False) -> bytes:
    """`text`, which begins with the text of track `first`, cut into packs."""
    found, track = b"", first
    for sequence, at in enumerate(range(0, len(text), 12)):
        piece = text[at : at + 12].ljust(12, b"\0")
        body = struct.pack("BBBB", kind, track, sequence, block << 4 | wide << 7) + piece
        found += body + struct.pack(">H", crc16(body))
        track += piece.count(b"\0\0" if wide else b"\0")
    return found


def test_the_checksum_of_a_known_q_frame() -> None:
    assert crc16(bytes.fromhex("41010100000000000200")) == 0x2832


def test_texts_run_over_packs_and_tracks() -> None:
    data = packs(TITLE, 0, b"The disc's long title\0One\0Two\0") + packs(PERFORMER, 0, b"All\0Me\0\t\0")
    data += packs(SONGWRITER, 2, b"You\0")
    assert texts(data) == {
        0: {"title": "The disc's long title", "performer": "All"},
        1: {"title": "One", "performer": "Me"},
        2: {"title": "Two", "performer": "Me", "songwriter": "You"},
    }


@pytest.mark.parametrize(
    ("charset", "codec", "wide"), [(0, "latin-1", False), (0x80, "cp932", True)], ids=["latin", "japanese"]
)
def test_character_sets(charset: int, codec: str, wide: bool) -> None:
    name = {"latin-1": "Grüße", "cp932": "日本"}[codec]
    end = b"\0\0" if wide else b"\0"
    data = packs(TITLE, 1, name.encode(codec) + end, wide=wide) + packs(SIZES, 0, bytes([charset, 1, 1]))
    assert texts(data) == {1: {"title": name}}


def test_other_languages_and_bad_packs_are_left_out() -> None:
    good = packs(TITLE, 1, b"One\0")
    bad = bytearray(packs(PERFORMER, 1, b"Me\0"))
    bad[5] ^= 1
    assert texts(good + packs(TITLE, 1, b"Eins\0", block=1) + bytes(bad)) == {1: {"title": "One"}}


def test_a_cdt_file_may_begin_with_the_header_of_the_lead_in() -> None:
    data = packs(TITLE, 1, b"One\0")
    assert (
        texts(struct.pack(">HH", len(data) + 2, 0) + data)
        == texts(data)
        == texts(data + b"\0")
        == {1: {"title": "One"}}
    )


@pytest.mark.parametrize("head", [b"", struct.pack(">HH", 20, 0)], ids=["bare", "headed"])
@pytest.mark.parametrize("tail", [b"", b"\0", b"\0\0\0\0", bytes(17)])
def test_the_packs_alone(head: bytes, tail: bytes) -> None:
    data = packs(TITLE, 1, b"One\0")
    assert packs_in(head + data + tail) == data


def test_packs_of_eight_languages_are_the_most() -> None:
    assert len(packs_in(packs(TITLE, 1, b"One\0") * 10_000)) <= MAX_BYTES


def test_nothing_is_nothing() -> None:
    assert packs_in(b"") == packs_in(b"\0\2\0\0") == b""
    assert texts(b"") == texts(b"\x80" * 17) == {}
