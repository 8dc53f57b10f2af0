"""`.imagefs/`: what is in an image besides the files on it.

info.json             what `imagefs info --json` tells
boot/1-bios.img       the boot images of an El Torito catalog, numbered in its order, named by their platform
tracks/01.bin         every track as the image keeps it: the main channel of its sectors (2352 bytes, or as many as there
                      are), what is stored of its pregap first; audio is little-endian
tracks/01.sub         the subchannel of the same sectors, 96 bytes each, as the image has it
tracks/01.iso         the user data (2048 bytes a sector) of a data track in which no file system is known
tracks/disc.cue       a sheet of tracks/*.bin: with it the folder is an image that other programs can read; of several
                      discs in one image disc1.cue, disc2.cue ...
cdtext.bin            CD-TEXT packs of 18 bytes, where the image has them
cdtext.txt            titles, performers and songwriters by track, 00 is the disc, with tabs between

There are only those that the image has something for. Nothing of it is read before somebody looks into the folder, and no
content before it is read.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace

from imagefs.disc import Disc, Session
from imagefs.disc.cuesheet import TrackFile, sheet_of
from imagefs.nodes import BootImage
from imagefs.readers import BytesReader, Reader
from imagefs.tree.composed import Content, Folder, LazyFolder

META_NAME = b".imagefs"


def meta_files(
    info: bytes, disc: Disc | None, boot: Sequence[BootImage], unknown: Callable[[], Container[int]]
) -> Mapping[bytes, Content]:
    """What is in `.imagefs`. `unknown` tells the numbers of the data tracks that hold no file system that is known."""
    found: dict[bytes, Content] = {b"info.json": BytesReader(info)}
    if boot:
        images = [(f"{number}-{each.platform}.img".encode(), each.content) for number, each in enumerate(boot, 1)]
        found[b"boot"] = Folder(images)
    if disc is not None and disc.tracks:
        found[b"tracks"] = LazyFolder(lambda: _tracks(disc, unknown()))
        if disc.cdtext:
            found[b"cdtext.bin"] = BytesReader(disc.cdtext)
        text = _text(disc)
        if text:
            found[b"cdtext.txt"] = BytesReader(text)
    return found


def _tracks(disc: Disc, unknown: Container[int]) -> dict[bytes, Content]:
    found: dict[bytes, Content] = {}
    for track in disc.tracks:
        found[b"%02d.bin" % track.number] = track.main
        subchannel: Reader | None = track.subchannel
        if subchannel is not None:
            found[b"%02d.sub" % track.number] = subchannel
        if track.is_data and track.number in unknown:
            found[b"%02d.iso" % track.number] = track.user
    return found | _sheets(disc)


def _sheets(disc: Disc) -> dict[bytes, Content]:
    """The sheet of the disc, or of each of a set."""
    if not disc.is_set:
        return {b"disc.cue": BytesReader(sheet_of(disc, _entries(disc.sessions)))}
    return {
        b"disc%d.cue" % each.number: BytesReader(sheet_of(disc, _counted_anew(_entries([each]))))
        for each in disc.sessions
    }


def _counted_anew(files: Sequence[TrackFile]) -> list[TrackFile]:
    """With the numbers that the tracks have on their own disc."""
    return [file._replace(track=replace(file.track, number=number)) for number, file in enumerate(files, 1)]


def _entries(sessions: Sequence[Session]) -> list[TrackFile]:
    entries = []
    for session in sessions:
        end = 0 if session is sessions[0] else None  # a sheet has no word for the gap between sessions
        for track in session.tracks:
            mode = f"{track.kind.value.upper()}/{track.main_bytes}" if track.is_data else "AUDIO"
            gap = 0 if end is None else max(0, track.start - track.pregap_stored - end)
            name, pregap = f"{track.number:02}.bin", track.pregap_stored
            entries.append(TrackFile(session.number, track, mode, name, "BINARY", pregap, gap))
            end = track.start + track.length
    return entries


def _text(disc: Disc) -> bytes:
    """The lines of cdtext.txt."""
    owners = [(0, disc.texts), *((track.number, track.texts) for track in disc.tracks)]
    rows = [(number, name.upper(), text) for number, texts in owners for name, text in texts.items()]
    lines = [f"{number:02}\t{name}\t{' '.join(text.split())}\n" for number, name, text in rows]
    return "".join(lines).encode("utf-8", "replace")
