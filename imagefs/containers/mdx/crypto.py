"""How MDX hides its descriptor and its sectors: AES-256 in two modes of TrueCrypt 4, and the block that has their keys.

key block, 512 bytes
0    64   salt
64   448  encrypted with what PBKDF2 derives from the password and the salt (HMAC-RIPEMD-160, 2000 rounds):
64   4    crc           CRC-32 of `keys`
68   4    magic         "EURT"
72   2    -             1
74   2    length        of `keys`: 256
80   256  keys          16 bytes of initial vector (CBC) or of tweak key (LRW), 16 unused, 32 of AES key, zeros
336  4    packed_size   of the descriptor, as a zlib stream
340  4    size          of the descriptor

What is derived is laid out as `keys` is. Where the user gave no password one is computed from the salt, as the descriptor's
always is: so its block hides nothing.

CBC: each half of an encrypted block has an XOR with the second half of the initial vector (TrueCrypt: whitening), and the
chain begins anew every 512 bytes. The block of the descriptor's keys and the descriptor are in this mode.
LRW: before and after AES each block has an XOR with the tweak key times the block's number, in GF(2^128) modulo
x^128 + x^7 + x^2 + x + 1. The block of the sectors' keys (numbers from 1 on) and the sectors are in this mode.

Sources: mdsx and libMirage; TrueCrypt 4 (CBC with whitening); IEEE P1619 draft of 2006 (LRW-AES).
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from imagefs.containers.mdx.ripemd160 import pbkdf2
from imagefs.disc import ecc
from imagefs.errors import DamagedError, UnsupportedError

KEY_BLOCK_BYTES = 512
SALT_BYTES = 64
BLOCK_BYTES = 16
"""of AES"""
ROUNDS = 2000

_HEAD = struct.Struct("<I4sHHI256sII")
_SALT = struct.Struct("<16I")
_MAGIC = b"EURT"
_CHAIN_BYTES = 512
_DERIVED_BYTES = 64
"""PBKDF2 is asked for 152 bytes by those who write it; the first 64 are the same and all that is used."""
_SEED, _FACTOR, _STEP, _MASK = 0x567372FF, 0x35E85A6D, 0x1548DCE9, 0xEC564717
_U32 = 0xFFFF_FFFF
_FIELD = 1 << 128 | 0x87
_LOW_BITS = 10
"""Of a block's number: the products of the tweak key with those are kept, 16 KiB."""


def password_of(salt: bytes) -> bytes:
    """The password that stands in for one of the user's: 64 bytes, as the salt."""
    state = int.from_bytes(ecc.edc(salt), "little") ^ _SEED
    words = []
    for word in _SALT.unpack(salt):
        state = (state * _FACTOR + _STEP) & _U32
        words.append(word ^ state ^ _MASK)
    return _SALT.pack(*words).replace(b"\0", b"\x5f")


class Keys(NamedTuple):
    """What a key block has: for AES, for the mode around it; sizes are those of the descriptor."""

    key: bytes
    tweak: bytes
    packed_size: int = 0
    size: int = 0

    @classmethod
    def laid_out(cls, data: bytes) -> "Keys":
        return cls(data[32:64], data[:16])


def open_keys(block: bytes, decrypt: Callable[[bytes, Keys], bytes], password: bytes, where: int) -> Keys:
    """The keys in a key block. `decrypt` is that of its mode.

    Raises DamagedError for byte `where` when the password is not the one or the block is damaged, which look the same;
    UnsupportedError without the library.
    """
    salt, encrypted = block[:SALT_BYTES], block[SALT_BYTES:]
    content = decrypt(encrypted, Keys.laid_out(pbkdf2(password, salt, ROUNDS, _DERIVED_BYTES)))
    crc, magic, _, length, _, keys, packed_size, size = _HEAD.unpack_from(content)
    if magic != _MAGIC or length != len(keys) or crc != zlib.crc32(keys):
        raise DamagedError(where, "the block of keys there has not the checksum it should have")
    return Keys.laid_out(keys)._replace(packed_size=packed_size, size=size)


def decrypt_cbc(data: bytes, keys: Keys) -> bytes:
    """Whole blocks of AES."""
    plain = _aes(keys.key)
    data = _xor(data, keys.tweak[8:] * (len(data) // 8))
    step = _CHAIN_BYTES
    chain = b"".join(keys.tweak + data[at : at + step - BLOCK_BYTES] for at in range(0, len(data), step))
    return _xor(plain(data), chain[: len(data)])


def decrypt_lrw(data: bytes, keys: Keys) -> bytes:
    """Whole blocks of AES, numbered from 1 on."""
    return Lrw(keys).decrypt(data, 1)


class Lrw:
    """LRW under one pair of keys. Immutable, safe for many threads."""

    def __init__(self, keys: Keys) -> None:
        self._decrypt = _aes(keys.key)
        power = int.from_bytes(keys.tweak, "big")
        self._powers = [power]
        """The tweak key times x^0 to x^127."""
        for _ in range(127):
            power <<= 1
            power ^= _FIELD if power >> 128 else 0
            self._powers.append(power)
        low = [0]
        for power in self._powers[:_LOW_BITS]:
            low += [power ^ product for product in low]
        self._low = b"".join(product.to_bytes(BLOCK_BYTES, "big") for product in low)

    def decrypt(self, data: bytes, first: int) -> bytes:
        """`data` in the clear, its first block having the number `first`. A rest that is no whole block is not encrypted."""
        count = len(data) // BLOCK_BYTES
        whole = data[: count * BLOCK_BYTES]
        tweaks = b"".join(self._tweaks(first, count))
        return _xor(self._decrypt(_xor(whole, tweaks)), tweaks) + data[len(whole) :]

    def _tweaks(self, first: int, count: int) -> Iterator[bytes]:
        """Those of `count` blocks: the product with a sum is the sum of the products."""
        end = first + count
        while first < end:
            high, low = divmod(first, 1 << _LOW_BITS)
            take = min(end - first, (1 << _LOW_BITS) - low)
            part = self._low[low * BLOCK_BYTES : (low + take) * BLOCK_BYTES]
            yield _xor(part, self._times(high << _LOW_BITS) * take)
            first += take

    def _times(self, number: int) -> bytes:
        product = 0
        for bit, power in enumerate(self._powers):
            if number >> bit & 1:
                product ^= power
        return product.to_bytes(BLOCK_BYTES, "big")


def _xor(data: bytes, other: bytes) -> bytes:
    return (int.from_bytes(data, "big") ^ int.from_bytes(other, "big")).to_bytes(len(data), "big")


def _aes(key: bytes) -> Callable[[bytes], bytes]:
    """What decrypts whole blocks, each by itself. Raises UnsupportedError without the library."""
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ImportError:
        raise UnsupportedError("it is encrypted with AES: pip install 'imagefs[crypto]'") from None
    cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  the modes around it are made here

    def decrypt(data: bytes) -> bytes:
        context = cipher.decryptor()
        return context.update(data) + context.finalize()

    return decrypt
