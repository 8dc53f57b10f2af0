"""Images of Easy CD Creator."""

import errno
import struct

import pytest

from imagefs.containers.cif import FORMAT
from imagefs.disc import Disc
from imagefs.errors import DamagedError, ImageError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader
from tests.builders.cif import AUDIO, FORM1, MIXED, MODE1, Track, cif
from tests.builders.descriptors import sessions, table
from tests.builders.sectors import stored, tone, volume
from tests.contract import check_reader

SECOND = 300 + 150 + 310 + 11_400
THIRD = SECOND + 300 + 6_900
DATA = Track(MODE1, volume(300), 300)
MUSIC = Track(AUDIO, tone(310), 310, b"ABCDE1234567", b"Caf\xe9")
SESSIONS = [
    [DATA, MUSIC],
    [Track(FORM1, stored(volume(300, SECOND), "MODE2/2056", SECOND), 300)],
    [Track(MODE1, volume(302, THIRD), 302)],
]
WHOLE = cif(SESSIONS, b"The Disc", b"All")
DISC_AT = WHOLE.rindex(b"RIFF", 0, WHOLE.index(b"The Disc"))


def opened(image: bytes, options: Options | None = None) -> Disc:
    candidate = Candidate(BytesReader(image), "disc.cif")
    assert FORMAT.probe(candidate) is not None
    disc = FORMAT.open(candidate, options or Options())
    assert isinstance(disc, Disc)
    return disc


def test_sessions_of_data_and_audio() -> None:
    disc = opened(WHOLE)
    assert table(disc) == [
        (1, "mode1/2048", 0, 300),
        (2, "audio", 450, 310),
        (3, "mode2/2056", SECOND, 300),
        (4, "mode1/2048", THIRD, 302),
    ]
    assert sessions(disc) == [(1, [1, 2]), (2, [3]), (3, [4])]
    assert [(track.pregap, track.pregap_stored) for track in disc.tracks] == [(150, 0)] * 4
    assert (disc.title, disc.performer, disc.warnings) == ("The Disc", "All", ())
    assert [(track.title, track.isrc) for track in disc.tracks] == [
        ("", ""),
        ("Café", "ABCDE1234567"),
        ("", ""),
        ("", ""),
    ]
    check_reader(disc.raw, volume(300) + tone(310) + volume(300, SECOND) + volume(302, THIRD))


def test_audio_follows_audio_without_a_gap() -> None:
    tracks = [Track(AUDIO, tone(300, seed), 300) for seed in (1, 2, 3)]
    disc = opened(cif([tracks]))
    assert table(disc) == [(1, "audio", 0, 300), (2, "audio", 300, 300), (3, "audio", 600, 300)]
    assert [track.pregap for track in disc.tracks] == [150, 0, 0]


def test_sectors_of_mixed_forms() -> None:
    user = b"".join(bytes((number,)) * 2324 for number in range(1, 11))
    raw = b"".join(b"\0\0\x20\0" * 2 + user[at : at + 2324] for at in range(0, len(user), 2324))
    disc = opened(cif([[Track(MIXED, raw, 10)]]))
    assert table(disc) == [(1, "mode2/2332", 0, 300)]
    expected = b"".join(user[at : at + 2048] for at in range(0, len(user), 2324))
    check_reader(disc.raw, expected + bytes(290 * 2048))


@pytest.mark.parametrize(("kind", "sectors"), [(MODE1, "MODE1/2048"), (FORM1, "MODE2/2056"), (MIXED, "MODE2/2332")])
def test_data_tracks_of_every_type(kind: int, sectors: str) -> None:
    disc = opened(cif([[Track(kind, stored(volume(40), sectors), 40)]]))
    assert (table(disc), disc.warnings) == ([(1, sectors.lower(), 0, 300)], ())
    check_reader(disc.space, volume(40) + bytes(260 * 2048))


def test_a_chunk_of_odd_length_is_followed_by_a_byte() -> None:
    disc = opened(cif([[DATA, Track(AUDIO, tone(300) + b"x", 300, filling=False)], [MUSIC]]))
    assert [track.length for track in disc.tracks] == [300, 300, 310]
    check_reader(disc.tracks[2].user, tone(310))


def test_another_character_set() -> None:
    disc = opened(cif([[MUSIC]], "Диск".encode("cp1251"), "Я".encode("cp1251")), Options(iocharset="cp1251"))
    assert (disc.title, disc.performer) == ("Диск", "Я")


# --- damage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isrc", [b"ABCDE123456", b"abcde1234567", b"ABCDE123456x", bytes(12)])
def test_what_is_no_recording_code_is_left_out(isrc: bytes) -> None:
    assert opened(cif([[MUSIC._replace(isrc=isrc)]])).tracks[0].isrc == ""


def test_a_track_that_is_longer_than_its_chunk() -> None:
    disc = opened(cif([[Track(MODE1, volume(40), 400, filling=False)]]))
    assert disc.warnings == ("track 1 has 40 sectors in its chunk, not 400",)
    check_reader(disc.raw, volume(40))


