"""How the chunks, the table and the sheet of a UIF are packed and hidden.

version  packed with
1, 2     zlib
3        LZMA: u8 whether x86 code was changed before (BCJ), 5 bytes of properties, u64 size, the stream

From version 2 on what is packed, and chunks that are not, may be encrypted with DES, block by block; what is left behind the
last whole block of 8 bytes is not. The key is one of sixteen sentences: filled up with zeros to 32 bytes, the sum of its
four numbers of 64 bits. `key1` tells which one, counted from 1. With `key2` 2 it is another cipher, one of eight.
"""

import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

from imagefs import codecs
from imagefs.codecs import Content
from imagefs.containers._lzma import PROPERTIES_BYTES, packing_of, unlzma
from imagefs.errors import DamagedError, UnsupportedError

BLOCK_BYTES = 8
"""of DES"""
_FIRST_WITH_CIPHER, _FIRST_WITH_LZMA = 2, 3
_OTHER_CIPHER = 2
_SENTENCE = struct.Struct("<4Q")
_U64 = 0xFFFF_FFFF_FFFF_FFFF
_SENTENCES = (
    b"FAngS)snOt32",
    b"AglEy29TarsI;",
    b"bum87OrYx*THeCa",
    b"ARMy67sabot&",
    b"FoOTs:blaZe70",
    b"panIc+elD%self79",
    b"Usnea*hest98",
    b"apex(TUft!BLOKE70",
    b"sword18rEpP}",
    b"ARb10naVY=Rouse",
    b"PAIR18gAG:swAYs",
    b"gums}Box73yANg",
    b"naVal45drain]",
    b"Cams42hEt83faiLs)",
    b"rIaNt$Notch5",
    b"ExaCT&art*MEteS47",
)
_LZMA_HEAD_BYTES = 1 + PROPERTIES_BYTES + 8

Decrypt = Callable[[bytes], bytes]


class Packing(NamedTuple):
    """How an image is packed: with LZMA or zlib, encrypted or not."""

    has_lzma: bool = False
    decrypt: Decrypt | None = None

    def plain(self, stored: bytes) -> bytes:
        """What was stored, not encrypted any more. `stored` begins with a whole block."""
        whole = len(stored) - len(stored) % BLOCK_BYTES
        return stored if self.decrypt is None else self.decrypt(stored[:whole]) + stored[whole:]

    def unpack(self, stored: bytes, size: int, *, least: int | None = None, where: int) -> Content:
        """`size` bytes, or from `least` on. `where` is the byte offset of `stored`. Raises DamagedError."""
        packed = self.plain(stored)
        if self.has_lzma:
            return _unlzma(packed, size, size if least is None else least, where)
        return codecs.unzlib(packed, size, least=least, where=where)

    def unpack_front(self, stored: bytes, size: int, where: int) -> Content:
        """The first `size` bytes of what may be longer, fewer where it is shorter. Raises DamagedError."""
        packed = self.plain(stored)
        if self.has_lzma:
            return _unlzma(packed, size, 0, where)
        try:
            return zlib.decompressobj().decompress(packed, size)
        except zlib.error as error:
            raise DamagedError(where, f"the zlib data is broken ({error})") from error


def _unlzma(packed: bytes, size: int, least: int, where: int) -> bytes:
    if len(packed) < _LZMA_HEAD_BYTES:
        raise DamagedError(where, f"LZMA data of {len(packed)} bytes")
    packing = packing_of(packed[1 : 1 + PROPERTIES_BYTES], where + 1)
    return unlzma(packed[_LZMA_HEAD_BYTES:], packing, size, has_filter=packed[0] != 0, least=least, where=where)


def packing_by(version: int, key1: int, key2: int) -> Packing:
    """By the fields of the footer. Raises UnsupportedError for a cipher that is not read, or without the library."""
    decrypt: Decrypt | None = None
    if version >= _FIRST_WITH_CIPHER:
        if key2 == _OTHER_CIPHER:
            raise UnsupportedError("it is encrypted with a cipher of MagicISO's own; convert it to ISO with MagicISO")
        if 1 <= key1 <= len(_SENTENCES):
            decrypt = _des(key_of(_SENTENCES[key1 - 1]))
    return Packing(version >= _FIRST_WITH_LZMA, decrypt)


def key_of(sentence: bytes) -> bytes:
    """The key that a sentence makes."""
    total = sum(_SENTENCE.unpack(sentence.ljust(_SENTENCE.size, b"\0")))
    return int(total & _U64).to_bytes(BLOCK_BYTES, "little")


def _des(key: bytes) -> Decrypt:
    """DES as triple DES with one key: libraries do not have it alone any more. Raises UnsupportedError without one."""
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, modes
    except ImportError:
        raise UnsupportedError("its chunks are encrypted with DES: pip install 'imagefs[crypto]'") from None
    try:
        from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    except ImportError:  # before version 43
        from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES
    cipher = Cipher(TripleDES(3 * key), modes.ECB())  # noqa: S305  as the format has it

    def decrypt(data: bytes) -> bytes:
        context = cipher.decryptor()
        return bytes(context.update(data) + context.finalize())

    return decrypt
