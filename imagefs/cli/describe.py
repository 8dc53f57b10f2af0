"""What is known of an image, as dictionaries that JSON can hold. Their keys stay; sizes are bytes, addresses sectors."""

import os
from collections.abc import Sequence
from typing import Any

from imagefs.disc import Disc, Track
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
    }
    return facts, failure


def _disc(disc: Disc) -> Facts:
    return {
        "medium": disc.medium,
        "title": disc.title,
        "performer": disc.performer,
        "catalog": disc.catalog,
        "sessions": [
            {"number": session.number, "tracks": [_track(track) for track in session.tracks]}
            for session in disc.sessions
        ],
    }


def _track(track: Track) -> Facts:
    return {
        "number": track.number,
        "mode": track.mode,
        "start": track.start,
        "length": track.length,
        "pregap": track.pregap,
        "indexes": list(track.indexes),
        "flags": list(track.flags),
        "isrc": track.isrc,
        "title": track.title,
        "performer": track.performer,
    }


def _volume(image: Image, volume: Volume) -> Facts:
    """A place that may hold a file system, and the file system; `error` is why it could not be opened, or null."""
    facts: Facts = {
        "number": volume.number,
        "session": volume.session,
        "kind": volume.kind,
        "origin": volume.origin,
        "filesystem": None,
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
    except (ImageError, OSError) as error:
        facts["error"] = message_of(error)
    return facts


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
