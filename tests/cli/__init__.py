"""The command line, mostly in this process, as a user sees it where that matters."""
