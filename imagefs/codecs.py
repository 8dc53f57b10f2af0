"""Codecs: one bounded, exact decoder for each.

No binding gives all three of what an image needs: an output that cannot grow beyond a bound, an error when the output is
shorter than it has to be, and one class of errors. `codec(data, size)` does: it gives exactly `size` bytes or raises
DamagedError. `least` says that less may come (a last block that some writers pad and others do not).

codec      decodes                       bytes after its end
inflate    raw deflate (RFC 1951)        ignored: index shifts pad blocks
unzlib     zlib streams (RFC 1950)       ignored
unzlib_whole                             an error
unlz4      LZ4 blocks without a frame    an error; see `unlz4_padded`
unlz4_frame, unxz, unbz2, unzstd         an error

`each` decodes many blocks of one size in one call, which is what blocks of 2 KiB need: no Python runs between them.

Libraries are imported when they are first needed. libdeflate (package `deflate`) inflates about twice as fast as zlib, which
stands in for it. A codec whose library is missing raises UnsupportedError that names the package.
"""

import bz2
import importlib
import itertools
import lzma
import threading
import zlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from imagefs import limits
from imagefs.errors import DamagedError, UnsupportedError

Content = bytes | bytearray


class _Binding(NamedTuple):
    """`decode(data, size)` gives at most `size` bytes, or raises one of `errors`."""

    decode: Callable[[bytes, int], Content]
    errors: tuple[type[Exception], ...]


class Codec:
    """One codec; safe for many threads. `load` imports its library."""

    def __init__(self, name: str, load: Callable[[], _Binding]) -> None:
        self.name, self._load = name, load
        self._binding: _Binding | None = None

    def require(self) -> _Binding:
        """Import the library. Raises UnsupportedError when it is not installed."""
        if self._binding is None:
            self._binding = self._load()
        return self._binding

    def __call__(self, data: bytes, size: int, *, least: int | None = None, where: int | None = None) -> Content:
        """`size` bytes, or from `least` to `size` where that is given. `where` is the byte offset that an error tells."""
        decode, errors = self._binding or self.require()
        if size > limits.BLOCK_BYTES:
            raise DamagedError(where, f"a block of {size} bytes; the limit is {limits.BLOCK_BYTES}")
        try:
            content = decode(data, size)
        except errors as error:
            raise DamagedError(where, f"the {self.name} data is broken ({error})") from error
        if len(content) < (size if least is None else least):
            raise DamagedError(where, f"the {self.name} data ends after {len(content)} of {size} bytes")
        return content

    def each(self, blocks: Iterable[bytes], size: int, *, where: int | None = None) -> list[Content]:
        """Blocks that give `size` bytes each."""
        decode, errors = self._binding or self.require()
        if size > limits.BLOCK_BYTES:
            raise DamagedError(where, f"a block of {size} bytes; the limit is {limits.BLOCK_BYTES}")
        try:
            contents = list(map(decode, blocks, itertools.repeat(size)))
        except errors as error:
            raise DamagedError(where, f"the {self.name} data is broken ({error})") from error
        count, total = len(contents), sum(map(len, contents))
        if total != count * size:  # none is longer than `size`, so all are exact when the sum is
            raise DamagedError(where, f"{count} {self.name} blocks give {total} bytes instead of {count * size}")
        return contents


class _NotExactError(Exception):
    """What a binding that cannot tell raises for more than `size` bytes, for an unfinished stream, and for garbage."""


def _stream(decoder: Any, data: bytes, size: int) -> bytes:
    """A whole stream through an object of bz2's, lzma's or zlib's kind; one more byte than wanted shows that it goes on."""
    content: bytes = decoder.decompress(data, size + 1)
    if len(content) > size:
        raise _NotExactError(f"it gives more than {size} bytes")
    if not decoder.eof:
        raise _NotExactError(f"it ends early, after {len(content)} bytes")
    return content


def _strict(decoder: Any, data: bytes, size: int) -> bytes:
    """The same, and nothing may follow."""
    content = _stream(decoder, data, size)
    if decoder.unused_data:
        raise _NotExactError(f"{len(decoder.unused_data)} bytes follow its end")
    return content


def _load_inflate() -> _Binding:
    try:
        from deflate import DeflateError, deflate_decompress
    except ImportError:
        return _Binding(lambda data, size: _stream(zlib.decompressobj(-15), data, size), (zlib.error, _NotExactError))
    return _Binding(deflate_decompress, (DeflateError,))


def _load_zlib() -> _Binding:
    try:
        from deflate import DeflateError, zlib_decompress
    except ImportError:
        return _Binding(lambda data, size: _stream(zlib.decompressobj(), data, size), (zlib.error, _NotExactError))
    return _Binding(zlib_decompress, (DeflateError,))


def _load_zlib_whole() -> _Binding:
    """A stream ends with the Adler-32 of its content: where that is not so, something follows its end."""
    try:
        from deflate import DeflateError, adler32, zlib_decompress
    except ImportError:
        return _Binding(lambda data, size: _strict(zlib.decompressobj(), data, size), (zlib.error, _NotExactError))

    def decode(data: bytes, size: int) -> Content:
        content: bytearray = zlib_decompress(data, size)
        if adler32(content) != int.from_bytes(data[-4:], "big"):
            raise _NotExactError("something follows its end")
        return content

    return _Binding(decode, (DeflateError, _NotExactError))


def _load_lz4() -> _Binding:
    try:
        import lz4.block
    except ImportError:
        raise _missing("lz4") from None
    return _Binding(lz4.block.decompress, (lz4.block.LZ4BlockError,))


