"""What `info` tells of a volume: identifiers, dates, trees, sessions, boot images."""

from collections.abc import Iterable, Sequence
from typing import Any

from imagefs.filesystems.iso9660 import boot
from imagefs.filesystems.iso9660.descriptors import Descriptor, DescriptorSet
from imagefs.filesystems.iso9660.sessions import find_sessions
from imagefs.nodes import BootImage, Node
from imagefs.readers import Reader, slice_of

_FIRMWARE = {"x86": "bios"}
"""What starts from a boot image where that is not called as its platform."""


def describe(
    reader: Reader, descriptors: DescriptorSet, shown: Descriptor, trees: Sequence[str], nodes: Iterable[Node]
) -> dict[str, Any]:
    """All of it, in values that JSON can hold. `nodes` is asked only when there are boot images, for their files' sizes."""
    first = descriptors.primary or shown
    found: dict[str, Any] = {"format": _format_of(first), "trees": list(trees)}
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
        found["boot"] = [
            {
                "platform": entry.platform,
                "bootable": entry.bootable,
                "media": boot.media_name(entry.media),
                "load_segment": entry.load_segment,
                "system_type": entry.system_type,
                "load_sectors": entry.units,
                "block": entry.sector,
                "size": size,
                "id": entry.id,
            }
            for entry, size in _boot_entries(reader, descriptors.boot_catalog, first, nodes)
        ]
    return found


def boot_images(reader: Reader, descriptors: DescriptorSet, nodes: Iterable[Node]) -> list[BootImage]:
    """The boot images, in the order of the catalog."""
    first = descriptors.first
    if first is None or descriptors.boot_catalog is None:
        return []
    return [
        BootImage(_FIRMWARE.get(entry.platform, entry.platform), slice_of(reader, entry.offset, size))
        for entry, size in _boot_entries(reader, descriptors.boot_catalog, first, nodes)
    ]


def _boot_entries(
    reader: Reader, catalog: int, descriptor: Descriptor, nodes: Iterable[Node]
) -> list[tuple[boot.BootEntry, int]]:
    """The entries of the catalog, and the bytes of their images."""
    entries = boot.read_catalog(reader, catalog)
    wanted = {entry.offset for entry in entries}
    sizes = {node.start: node.size for node in nodes if node.start in wanted and node.size} if wanted else {}
    end = max(descriptor.space_blocks * descriptor.block_bytes, 0) or reader.size
    return [(entry, boot.image_bytes(entry, reader, sizes, end)) for entry in entries]


def _format_of(descriptor: Descriptor) -> str:
    return "High Sierra" if descriptor.high_sierra else "CD-i" if descriptor.is_cdi else "ISO 9660"
