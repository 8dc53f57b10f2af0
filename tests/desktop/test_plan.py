"""Files put in place and taken away: exactly those, and never somebody else's."""

import json
from pathlib import Path

import pytest

from imagefs.desktop import plan
from imagefs.desktop.plan import Item, Record, Step, install, remove_folders, uninstall


@pytest.fixture
def record(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "record.json")


def wanted(tmp_path: Path, **contents: str) -> list[Item]:
    return [Item(f"{tmp_path}/new/deep/{name}", text.encode()) for name, text in contents.items()]


def verbs(steps: "list[Step]") -> dict[str, str]:
    return {Path(step.path).name: step.verb for step in steps}


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_there_and_back(tmp_path: Path, record: str) -> None:
    link = Item(f"{tmp_path}/new/link", b"deep/a", is_link=True)
    program = Item(f"{tmp_path}/new/program", b"#!", 0o755)
    steps = list(install([*wanted(tmp_path, a="1", b="2"), link, program], Record.load(record)))
    assert verbs(steps) == {"a": "write", "b": "write", "link": "write", "program": "write"}
    assert (tmp_path / "new/link").read_text() == "1"
    assert (tmp_path / "new/program").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "new/deep/a").stat().st_mode & 0o777 == 0o644
    kept = Record.load(record)
    assert set(verbs(list(uninstall(kept))).values()) == {"remove"}
    remove_folders(kept, ())
    assert everything_below(tmp_path) == set()


def test_again_is_harmless(tmp_path: Path, record: str) -> None:
    list(install(wanted(tmp_path, a="1"), Record.load(record)))
    before = (tmp_path / "new/deep/a").stat()
    assert verbs(list(install(wanted(tmp_path, a="1"), Record.load(record)))) == {"a": "keep"}
    assert (tmp_path / "new/deep/a").stat() == before


def test_a_newer_version_replaces_and_leaves_nothing_behind(tmp_path: Path, record: str) -> None:
    list(install(wanted(tmp_path, a="1", b="2"), Record.load(record)))
    steps = list(install(wanted(tmp_path, a="new", c="3"), Record.load(record)))
    assert verbs(steps) == {"a": "write", "c": "write", "b": "remove"}
    assert everything_below(tmp_path / "new/deep") == {"a", "c"}
    assert {Path(path).name for path in Record.load(record).files} == {"a", "c"}


def test_files_of_others_stay(tmp_path: Path, record: str) -> None:
    (tmp_path / "new/deep").mkdir(parents=True)
    (tmp_path / "new/deep/a").write_text("somebody else's")
    (tmp_path / "new/deep/same").write_text("2")
    (tmp_path / "new/deep/folder").mkdir()
    items = wanted(tmp_path, a="1", same="2", folder="3", mine="4")
    assert verbs(list(install(items, Record.load(record)))) == {
        "a": "refuse",
        "same": "keep",
        "folder": "refuse",
        "mine": "write",
    }
    kept = Record.load(record)
    assert verbs(list(uninstall(kept))) == {"mine": "remove"}
    remove_folders(kept, ())
    assert everything_below(tmp_path) == {"new", "new/deep", "new/deep/a", "new/deep/same", "new/deep/folder"}
    assert (tmp_path / "new/deep/a").read_text() == "somebody else's"


def test_a_file_that_was_changed_is_no_longer_ours(tmp_path: Path, record: str) -> None:
    list(install(wanted(tmp_path, a="1", b="2"), Record.load(record)))
    (tmp_path / "new/deep/a").write_text("mine now")
    assert verbs(list(install(wanted(tmp_path, a="new", b="2"), Record.load(record)))) == {"a": "refuse", "b": "keep"}
    kept = Record.load(record)
    assert verbs(list(uninstall(kept))) == {"a": "refuse", "b": "remove"}
    remove_folders(kept, ())
    assert everything_below(tmp_path) == {"new", "new/deep", "new/deep/a"}


