"""Fixtures for the command line."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, NamedTuple

import pytest

from imagefs.cli import main
from imagefs.nodes import FileSystem
from imagefs.readers import Reader


class Result(NamedTuple):
    """What a command left: exit status, standard output, the lines of standard error."""

    status: int
    out: bytes
    errors: list[str]


Imagefs = Callable[..., Result]


@pytest.fixture
def imagefs(capfdbinary: pytest.CaptureFixture[bytes]) -> Imagefs:
    """imagefs("ls", image, ...) runs a command in this process."""

    def run(*words: str | Path) -> Result:
        capfdbinary.readouterr()
        status = main([str(word) for word in words])
        captured = capfdbinary.readouterr()
        assert b"Traceback" not in captured.err
        return Result(status, captured.out, captured.err.decode().splitlines())

    return run


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where commands look for a daemon: not where the machine may have one."""
    place = str(tmp_path / "run" / "control.sock")
    monkeypatch.setattr("imagefs.daemon.client.default_socket", lambda: place)
    return place


@pytest.fixture(autouse=True)
def shut_in(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images that a command would have shut this process in with: the tests have to go on."""
    images: list[str] = []

    def note(path: str) -> Callable[[], None]:
        images.append(path)
        return lambda: None

    monkeypatch.setattr("imagefs.confine.shut_in", note)
    return images


class StandIn:
    """As much of an Image as commands need, around a file system of the test's."""

    def __init__(self, tree: FileSystem, raw: Reader | None, warnings: Sequence[str]) -> None:
        self.tree, self.raw, self.warnings = tree, raw, list(warnings)

    def __enter__(self) -> "StandIn":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        pass


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SimpleNamespace]:
    """shown(tree): every image that a command opens from now on has this tree. Gives back what was asked for."""

    def show(tree: FileSystem, raw: Reader | None = None, warnings: Sequence[str] = ()) -> SimpleNamespace:
        seen = SimpleNamespace(path=None, options=None)

        def open_image(path: str, options: Any, answers: Any = None) -> StandIn:
            seen.path, seen.options = path, options
            return StandIn(tree, raw, warnings)

        monkeypatch.setattr("imagefs.image.open_image", open_image)
        return seen

    return show
