"""UIF, the images of MagicISO: recognised, and refused by name.

64 bytes from the end stands "bbis", which leads to a table ("blhr") of chunks packed with zlib or LZMA, and to the sheet of
the image that it was made of. All but the first versions encrypt it with keys of the program's own, and every description
of that is one program. MagicISO itself and uif2iso make an ISO of it.
Source: uif2iso of Luigi Auriemma.
"""

from imagefs.errors import UnsupportedError
from imagefs.formats import Candidate, Format, Layer, Match
from imagefs.options import Options

_FOOTER_BYTES, _MAGIC = 64, b"bbis"


def probe(candidate: Candidate) -> Match | None:
    tail = candidate.tail(_FOOTER_BYTES)
    if len(tail) < _FOOTER_BYTES or not tail.startswith(_MAGIC):
        return None
    return Match(85, "footer of a UIF image")


def open_uif(candidate: Candidate, options: Options) -> None:
    """Always raises UnsupportedError, which says what to do."""
    raise UnsupportedError("a UIF image of MagicISO; convert it to ISO with MagicISO or uif2iso")


FORMAT = Format(
    name="uif",
    title="a UIF image of MagicISO",
    layer=Layer.CONTAINER,
    probe=probe,
    open=open_uif,
    extensions=("uif",),
    mime=("application/x-uif",),
    reads="nothing yet: recognised and named",
    lacks="all of it",
)
