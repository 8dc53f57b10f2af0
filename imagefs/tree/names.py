"""Names that are made of texts on a disc: labels, titles."""

from imagefs import limits


def name_of(text: str, before: str = "", after: str = "") -> bytes:
    """A name of at most 255 bytes: `text` between two parts that are kept whole, and no letter cut in two.

    `/` and what cannot be printed, NUL and control characters among it, become `_`.
    """
    plain = "".join("_" if letter == "/" or not letter.isprintable() else letter for letter in text).strip()
    room = limits.NAME_BYTES - len((before + after).encode())
    while len(raw := plain.encode("utf-8", "replace")) > room:
        plain = plain[: len(plain) - max(1, (len(raw) - room) // 4)]
    return before.encode() + raw + after.encode()
