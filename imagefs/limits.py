"""The limits that stop a hostile image, each with its reason. Checked beside the file's real size, never instead of it."""

PROBE_BYTES = 64 << 10
"""What a probe may read around its offsets."""

NESTING_DEPTH = 4
"""Wrapper inside wrapper inside container ...: real images need two or three."""

DESCRIPTOR_BYTES = 1 << 20
"""A text descriptor (CUE): a disc of 99 tracks with CD-TEXT in every field is below 100 KiB."""

DISC_TRACKS = 99 * 99
"""99 tracks in each of 99 sessions are all that a table of contents can name."""

TABLE_BYTES = 1 << 28
"""Any one table (a CSO index of a 128 GiB image is this large); it must fit in the file as well."""

BLOCK_BYTES = 32 << 20
"""One packed block: it is decoded whole, so this bounds what a 4 KiB read can cost."""

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

SESSIONS = 256
"""Sessions that are searched in an image without a table of contents."""

BOOT_ENTRIES = 64
"""El Torito entries."""

SPLIT_PARTS = 10_000
"""Parts of a split image: .001 to .9999."""
