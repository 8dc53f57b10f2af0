"""What is known of an image, as dictionaries that JSON can hold: what `imagefs info --json` and `.imagefs/info.json` tell.

Their keys stay. Sizes are bytes; addresses and lengths are sectors, and the same as minutes:seconds:frames (75 a second),
addresses counted from two seconds before LBA 0, as the table of contents of a CD has them.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

from imagefs.disc import Disc, Session, Track
from imagefs.disc.cuesheet import clock
from imagefs.disc.model import LEAD_IN_LBA
from imagefs.errors import ImageError, message_of
from imagefs.formats import Answer
from imagefs.image import Image
from imagefs.volumes import Volume

Facts = dict[str, Any]


def facts_of(image: Image) -> tuple[Facts, ImageError | None]:
    """Everything about an image, and why nothing in it can be shown, when that is so."""
    volumes = [_volume(image, volume) for volume in image.volumes]
    failure = None
    try:
        _ = image.tree
    except ImageError as error:
        failure = error
    facts = {
        "path": image.path,
        "files": [{"path": os.path.abspath(source.name), "size": source.size} for source in image.sources],
        "formats": [{"name": entry.name, "title": entry.title} for entry in image.steps],
        "size": image.raw.size,
        "disc": _disc(image.disc) if image.disc else None,
        "volumes": volumes,
        "warnings": list(dict.fromkeys(image.warnings)),
        "error": message_of(failure) if failure else None,
        "error_class": type(failure).__name__ if failure else None,
    }
    return facts, failure


def facts_of_failure(path: str, error: ImageError, answers: Sequence[Answer]) -> Facts:
    """What is known of an image that cannot be opened; `recognised` are the formats that it was taken for, in order."""
    matched = {(answer.candidate, answer.format.name): answer for answer in answers if answer.match}
    return {
        "path": path,
        "error": message_of(error),
        "error_class": type(error).__name__,
        "recognised": [
            {
                "candidate": answer.candidate,
                "name": answer.format.name,
                "title": answer.format.title,
                "reason": answer.match.why if answer.match else None,
            }
            for answer in matched.values()
        ],
    }


def json_of(facts: Facts) -> bytes:
    """The facts as text, in ASCII: all else is escaped, bytes of names that are no text as \\udcNN."""
    return (json.dumps(facts, indent=1) + "\n").encode("ascii")


def answers_of(answers: Sequence[Answer]) -> list[Facts]:
    """What each probe said: score and reason of a match, and why a match could not be opened; each answer once."""
    return [
        {
            "candidate": candidate,
            "format": entry.name,
            "score": match.score if match else None,
            "reason": match.why if match else None,
            "error": error,
        }
        for candidate, entry, match, error in dict.fromkeys(answers)
    ]


# --- the disc -------------------------------------------------------------------------------------------------------------


def _disc(disc: Disc) -> Facts:
    return {
        "medium": disc.medium,
        "title": disc.title,
        "performer": disc.performer,
        "songwriter": disc.songwriter,
        "catalog": disc.catalog,
        "is_set": disc.is_set,
        "sessions": [_session(session) for session in disc.sessions],
    }


def _session(session: Session) -> Facts:
    lead_out = max((track.start + track.length for track in session.tracks), default=0)
    return {
        "number": session.number,
        "lead_out": lead_out,
        "lead_out_msf": _msf(lead_out),
        "tracks": [_track(track) for track in session.tracks],
    }


def _track(track: Track) -> Facts:
    return {
        "number": track.number,
        "mode": track.mode,
        "start": track.start,
        "start_msf": _msf(track.start),
        "length": track.length,
        "length_msf": clock(track.length),
        "pregap": track.pregap,
        "indexes": list(track.indexes),
        "flags": list(track.flags),
        "subchannel": track.subchannel is not None,
        "isrc": track.isrc,
        "title": track.title,
        "performer": track.performer,
        "songwriter": track.songwriter,
    }


def _msf(lba: int) -> str:
    """An address as the disc has it. Before -150 lies the lead-in, which counts up to 99:59:74."""
    return clock(lba + LEAD_IN_LBA if lba >= -LEAD_IN_LBA else lba + LEAD_IN_LBA + 450_000)


# --- volumes --------------------------------------------------------------------------------------------------------------


def _volume(image: Image, volume: Volume) -> Facts:
    """A place that may hold a file system, and the file system; `error` is why it could not be opened, or null."""
    facts: Facts = {
        "number": volume.number,
        "session": volume.session,
        "kind": volume.kind,
        "origin": volume.origin,
        "filesystem": None,
        "trees": [],
        "states": [],
        "error": None,
    }
    try:
        filesystem = image.open_filesystem(volume)
        if filesystem is not None:
            usage = filesystem.usage()
            facts["filesystem"] = {
                "kind": filesystem.kind,
                "tree": filesystem.tree,
                "label": filesystem.label,
                "uuid": filesystem.uuid,
                "size": usage.blocks * usage.block_bytes,
                "block_size": usage.block_bytes,
                "details": dict(filesystem.details()),
            }
            facts["trees"], facts["states"] = image.trees_of(volume)
    except (ImageError, OSError) as error:
        facts["error"] = message_of(error)
    return facts
