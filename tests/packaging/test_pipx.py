"""`pipx install .`: a wheel that has everything, and works from nothing but its own environment."""

import fcntl
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import imagefs

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pipx() -> Path:
    """The program, in an environment of its own below build/."""
    folder = ROOT / "build" / "pipx"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program = folder / "venv" / "bin" / "pipx"
        if not program.exists():
            shutil.rmtree(folder / "venv", ignore_errors=True)
            venv.create(folder / "venv", with_pip=True)
            pip = [f"{folder}/venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "pipx"], check=True, timeout=120)
    return program


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the wheel is made of: a build leaves nothing in the tree."""
    source = tmp_path_factory.mktemp("source")
    for name in ("imagefs", "systemd", "examples"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return source


@pytest.mark.fuse
@pytest.mark.timeout(300)
def test_installed_by_pipx(pipx: Path, source: Path, tmp_path: Path, tree: Path, make_iso: Callable[..., Path]) -> None:
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
    environment |= {"HOME": str(tmp_path / "home"), "LC_ALL": "C.UTF-8"}
    environment |= {"PIPX_HOME": str(tmp_path / "pipx"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    (tmp_path / "home").mkdir()

    def run(*words: object) -> str:
        done = subprocess.run(
            [str(word) for word in words], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(pipx, "install", "--python", sys.executable, source)
    program = tmp_path / "bin" / "imagefs"
    assert run(program, "--version") == f"imagefs {imagefs.__version__}\n"
    (tmp_path / "mnt").mkdir()
    run(program, "mount", make_iso(tree, "-R"), tmp_path / "mnt")
    try:
        assert (tmp_path / "mnt/hello.txt").read_bytes() == b"hello\n"
    finally:
        run(program, "umount", tmp_path / "mnt")

    run(program, "install-integration", "--user")
    share = tmp_path / "home/.local/share"
    assert f"Exec={program} open %f" in (share / "applications/imagefs.desktop").read_text().splitlines()
    unit = (share / "systemd/user/imagefs@.service").read_text()
    assert f"ExecStart={program} mount " in unit and "/usr/bin/imagefs" not in unit
    run(program, "uninstall-integration", "--user")
    assert list((tmp_path / "home").rglob("*imagefs*")) == []


@pytest.mark.timeout(300)
def test_the_wheel_has_every_file(pipx: Path, source: Path, tmp_path: Path) -> None:
    """Code and data alike, the units, the licence, and nothing else."""
    python = str(pipx.with_name("python"))
    words = [
        python,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
    ]
    subprocess.run([*words, str(source)], check=True, timeout=200)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    here = {str(path.relative_to(source)) for path in (source / "imagefs").rglob("*") if path.is_file()}
    units = {
        f"imagefs/desktop/share/{path.relative_to(source)}"
        for path in (source / "systemd").rglob("*")
        if path.is_file()
    }
    assert names == here | units | {"imagefs/desktop/share/imagefs.toml"}
    assert wheel.name.endswith("-py3-none-any.whl")
