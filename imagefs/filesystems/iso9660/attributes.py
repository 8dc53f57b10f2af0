"""Extended attributes: what AAIP entries and Apple's fields record of a file.

AAIP (libisofs, `xorriso -xattr on`): all AL entries of a record, joined, are components of 0 flags (1 continued in the
next), 1 length, 2 text; name and value alternate. A name's first byte may be a prefix: 1 escapes the byte after it, 2 is
"system.", 3 "user.", 4 "isofs." (libisofs' own notes), 5 "trusted.", 6 "security.". Shown are those of users; the others
would claim what a read-only mount of someone else's disc must not grant.

An empty name (`xorriso -acl on`) is an access control list, for each entry a byte: low 3 bits rwx, 8 a qualifier follows,
high 4 bits the kind: 1 owner, 3 owning group, 5 mask, 6 others, 10 the user and 12 the group of the number in the qualifier
(2 and 4: of the name there), 8 from here on it is the list for new files in a directory. A qualifier is 0 length (128: it
goes on in another), 1 bytes, the highest first. They are shown as Linux has them, system.posix_acl_access and _default, for
`getfacl` and for copying; what a mount allows, the mode alone decides, as the kernel's own driver has it. A list that says
no more than the mode does is not shown, nor is one of names, since those are of another machine.

Apple's type, creator and Finder flags become the 32 bytes that macOS keeps as com.apple.FinderInfo, and the resource fork,
the associated file recorded just before the file, com.apple.ResourceFork; both as `user.` names, the only ones that Linux
lets everybody read. (macOS and Aaru have them under the same names, Linux' own driver hides them.) No attribute can be
larger than 64 KiB: of a fork that is, only the size is told, as user.com.apple.ResourceFork.size.

What an Amiga recorded is user.amiga.protection (4 bytes, the highest first) and user.amiga.comment.
"""

import struct
from collections.abc import Sequence

from imagefs import limits

_USER = 3
_ACL_ENTRY = struct.Struct("<HHI")  # tag, permissions, number
_ACL_VERSION = struct.pack("<I", 2)
_ACL_TAGS = {1: 0x01, 10: 0x02, 3: 0x04, 12: 0x08, 5: 0x10, 6: 0x20}
"""Kinds of AAIP and the tags that Linux has for them, in the order in which it wants them."""
_ACL_DEFAULT, _ACL_PLAIN_ENTRIES, _NOBODY = 8, 3, 0xFFFF_FFFF
_ACL_ENTRIES = limits.XATTR_BYTES // _ACL_ENTRY.size - 1
ACL_ACCESS, ACL_DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_FINDER_INFO_BYTES = 32
FINDER_INFO = "user.com.apple.FinderInfo"
RESOURCE_FORK = "user.com.apple.ResourceFork"
FORK_SIZE = "user.com.apple.ResourceFork.size"
AMIGA_PROTECTION, AMIGA_COMMENT = "user.amiga.protection", "user.amiga.comment"


def aaip(entries: Sequence[bytes]) -> dict[str, bytes]:
    """What the AL entries of a record tell, by name. `entries` are their component areas; what is cut off is left out."""
    found: dict[str, bytes] = {}
    for name, value in _pairs(entries):
        if not name:
            found |= access_lists(value)
        elif len(name) > 1 and name[0] == _USER and 0 not in name:
            found["user." + name[1:].decode("utf-8", "surrogateescape")] = value
    return found


def _pairs(entries: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Names and values as recorded."""
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
    return list(zip(components[::2], components[1::2], strict=False))


def access_lists(data: bytes) -> dict[str, bytes]:
    """The access control lists that AAIP recorded, in the form in which Linux hands them out."""
    lists: tuple[list[bytes], list[bytes]] = [], []
    which, at = 0, 0
    while at < len(data):
        kind, permissions, has_qualifier = data[at] >> 4, data[at] & 7, data[at] & 8
        at += 1
        number, goes_on = 0, bool(has_qualifier)
        while goes_on and at < len(data):
            length = data[at] & 0x7F
            number = number << 8 * length | int.from_bytes(data[at + 1 : at + 1 + length], "big")
            goes_on = bool(data[at] & 0x80)
            at += 1 + length
            if number >= _NOBODY:
                return {}
        if kind == _ACL_DEFAULT:
            which = 1
        elif kind not in _ACL_TAGS or goes_on or at > len(data) or len(lists[which]) >= _ACL_ENTRIES:
            return {}
        else:
            lists[which].append(_ACL_ENTRY.pack(_ACL_TAGS[kind], permissions, number if has_qualifier else _NOBODY))
    found = {}
    if len(lists[0]) > _ACL_PLAIN_ENTRIES:
        found[ACL_ACCESS] = _ACL_VERSION + b"".join(sorted(lists[0]))
    if lists[1]:
        found[ACL_DEFAULT] = _ACL_VERSION + b"".join(sorted(lists[1]))
    return found


def finder_info(finder: bytes) -> bytes:
    """FinderInfo from type, creator and flags."""
    return finder.ljust(_FINDER_INFO_BYTES, b"\0")
