"""Whether sectors of a hunk are right, told by their EDC alone.

The checksum of a hunk is over whole frames, with ECC, which takes longer to make than a sector to unpack, and with the
subcode. Who wants user data alone need not wait for either: the EDC of a sector has 32 bits, the checksum of a hunk 16.

sector    the EDC is over      and lies at
mode 1    bytes 0 to 2063      2064; zeros follow up to the ECC
form 1    bytes 16 to 2071     2072
form 2    bytes 16 to 2347     2348; zeros where there is none

A CRC without initial value or final xor is 0 over what it is of and itself, and zeros leave it at 0. Where sync and ECC were
taken out they are zeros: so that of a row of sectors in mode 1 is that of their syncs. The frames that fill the last hunk up
are zeros, and right.
"""

import functools
from collections.abc import Callable

from imagefs.codecs import Content
from imagefs.containers.chd.packing import MAIN_BYTES
from imagefs.disc import ecc
from imagefs.disc.layouts import SYNC

Proof = Callable[[Content, int], bool]
"""(main channels of a hunk's frames, a bit for each that lacks sync and ECC) -> whether they are right."""

_MODE, _SUBHEADER, _SUBMODE = 15, 16, 18
_FORM2_BIT = 0x20
_MODE1_END, _FORM1_END, _FORM2_END = 2068, 2076, 2352
"""The bytes that follow the EDC begin there."""
_RIGHT, _EMPTY = bytes(4), bytes(MAIN_BYTES)


def proof_of(offset: int, length: int) -> Proof | None:
    """How the `length` bytes from `offset` of each sector are shown to be right; None where an EDC is not over them."""
    if not ecc.is_edc_fast() or offset < _SUBHEADER or offset + length > _FORM1_END:
        return None
    return _are_all_mode1 if offset + length <= _MODE1_END else _are_all_mode2


def _are_all_mode1(main: Content, bits: int) -> bool:
    return ecc.edc(main) == _edc_of_syncs(bits, len(main)) or _are_all_mode2(main, bits)


@functools.lru_cache(64)
def _edc_of_syncs(bits: int, length: int) -> bytes:
    """Of `length` bytes that are nothing but the syncs of those sectors whose bit is set."""
    sectors = range(length // MAIN_BYTES)
    return ecc.edc(b"".join((SYNC if bits >> sector & 1 else b"").ljust(MAIN_BYTES, b"\0") for sector in sectors))


def _are_all_mode2(main: Content, bits: int) -> bool:
    starts = range(0, len(main), MAIN_BYTES)
    return all(_is_mode2(main[at : at + MAIN_BYTES], bits >> number & 1) for number, at in enumerate(starts))


def _is_mode2(sector: Content, is_bare: int) -> bool:
    """Whether it is one in mode 2 that is right, or empty. `is_bare`: without its ECC, which form 2 has not."""
    if sector[_MODE] != 2:
        return sector == _EMPTY
    is_form2 = sector[_SUBMODE] & _FORM2_BIT and not is_bare
    return ecc.edc(sector[_SUBHEADER : _FORM2_END if is_form2 else _FORM1_END]) == _RIGHT
