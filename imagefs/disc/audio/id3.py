"""ID3v2, the tag in front of many audio files: "ID3", u8 version, u8, u8 flags, four bytes of 7 bits each for its length.

The length is that of what follows these 10 bytes; with flag 0x10 a copy of them follows as well. Source: ID3v2.4.0 §3.1.
"""

from imagefs.readers import Reader

_MAGIC = b"ID3"
_HEAD_BYTES = 10
_HAS_FOOTER = 0x10
_MAX_TAGS = 4


def behind_id3(source: Reader) -> int:
    """The byte offset behind the tags that a file begins with, 0 when it has none."""
    at = 0
    for _ in range(_MAX_TAGS):
        head = source.pread(at, _HEAD_BYTES)
        if not head.startswith(_MAGIC) or len(head) < _HEAD_BYTES or max(head[6:]) > 0x7F:
            break
        length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        at += _HEAD_BYTES + length + (_HEAD_BYTES if head[5] & _HAS_FOOTER else 0)
    return at
