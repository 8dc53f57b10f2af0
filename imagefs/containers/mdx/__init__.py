"""MDX, and MDS of version 2: Daemon Tools since 2010. All integers are little-endian.

file
0       16    signature    "MEDIA DESCRIPTOR"
16      1     major        2 (version 1 is `mds`)
17      1     minor        0, 1
18      26    copyright    "(C) 2000-2010 DT Soft Ltd." and the like
44      4     keys_at      of the keys of the descriptor, which lies before them; 0xFFFFFFFF: an MDX, which has descriptor
                           and sectors in one file
48      8     at           MDX: offset of the descriptor, which otherwise begins here
56      8     length       MDX: of the descriptor and the 64 bytes behind it, with which its keys begin
64            sectors      MDX: up to the descriptor; of an MDS they are in the files beside it

The descriptor is a zlib stream, encrypted with keys that lie beside it (`imagefs.containers.mdx.crypto`). Its offsets count
from the beginning of the file's first 18 bytes in front of it.

descriptor, 96 bytes                                    session, 32 bytes
18  2  medium          0 to 2 CD, 3 DVD                 0   8  start           LBA; -150 of the first
20  2  sessions                                         8   2  number
30  2  text_bytes      of CD-TEXT                       10  1  blocks          track blocks
40  4  text_at         packs of 18 bytes                20  4  track_offset    of the first
80  4  session_offset  of the first                     24  8  end             LBA of the lead-out
88  4  keys_at         of the keys of the sectors; 0: these are not encrypted

track block, 80 bytes; what is not here is as in `mds`
0   1  mode            low 3 bits: 1 audio, 2 mode 1, 3 mode 2, 4 form 1, 5 form 2; a sector has: 0x80 its sync, 0x20 header,
                       0x40 subheader, 8 EDC and ECC
1   1  subchannel      8 or 32: 96 bytes, 16: 16 bytes of Q, behind each sector; 0 in minor version 0 all the same
12  4  extra           CD: offset of u32 lengths in sectors: of the pregap, from index 1 to 2, ...
18  1  indexes         how many lengths there are
56  8  first           LBA of the first sector that is stored
64  8  length          DVD: in sectors
file of a track, 32 bytes
0   4  name            offset of it, in UTF-16; 0 in an MDX
4   1  flags           1: packed
12  4  group           sectors that are packed together
16  8  sectors
24  8  table_at        of the groups, from the beginning of the track's sectors: a zlib stream of u16, for each group 0 when
                       it lies there as it is, a length when it is deflated, or 0x8000 and a byte that all of it consists of

Groups follow each other. Encrypted is what is stored of a group, or each sector. A pregap is in the file when the sectors
of the files are as many as pregap and track together.

Where the descriptor cannot be read, because it is damaged or cut off or because the library for AES is not there, sectors
that lie as they are, and tell by their sync or by their volume what they are, are taken for one data track.
Left out: the disc structures of DVDs, the position measurements. Where ISRCs and the catalog number stand is not known.
There is no specification and no other reader to compare with in tests; sources: mdsx, libMirage.
"""

from collections.abc import Sequence

from imagefs.containers._inside import as_one_track
from imagefs.containers._mds import SIGNATURE, SPLIT
from imagefs.containers._parts import find_beside
from imagefs.containers.mdx.descriptor import HEADER, is_one_file, read_descriptor
from imagefs.containers.mdx.plain import plain_sectors
from imagefs.containers.mdx.tracks import names_in, open_disc
from imagefs.disc import Disc
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options
from imagefs.readers import BytesReader


def probe(candidate: Candidate) -> Match | None:
    head = candidate.head(HEADER.size)
    if not head.startswith(SIGNATURE) or len(head) < HEADER.size or head[16] != 2:
        return None
    return Match(95, f"signature of an MDX or MDS descriptor, version {head[16]}.{head[17]}")


def _descriptor(candidate: Candidate) -> Candidate:
    """In the clear. Raises DamagedError, UnsupportedError without the library."""
    return Candidate(BytesReader(read_descriptor(candidate)), candidate.name, candidate.folder)


def parts(candidate: Candidate) -> Sequence[str]:
    """The files that are there. Raises DamagedError, OutsideError."""
    if is_one_file(candidate):
        return []
    try:
        descriptor = _descriptor(candidate)
    except (DamagedError, UnsupportedError):
        found = find_beside(candidate, ("mdf",))
        return [found] if found else []
    return names_in(descriptor)


def open_mdx(candidate: Candidate, options: Options) -> Disc:
    """The disc. Raises DamagedError, MissingPartError, OutsideError, PasswordError, UnsupportedError, OSError."""
    try:
        descriptor = _descriptor(candidate)
    except (DamagedError, UnsupportedError) as error:
        return as_one_track(plain_sectors(candidate), error, options)
    return open_disc(descriptor, candidate.reader if is_one_file(candidate) else None, options)


FORMAT = Format(
    name="mdx",
    title="an MDX image",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_mdx,
    extensions=("mdx", "mds"),
    mime=("application/x-mdx",),
    magic=((0, SIGNATURE),),
    describes=("mdf", *SPLIT),
    parts=parts,
    reads="MDX and MDS of version 2: all track modes, sessions, subchannel, CD-TEXT, index points, split files, DVD; "
    "packed, and encrypted without a password",
    lacks="sectors that are encrypted with a password",
)
