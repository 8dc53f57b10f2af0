"""UDF, the file system of DVDs, Blu-ray discs and packet-written CDs, and of some hard disks and cards.

recognition sequence, anchors, volume descriptors         descriptors
partition maps: physical, sparable, virtual, metadata     partitions
virtual allocation tables; sessions and former states     vat, builds
blocks, file entries and content through them             space, entries
directories, names, dates                                 directories, names, dates
devices, named streams                                    attributes
file set; the tree; what `info` tells                     volume, filesystem, details

Read: revisions 1.02 to 2.60, blocks of 512 to 32768 bytes; entries of strategy 4 and 4096; all forms of allocation, with
holes and chained descriptors; hard links, symbolic links, devices; named streams as `user.udf.NAME`; volumes whose main
descriptors, first anchor, or metadata are damaged, by the copies that they have.
Not read: sets of several volumes, access control lists, Macintosh and OS/2 attributes.

Sources: ECMA-167 3rd edition, OSTA UDF 1.02 to 2.60; for what is not in them, Linux fs/udf.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from imagefs.filesystems.udf.builds import Build, builds
from imagefs.filesystems.udf.descriptors import BLOCK_SIZES, RECOGNITION_BYTE, anchors, slot_sizes
from imagefs.filesystems.udf.filesystem import Udf
from imagefs.filesystems.udf.volume import open_volume, volume_at
from imagefs.formats import Candidate, Format, Layer, Match, State
from imagefs.options import Options

__all__ = ["FORMAT", "Build", "builds", "open_build", "open_udf", "probe", "states"]


def probe(candidate: Candidate) -> Match | None:
    """A recognition sequence that names UDF, or an anchor in its place (packet-written discs may have nothing else)."""
    slots = slot_sizes(candidate)
    if slots:
        return Match(94, f"NSR in the volume recognition sequence, slots of {slots[0]} bytes")
    is_other = candidate.at(candidate.origin + RECOGNITION_BYTE + 1, 5) == b"CD001"
    for at_end in (False,) if is_other or candidate.reader.is_far(candidate.reader.size) else (False, True):
        for size in BLOCK_SIZES[:4]:
            for place, _ in anchors(candidate, size, at_end=at_end):
                return Match(70, f"UDF anchor at sector {place} of {size} bytes")
    return None


def states(candidate: Candidate) -> Sequence[State]:
    """The sessions of an image without a table of contents, or the builds of one, when there are several.

    Raises DamagedError, OSError.
    """
    found = builds(candidate)
    if len(found) < 2:
        return []
    counts = Counter(build.session for build in found)
    numbers: Counter[int] = Counter()
    states = []
    for build in found:
        numbers[build.session] += 1
        name = f"session{build.session}" if len(counts) > 1 else ""
        if counts[build.session] > 1:
            name += f"{'-' if name else ''}build{numbers[build.session]}"
        states.append(State(name, _opener(candidate, build)))
    return states


def _opener(candidate: Candidate, build: Build) -> Callable[[Options], Udf]:
    return lambda options: open_build(candidate, build)


def open_build(candidate: Candidate, build: Build) -> Udf:
    """The tree as it was in one of its `builds`. Raises DamagedError, UnsupportedError, OSError."""
    return Udf(volume_at(candidate, build))


def open_udf(candidate: Candidate, options: Options) -> Udf:
    """The volume's tree. Raises DamagedError, NotFoundError, UnsupportedError, OSError."""
    return Udf(open_volume(candidate, options))


FORMAT = Format(
    name="udf",
    title="UDF",
    layer=Layer.FILESYSTEM,
    probe=probe,
    open=open_udf,
    extensions=("udf", "iso"),
    mime=("application/x-udf-image",),
    trees=("udf",),
    states=states,
    reads="1.02 to 2.60; physical, sparable, virtual (VAT) and metadata partitions; links, devices, streams",
    lacks="sets of several volumes, ACLs",
)
