"""The configuration file: what it means, and that every mistake in it is refused by file and line."""

import dataclasses
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefs.daemon.config import FILE_BYTES, Attached, Config, Watch, default_path, image_options, keys, line_of, load
from imagefs.errors import NotFoundError, UsageError
from imagefs.options import Options

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "imagefs.toml"

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(text) -> the path of a configuration file with it."""

    def make(text: str) -> str:
        path = tmp_path / "imagefs.toml"
        path.write_text(text)
        return str(path)

    return make


def refused(path: str) -> str:
    """What is said of a file, without its path."""
    with pytest.raises(UsageError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    assert "\n" not in message
    return message.removeprefix(f"{path}:")


# --- what it means ------------------------------------------------------------------------------------------------------


def test_an_empty_file_is_the_defaults(write: Write):
    assert load(write("")) == Config()
    assert dataclasses.asdict(Config()) == {
        "root": None,
        "socket": None,
        "watch": (),
        "images": (),
        "idle_seconds": 300.0,
        "deadline_seconds": 30.0,
        "cache_bytes": 64 << 20,
        "sandbox": True,
        "allow": (),
        "options": dataclasses.asdict(Options()),
    }


def test_the_example_loads_and_means_what_it_says():
    options = Options(allow_other=True, umask=0o022)
    assert load(str(EXAMPLE)) == Config(
        root="/run/imagefs/images",
        socket="/run/imagefs/control.sock",
        watch=(Watch("/srv/images", recursive=False),),
        images=(Attached("/srv/games/game.cue", "game", dataclasses.replace(options, tree="joliet")),),
        options=options,
    )


def test_the_example_names_every_key():
    table = tomllib.loads(EXAMPLE.read_text())
    assert {"": set(table), "watch": set(table["watch"][0]), "image": set(table["image"][0])} == {
        name: set(known) for name, known in keys().items()
    }


def test_every_field_has_its_key():
    fields = {field.name for field in dataclasses.fields(Config)} - {"images", "cache_bytes"} | {"image", "cache_size"}
    assert set(keys()[""]) == fields
    assert keys()["watch"] == Watch._fields
    assert keys()["image"] == Attached._fields


def test_defaults_in_the_example_are_the_defaults():
    table = tomllib.loads(EXAMPLE.read_text())
    config = Config()
    assert (table["idle_seconds"], table["deadline_seconds"]) == (config.idle_seconds, config.deadline_seconds)
    assert (table["cache_size"], table["sandbox"]) == (f"{config.cache_bytes >> 20}M", config.sandbox)


def test_paths_begin_at_the_file_or_at_home(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/me")
    config = load(
        write('root = "~/mnt"\nsocket = "../run/s"\nwatch = ["a/./b/", "/c", "~root/x"]\nimage = ["../d.iso"]\n')
    )
    assert config.root == "/home/me/mnt"
    assert config.socket == str(tmp_path.parent / "run" / "s")
    assert config.watch == (Watch(str(tmp_path / "a/b")), Watch("/c"), Watch("/root/x"))
    assert config.images == (Attached(str(tmp_path.parent / "d.iso")),)


def test_a_relative_name_of_the_file_does_not_matter(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write('root = "mnt"')
    monkeypatch.chdir(tmp_path)
    assert load("imagefs.toml").root == str(tmp_path / "mnt")


def test_folders_and_images_in_the_long_form(write: Write):
    config = load(
        write(
            """
