"""Mounting through FUSE: two engines (`direct`, `pyfuse3`) that serve the same `Mount`."""
