"""Image formats: one module each, opens to a Reader (a flat disk) or a Disc."""
