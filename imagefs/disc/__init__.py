"""What an optical disc is: sessions, tracks, sectors. Nothing here knows an image format."""

from imagefs.disc.model import Disc, Session, Track, TrackKind

__all__ = ["Disc", "Session", "Track", "TrackKind"]
