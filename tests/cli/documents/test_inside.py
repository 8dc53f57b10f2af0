"""What `imagefs complete-path` says to a shell, and that it is silent otherwise."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.cli.documents import inside
from tests.builders.memory import MemoryFileSystem
from tests.cli.conftest import Imagefs

Shown = Callable[..., object]


def test_entries_of_the_folder_that_was_typed(imagefs: Imagefs, shown: Shown, tmp_path: Path) -> None:
    shown(MemoryFileSystem({"docs": {"a b": b"", "deep": {}}, "disc.txt": b"", "new\nline": b""}, tmp_path / "backing"))
    assert imagefs("complete-path", "disc", "") == (0, b"disc.txt\ndocs/\n", [])
    assert imagefs("complete-path", "disc", "do") == (0, b"docs/\n", [])
    assert imagefs("complete-path", "disc", "docs/") == (0, b"docs/a b\ndocs/deep/\n", [])
    assert imagefs("complete-path", "disc", "disc.txt/") == (0, b"", [])


def test_it_is_confined_before_the_image_is_opened(imagefs: Imagefs, shut_in: list[str], tmp_path: Path) -> None:
    assert imagefs("complete-path", tmp_path / "missing", "").status == 1
    assert shut_in == [str(tmp_path / "missing")]


def test_nothing_to_say(imagefs: Imagefs, tmp_path: Path) -> None:
    (tmp_path / "text.iso").write_text("no image\n" * 9000)
    for words in ([tmp_path / "missing", ""], [tmp_path / "text.iso", ""]):
        assert imagefs("complete-path", *words) == (1, b"", [])
    assert imagefs("complete-path") == (64, b"", [])


def test_no_more_than_a_prompt_can_use(
    imagefs: Imagefs, shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside, "MOST", 3)
    shown(MemoryFileSystem({f"{number}": b"" for number in range(9)}, tmp_path / "backing"))
    assert imagefs("complete-path", "disc", "").out == b"0\n1\n2\n"
