"""What stands around the code: the Makefile, the scripts, the licence, the package's own data."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import imagefs

ROOT = Path(__file__).parent.parent
SCRIPTS = ("tools/packages", "tools/python", "tools/venv", "tools/deb", ".ci/run")


def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_can_be_started_and_parsed(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    done = run("bash", "-n", script)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "corpus", "fuzz", "readme", "deb", "clean"])
def test_make_knows_its_targets(target: str) -> None:
    done = run("make", "--dry-run", "--always-make", target)
    assert done.returncode == 0, done.stderr
    assert target in run("make", "help").stdout


def test_corpus_without_images_says_so_and_succeeds(tmp_path: Path) -> None:
    done = run("make", "--old-file", ".venv/dev.stamp", "corpus", f"CORPUS={tmp_path}/nothing")
    assert done.returncode == 0, done.stderr
    assert f"there is no {tmp_path}/nothing" in done.stdout


def test_a_python_that_is_too_old_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = run("tools/python", PYTHON=str(old))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert run("tools/python", PYTHON=sys.executable).stdout.strip() == sys.executable


def test_packages_that_cannot_be_installed_are_named_in_one_line(tmp_path: Path) -> None:
    """A machine with nothing on it and nobody who may install."""
    for tool in ("bash", "dirname", "cat", "cut", "paste"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    done = run(str(tmp_path / "bash"), "tools/packages", "run", "build", PATH=str(tmp_path), PYTHON="none")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert {"fuse3", "python3", "libfuse3-dev", "gcc"} <= set(line.split())


def test_the_licence_and_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "LICENSE").read_text()
    assert project["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert re.fullmatch(r"\d+\.\d+\.\d+", imagefs.__version__)


def test_known_failures_have_a_reason() -> None:
    for line in (ROOT / "tests" / "corpus_known.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[\w.+@-]+(:(raw|tree|refused))? +# .+", line), line


def test_bench_names_its_rows() -> None:
    done = run(sys.executable, "-m", "bench", "--list")
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert len(names) == len(set(names))
    assert {"find-first", "tar-small", "tar-small-cold", "seq", "seq-cold", "random-4k", "mount", "rss"} <= set(names)
