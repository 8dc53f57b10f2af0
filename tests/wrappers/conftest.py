"""What the tests of all wrappers have."""

import pytest

from imagefs import cache


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """What other tests have read ahead and never asked for would keep out what these read ahead."""
    cache.shared().clear()
