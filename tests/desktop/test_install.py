"""`imagefs install-integration` and `uninstall-integration` as a user runs them, in a home of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs import __version__
from imagefs.cli import COMMANDS, install_integration, main
from imagefs.desktop import layout, units
from tests.cli.conftest import Result

ROOT = Path(__file__).parents[2]
Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def run(home: Path) -> Run:
    """run("install-integration", ...) with that home."""

    def run(*words: object, **more: str) -> Result:
        keep = ("PATH", "PYTHONPATH")
        environment = {name: os.environ[name] for name in keep} | {"HOME": str(home), "LC_ALL": "C.UTF-8"} | more
        command = [sys.executable, "-m", "imagefs", *map(str, words)]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=60, cwd="/")
        assert b"Traceback" not in done.stderr
        return Result(done.returncode, done.stdout, done.stderr.decode().splitlines())

    return run


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_for_oneself_there_and_back(home: Path, run: Run) -> None:
    done = run("install-integration", "--user")
    assert (done.status, done.errors) == (0, [])
    assert b"files written" in done.out
    share = home / ".local/share"
    recorded = json.loads((share / "imagefs/integration.json").read_text())["files"]
    assert all(Path(path).is_file() for path in recorded)
    there = {str(Path(path).relative_to(home)) for path in recorded}
    assert {
        ".local/share/applications/imagefs.desktop",
        ".local/share/mime/packages/imagefs.xml",
        ".local/share/icons/hicolor/scalable/apps/imagefs.svg",
        ".local/share/nautilus/scripts/Mount image",
        ".local/share/nemo/actions/imagefs-mount.nemo_action",
        ".local/share/kio/servicemenus/imagefs.desktop",
        ".local/share/file-manager/actions/imagefs-unmount.desktop",
        ".local/share/man/man1/imagefs.1",
        ".local/share/man/man8/mount.imagefs.8",
        ".local/share/bash-completion/completions/imagefs",
        ".local/share/zsh/site-functions/_imagefs",
        ".config/fish/completions/imagefs.fish",
        ".local/share/systemd/user/imagefs@.service",
    } <= there
    assert {f".local/share/man/man1/imagefs-{name}.1" for name in COMMANDS} <= there
    assert run("uninstall-integration", "--user").status == 0
    assert list(home.iterdir()) == []


@pytest.mark.foreign
def test_the_databases_know_it_then(home: Path, run: Run, need: Callable[..., None]) -> None:
    need("update-mime-database", "update-desktop-database", "gtk-update-icon-cache", "gio")
    (home / ".local/share/mime/packages").mkdir(parents=True)
    (home / ".local/share/mime/packages/other.xml").write_text(
        f'<mime-info xmlns="{"http://www.freedesktop.org/standards/shared-mime-info"}"/>\n'
    )
    run("install-integration", "--user")
    share = home / ".local/share"
    assert "application/x-nrg=imagefs.desktop;" in (share / "applications/mimeinfo.cache").read_text().splitlines()
    assert "40:application/x-nrg:*.nrg" in (share / "mime/globs2").read_text().splitlines()
    assert (share / "icons/hicolor/icon-theme.cache").exists()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    asked = subprocess.run(["gio", "mime", "application/x-nrg"], env=environment, capture_output=True, text=True)
    assert "imagefs.desktop" in asked.stdout
    run("uninstall-integration", "--user")
    assert "nrg" not in (share / "mime/globs2").read_text()
    assert (share / "mime/packages/other.xml").exists()
    assert not (share / "applications").exists()


@pytest.mark.foreign
def test_the_manual_is_found(home: Path, run: Run, need: Callable[..., None]) -> None:
    need("man")
    run("install-integration", "--user")
    environment = os.environ | {"MANPATH": str(home / ".local/share/man"), "MANPAGER": "cat", "HOME": str(home)}
    done = subprocess.run(["man", "imagefs-mount"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "show an image as a folder" in done.stdout


def test_twice_is_harmless(home: Path, run: Run) -> None:
    run("install-integration", "--user")
    before = {path: path.stat().st_mtime_ns for path in home.rglob("imagefs*")}
    done = run("install-integration", "--user")
    assert (done.status, done.errors) == (0, [])
    assert done.out.startswith(b"0 files written")
    record = home / ".local/share/imagefs/integration.json"
    assert {path for path in before if before[path] != path.stat().st_mtime_ns} <= {record, record.parent}


def test_a_dry_run_lists_and_does_nothing(home: Path, run: Run) -> None:
    done = run("install-integration", "--user", "--dry-run")
    assert f"write {home}/.local/share/applications/imagefs.desktop\n".encode() in done.out
    assert (done.status, list(home.iterdir())) == (0, [])
    run("install-integration", "--user", "-q")
    before = files(home)
    done = run("uninstall-integration", "--user", "-n")
    assert f"remove {home}/.local/share/applications/imagefs.desktop\n".encode() in done.out
    assert files(home) == before


def test_a_foreign_file_stays_and_is_named(home: Path, run: Run) -> None:
    starter = home / ".local/share/applications/imagefs.desktop"
    starter.parent.mkdir(parents=True)
    starter.write_text("mine\n")
    done = run("install-integration", "--user")
    assert done.status == 71
    assert done.errors == [f"imagefs: this is not imagefs's file, or was changed, and stays as it is: {starter}"]
    assert starter.read_text() == "mine\n"
    assert (home / ".local/share/mime/packages/imagefs.xml").exists()
    run("uninstall-integration", "--user")
    assert {name for name in files(home) if "mimeinfo" not in name} == {".local/share/applications/imagefs.desktop"}


def test_nothing_to_uninstall_is_one_line(home: Path, run: Run) -> None:
    done = run("uninstall-integration", "--user")
    assert (done.status, done.out, len(done.errors)) == (71, b"", 1)
    assert "nothing of imagefs is installed" in done.errors[0]


def test_folders_of_the_xdg_variables(home: Path, tmp_path: Path, run: Run) -> None:
    more = {"XDG_DATA_HOME": f"{tmp_path}/data", "XDG_CONFIG_HOME": "relative/is/ignored"}
    assert run("install-integration", "--user", **more).status == 0
    assert (tmp_path / "data/applications/imagefs.desktop").exists()
    assert files(home) == {".config/fish/completions/imagefs.fish"}


def test_for_a_package(home: Path, tmp_path: Path, run: Run) -> None:
    """With --destdir nothing outside it is touched, no cache is made, no record is kept."""
    top = tmp_path / "package"
    done = run("install-integration", "--destdir", top, "--prefix", "/usr", "--program", "/usr/bin/imagefs")
    assert (done.status, done.errors, list(home.iterdir())) == (0, [], [])
    there = files(top)
    assert {
        "usr/sbin/mount.imagefs",
        "usr/sbin/mount.fuse.imagefs",
        "usr/lib/systemd/system/imagefs@.service",
        "usr/lib/systemd/user/imagefs@.service",
        "usr/share/nautilus-python/extensions/imagefs.py",
        "usr/share/fish/vendor_completions.d/imagefs.fish",
    } <= there
    assert not {name for name in there if "cache" in name or name.endswith(".json")}
    assert all(name.startswith("usr/") for name in there)
    exec_line = 'exec /usr/bin/imagefs mount.imagefs "$@"'
    assert (top / "usr/sbin/mount.imagefs").read_text().splitlines()[-1] == exec_line
    assert os.access(top / "usr/sbin/mount.imagefs", os.X_OK)
    for text in (path.read_text() for path in top.rglob("*") if path.is_file()):
        assert str(tmp_path) not in text and sys.executable not in text


def test_everybody_can_read_what_is_for_everybody(tmp_path: Path, run: Run) -> None:
    before = os.umask(0o077)
    try:
        assert run("install-integration", "--destdir", tmp_path / "package").status == 0
    finally:
        os.umask(before)
    for path in (tmp_path / "package").rglob("*"):
        mode = path.lstat().st_mode & 0o777
        assert mode in ((0o755,) if path.is_dir() else (0o644, 0o755, 0o777)), path


def test_units_name_the_program(tmp_path: Path) -> None:
    """Wherever it is installed, and whatever that folder is called."""
    places = layout.for_system("/usr", str(tmp_path))
    for item in units.items(places, ["/opt/my $tools 100%/imagefs"]):
        if item.path.endswith(".service"):
            assert b"/usr/bin/imagefs" not in item.content
            assert b'ExecStart="/opt/my $$tools 100%%/imagefs" ' in item.content
        if "mount.imagefs" in item.path:
            assert b"exec '/opt/my $tools 100%/imagefs' mount.imagefs" in item.content
        if "imagefs-generator" in item.path:  # a script of the shell
            assert b"exec '/opt/my $tools 100%/imagefs' systemd-generator" in item.content


def test_every_file_for_systemd_has_a_place() -> None:
    places = layout.for_system("/usr", "/package")
    source = ROOT / "systemd"
    found = {Path(item.path).name for item in units.items(places, ["imagefs"])}
    assert {path.name for path in source.rglob("*") if path.is_file()} <= found


@pytest.mark.foreign
def test_units_with_another_program_are_sound(tmp_path: Path, need: Callable[..., None]) -> None:
    need("systemd-analyze")
    program = tmp_path / "my tools" / "imagefs"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for item in units.items(layout.for_system("/usr", str(tmp_path)), [str(program)]):
        if item.path.endswith("system/imagefs@.service"):
            unit = tmp_path / "imagefs@srv-disc.iso.service"
            unit.write_bytes(item.content)
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
            assert [line for line in done.stderr.splitlines() if "imagefs" in line] == []


def test_the_helper_of_mount_is_a_command_without_a_name_in_the_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["mount.imagefs", "/no/such.iso", "/mnt", "-o", "ro"]) == 32
    assert capfd.readouterr().err == "mount.imagefs: /no/such.iso: there is no such file\n"
    assert main(["mount.imagefs"]) == 1


# --- for everybody ------------------------------------------------------------------------------------------------------


def test_what_others_can_change_is_not_run_by_root(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "imagefs"
    program.parent.mkdir()
    program.touch(0o755)
    if os.geteuid() == 0:
        install_integration.trusted([str(program), "/usr/bin/env"])
        os.chown(program.parent, 1000, 1000)
    with pytest.raises(OSError, match="not root's alone"):
        install_integration.trusted([str(program)])
    if os.geteuid() == 0:
        os.chown(program.parent, 0, 0)
        program.parent.chmod(0o777)
        with pytest.raises(OSError, match="not root's alone"):
            install_integration.trusted([str(program)])
        link = tmp_path / "imagefs"
        link.symlink_to(program)  # a link in a good folder to a program in a bad one
        with pytest.raises(OSError, match="not root's alone"):
            install_integration.trusted([str(link)])


@pytest.mark.skipif(os.geteuid() != 0, reason="for everybody is root's")
def test_a_program_in_a_closed_folder_is_warned_of(tmp_path: Path) -> None:
    program = tmp_path / "closed" / "imagefs"
    program.parent.mkdir(0o700)
    program.touch(0o755)
    tmp_path.chmod(0o755)
    assert install_integration.closed_to_others(str(program)) is not None
    assert install_integration.closed_to_others("/usr/bin/env") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="for everybody is root's")
def test_for_everybody_there_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Into a prefix of its own; the record and the helpers lie elsewhere, which is led to a folder of the test."""
    places = layout.for_system(f"{tmp_path}/prefix")._replace(
        record=f"{tmp_path}/var/record.json", helpers=f"{tmp_path}/sbin"
    )
    monkeypatch.setattr(install_integration, "for_system", lambda prefix, destdir: places)
    monkeypatch.setattr("imagefs.cli.uninstall_integration.for_system", lambda prefix: places)
    assert main(["install-integration", "--system"]) == 0
    helper = tmp_path / "sbin/mount.imagefs"
    done = subprocess.run([helper, "/no/such.iso", "/mnt"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (32, "mount.imagefs: /no/such.iso: there is no such file\n")
    assert (tmp_path / "prefix/lib/systemd/system/imagefs@.service").exists()
    assert main(["uninstall-integration", "--system"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_helpers_lie_where_mount_looks() -> None:
    assert layout.for_system("/usr/local").helpers == os.path.realpath("/sbin")
    assert layout.for_system("/usr", "/package").helpers == "/package/usr/sbin"


@pytest.mark.parametrize("words", [["--user", "--system"], ["--user", "--destdir", "/x"]])
def test_words_that_contradict_each_other(run: Run, words: list[str]) -> None:
    assert run("install-integration", *words).status == 64


def test_this_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "imagefs"
    script.touch(0o755)
    monkeypatch.chdir(tmp_path)
    for called in (str(script), "./imagefs"):
        monkeypatch.setattr(sys, "argv", [called])
        assert install_integration.this_program() == [str(script)]
    monkeypatch.setattr(sys, "argv", [str(ROOT / "imagefs/__main__.py")])
    assert install_integration.this_program() == [sys.executable, "-P", "-m", "imagefs"]


def test_no_program_comes_from_the_folder_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What mount(8) and a double click start must not take a stranger's folder for that of its own modules."""
    (tmp_path / "imagefs.py").write_text("print('taken over')")
    monkeypatch.setattr(sys, "argv", [str(ROOT / "imagefs/__main__.py")])
    words = [*install_integration.this_program(), "--version"]
    done = subprocess.run(
        words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"imagefs {__version__}\n")


def test_programs_that_fail_are_told_and_spoil_nothing(home: Path, tmp_path: Path, run: Run) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("update-mime-database", "update-desktop-database", "gtk-update-icon-cache"):
        (tools / name).write_text("#!/bin/sh\necho no luck >&2\nexit 3\n")
        (tools / name).chmod(0o755)
    done = run("install-integration", "--user", PATH=f"{tools}:{os.path.dirname(shutil.which('sh') or '')}")
    assert done.status == 0
    assert done.errors[0] == "imagefs: warning: update-mime-database failed with status 3: no luck"
    assert len(done.errors) == 3
