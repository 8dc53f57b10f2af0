"""RIPEMD-160, for where the OpenSSL that Python was built with lacks it; and the keys that PBKDF2 derives with it.

Sources: Dobbertin, Bosselaers, Preneel, "RIPEMD-160: A Strengthened Version of RIPEMD" (1996), appendix A; RFC 2104 (HMAC);
RFC 8018 §5.2 (PBKDF2).
"""

import functools
import struct
from collections.abc import Callable

_BLOCK_BYTES, _DIGEST_BYTES = 64, 20
_U32 = 0xFFFF_FFFF
_State = tuple[int, int, int, int, int]
_Mix = Callable[[int, int, int], int]

_START: _State = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_WORDS, _DIGEST = struct.Struct("<16I"), struct.Struct("<5I")

_RHO = (7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8)
_SHIFTS = (
    (11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8),
    (12, 13, 11, 15, 6, 9, 9, 7, 12, 15, 11, 13, 7, 8, 7, 7),
    (13, 15, 14, 11, 7, 7, 6, 8, 13, 14, 13, 12, 5, 5, 6, 9),
    (14, 11, 12, 14, 8, 6, 5, 5, 15, 12, 15, 14, 9, 9, 8, 6),
    (15, 12, 13, 13, 9, 5, 8, 6, 14, 11, 12, 11, 8, 6, 5, 5),
)
"""By how much a word is rotated in each round: by its number in the block, not by the order of the steps."""
_CONSTANTS = (
    (0, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E),
    (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0),
)
_MIXES: tuple[_Mix, ...] = (
    lambda x, y, z: x ^ y ^ z,
    lambda x, y, z: (x & y) | (~x & z),
    lambda x, y, z: (x | ~y) ^ z,
    lambda x, y, z: (x & z) | (y & ~z),
    lambda x, y, z: x ^ (y | ~z),
)


def _line(order: list[int], constants: tuple[int, ...], mixes: tuple[_Mix, ...]) -> list[tuple[_Mix, int, int, int]]:
    """The 80 steps of one of the two lines: (mix, constant, number of the word, by how much it is rotated)."""
    steps = []
    for mix, constant, shifts in zip(mixes, constants, _SHIFTS, strict=True):
        steps += [(mix, constant, word, shifts[word]) for word in order]
        order = [_RHO[word] for word in order]
    return steps


_LEFT = _line(list(range(16)), _CONSTANTS[0], _MIXES)
_RIGHT = _line([(9 * word + 5) % 16 for word in range(16)], _CONSTANTS[1], _MIXES[::-1])


def _run(steps: list[tuple[_Mix, int, int, int]], state: _State, words: tuple[int, ...]) -> _State:
    a, b, c, d, e = state
    for mix, constant, word, shift in steps:
        total = (a + mix(b, c, d) + words[word] + constant) & _U32
        a, b, c, d, e = e, ((total << shift | total >> 32 - shift) + e) & _U32, b, (c << 10 | c >> 22) & _U32, d
    return a, b, c, d, e


def _compress(state: _State, block: bytes) -> _State:
    words = _WORDS.unpack(block)
    _, b, c, d, e = left = _run(_LEFT, state, words)
    v, w, x, y, z = _run(_RIGHT, state, words)
    s, t, u, p, q = state
    return (t + c + y) & _U32, (u + d + z) & _U32, (p + e + v) & _U32, (q + left[0] + w) & _U32, (s + b + x) & _U32


def _finish(state: _State, data: bytes, before: int = 0) -> bytes:
    """The digest of `data` behind `before` bytes that have made `state`."""
    padded = data + b"\x80" + bytes(-(len(data) + 9) % _BLOCK_BYTES) + struct.pack("<Q", 8 * (before + len(data)))
    for at in range(0, len(padded), _BLOCK_BYTES):
        state = _compress(state, padded[at : at + _BLOCK_BYTES])
    return _DIGEST.pack(*state)


def ripemd160(data: bytes) -> bytes:
    """The digest, 20 bytes."""
    return _finish(_START, data)


def pbkdf2_without_openssl(password: bytes, salt: bytes, rounds: int, length: int) -> bytes:
    """`length` bytes of key; the same as `pbkdf2`, 300 times slower."""
    key = (ripemd160(password) if len(password) > _BLOCK_BYTES else password).ljust(_BLOCK_BYTES, b"\0")
    inner, outer = (_compress(_START, bytes(byte ^ pad for byte in key)) for pad in (0x36, 0x5C))

    def hmac(data: bytes) -> bytes:
        return _finish(outer, _finish(inner, data, _BLOCK_BYTES), _BLOCK_BYTES)

    derived = b""
    for number in range(-(-length // _DIGEST_BYTES)):
        last = hmac(salt + struct.pack(">I", number + 1))
        total = int.from_bytes(last, "big")
        for _ in range(rounds - 1):
            last = hmac(last)
            total ^= int.from_bytes(last, "big")
        derived += total.to_bytes(_DIGEST_BYTES, "big")
    return derived[:length]


@functools.lru_cache(8)
def pbkdf2(password: bytes, salt: bytes, rounds: int, length: int) -> bytes:
    """`length` bytes of key. Kept, since a descriptor is looked at for its files' names and then opened."""
    import hashlib  # nobody else needs it, and loading it takes a fiftieth of a mount's start

    try:
        return hashlib.pbkdf2_hmac("ripemd160", password, salt, rounds, length)
    except ValueError:  # no such hash
        return pbkdf2_without_openssl(password, salt, rounds, length)
