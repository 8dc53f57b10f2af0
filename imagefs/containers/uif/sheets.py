"""The sheet of the image that a UIF was made of, and the disc that it describes.

kind  sheet                                                     the sectors are those of an
0     none                                                      ISO
1     CUE                                                       BIN
2     MDS                                                       MDF
3     CCD: u32 bytes of its text, u32 of the subchannel, both   IMG
4     none: it lies behind the sectors                          NRG
"""

import struct
from typing import NamedTuple

from imagefs.containers import ccd, cue, mds
from imagefs.containers._inside import open_inside
from imagefs.disc import Disc
from imagefs.errors import DamagedError, UnsupportedError
from imagefs.formats import Candidate
from imagefs.options import Options
from imagefs.readers import BytesReader, Reader

ISO, CUE, MDS, CCD, NRG = range(5)
_FORMATS = {CUE: cue.FORMAT, MDS: mds.FORMAT, CCD: ccd.FORMAT}
_CCD_HEAD = struct.Struct("<II")


class Sheet(NamedTuple):
    """What the image has of it."""

    kind: int
    content: bytes


def open_sheet(sheet: Sheet, sectors: Reader, candidate: Candidate, options: Options) -> Disc:
    """The disc that a sheet describes. Raises what its own format does, UnsupportedError for a kind that is not known."""
    entry = _FORMATS.get(sheet.kind)
    if entry is None:
        raise UnsupportedError(f"a UIF image with a sheet of kind {sheet.kind} is not read")
    content = _ccd_text(sheet.content) if sheet.kind == CCD else sheet.content
    return open_inside(candidate, options, entry, BytesReader(content), sectors)


def _ccd_text(content: bytes) -> bytes:
    """The text of a CloneCD's sheet. Raises DamagedError."""
    if len(content) < _CCD_HEAD.size:
        raise DamagedError(None, f"the sheet has {len(content)} bytes")
    length, _ = _CCD_HEAD.unpack_from(content)
    if length > len(content) - _CCD_HEAD.size:
        raise DamagedError(None, f"a text of {length} bytes in a sheet of {len(content)}")
    return content[_CCD_HEAD.size :][:length]
