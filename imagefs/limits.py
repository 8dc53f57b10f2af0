"""The limits that stop a hostile image, each with its reason. Checked beside the file's real size, never instead of it."""

PROBE_BYTES = 64 << 10
"""What a probe may read around its offsets."""

NESTING_DEPTH = 4
"""Wrapper inside wrapper inside container ...: real images need two or three."""

DESCRIPTOR_BYTES = 1 << 20
"""A text descriptor (CUE): a disc of 99 tracks with CD-TEXT in every field is below 100 KiB."""

MEDIA_DESCRIPTOR_BYTES = 8 << 20
"""A packed descriptor (MDX): 99 tracks with 256 files each are below 3 MiB, a disc's position measurements below 1 MiB."""

DESCRIPTOR_TOKENS = 1 << 17
"""Words of a text descriptor (TOC): 99 tracks with CD-TEXT in eight languages and 99 indexes each have fewer than 60,000."""

DISC_TRACKS = 99 * 99
"""99 tracks in each of 99 sessions are all that a table of contents can name."""

DISC_SECTORS = 1 << 26
"""Sectors of one track: 128 GiB of 2048 bytes, a four-layer BDXL. A sheet's addresses may name more than its files hold."""

CHUNKS = 1 << 16
"""Chunks of one file (RIFF, NRG): 99 sessions need 400, a WAV of a sampler some thousands."""

WARNINGS = 32
"""Warnings of one image: enough to see what is wrong with it, too few to fill a log."""

TABLE_BYTES = 1 << 28
"""Any one table (a CSO index of a 128 GiB image is this large); it must fit in the file as well."""

BLOCK_BYTES = 32 << 20
"""One packed block: it is decoded whole, so this bounds what a 4 KiB read can cost."""

HUNKS = 1 << 20
"""Hunks of a CHD, chunks of a DAA, that a file may have however small it is: equal ones take next to nothing in a map."""

HUNK_HOPS = 64
"""Hunks of a CHD that are each the same as another; writers point at the first of all."""

PARENTS = 32
"""Images of which each is the difference to the next."""

METADATA = 4096
"""Metadata entries of one CHD: a disc of 99 tracks has 99."""

DECODER_BYTES = 96 << 20
"""What a decoder of xz may allocate: the dictionary of `xz -9` is 64 MiB."""

DIRECTORY_BYTES = 64 << 20
"""One directory: about 400,000 Rock Ridge entries; also at most the image's size."""

PATH_TABLE_BYTES = 16 << 20
"""A path table: 65535 directories with names of 221 bytes are all that its 16-bit numbers can tell."""

RECOVERED_DIRECTORIES = 4096
"""Subdirectories of one damaged directory that are sought by the path table: each costs a read."""

DIRECTORY_DEPTH = 1000
"""A path of 4096 bytes cannot be deeper than 2048."""

DIRECTORY_NAMES = 16
"""Names under which a walk enters one directory. By the book it has one, and some discs give a folder two; where every
directory of a chain names the next one twice, each level would double the work."""

ENTRY_BYTES = 16
"""The shortest entry of a directory (XDVDFS; in ISO 9660 it has 34 bytes, in UDF 40). No walk lists more entries than an
image has room for: a disc has files besides, so that this allows for folders with two names as well."""

COPIED_RATIO = 500
"""How many times its size `extract` copies out of an image: files may share what they hold, and those of a disc with many
editions of one system come to some ten times the disc."""

COPIED_BYTES = 16 << 30
"""What it copies out of an image however small: zisofs packs a thousand to one."""

FILE_EXTENTS = 4096
"""Sections of a multi-extent file: 16 TiB at 4 GiB each."""

CE_HOPS = 512
"""Continuation areas of one directory record: 1 MiB of attributes; Linux stops at 32."""

CE_BYTES = 1 << 20
"""All continuation areas of one directory record together."""

NAME_BYTES = 255
"""NAME_MAX of Linux."""

LINK_BYTES = 4095
"""PATH_MAX of Linux without its NUL."""

DESCRIPTOR_SECTORS = 100
"""Volume descriptors after the system area; Linux looks at 84."""

ROOT_SECTORS = 512
"""Sectors after the descriptors in which the root directory of an image of a later track is sought."""

SESSIONS = 256
"""Sessions that are searched in an image without a table of contents."""

BOOT_ENTRIES = 64
"""El Torito entries."""

RECOGNITION_SLOTS = 64
"""Structures of a UDF recognition sequence: a bridge disc has about ten."""