options = "umask=022,tree=rr"
idle_seconds = 0
deadline_seconds = 2.5
cache_size = 4096
sandbox = false
[[image]]
path = "/a.iso"
[[watch]]
path = "/w"
recursive = true
[[image]]
path = "/a.iso"
name = "A"
options = "tree=udf,volume=2"
"""
        )
    )
    assert config == Config(
        watch=(Watch("/w", recursive=True),),
        images=(
            Attached("/a.iso"),
            Attached("/a.iso", "A", Options(umask=0o022, tree="udf", volume=2)),
        ),
        idle_seconds=0.0,
        deadline_seconds=2.5,
        cache_bytes=4096,
        sandbox=False,
        options=Options(umask=0o022, tree="rr"),
    )


@pytest.mark.parametrize("text", ('cache_size = "1G"', 'cache_size = "1GiB"', "cache_size = 1073741824"))
def test_sizes_are_written_as_on_the_command_line(write: Write, text: str):
    assert load(write(text)).cache_bytes == 1 << 30


def test_the_usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_path() is None
    place = tmp_path / "imagefs" / "imagefs.toml"
    place.parent.mkdir()
    place.touch()
    assert default_path() == str(place)
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/is/not/valid")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_path() is None
    (tmp_path / ".config" / "imagefs").mkdir(parents=True)
    (tmp_path / ".config" / "imagefs" / "imagefs.toml").touch()
    assert default_path() == str(tmp_path / ".config" / "imagefs" / "imagefs.toml")


def test_the_usual_place_of_root(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/etc/imagefs/imagefs.toml")
    assert default_path() == "/etc/imagefs/imagefs.toml"


# --- mistakes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    (
        ('root = "/r"\n\nwacth = ["/a"]\n', "3: key 'wacth' is not known; did you mean 'watch'?"),
        ("idle = 3\n", "1: key 'idle' is not known; known are root, socket, idle_seconds"),
        ('[[watch]]\npath = "/a"\nrecursiv = true\n', "3: key 'recursiv' is not known; did you mean 'recursive'?"),
        (
            '[[image]]\npath = "/a"\n[[image]]\npath="/b"\n\nnam = "x"',
            "6: key 'nam' is not known; did you mean 'name'?",
        ),
        ("# hello\n[wach]\n", "2: key 'wach' is not known; did you mean 'watch'?"),
        ("\n[[watch]]\nrecursive = true\n", "2: watch has no path"),
        ("watch.path = 1", "1: watch takes tables: [[watch]]"),
        ("watch = [\n '/a',\n 5,\n]", "3: watch takes paths or tables, not 5"),
        ("image = [\n '/a',\n\n {path = '/b', nme = 'x'},\n]", "4: key 'nme' is not known; did you mean 'name'?"),
        ("watch = ['/a']\n[[image]]\npath = 7", "3: path takes a path, not 7"),
        ("root = ''", "1: root takes a path, not ''"),
        ("root = '~nobody-at-all/x'", "1: root takes a path, and there is no such user, not '~nobody-at-all/x'"),
        ('root = "/a\\u0000"', "1: root takes a path, not '/a\\x00'"),
        ("idle_seconds = 'often'", "1: idle_seconds takes a number of seconds, 0 or more, not 'often'"),
        ("idle_seconds = -1", "1: idle_seconds takes a number of seconds, 0 or more, not -1"),
        ("idle_seconds = nan", "1: idle_seconds takes a number of seconds, 0 or more, not nan"),
        ("idle_seconds = true", "1: idle_seconds takes a number of seconds, 0 or more, not true"),
        ("\n\ndeadline_seconds = 0.5", "3: deadline_seconds takes a number of seconds, 1 or more, not 0.5"),
        ("cache_size = '64T'", "1: cache_size takes bytes, or a number with K, M or G as a text, not '64T'"),
        ("cache_size = -5", "1: cache_size takes bytes, or a number with K, M or G as a text, not -5"),
        ("cache_size = false", "1: cache_size takes bytes, or a number with K, M or G as a text, not false"),
        ("sandbox = 'yes'", "1: sandbox takes true or false, not 'yes'"),
        ("options = ['ro']", "1: options takes words as -o takes them, as \"uid=1000,umask=022\", not ['ro']"),
        ("options = 'colour'", "1: options: option 'colour' is not known; see imagefs mount --help"),
        ("options = 'tree=x'", "1: options: option tree=x is not understood: it takes rr|joliet|evd|iso|udf|hfs"),
        (
            "[[image]]\npath = '/a'\noptions = 'uid=5'",
            "3: options: option uid is for all images of the daemon; it stands in its configuration alone",
        ),
        (
            "[[image]]\npath = '/a'\nname = 'a/b'",
            "3: name takes the name of a folder: no /, not . or .., 1 to 255 bytes",
        ),
        ("[[image]]\npath = '/a'\nname = '..'", "3: name takes the name of a folder"),
        (f"[[image]]\npath = '/a'\nname = '{'ü' * 128}'", "3: name takes the name of a folder"),
        (
            "[[image]]\npath = '/a'\nname = 'x'\n\n[[image]]\npath = '/b'\nname = 'x'",
            "5: 'x' is the name of another image",
        ),
        ("watch = ['/a', '/b',\n'/a/']", "2: '/a' is watched already"),
    ),
)
def test_mistakes_are_refused_with_their_line(write: Write, text: str, said: str):
    assert refused(write(text)).startswith(said)


@pytest.mark.parametrize(
    ("text", "line"),
    (
        ("root = '/r'\nidle_seconds == 3\n", 2),
        ("root = '/r'\nroot = '/s'\n", 2),
        ("root = '/r\n", 1),
        ("\n\nwatch = [\n'/a'\n", 4),
        ("options = '''\nro\n", 2),
        ("x = " + "[" * 5000, 1),
        ("x = " + "9" * 5000, 1),
        ("root", 1),
    ),
)
def test_broken_toml_is_one_line(write: Write, text: str, line: int):
    assert re.fullmatch(rf"{line}: .+", refused(write(text)))


def test_what_is_no_text_is_refused(tmp_path: Path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"root = '/r'\n# caf\xe9\n")
    assert refused(str(path)) == "2: byte 0xe9 is no UTF-8"


def test_a_file_that_is_no_configuration_is_not_read_whole(tmp_path: Path):
    path = tmp_path / "disc.iso"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert refused(str(path)) == f"1: longer than {FILE_BYTES >> 20} MiB, which no configuration is"


def test_a_named_file_has_to_be_there(tmp_path: Path):
    with pytest.raises(NotFoundError, match="there is no configuration file /"):
        load(str(tmp_path / "nothing.toml"))
    with pytest.raises(IsADirectoryError):
        load(str(tmp_path))


# --- options of one image -----------------------------------------------------------------------------------------------


def test_options_of_an_image_stand_over_the_daemons():
    daemons = Options(uid=5, tree="rr", iocharset="cp437")
    assert image_options(["tree=udf"], daemons) == Options(uid=5, tree="udf", iocharset="cp437")
    assert image_options([], daemons) == daemons
    assert image_options(["uid=5,ro"], daemons) == daemons  # says nothing else than the daemon
    for word in (
        "uid=6",
        "gid=1",
        "umask=0",
        "fmask=0",
        "dmask=0",
        "allow_other",
        "noexec",
        "engine=pyfuse3",
        "threads=1",
    ):
        with pytest.raises(UsageError, match=f"option {word.partition('=')[0]} is for all images"):
            image_options([word], daemons)


# --- lines --------------------------------------------------------------------------------------------------------------

LONG = '''\
# a comment
title = "x"  # line 2
text = """
[[image]]
key = 3
"""
numbers = [
  1,
  # two
  2, 3,

  { four = 4, five = [5, 55] },
]
a.b.c = 1

[table]
  key = 'value'
  [table.inner]
    deep = true

[[image]]
path = "one"

[[image]]
path = [
  "two"
]
last = 1'''


@pytest.mark.parametrize(
    ("where", "line"),
    (
        (("title",), 2),
        (("text",), 3),
        (("numbers",), 7),
        (("numbers", 0), 8),
        (("numbers", 1), 10),
        (("numbers", 2), 10),
        (("numbers", 3), 12),
        (("numbers", 3, "five"), 12),
        (("a",), 14),
        (("a", "b", "c"), 14),
        (("table",), 16),
        (("table", "key"), 17),
        (("table", "inner"), 18),
        (("table", "inner", "deep"), 19),
        (("image",), 21),
        (("image", 0, "path"), 22),
        (("image", 1), 24),
        (("image", 1, "path"), 25),
        (("image", 1, "last"), 28),
    ),
)
def test_lines_of_keys_and_elements(where: tuple[str | int, ...], line: int):
    assert line_of(LONG, where) == line
