"""What `info` tells of a volume: identifiers, dates, trees, sessions, boot images."""

from collections.abc import Iterable, Sequence
from typing import Any

from imagefs.filesystems.iso9660 import boot
from imagefs.filesystems.iso9660.descriptors import Descriptor, DescriptorSet
from imagefs.filesystems.iso9660.sessions import find_sessions
from imagefs.nodes import Node
from imagefs.readers import Reader


def describe(
    reader: Reader, descriptors: DescriptorSet, shown: Descriptor, trees: Sequence[str], nodes: Iterable[Node]
) -> dict[str, Any]:
    """All of it, in values that JSON can hold. `nodes` is asked only when there are boot images, for their files' sizes."""
    first = descriptors.primary or shown
    found: dict[str, Any] = {"format": "High Sierra" if first.high_sierra else "ISO 9660", "trees": list(trees)}
    found |= first.texts()
    if descriptors.joliet:
        found["joliet_level"] = descriptors.joliet.joliet_level
        found["joliet_volume_id"] = descriptors.joliet.label
    found["dates"] = dict(first.dates())
    found["logical_block_size"] = first.block_bytes_stated
    found["volume_space_size"] = first.space_blocks
    if first.set_size > 1:
        found["volume_set_size"], found["volume_sequence_number"] = first.set_size, first.set_number
    found["session_start"] = descriptors.start
    found["sessions"] = [
        {"number": number, "start": session.start, "volume_id": session.first.label if session.first else ""}
        for number, session in enumerate(find_sessions(reader) or [descriptors], 1)
    ]
    if descriptors.boot_catalog is not None:
        found["boot_catalog"] = descriptors.boot_catalog
        found["boot"] = _boot_entries(reader, descriptors.boot_catalog, first, nodes)
    return found


def _boot_entries(reader: Reader, catalog: int, descriptor: Descriptor, nodes: Iterable[Node]) -> list[dict[str, Any]]:
    entries = boot.read_catalog(reader, catalog)
    wanted = {entry.offset for entry in entries}
    sizes = {node.start: node.size for node in nodes if node.start in wanted and node.size} if wanted else {}
    end = max(descriptor.space_blocks * descriptor.block_bytes, 0) or reader.size
    return [
        {
            "platform": entry.platform,
            "bootable": entry.bootable,
            "media": boot.media_name(entry.media),
            "load_segment": entry.load_segment,
            "system_type": entry.system_type,
            "load_sectors": entry.units,
            "block": entry.sector,
            "size": boot.image_bytes(entry, reader, sizes, end),
            "id": entry.id,
        }
        for entry in entries
    ]
