"""imagefs-generator without a systemd: what files it reads, which units it writes, what it complains of."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from imagefs.daemon import generator
from imagefs.daemon.generator import BrokenFileError, Entry, escaped, generate, read, units

ROOT = Path(__file__).parents[2]


def test_a_file_with_one_line_is_enough() -> None:
    assert read("disc", "IMAGE=/srv/disc.iso\n") == Entry("disc", "/srv/disc.iso", "/run/imagefs/disc", "allow_other")


def test_a_file_with_everything() -> None:
    text = """
# a comment
; another
  IMAGE = not this
"""
    with pytest.raises(BrokenFileError, match="key 'IMAGE ' is not known"):
        read("x", text)
    text = '\n# c\nIMAGE=/srv/my disc.iso \r\nMOUNTPOINT=\'/mnt//a"b/\'\nOPTIONS=""\nAUTOMOUNT=Yes\nIDLE_TIMEOUT=1h 30min\n'
    entry = read("x", text)
    assert entry == Entry("x", "/srv/my disc.iso", '/mnt/a"b', "", automount=True, idle="1h 30min")
    assert read("x", "IMAGE=/a\nSERVICE=on\n").service


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 0, "IMAGE is missing"),
        ("IMAGE=/a\nnonsense\n", 2, "not KEY=VALUE"),
        ("IMAGE=/a\n\nCOLOUR=red\n", 3, "key 'COLOUR' is not known"),
        ("IMAGE=/a\nIMAGE=/b\n", 2, "IMAGE is there already, on line 1"),
        ("IMAGE=a.iso\n", 1, "IMAGE: an absolute path"),
        ("IMAGE=/a\nMOUNTPOINT=/\n", 2, "MOUNTPOINT: an absolute path"),
        ("IMAGE=/a\nMOUNTPOINT=/mnt/../..\n", 2, "MOUNTPOINT: an absolute path"),
        ("IMAGE=/a\nAUTOMOUNT=maybe\n", 2, "AUTOMOUNT: yes or no"),
        ("IMAGE=/a\nOPTIONS=ro,colour=red\n", 2, "OPTIONS: colour=red is not known"),
        ("IMAGE=/a\nAUTOMOUNT=1\nIDLE_TIMEOUT=soon\n", 3, "IDLE_TIMEOUT: a time"),
        ("IMAGE=/a\nIDLE_TIMEOUT=5\n", 2, "IDLE_TIMEOUT: only with AUTOMOUNT"),
        ("IMAGE=/a\nAUTOMOUNT=1\nSERVICE=1\n", 3, "SERVICE: not together"),
        ('IMAGE=/a b"c\n', 1, "stands in quotes as a whole"),
        ("IMAGE='/a' b\n", 1, "stands in quotes as a whole"),
        ('IMAGE="/a\\n"\n', 1, "stands in quotes as a whole"),
        ("IMAGE='/a\\'\n", 1, "ends with a backslash"),
        ("IMAGE=/a\tb\n", 1, "control character"),
    ],
)
def test_a_broken_file_is_told_by_line(text: str, line: int, said: str) -> None:
    with pytest.raises(BrokenFileError, match=said.replace("(", r"\(")) as caught:
        read("x", text)
    assert caught.value.line == line


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ü", "a@b"])
def test_a_name_that_no_unit_can_have(name: str) -> None:
    with pytest.raises(BrokenFileError, match="a name is letters"):
        read(name, "IMAGE=/a\n")


@pytest.mark.foreign
@pytest.mark.parametrize("path", ["/srv/a", "/a b/c-d", "/.hidden/.x", "/ü/%/\\", "/run/user/0/it's"])
def test_names_of_units_are_those_of_systemd_escape(path: str) -> None:
    if not shutil.which("systemd-escape"):
        pytest.skip("systemd-escape is not installed")
    done = subprocess.run(["systemd-escape", "--path", "--", path], capture_output=True, text=True, check=True)
    assert escaped(path) == done.stdout.strip()


def test_the_units_of_a_mount() -> None:
    found = dict(units(Entry("x", '/srv/100% "a" b.iso', "/mnt/x", "umask=022")))
    assert found == {
        "mnt-x.mount": """# Made by imagefs-generator.