def test_a_link_is_not_followed(tmp_path: Path, record: str) -> None:
    (tmp_path / "precious").write_text("1")
    (tmp_path / "new/deep").mkdir(parents=True)
    (tmp_path / "new/deep/a").symlink_to(tmp_path / "precious")
    assert verbs(list(install(wanted(tmp_path, a="1"), Record.load(record)))) == {"a": "refuse"}
    assert (tmp_path / "new/deep/a").is_symlink()


def test_files_that_are_gone_already_are_no_trouble(tmp_path: Path, record: str) -> None:
    list(install(wanted(tmp_path, a="1", b="2"), Record.load(record)))
    (tmp_path / "new/deep/a").unlink()
    assert verbs(list(uninstall(Record.load(record)))) == {"b": "remove"}
    assert not Path(record).exists()


def test_a_dry_run_does_nothing(tmp_path: Path, record: str) -> None:
    assert verbs(list(install(wanted(tmp_path, a="1"), Record.load(record), dry_run=True))) == {"a": "write"}
    assert everything_below(tmp_path) == set()
    list(install(wanted(tmp_path, a="1"), Record.load(record)))
    before = everything_below(tmp_path)
    assert verbs(list(install(wanted(tmp_path, b="1"), Record.load(record), dry_run=True))) == {
        "a": "remove",
        "b": "write",
    }
    assert verbs(list(uninstall(Record.load(record), dry_run=True))) == {"a": "remove"}
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("files_until_then", range(4))
def test_whatever_ends_it_nothing_unknown_is_left(
    tmp_path: Path, record: str, monkeypatch: pytest.MonkeyPatch, files_until_then: int
) -> None:
    """An update over old files, killed after any of them: everything can be taken away, or brought up to date."""
    list(install(wanted(tmp_path, a="1", b="2"), Record.load(record)))
    write, written = plan._write, 0

    def write_some(item: Item) -> None:
        nonlocal written
        if item.path != record:
            written += 1
            if written > files_until_then:
                raise OSError(28, "No space left on device")
        write(item)

    monkeypatch.setattr(plan, "_write", write_some)
    new = wanted(tmp_path, a="one", b="two", c="three")
    if files_until_then < 3:
        with pytest.raises(OSError, match="No space"):
            list(install(new, Record.load(record)))
    else:
        list(install(new, Record.load(record)))
    monkeypatch.undo()
    assert "refuse" not in verbs(list(install(new, Record.load(record)))).values()
    kept = Record.load(record)
    assert "refuse" not in verbs(list(uninstall(kept))).values()
    remove_folders(kept, ())
    assert everything_below(tmp_path) == set()


def test_nothing_half_written_is_seen(tmp_path: Path) -> None:
    """A file cannot be put where a folder is, and no temporary one is left there."""
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match=r"directory"):
        plan._write(Item(f"{tmp_path}/a", b"1"))
    assert everything_below(tmp_path) == {"a"}


def test_what_others_generated_goes_with_our_folders(tmp_path: Path, record: str) -> None:
    list(install(wanted(tmp_path, a="1"), Record.load(record)))
    (tmp_path / "new/deep/cache").write_text("made from a")
    (tmp_path / "new/deep/application").mkdir()
    kept = Record.load(record)
    list(uninstall(kept))
    remove_folders(kept, {"cache"})
    assert everything_below(tmp_path) == set()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 9, "files": {}, "folders": []}', '{"version": 1, "files": 3}']
)
def test_a_record_that_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "record"
    path.write_text(text)
    with pytest.raises(OSError, match="cannot be read"):
        Record.load(str(path))


def test_the_record_is_plain(tmp_path: Path, record: str) -> None:
    list(install(wanted(tmp_path, a="abc"), Record.load(record)))
    sums = ["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]  # FIPS 180-2, B.1
    assert json.loads(Path(record).read_text()) == {
        "version": 1,
        "files": {f"{tmp_path}/new/deep/a": sums},
        "folders": [f"{tmp_path}/state", f"{tmp_path}/new", f"{tmp_path}/new/deep"],
    }