DESCRIPTOR_BLOCKS = 512
"""Blocks of one UDF volume descriptor sequence, wherever its pointers lead; writers reserve 16 to 64."""

PARTITION_MAPS = 8
"""Partition maps of a UDF volume: by the book it has one, and one more when that is virtual or has its metadata apart."""

METADATA_EXTENTS = 1 << 14
"""Extents of a UDF metadata file, which are kept; writers enlarge it by 64 KiB and more at once."""

DESCRIPTOR_JUMPS = 64
"""Volume descriptor pointers that are followed, and file sets."""

INDIRECTIONS = 1024
"""Versions of a UDF file entry on write-once media, as Linux."""

ALLOCATION_CHAIN = 1 << 16
"""Blocks of allocation descriptors of one UDF file: 16 million extents with blocks of 2 KiB."""

ALLOCATIONS = 1 << 18
"""Extents of one UDF file that do not adjoin: 64 GiB in fragments of 256 KiB."""

SPARE_ALLOCATIONS = 64
"""Extents of a UDF file beyond one for each of its blocks, which is all that it can need: but for the last they are whole
blocks."""

VAT_BLOCKS = 600
"""Blocks before the last one in which the virtual allocation table of a UDF disc is sought: run-out, lost ends."""

VAT_EXTENTS = 64
"""Extents of a virtual allocation table: that of a full CD written in packets of 64 KiB has 22; many places are tried."""

SEARCH_READS = 1 << 15
"""Reads in which the sessions of a UDF disc without a table of contents, and their former states, have to be found: a
session takes 50, and some hundreds where much lies between it and the next."""

VAT_PADDING_BYTES = 64 << 20
"""Zeros after the end of a UDF disc that are skipped to find its last block."""

VAT_ENTRIES = 1 << 24
"""Blocks that a virtual allocation table may list."""

SPARING_BYTES = 1 << 20
"""A sparing table: the 16-bit count of its entries allows for half as much."""

RESYNCS = 1 << 14
"""Places of one damaged directory at which the next entry is looked for."""

SPLIT_PARTS = 10_000
"""Parts of a split image: .001 to .9999."""

CACHED_TIMES = 1 << 16
"""Recording times of a volume that are kept converted: about 8 MiB."""

CACHED_ENTRIES = 1 << 16
"""Entries of directories that the file systems of a process keep parsed for look-ups by name: about 30 MiB."""

SEARCHED_ENTRIES = 1 << 20
"""Entries that are looked through for what only a walk of the tree can find: a hard link's inode, a boot image's file."""

COMPARED_ENTRIES = 1 << 13
"""Entries of two trees of a volume beyond 4 GiB that are compared before one is shown, those nearest the root: a tenth of a
second. Files of 4 GiB and more lie in the open."""

LINK_RECORD_BYTES = 16 << 10
"""The path components of a UDF link: two bytes for each letter of the longest target, and a header for each name."""

XATTRS = 1024
"""Extended attributes of one file; XATTR_LIST_MAX of Linux holds about as many names."""

XATTR_BYTES = 64 << 10
"""XATTR_SIZE_MAX of Linux."""

UNPACKED_BYTES = 16 << 30
"""What a compressed file may give however small it is: an empty disk of 16 GiB is a legal image, and passes in seconds."""

UNPACKED_RATIO = 500
"""How many times larger than its file a content beyond UNPACKED_BYTES may be, where a pass over it is needed."""

PIECES = 1 << 22
"""Members, frames or blocks of a compressed file: 256 GiB in pieces of 64 KiB."""

CHECKPOINTS = 512
"""States of a decoder that are kept for one image: 40 KiB each, 20 MiB together."""

XZ_BLOCKS = 1 << 20
"""Blocks of an xz file: each takes 180 bytes of memory, and two bytes of a hostile file. Programs write blocks of a MiB and
more, so that this is a disc of a TiB."""
BROKEN_PIECES = 1024
"""Broken pieces of a compressed file, and broken blocks of a packed image, that are remembered; the others are decoded again
to find that they are."""

WINDOW_BYTES = 128 << 20
"""What a decoder of zstd may look back: the most that `zstd --long` needs and the program itself accepts unasked."""

AUDIO_FRAMES = 1 << 20
"""Frames of one MP3 file: 7 hours, a disc has 80 minutes; the place of each is kept in 8 bytes."""

TABLED_INODES = 1 << 20
"""Inodes of one image of a library whose numbers do not fit beside the image's: a table of 100 MiB."""
