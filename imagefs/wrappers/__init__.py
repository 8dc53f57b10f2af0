"""Whole-file codings round an image: one module a format, each opens to a Reader."""
