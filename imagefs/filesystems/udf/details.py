"""What `info` tells of a volume: identifiers, dates, revision, partitions."""

from typing import Any

from imagefs.filesystems.udf import dates, names
from imagefs.filesystems.udf.volume import Volume

_ACCESS = ("pseudo-overwritable", "read-only", "write-once", "rewritable", "overwritable")


def describe(volume: Volume) -> dict[str, Any]:
    """All of it, in values that JSON can hold."""
    found = volume.descriptors
    primary, revision = found.primary or b"", found.revision
    return {
        "format": "UDF",
        "trees": ["udf"],
        "revision": f"{revision >> 8:x}.{revision & 0xFF:02x}",
        "volume_id": names.dstring(primary[24:56]),
        "logical_volume_id": volume.label,
        "volume_set_id": names.dstring(primary[72:200]),
        "file_set_id": names.dstring(volume.file_set[304:336]),
        "application_id": _identifier(primary[344:376]),
        "implementation_id": _identifier(primary[388:420]),
        "dates": {
            "created": dates.iso8601(primary[376:388]) if primary else None,
            "file_set": dates.iso8601(volume.file_set[16:28]),
            "written": dates.iso8601(volume.integrity.time) if volume.integrity else None,
        },
        "logical_block_size": found.block_bytes,
        "partition_maps": [partition.kind for partition in volume.space.partitions],
        "partitions": [
            {"number": part.number, "access": _access(part.access), "start": part.start, "length": part.length}
            for part in found.partitions.values()
        ],
        "closed": volume.integrity.is_closed if volume.integrity else None,
        "free_blocks": volume.free_blocks,
        "files": volume.files,
        "directories": volume.directories,
    }


def _access(number: int) -> str:
    return _ACCESS[number] if number < len(_ACCESS) else str(number)


def _identifier(regid: bytes) -> str:
    """The text of an entity identifier: 0 flags, 1 text of 23 bytes, 24 suffix."""
    return regid[1:24].partition(b"\0")[0].decode("latin-1").strip()
