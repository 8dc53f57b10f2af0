"""File systems: one module or package each, opens to a FileSystem."""
