"""UIF: recognised, and refused with a line that says what to do."""

from pathlib import Path

import pytest

import imagefs
from imagefs.containers.uif import FORMAT
from imagefs.errors import UnsupportedError
from imagefs.formats import Candidate
from imagefs.readers import BytesReader
from tests.builders.sectors import volume


def test_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.uif").write_bytes(volume(40) + b"bbis".ljust(64, b"\0"))
    with pytest.raises(UnsupportedError, match="uif2iso"):
        imagefs.open_image(str(tmp_path / "x.uif"))


@pytest.mark.parametrize("content", [b"", b"bbis", volume(40), b"bbis" + bytes(100)])
def test_other_files_are_left_alone(content: bytes) -> None:
    assert FORMAT.probe(Candidate(BytesReader(content), "x.uif")) is None
