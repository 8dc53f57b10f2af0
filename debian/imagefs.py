#!/usr/bin/python3
"""/usr/bin/imagefs of the package."""

import sys

from imagefs.cli import main

sys.exit(main())
