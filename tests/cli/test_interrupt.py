"""Ctrl-C at any moment is silent and ends with 130, also while the first modules are being imported."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["imagefs.cli.common", "argparse", "imagefs.cli.output", "imagefs.cli.ls", "imagefs.options", "imagefs.image"],
)
def test_while_a_module_is_imported(module: str) -> None:
    """A finder stands in for the user: it is interrupted when that module is looked for."""
    code = f"""
import sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt
for name in [name for name in sys.modules if name == {module!r}]:
    del sys.modules[name]
from imagefs.cli import main
sys.meta_path.insert(0, Finder)
sys.exit(main(["ls", "/nonexistent"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
