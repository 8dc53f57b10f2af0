"""Audio files for tests: what is to be heard, and the files that other programs make of it."""

import array
import math
import random
import shutil
import struct
import subprocess
import wave
from pathlib import Path

import pytest

RATE = 44100
HUSH, BANG = 300, 24_000


def music(seconds: float, seed: int = 1) -> bytes:
    """Little-endian 16-bit stereo: tones, noise, silence and a few bangs, which make encoders change their blocks."""
    chance, samples = random.Random(seed), array.array("h")
    total = int(seconds * RATE)
    for at in range(total):
        if at % 15_000 < 2_000:
            left = right = 0
        else:
            tone = 9000 * math.sin(at * (0.02 + at / total / 9))
            left, right = int(tone) + chance.randrange(-HUSH, HUSH), int(tone / 2) - chance.randrange(HUSH)
        if at % 9_973 < 3:
            left, right = BANG, -BANG
        samples.extend((left, right))
    return samples.tobytes()


def write_wav(path: Path, content: bytes, rate: int = RATE, channels: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(content)
    return path


def read_wav(path: Path) -> bytes:
    with wave.open(str(path), "rb") as file:
        return file.readframes(file.getnframes())


def run(*command: str | Path, stdin: bytes | None = None) -> bytes:
    """What a program writes to its output. Skips the test when it is not installed."""
    if not shutil.which(str(command[0])):
        pytest.skip(f"{command[0]} is not installed")
    words = [str(word) for word in command]
    return subprocess.run(words, input=stdin, capture_output=True, check=True, timeout=60).stdout


def largest_difference(one: bytes, other: bytes) -> int:
    """Of two runs of samples of the same length."""
    assert len(one) == len(other)
    pairs = zip(array.array("h", one), array.array("h", other), strict=True)
    return max((abs(left - right) for left, right in pairs), default=0)


def aiff(content: bytes, compression: bytes = b"", channels: int = 2, bits: int = 16, rate: int = RATE) -> bytes:
    """AIFF, or AIFC with a compression; `content` is big-endian but for `sowt`."""
    exponent = rate.bit_length() - 1
    common = struct.pack(">HIHHQ", channels, len(content) // 4, bits, 16383 + exponent, rate << 63 - exponent)
    common += compression + (b"\0\0" if compression else b"")
    sound = struct.pack(">II", 4, 0) + b"skip" + content
    body = b"".join(
        struct.pack(">4sI", name, len(chunk)) + chunk + b"\0" * (len(chunk) % 2)
        for name, chunk in ((b"NAME", b"odd"), (b"COMM", common), (b"SSND", sound))
    )
    return struct.pack(">4sI4s", b"FORM", len(body) + 4, b"AIFC" if compression else b"AIFF") + body


def crc(data: bytes, bits: int, polynomial: int) -> int:
    code, top = 0, 1 << bits - 1
    for byte in data:
        code ^= byte << bits - 8
        for _ in range(8):
            code = (code << 1 ^ (polynomial if code & top else 0)) & (1 << bits) - 1
    return code


def flac_of_changing_blocks(folder: Path, content: bytes, sizes: list[int]) -> bytes:
    """A FLAC file whose blocks have these sizes in turn: `flac` packs each one alone, and the numbers are written anew."""
    frames, at, number = [], 0, 0
    while at < len(content):
        piece = content[at : at + 4 * sizes[number % len(sizes)]]
        wav = write_wav(folder / "block.wav", piece)
        whole = run("flac", "-s", "-f", "--no-padding", "--no-seektable", "--lax", "-b", "16384", "-c", wav)
        frames.append(_numbered(_only_frame(whole), at // 4))
        at, number = at + len(piece), number + 1
    rest = RATE << 44 | 1 << 41 | 15 << 36 | len(content) // 4
    info = struct.pack(">HH6xQ16x", min(sizes), max(sizes), rest)
    return b"fLaC\x80\0\0\x22" + info + b"".join(frames)


def _only_frame(whole: bytes) -> bytes:
    at, is_last = 4, False
    while not is_last:
        is_last = bool(whole[at] & 0x80)
        at += 4 + int.from_bytes(whole[at + 1 : at + 4], "big")
    return whole[at:]


def _numbered(frame: bytes, sample: int) -> bytes:
    """Block 0 as one of a stream of changing blocks, beginning with `sample`."""
    assert frame[1] == 0xF8 and frame[4] == 0
    end = 5 + {6: 1, 7: 2}.get(frame[2] >> 4, 0)
    head = b"\xff\xf9" + frame[2:4] + chr(sample).encode("utf-8", "surrogatepass") + frame[5:end]
    head += bytes((crc(head, 8, 7),))
    body = head + frame[end + 1 : -2]
    return body + struct.pack(">H", crc(body, 16, 0x8005))
