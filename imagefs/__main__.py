"""`python -m imagefs` is `imagefs`."""

import sys

from imagefs.cli import main

if __name__ == "__main__":
    sys.exit(main())
