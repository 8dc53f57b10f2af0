"""What a mount shows: of a volume the richest tree; one volume at the root, or several in folders, and audio tracks.

A volume may describe its files in several trees, and in several file systems (a bridge disc has ISO 9660 and UDF). Shown is
the one that `-o tree=` names, else the first of RICHNESS whose root is whole; failing that, the one that shows most. Rock
Ridge comes before UDF, since the UDF side that mkisofs writes has no links and cuts names; UDF comes before Joliet, since an
installer's ISO 9660 side may be one README.TXT that says to use UDF: such a stub is never shown for a damaged UDF side.

The rules (`-o layout=`):
auto  one volume: its root is the root. Several: a folder each, `1-LABEL`, without a label `1-iso9660`. Audio tracks are
      `track02.wav` at the root; where there is nothing but them, they are called by their titles, and `disc.cue` lies beside
      them (`audio`).
flat  the first volume alone.
tree  everything at once, each in a folder. Folders lie in one another in this order, and where there is only one of a kind
      its folder is left out:
      `session1/`          the sessions of a disc that has a table of contents
      `1-LABEL/`           the volumes of a session
      `session1/`, `build1/`  the states of a volume, the oldest first: sessions of an image that has no table of contents,
                           builds of a write-once UDF disc (every virtual allocation table that the newest leads back to)
      `rr/` `joliet/` `evd/` `iso/` `udf/`  the trees of a state
      Something is a folder always: a disc with one plain tree shows `iso/`. Audio tracks are in `audio/` of their session.
      Of more than 126 trees the oldest are left out, with a warning.

`-o session=N` shows that session, or that state of a volume, alone; its audio tracks too. `-o volume=N` shows no audio.
`-o meta` adds `.imagefs/` at the root (`meta`).

One volume without extras is shown as it is, with no layer between; otherwise a `Composed` puts all together.
"""

from imagefs.tree.choice import RICHNESS, richest
from imagefs.tree.composed import MOST_MEMBERS, Composed, Content, Folder, LazyFolder
from imagefs.tree.layout import Shown, arrange, folder_name, show

__all__ = [
    "MOST_MEMBERS",
    "RICHNESS",
    "Composed",
    "Content",
    "Folder",
    "LazyFolder",
    "Shown",
    "arrange",
    "folder_name",
    "richest",
    "show",
]
