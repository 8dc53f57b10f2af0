"""What may know what: the layers import only to the left, and only the outside of the program needs a Unix system."""

import ast
import functools
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import imagefs
from imagefs.formats import Format, Layer, all_formats, formats

PACKAGE = Path(imagefs.__file__).parent
TESTS = Path(__file__).parent

ORDER = (
    {"errors", "lazy", "limits", "slots"},
    {"options", "readers", "cache", "codecs"},
    {"helpers"},
    {"readahead"},
    {"packed", "nodes", "sources"},
    {"disc", "formats"},
    {"wrappers"},
    {"containers"},
    {"volumes"},
    {"filesystems"},
    {"tree"},
    {"image", "describe"},
    {"confine"},
    {"frontends"},
    {"daemon"},
    {"desktop"},
    {"cli"},
)
"""From left to right. A part imports what stands before it or is in one group with it."""
DECODERS = {layer.value.rpartition(".")[2] for layer in Layer}
OUTSIDE = {"confine", "frontends", "daemon", "desktop", "cli", "__main__"}
UNIX = {"trio", "pyfuse3", "fcntl", "termios", "tty", "pty", "pwd", "grp", "resource", "posix", "syslog", "readline"}


class Import(NamedTuple):
    """One imported module; `late` when that happens in a function or for the type checker alone."""

    line: int
    module: str
    late: bool


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """The part of the package that a module belongs to: `disc` of imagefs.disc.model."""
    return [*module.split("."), ""][1]


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> list[Import]:
    package = dotted(path) if path.stem == "__init__" else dotted(path).rpartition(".")[0]
    return list(_imports(parsed(path), package, late=False))


def _imports(node: ast.AST, package: str, *, late: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(node.lineno, name.name, late) for name in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        yield from (Import(node.lineno, f"{base}.{name.name}", late) for name in node.names)
    late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        late = True
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, package, late=late)


def test_every_part_has_its_place():
    assert {part_of(dotted(path)) for path in modules()} - {"", "__main__"} <= set().union(*ORDER)


def test_layers_import_only_to_the_left():
    known, allowed, wrong = set().union(*ORDER), set[str](), []
    for group in ORDER:
        allowed |= group
        for path in modules():
            if part_of(dotted(path)) in group:
                for line, module, _ in imports(path):
                    if module.startswith("imagefs.") and part_of(module) in known - allowed:
                        wrong.append(f"{path}:{line}: {module}")
    assert not wrong


def test_decoders_do_not_know_each_other():
    wrong = []
    for path in modules():
        own = part_of(dotted(path))
        others = DECODERS - {own} if own in DECODERS else set()
        wrong += [f"{path}:{line}: {module}" for line, module, _ in imports(path) if part_of(module) in others]
    assert not wrong


def test_what_windows_lacks_is_not_needed_left_of_the_frontends():
    wrong = []
    for path in modules():
        if part_of(dotted(path)) not in OUTSIDE:
            early = [item for item in imports(path) if not item.late]
            wrong += [f"{path}:{line}: {module}" for line, module, _ in early if module.split(".")[0] in UNIX]
    assert not wrong


def test_only_the_commands_about_mounts_know_the_frontends():
    """ls, cat, extract and info work where nothing can be mounted, and prove that the core stands alone."""
    wrong = []
    for path in (PACKAGE / "cli").glob("*.py"):
        if path.stem not in ("mount", "mount_helper", "umount", "list", "open", "run"):
            wrong += [(path, module) for _, module, _ in imports(path) if part_of(module) == "frontends"]
    assert not wrong


def test_the_core_imports_without_what_windows_lacks():
    """The same by trying: each of those modules fails to import, and everything left of the frontends is imported."""
    names = [dotted(path) for path in modules() if part_of(dotted(path)) not in OUTSIDE]
    code = f"""
import importlib, sys
for name in {sorted(UNIX - {"posix"})!r}:
    sys.modules[name] = None
for name in {names!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_module_says_what_it_is():
    assert not [path for path in modules() if not ast.get_docstring(parsed(path))]


def test_the_checker_sees_imports_of_every_kind(tmp_path: Path):
    """A rule that sees nothing would hold always."""
    source = """
import fcntl
from imagefs import cli
try:
    import imagefs.frontends.fuse
except ImportError:
    pass
if TYPE_CHECKING:
    from imagefs.image import Image
def later():
    from .sibling import name
class Early:
    import trio
"""
    found = list(_imports(ast.parse(source), "imagefs.containers", late=False))
    assert [(item.module, item.late) for item in found] == [
        ("fcntl", False),
        ("imagefs.cli", False),
        ("imagefs.frontends.fuse", False),
        ("imagefs.image.Image", True),
        ("imagefs.containers.sibling.name", True),
        ("trio", False),
    ]


def test_the_registry_finds_every_format():
    """Every module beside the others that assigns or imports FORMAT is one, and no other module is there."""
    for layer in Layer:
        package = importlib.import_module(layer.value)
        found = set()
        for module in pkgutil.iter_modules(package.__path__):
            if not module.name.startswith("_"):
                entry = importlib.import_module(f"{layer.value}.{module.name}").FORMAT
                assert isinstance(entry, Format)
                assert entry.layer is layer, f"{module.name} says {entry.layer}"
                found.add(entry.name)
        assert found == {entry.name for entry in formats(layer)}


def test_no_format_hides_deeper_in_a_package():
    hidden = []
    for path in modules():
        own = dotted(path).split(".")
        if len(own) > 3 and own[1] in DECODERS:
            shown = importlib.import_module(".".join(own[:3]))
            made = [
                node for node in parsed(path).body if isinstance(node, ast.Assign) and "FORMAT" in ast.unparse(node)
            ]
            names = {ast.unparse(target) for node in made for target in node.targets}
            if "FORMAT" in names and importlib.import_module(dotted(path)).FORMAT is not shown.FORMAT:
                hidden.append(str(path))
    assert not hidden


def test_names_of_formats_are_unique_and_described():
    names = [entry.name for entry in all_formats()]
    assert len(names) == len(set(names))
    assert all(entry.title and entry.reads for entry in all_formats())
    assert all(end == end.lower() and not end.startswith(".") for entry in all_formats() for end in entry.extensions)


@pytest.mark.parametrize("layer", Layer, ids=lambda layer: layer.name.lower())
def test_every_format_has_its_tests(layer: Layer):
    folder = TESTS / layer.value.rpartition(".")[2]
    package = importlib.import_module(layer.value)
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            beside = list(folder.glob(f"test_{module.name}*.py")) + list((folder / module.name).glob("test_*.py"))
            assert beside, f"no tests of {layer.value}.{module.name} in {folder}"
