"""Whether sectors from which sync and ECC were taken out are right, told by their EDC alone.

The checksum of a hunk is over whole frames, with the ECC, which takes longer to make than a sector to unpack, and with the
subcode. Who wants user data alone need not wait for either: the EDC of a sector has 32 bits, the checksum of a hunk 16.

sector    the EDC is over      and lies at
mode 1    bytes 0 to 2063      2064; zeros follow up to the ECC
form 1    bytes 16 to 2071     2072

Of these sectors a hunk has the sync and the ECC as zeros. A CRC without initial value or final xor is 0 over what it is of
and itself, and zeros leave it at 0: so that of a row of sectors in mode 1 is that of their syncs, which are missing. The
frames that fill the last hunk up are zeros, and right.
"""

import functools
from collections.abc import Callable

from imagefs.codecs import Content
from imagefs.containers.chd.packing import MAIN_BYTES
from imagefs.disc import ecc
from imagefs.disc.layouts import SYNC

Proof = Callable[[Content, int], bool]
"""(main channels of a hunk's frames, a bit for each that lacks sync and ECC) -> whether they are right."""

_RIGHT = bytes(4)


def proof_of(offset: int, length: int) -> Proof:
    """How the `length` bytes from `offset` of each sector are shown to be right. Never, where no EDC is over them."""
    if not ecc.is_edc_fast():
        return _never
    if offset >= len(SYNC) and offset + length <= 2064:
        return _is_mode1
    return _is_form1 if offset >= 16 and offset + length <= 2072 else _never


def _never(main: Content, bits: int) -> bool:
    return False


def _is_mode1(main: Content, bits: int) -> bool:
    return ecc.edc(main) == _edc_of_syncs(bits, len(main))


@functools.lru_cache(64)
def _edc_of_syncs(bits: int, length: int) -> bytes:
    """Of `length` bytes that are nothing but the syncs of those sectors whose bit is set."""
    sectors = range(length // MAIN_BYTES)
    return ecc.edc(b"".join((SYNC if bits >> sector & 1 else b"").ljust(MAIN_BYTES, b"\0") for sector in sectors))


def _is_form1(main: Content, bits: int) -> bool:
    view = memoryview(main)
    return ecc.edc(b"".join([view[at + 16 : at + 2076] for at in range(0, len(main), MAIN_BYTES)])) == _RIGHT
