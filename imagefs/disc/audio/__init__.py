"""Audio files as the samples of a disc: what CUE and TOC sheets name beside raw sectors.

WAV and AIFF hold the samples themselves. FLAC, MP3 and Ogg Vorbis are decoded by miniaudio (`imagefs[audio]`), in pieces,
when they are read: a file's length is known from its headers, a place in it is found by looking for the frames around it,
and what is decoded at once is at most about 1 MiB of samples. Nothing is decoded when an image is opened.

How many samples a file has, and which is its first, decides where its tracks begin:
FLAC    as its header says, or as the last frame does; every sample as it was before.
MP3     frames of 1152 samples. Where the encoder left a note (the LAME tag), its delay, the decoder's (529 samples) and the
        filling at the end are left out, as mpg123 and ffmpeg do; without a note every frame counts from its first sample.
Vorbis  from the first page's position to the last one's, as oggdec does.

Decoders of lossy codecs differ in the last bit of a sample, and so do we from them.
"""

from imagefs.disc.audio.aiff import is_aiff, samples_in_aiff
from imagefs.disc.audio.flac import is_flac, samples_in_flac
from imagefs.disc.audio.mp3 import is_mp3, samples_in_mp3
from imagefs.disc.audio.vorbis import is_ogg, samples_in_ogg
from imagefs.disc.model import AUDIO_BYTES
from imagefs.disc.samples import Samples
from imagefs.disc.wav import is_wav, samples_in_wav
from imagefs.errors import UnsupportedError
from imagefs.readers import Extent, Reader, joined

AUDIO_EXTENSIONS = ("wav", "aiff", "aif", "aifc", "flac", "mp3", "ogg", "oga")
_OTHERS = (
    # (what a file begins with, its name)
    (b"MAC ", "Monkey's Audio"),
    (b"wvpk", "WavPack"),
    (b"RF64", "RF64"),
    (b"RIFX", "RIFX"),
    (b"TTA1", "True Audio"),
    (b"OFR ", "OptimFROG"),
    (b"MPCK", "Musepack"),
    (b"MP+", "Musepack"),
    (b".snd", "Sun audio"),
    (b"0&\xb2u", "Windows Media Audio"),
)


def samples_of(source: Reader) -> Samples | None:
    """The samples of an audio file, None for a file that does not begin as one.

    16-bit stereo at 44100 Hz. Raises UnsupportedError for any other coding and where miniaudio is needed and not there,
    DamagedError, OSError.
    """
    head = source.pread(0, 16)
    if is_wav(head):
        return Samples(samples_in_wav(source))
    if is_aiff(head):
        return samples_in_aiff(source)
    if is_flac(source):
        return Samples(samples_in_flac(source))
    if is_ogg(head):
        return Samples(samples_in_ogg(source))
    for magic, name in _OTHERS:
        if head.startswith(magic):
            raise UnsupportedError(f"{name} audio is not read")
    if is_mp3(source):
        return Samples(samples_in_mp3(source))
    return None


def whole_sectors(samples: Reader) -> Reader:
    """Samples with the last sector filled up with silence, as a burning program does it."""
    size = -(-samples.size // AUDIO_BYTES) * AUDIO_BYTES
    return joined([Extent(0, samples.size, samples), Extent(samples.size, size - samples.size, None)], size)