def _load_lz4_frame() -> _Binding:
    try:
        import lz4.frame
    except ImportError:
        raise _missing("lz4") from None
    make = lz4.frame.LZ4FrameDecompressor
    return _Binding(lambda data, size: _strict(make(), data, size), (RuntimeError, EOFError, _NotExactError))


def _load_xz() -> _Binding:
    def decode(data: bytes, size: int) -> bytes:
        return _strict(lzma.LZMADecompressor(lzma.FORMAT_XZ, limits.DECODER_BYTES), data, size)

    return _Binding(decode, (lzma.LZMAError, EOFError, _NotExactError))


def _load_bz2() -> _Binding:
    return _Binding(lambda data, size: _strict(bz2.BZ2Decompressor(), data, size), (OSError, EOFError, _NotExactError))


def _load_zstd() -> _Binding:
    """zstandard keeps its context from block to block, which makes blocks of 2 KiB four times as fast."""
    try:
        import zstandard
    except ImportError:
        return _load_zstd_of_python()
    own = threading.local()

    def decode(data: bytes, size: int) -> bytes:
        stated = zstandard.frame_content_size(data)
        if stated > size:  # it would be allocated, whatever max_output_size says
            raise _NotExactError(f"it states {stated} bytes")
        context = getattr(own, "context", None)
        if context is None:
            context = own.context = zstandard.ZstdDecompressor(max_window_size=limits.BLOCK_BYTES)
        content: bytes = context.decompress(data, max_output_size=size, allow_extra_data=False)
        return content

    return _Binding(decode, (zstandard.ZstdError, _NotExactError))


def _load_zstd_of_python() -> _Binding:
    """The module of Python 3.14, or the same for older ones."""
    module = _first_module("compression.zstd", "backports.zstd")
    if module is None:
        raise _missing("zstd")
    make, options = module.ZstdDecompressor, {module.DecompressionParameter.window_log_max: _WINDOW_LOG}
    return _Binding(
        lambda data, size: _strict(make(options=options), data, size), (module.ZstdError, EOFError, _NotExactError)
    )


class _ZstdDecompressor:
    """The decompression objects of zstandard in the manner of bz2's: they give all they can, so the rest is kept here."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._rest = inner, b""

    @property
    def eof(self) -> bool:
        return not self._rest and bool(self._inner.eof)

    @property
    def needs_input(self) -> bool:
        return not self._rest and not self._inner.eof

    @property
    def unused_data(self) -> bytes:
        unused: bytes = self._inner.unused_data
        return unused

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        content = self._rest + self._inner.decompress(data) if data else self._rest
        self._rest = content[max_length:]
        return content[:max_length]


def zstd_decompressor(window_bytes: int) -> tuple[Any, tuple[type[Exception], ...]]:
    """A decompressor for one frame, with the interface of bz2's, and what it raises.

    It is to be fed a block at a time, since all that a block gives may be kept. Raises UnsupportedError without a library.
    """
    try:
        import zstandard
    except ImportError:
        module = _first_module("compression.zstd", "backports.zstd")
        if module is None:
            raise _missing("zstd") from None
        options = {module.DecompressionParameter.window_log_max: window_bytes.bit_length() - 1}
        return module.ZstdDecompressor(options=options), (module.ZstdError, EOFError)
    inner = zstandard.ZstdDecompressor(max_window_size=window_bytes).decompressobj()
    return _ZstdDecompressor(inner), (zstandard.ZstdError,)


_WINDOW_LOG = limits.BLOCK_BYTES.bit_length() - 1


def _first_module(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _missing(extra: str) -> UnsupportedError:
    return UnsupportedError(f"its blocks are packed with {extra}: pip install 'imagefs[{extra}]'")


inflate = Codec("deflate", _load_inflate)
unzlib = Codec("zlib", _load_zlib)
unzlib_whole = Codec("zlib", _load_zlib_whole)
unlz4 = Codec("LZ4", _load_lz4)
unlz4_frame = Codec("LZ4", _load_lz4_frame)
unxz = Codec("xz", _load_xz)
unbz2 = Codec("bzip2", _load_bz2)
unzstd = Codec("zstd", _load_zstd)


def unlz4_padded(
    data: bytes, size: int, padding: int, *, least: int | None = None, where: int | None = None
) -> Content:
    """An LZ4 block with up to `padding` unknown bytes after its end.

    A decoder of LZ4 must know where the block ends. Usually nothing follows; otherwise the block's own tokens are walked
    until they have given `size` bytes, or `least`.
    """
    try:
        return unlz4(data, size, least=least, where=where)
    except DamagedError:
        for length in {size, size if least is None else least}:
            end = _lz4_end(data, length)
            if 0 < len(data) - end <= padding:
                return unlz4(data[:end], size, least=least, where=where)
        raise


def _lz4_end(data: bytes, size: int) -> int:
    """Where an LZ4 block that gives `size` bytes ends, or len(data) when it does not give them.

    A block is a row of sequences: a token (literals << 4 | match length - 4), more length bytes where a half is 15, the
    literals, a 2-byte distance, more length bytes. The last sequence ends after its literals.
    """
    at, given = 0, 0
    while at < len(data):
        token = data[at]
        literals, at = _lz4_length(data, at + 1, token >> 4)
        at += literals
        given += literals
        if given >= size:
            return at if given == size else len(data)
        match, at = _lz4_length(data, at + 2, token & 15)
        given += match + 4
    return len(data)


def _lz4_length(data: bytes, at: int, length: int) -> tuple[int, int]:
    """(length, position after it): 15 goes on in bytes that are added, up to the first that is not 255."""
    if length == 15:
        while at < len(data):
            more = data[at]
            at += 1
            length += more
            if more != 255:
                break
    return length, at
