"""The limits that stop a hostile image, each with its reason. Checked beside the file's real size, never instead of it."""

PROBE_BYTES = 64 << 10
"""What a probe may read around its offsets."""

NESTING_DEPTH = 4
"""Wrapper inside wrapper inside container ...: real images need two or three."""

DESCRIPTOR_BYTES = 1 << 20
"""A text descriptor (CUE): a disc of 99 tracks with CD-TEXT in every field is below 100 KiB."""

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

DECODER_BYTES = 96 << 20
"""What a decoder of xz may allocate: the dictionary of `xz -9` is 64 MiB."""

DIRECTORY_BYTES = 64 << 20
"""One directory: about 400,000 Rock Ridge entries; also at most the image's size."""

DIRECTORY_DEPTH = 1000
"""A path of 4096 bytes cannot be deeper than 2048."""

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

SPLIT_PARTS = 10_000
"""Parts of a split image: .001 to .9999."""

CACHED_TIMES = 1 << 16
"""Recording times of a volume that are kept converted: about 8 MiB."""

CACHED_ENTRIES = 1 << 16
"""Entries of directories that a file system keeps parsed for look-ups by name: about 30 MiB."""

SEARCHED_ENTRIES = 1 << 20
"""Entries that are looked through for what only a walk of the tree can find: a hard link's inode, a boot image's file."""

XATTR_BYTES = 64 << 10
"""XATTR_SIZE_MAX of Linux."""