[Unit]
SourcePath=/etc/imagefs.d/x.conf
Description=Image /srv/100%% "a" b.iso
RequiresMountsFor="/srv/100%% \\"a\\" b.iso"
[Mount]
What=/srv/100%% "a" b.iso
Where=/mnt/x
Type=imagefs
Options=ro,nofail,umask=022
""",
        "local-fs.target.wants/mnt-x.mount": "../mnt-x.mount",
    }


def test_the_units_of_an_automount() -> None:
    found = dict(units(Entry("x", "/a", "/mnt/x", automount=True, idle="5min")))
    assert list(found) == ["mnt-x.mount", "mnt-x.automount", "local-fs.target.wants/mnt-x.automount"]
    assert found["mnt-x.automount"].endswith("[Automount]\nWhere=/mnt/x\nTimeoutIdleSec=5min\n")


def test_the_units_of_a_service() -> None:
    found = dict(units(Entry("x", "/a", "/mnt/x", service=True)))
    assert list(found) == ["imagefs@x.service.d/50-image.conf", "multi-user.target.wants/imagefs@x.service"]
    assert 'RequiresMountsFor="/a"' in found["imagefs@x.service.d/50-image.conf"]


def test_broken_files_stop_no_others(tmp_path: Path) -> None:
    config, out = tmp_path / "config", tmp_path / "out"
    for folder in (config, out):
        folder.mkdir()
    files = {
        "a.conf": b"IMAGE=/a\nMOUNTPOINT=/mnt/a\n",
        "b.conf": b"IMAGE=/a\xff\n",
        "c.conf": b"#" * (generator.FILE_BYTES + 1),
        "d.conf": b"IMAGE=/d\nMOUNTPOINT=/mnt/a/\n",
        "e.conf": b"IMAGE=/e\nMOUNTPOINT=/mnt/e\nAUTOMOUNT=yes\n",
        "notes.txt": b"",
        ".hidden.conf": b"",
    }
    for name, content in files.items():
        (config / name).write_bytes(content)
    (config / "folder.conf").mkdir()
    os.mkfifo(config / "pipe.conf")
    assert generate(str(config), str(out)) == [
        f"{config}/b.conf:1: not UTF-8",
        f"{config}/c.conf: longer than 64 KiB",
        f"{config}/d.conf: another file has /mnt/a already",
        f"{config}/folder.conf: Is a directory",
        f"{config}/pipe.conf: IMAGE is missing",
    ]
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir()) == [
        "local-fs.target.wants/mnt-a.mount",
        "local-fs.target.wants/mnt-e.automount",
        "mnt-a.mount",
        "mnt-e.automount",
        "mnt-e.mount",
    ]
    assert "What=/a\n" in (out / "mnt-a.mount").read_text()


def test_what_another_generator_wrote_stays_whole(tmp_path: Path) -> None:
    """The automount is there already: then the mount is not written either."""
    (tmp_path / "a.conf").write_text("IMAGE=/a\nMOUNTPOINT=/mnt/a\nAUTOMOUNT=yes\n")
    (tmp_path / "mnt-a.automount").write_text("fstab's\n")
    (complaint,) = generate(str(tmp_path), str(tmp_path))
    assert complaint.endswith("has /mnt/a already")
    assert not (tmp_path / "mnt-a.mount").exists()
    assert (tmp_path / "mnt-a.automount").read_text() == "fstab's\n"


def test_what_stands_in_fstab_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_bytes(b"# /dev/x /mnt/c\n\n/dev/sda1  /mnt/a\\040b/  ext4 ro 0 0\nbroken\n/dev/\xff /mnt/other xfs\n")
    monkeypatch.setattr(generator, "FSTAB", str(fstab))
    (tmp_path / "a.conf").write_text("IMAGE=/a\nMOUNTPOINT=/mnt/a b\n")
    (tmp_path / "c.conf").write_text("IMAGE=/c\nMOUNTPOINT=/mnt/c\n")
    assert generate(str(tmp_path), str(tmp_path)) == [f"{tmp_path}/a.conf: {fstab} has /mnt/a b already"]
    assert [path.name for path in tmp_path.glob("*.mount")] == ["mnt-c.mount"]


def test_no_folder_no_units(tmp_path: Path) -> None:
    assert generate(str(tmp_path / "none"), str(tmp_path)) == []


def test_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "kmsg"
    log.write_text("before\n")
    monkeypatch.setattr(generator, "KERNEL_LOG", str(log))
    monkeypatch.setattr(generator, "CONFIG", str(tmp_path))
    (tmp_path / "x.conf").write_text("IMAGE=x\n")
    assert generator.main([str(tmp_path), str(tmp_path), str(tmp_path)]) == 1
    said = f"{tmp_path}/x.conf:1: IMAGE: an absolute path"
    assert capsys.readouterr().err == f"imagefs-generator: {said}\n"
    assert log.read_text() == f"before\n<27>imagefs-generator[{os.getpid()}]: {said}\n"
    (tmp_path / "x.conf").unlink()
    assert generator.main([str(tmp_path)]) == 0
    assert generator.main([]) == generator.USAGE


def test_the_script_that_systemd_starts() -> None:
    script = ROOT / "systemd/system-generators/imagefs-generator"
    assert os.access(script, os.X_OK)
    assert 'exec /usr/bin/imagefs systemd-generator "$@"' in script.read_text()


def test_the_example_is_read(tmp_path: Path) -> None:
    text = (ROOT / "systemd/examples/disc.conf").read_text()
    assert read("disc", text) == Entry("disc", "/srv/images/disc.iso", "/srv/disc")
    everything = "\n".join(
        line.removeprefix("#") if line[1:2].isupper() and "=" in line else line for line in text.split("\n")
    )
    entry = read("disc", everything.replace("SERVICE=yes\n", ""))
    assert (entry.options, entry.automount, entry.idle) == ("allow_other,uid=1000", True, "5min")
    assert {key for key in generator.KEYS if f"{key}=" in text} == set(generator.KEYS)
