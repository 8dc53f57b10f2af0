"""What MDX is encrypted with, against the test vectors of the specifications."""

import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from imagefs.containers.mdx import ripemd160 as own
from imagefs.containers.mdx.crypto import Keys, Lrw, decrypt_cbc, decrypt_lrw, open_keys, password_of
from imagefs.errors import DamagedError
from tests.builders import mdx

DIGESTS = {
    b"": "9c1185a5c5e9fc54612808977ee8f548b2258d31",
    b"a": "0bdc9d2d256b3ee9daae347be6f4dc835a467ffe",
    b"abc": "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc",
    b"message digest": "5d0689ef49d2fae572b881b123a85ffa21595f36",
    b"abcdefghijklmnopqrstuvwxyz": "f71c27109c692c1b56bbdceb5b9d2865b3708dbc",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": "12a053384a9c0c88e405a06c27dcf49ada62eb2b",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789": "b0e20b6e3116640286ed3a87a5713079b21f5189",
    b"1234567890" * 8: "9b752e45573d4b39f4dbd3323cab82bf63326bfb",
}
"""Of the paper's appendix B."""


@pytest.mark.parametrize("text", DIGESTS)
def test_ripemd_160(text: bytes) -> None:
    assert own.ripemd160(text).hex() == DIGESTS[text]


@pytest.mark.parametrize("derive", [own.pbkdf2, own.pbkdf2_without_openssl], ids=["of OpenSSL", "our own"])
def test_pbkdf2(derive: Callable[[bytes, bytes, int, int], bytes]) -> None:
    """The vector that TrueCrypt tests itself with."""
    derived = "7a3d7c03e7266bf83d78fb29d2641f56eaf0e5f5ccc43a31a88470bfbd6f8e78245ac00af6faf0f6e900475f73cee143"
    assert derive(b"password", bytes.fromhex("12345678"), 5, 48).hex() == derived


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 200])
def test_pbkdf2_of_long_passwords(length: int) -> None:
    password, salt = b"x" * length, b"y" * length
    assert own.pbkdf2_without_openssl(password, salt, 3, 50) == hashlib.pbkdf2_hmac("ripemd160", password, salt, 3, 50)


def test_openssl_without_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise ValueError("unsupported hash type ripemd160")

    expected = own.pbkdf2(b"x" * 70, b"salt", 7, 64)
    own.pbkdf2.cache_clear()
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", refuse)
    assert own.pbkdf2(b"x" * 70, b"salt", 7, 64) == expected
    own.pbkdf2.cache_clear()


LRW = [
    (
        "f8d476ffd646ee6c2384cb1c77d6195dfef1a9f37bbc8d21a79c21f8cb900289",
        "a845348ec8c5b5f126f50e76fefd1b1e",
        1,
        "bd06b8e1db98899ec498e491cf1c702b",
    ),
    (
        "fb7615b23d80891dd470980bc79584c8b2fb64ce6097878d17fce45a49e830b7",
        "6e7817e72d5e12d46064047af12f9e0c",
        2 << 32,
        "5b908ec1abdd675f3d698a9553c89ce5",
    ),
]
"""IEEE P1619 draft, annex on LRW-AES-256: AES key, tweak key, number of the block, encrypted."""


@pytest.mark.parametrize(("key", "tweak", "number", "encrypted"), LRW)
def test_lrw(key: str, tweak: str, number: int, encrypted: str) -> None:
    lrw = Lrw(Keys(bytes.fromhex(key), bytes.fromhex(tweak)))
    assert lrw.decrypt(bytes.fromhex(encrypted), number) == b"0123456789ABCDEF"


@pytest.mark.parametrize("first", [0, 1, 1000, 1023, 1024, (1 << 40) - 3])
@pytest.mark.parametrize("length", [0, 16, 48, 40_000, 40_007])
def test_lrw_over_many_blocks(first: int, length: int) -> None:
    key, tweak = bytes(range(32)), bytes(range(100, 116))
    plain = bytes(number * number % 251 for number in range(length))
    encrypted = mdx.encrypt_lrw(plain, key, tweak, first)
    assert Lrw(Keys(key, tweak)).decrypt(encrypted, first) == plain
    assert length < 16 or encrypted[:16] != plain[:16]


def test_cbc() -> None:
    """NIST SP 800-38A F.2.6, with the whitening put on; then AES itself, FIPS 197 C.3, for an initial vector of zeros."""
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    iv = bytes(range(16))
    encrypted = bytes.fromhex("f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d")
    white = bytes(byte ^ iv[8 + at % 8] for at, byte in enumerate(encrypted))
    plain = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    assert decrypt_cbc(white, Keys(key, iv)).hex() == plain
    encrypted = bytes.fromhex("8ea2b7ca516745bfeafc49904b496089")
    assert decrypt_cbc(encrypted, Keys(bytes(range(32)), bytes(16))).hex() == "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize("length", [16, 496, 512, 528, 1024, 1040])
def test_the_chain_begins_anew(length: int) -> None:
    """Every 512 bytes: each such piece is CBC as the library has it, once the whitening is off."""
    key, iv = bytes(range(32)), bytes(range(200, 216))
    plain = bytes(number * 7 & 0xFF for number in range(length))
    encrypted = b""
    for at in range(0, length, 512):
        context = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        piece = context.update(plain[at : at + 512]) + context.finalize()
        encrypted += bytes(byte ^ iv[8 + place % 8] for place, byte in enumerate(piece))
    assert decrypt_cbc(encrypted, Keys(key, iv)) == plain


def test_the_password_in_the_salt() -> None:
    """Sixteen words of zeros leave the row of states itself, of which no byte stays zero."""
    password = password_of(bytes(64))
    state, words = 0x567372FF, []
    for _ in range(16):
        state = (state * 0x35E85A6D + 0x1548DCE9) % (1 << 32)
        words.append(state ^ 0xEC564717)
    expected = b"".join(word.to_bytes(4, "little") for word in words)
    assert password == expected.replace(b"\0", b"\x5f") and len(password) == 64
    assert b"\0" not in password_of(bytes(range(64)))


@pytest.mark.parametrize("lrw", [False, True])
def test_key_blocks(lrw: bool) -> None:
    block = mdx.key_block(mdx.SALT, mdx.KEYS, lrw=lrw, sizes=(300, 500))
    decrypt = decrypt_lrw if lrw else decrypt_cbc
    keys = open_keys(block, decrypt, password_of(mdx.SALT), 7)
    assert keys == Keys(mdx.KEYS[32:64], mdx.KEYS[:16], 300, 500)
    with pytest.raises(DamagedError, match="damaged at byte 7: the block of keys"):
        open_keys(block, decrypt, b"another", 7)
