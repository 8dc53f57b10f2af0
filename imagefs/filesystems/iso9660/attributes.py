"""Extended attributes: what AAIP entries and Apple's fields record of a file.

AAIP (libisofs, `xorriso -xattr on`): all AL entries of a record, joined, are components of 0 flags (1 continued in the
next), 1 length, 2 text; name and value alternate. A name's first byte may be a prefix: 1 escapes the byte after it, 2 is
"system.", 3 "user.", 4 "isofs." (libisofs' own notes), 5 "trusted.", 6 "security.". An empty name is an access control list.
Shown are those of users; the others would claim what a read-only mount of someone else's disc must not grant.

Apple's type, creator and Finder flags become the 32 bytes that macOS keeps as com.apple.FinderInfo, and the resource fork,
the associated file recorded just before the file, com.apple.ResourceFork; both as `user.` names, the only ones that Linux
lets everybody read.
"""

from collections.abc import Sequence

_USER = 3
_FINDER_INFO_BYTES = 32
FINDER_INFO = "user.com.apple.FinderInfo"
RESOURCE_FORK = "user.com.apple.ResourceFork"


def aaip(entries: Sequence[bytes]) -> dict[str, bytes]:
    """The user attributes in the component areas of a record's AL entries. What is cut off is left out."""
    components, text = [], b""
    data, at = b"".join(entries), 0
    while at + 2 <= len(data):
        flags, length = data[at], data[at + 1]
        part = data[at + 2 : at + 2 + length]
        if len(part) != length:
            break
        text += part
        if not flags & 1:
            components.append(text)
            text = b""
        at += 2 + length
    pairs = zip(components[::2], components[1::2], strict=False)
    return {
        "user." + name[1:].decode("utf-8", "surrogateescape"): value
        for name, value in pairs
        if len(name) > 1 and name[0] == _USER and 0 not in name
    }


def finder_info(finder: bytes) -> bytes:
    """FinderInfo from type, creator and flags."""
    return finder.ljust(_FINDER_INFO_BYTES, b"\0")
