"""The descriptor of an MDX image in the clear."""

import struct
from typing import NamedTuple

from imagefs import codecs, limits
from imagefs.containers._mds import HEADER as DESCRIPTOR_HEADER
from imagefs.containers.mdx.crypto import (
    BLOCK_BYTES,
    KEY_BLOCK_BYTES,
    SALT_BYTES,
    decrypt_cbc,
    open_keys,
    password_of,
)
from imagefs.errors import DamagedError
from imagefs.formats import Candidate

HEADER = struct.Struct("<16sBB26sI")
PLACE = struct.Struct("<QQ")
SECTORS_AT = HEADER.size + PLACE.size
"""Where the sectors of an MDX begin."""
_PREFIX_BYTES = 18
"""Of the file, before the descriptor: signature and version. Its offsets count from there."""
_ONE_FILE = 0xFFFF_FFFF


class Place(NamedTuple):
    """Where the descriptor lies: `length` bytes at `at`, its keys behind them at `keys_at`."""

    at: int
    length: int
    keys_at: int


def is_one_file(candidate: Candidate) -> bool:
    """Whether it has the sectors as well. Raises DamagedError."""
    return bool(HEADER.unpack(candidate.exactly(0, HEADER.size))[-1] == _ONE_FILE)


def place_of(candidate: Candidate) -> Place:
    """Raises DamagedError when it does not lie in the file, or cannot be as long."""
    keys_at, at = HEADER.unpack(candidate.exactly(0, HEADER.size))[-1], HEADER.size
    if keys_at == _ONE_FILE:
        at, length = PLACE.unpack(candidate.exactly(HEADER.size, PLACE.size))
        keys_at = at + length - SALT_BYTES
    end = keys_at + KEY_BLOCK_BYTES
    if not HEADER.size <= at < keys_at or end > candidate.reader.size:
        raise DamagedError(
            HEADER.size - 4,
            f"the descriptor is said to lie from byte {at} to {end}, and the file ends at {candidate.reader.size}",
        )
    return Place(at, keys_at - at, keys_at)


def read_descriptor(candidate: Candidate) -> bytes:
    """From the signature on, so that its offsets are right. Raises DamagedError, UnsupportedError without the library."""
    at, length, keys_at = place_of(candidate)
    block = candidate.exactly(keys_at, KEY_BLOCK_BYTES)
    keys = open_keys(block, decrypt_cbc, password_of(block[:SALT_BYTES]), keys_at)
    most = limits.MEDIA_DESCRIPTOR_BYTES
    if length % BLOCK_BYTES or not 0 < keys.packed_size <= length <= most or keys.size > most:
        raise DamagedError(keys_at, f"a descriptor of {keys.size} bytes, packed {keys.packed_size}, in {length}")
    packed = decrypt_cbc(candidate.exactly(at, length), keys)[: keys.packed_size]
    content = bytes(codecs.unzlib(packed, keys.size, where=at))
    if _PREFIX_BYTES + len(content) < DESCRIPTOR_HEADER.size:
        raise DamagedError(at, f"a descriptor of {len(content)} bytes")
    return candidate.exactly(0, _PREFIX_BYTES) + content