def test_what_a_cut_track_has_lost_is_missing() -> None:
    image = cif([[DATA]])
    at = image.index(b"RIFF", 4)
    head, rest = image[:at], image[at + 12 + 300 * 2048 :]
    moved = rest.replace(struct.pack("<I", at + 8), struct.pack("<I", len(head + rest) + 8))
    disc = opened(head + moved + image[at : at + 12 + 30 * 2048])
    assert disc.warnings == ("the last 270 of the 300 sectors of track 1 are not in the file",)
    check_reader(disc.raw, volume(300), missing=[(30 * 2048, 300 * 2048)])


def _with(image: bytes, at: int, fields: bytes) -> bytes:
    return image[:at] + fields + image[at + len(fields) :]


DESCRIPTORS = DISC_AT + 12 + 8
SESSION_AT = DESCRIPTORS + 16 + len(b"The DiscAll\0")
TRACK_AT = SESSION_AT + 18
ENTRIES_AT = WHOLE.index(b"ofs ") + 4 + 8


@pytest.mark.parametrize(
    ("image", "error", "says"),
    [
        (_with(WHOLE, TRACK_AT + 10, b"\x07\0"), UnsupportedError, "track 1 of a CIF image, of type 7"),
        (_with(WHOLE, DESCRIPTORS + 2, b"\0\0"), DamagedError, "a CIF image with 0 sessions"),
        (_with(WHOLE, DESCRIPTORS + 2, b"\xff\xff"), DamagedError, "a CIF image with 65535 sessions"),
        (_with(WHOLE, DESCRIPTORS + 2, b"\x04\0"), DamagedError, "a descriptor of 0 bytes; it has at least 4"),
        (_with(WHOLE, SESSION_AT + 2, b"\xff\xff"), DamagedError, "a descriptor of 0 bytes|where its track 5 lies"),
        (_with(WHOLE, TRACK_AT, b"\0\0"), DamagedError, "a descriptor of 0 bytes; it has at least 12"),
        (_with(WHOLE, TRACK_AT, b"\xff\xff"), DamagedError, "inside a field"),
        (_with(WHOLE, ENTRIES_AT, b"\x03\0"), DamagedError, "does not say where its track 4 lies"),
        (_with(WHOLE, ENTRIES_AT, b"\xff\xff"), None, ""),
        (_with(WHOLE, ENTRIES_AT + 2, b"JUNK"), DamagedError, "no entry of a CIF image's tracks"),
        (_with(WHOLE, DISC_AT + 8, b"disk"), DamagedError, "without its chunk 'disc'"),
        (_with(WHOLE, DISC_AT, b"JUNK"), DamagedError, f"damaged at byte {DISC_AT}: no chunk"),
        (_with(WHOLE, DISC_AT + 4, b"\xff\xff\xff\xff"), DamagedError, "without its chunk 'ofs '"),
        (WHOLE[:DISC_AT], DamagedError, r"is it cut off\?"),
        (cif([[]]), DamagedError, "without a track"),
    ],
)
def test_what_makes_no_sense_is_named(image: bytes, error: type[Exception] | None, says: str) -> None:
    if error is None:
        assert len(opened(image).tracks) == 4
        return
    with pytest.raises(error, match=says):
        opened(image)


def test_a_descriptor_longer_than_a_probe_may_read() -> None:
    tracks = [Track(AUDIO, tone(1), 1, title=b"x" * 1000, filling=False)] * 99
    assert [track.title for track in opened(cif([tracks])).tracks] == ["x" * 1000] * 99


def test_a_descriptor_that_the_disk_cannot_give_is_no_damage() -> None:
    class Disk(BytesReader):
        def pread(self, offset: int, length: int) -> bytes:
            if offset > DISC_AT + 12:
                raise OSError(errno.EIO, "Input/output error")
            return super().pread(offset, length)

    with pytest.raises(OSError, match="Input/output error"):
        FORMAT.open(Candidate(Disk(WHOLE), "disc.cif"), Options())


def test_a_hundred_tracks_are_too_many() -> None:
    with pytest.raises(DamagedError, match="track 100"):
        opened(cif([[Track(AUDIO, tone(1), 1, filling=False)] * 100]))


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\x24\0\0\0WAVEfmt ", b"RIFFimag", b"imagRIFFimag" + bytes(30)])
def test_other_files_are_left_alone(data: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(data), "disc.cif")) is None


def test_a_flipped_byte_never_shows_what_the_image_has_not() -> None:
    small = cif([[Track(MODE1, volume(40), 40, filling=False), Track(AUDIO, tone(9), 9, b"ABCDE1234567")]], b"T")
    refused = 0
    for at in [*range(12, 40), *range(small.index(b"disc") - 8, len(small))]:
        try:
            disc = opened(_with(small, at, bytes((small[at] ^ 0x81,))))
        except ImageError:
            refused += 1
            continue
        for track in disc.tracks:
            assert sum(run.length for run in track.user.runs(0, 5000)) == min(5000, track.user.size)
    assert refused > 20


@pytest.mark.parametrize("cut", range(DISC_AT, len(WHOLE), 29))
def test_a_cut_descriptor_is_refused(cut: int) -> None:
    with pytest.raises(DamagedError):
        opened(WHOLE[:cut])
