"""From one configuration to the next: what is new comes, what is gone goes, what both have is not touched."""

import dataclasses
import errno
from collections.abc import Callable
from typing import Any

import pytest

from imagefs.daemon.config import Attached, Config, Watch
from imagefs.daemon.reload import Outcome, Reloader
from imagefs.errors import UsageError
from imagefs.options import OF_THE_MOUNT, Options
from tests.daemon.fakes import FakeTarget

A, B = Attached("/a.iso"), Attached("/b.iso", "bee")
V, W = Watch("/v"), Watch("/w", recursive=True)
BASE = Config(root="/r", images=(A, B), watch=(V, W))


class Setup:
    """A daemon that was started with BASE, and what the next reload will find."""

    def __init__(self) -> None:
        self.target = FakeTarget()
        self.found: Callable[[], Config] = lambda: BASE
        self.reloader = Reloader(lambda: self.found(), self.target)

    def start(self, config: Config) -> Outcome:
        return self.reloader.start(config)

    def reload(self, config: Config) -> Outcome:
        self.found = lambda: config
        return self.reloader.reload()


@pytest.fixture
def setup() -> Setup:
    made = Setup()
    assert made.start(BASE).failed == []
    made.target.taken()
    return made


def change(**fields: Any) -> Config:
    return dataclasses.replace(BASE, **fields)


def test_the_start_applies_everything():
    setup = Setup()
    outcome = setup.start(BASE)
    assert outcome == Outcome(["watching /v", "watching /w", "attached a.iso", "attached bee"], [], [])
    assert setup.target.taken() == [
        ("configure", 300.0, 30.0, 64 << 20, Options()),
        ("watch", "/v", False),
        ("watch", "/w", True),
        ("attach", "/a.iso", None, None),
        ("attach", "/b.iso", "bee", None),
    ]
    assert setup.reloader.config == BASE


def test_the_same_again_touches_nothing(setup: Setup):
    assert setup.reload(BASE) == Outcome([], [], [])
    assert setup.target.taken() == []


def test_images_come_and_go(setup: Setup):
    new = Attached("/c.iso")
    assert setup.reload(change(images=(new, B))) == Outcome(["detached a.iso", "attached c.iso"], [], [])
    assert setup.target.taken() == [("detach", "a.iso"), ("attach", "/c.iso", None, None)]
    assert setup.reload(BASE).done == ["detached c.iso", "attached a.iso"]


def test_an_image_that_is_shown_differently_is_attached_anew(setup: Setup):
    other = A._replace(options=Options(tree="udf"))
    assert setup.reload(change(images=(other, B))).done == ["detached a.iso", "attached a.iso"]
    assert setup.target.taken() == [("detach", "a.iso"), ("attach", "/a.iso", None, Options(tree="udf"))]


def test_folders_come_and_go(setup: Setup):
    outcome = setup.reload(change(watch=(W._replace(recursive=False), Watch("/x"))))
    assert outcome.done == ["no longer watching /v", "no longer watching /w", "watching /w", "watching /x"]
    assert setup.target.taken() == [
        ("unwatch", "/v"),
        ("unwatch", "/w"),
        ("watch", "/w", False),
        ("watch", "/x", False),
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    (
        ({"idle_seconds": 5.0}, "idle_seconds = 5.0"),
        ({"deadline_seconds": 9.0, "cache_bytes": 1 << 20}, "deadline_seconds = 9.0, cache_size = 1048576"),
        ({"options": Options(tree="iso")}, "options"),
    ),
)
def test_settings_change(setup: Setup, fields: dict[str, Any], said: str):
    new = change(**fields)
    assert setup.reload(new) == Outcome([said], [], [])
    assert setup.target.taken() == [
        ("configure", new.idle_seconds, new.deadline_seconds, new.cache_bytes, new.options),
    ]
    assert setup.reloader.config == new


def test_what_takes_a_restart_is_said_every_time(setup: Setup):
    new = change(root="/elsewhere", socket="/s", sandbox=False, allow=("/a",), idle_seconds=1.0)
    said = [
        f"{text} waits until the daemon is started again"
        for text in ("root = /elsewhere", "socket = /s", "sandbox = False", "allow = ('/a',)")
    ]
    assert setup.reload(new) == Outcome(["idle_seconds = 1.0"], said, [])
    assert setup.reload(new) == Outcome([], said, [])
    assert setup.reloader.config == change(idle_seconds=1.0)


def test_options_of_the_mount_take_a_restart(setup: Setup):
    options = Options(uid=5, allow_other=True, tree="udf")
    outcome = setup.reload(change(options=options, images=(A._replace(options=options), B._replace(options=options))))
    assert outcome.restart == [
        f"{text} waits until the daemon is started again" for text in ("uid = 5", "allow_other = True")
    ]
    assert setup.reloader.config.options == Options(tree="udf")
    assert setup.reloader.config.images == (
        A._replace(options=Options(tree="udf")),
        B._replace(options=Options(tree="udf")),
    )


def test_options_of_the_mount_are_options():
    assert set(OF_THE_MOUNT) < {field.name for field in dataclasses.fields(Options)}


def test_a_failure_stops_nothing_else_and_is_tried_again(setup: Setup):
    setup.target.bad = {"/c.iso", "/x"}
    new = change(images=(Attached("/c.iso"), Attached("/d.iso")), watch=(Watch("/x"), V, W))
    outcome = setup.reload(new)
    assert outcome.done == ["detached a.iso", "detached bee", "attached d.iso"]
    assert [(about, str(error)) for about, error in outcome.failed] == [
        ("/x", "it is not there"),
        ("/c.iso", "it is not there"),
    ]
    setup.target.bad = set()
    assert setup.reload(new) == Outcome(["watching /x", "attached c.iso"], [], [])
    assert setup.reload(new) == Outcome([], [], [])


def test_an_image_that_was_detached_by_hand_is_gone_already(setup: Setup):
    setup.target.bad = {"a.iso"}
    assert setup.reload(change(images=(B,))) == Outcome(["detached a.iso"], [], [])


def test_an_image_in_use_stays_until_it_can_go(setup: Setup):
    setup.target.bad, setup.target.error = {"bee"}, OSError(errno.EBUSY, "in use")
    other = B._replace(options=Options(tree="udf"))
    outcome = setup.reload(change(images=(A, other)))
    assert (outcome.done, outcome.failed) == ([], [("/b.iso", setup.target.error)])
    assert setup.target.taken() == [("detach", "bee")]
    setup.target.bad = set()
    assert setup.reload(change(images=(A, other))).done == ["detached bee", "attached bee"]


def test_a_broken_file_keeps_the_configuration(setup: Setup):
    def broken() -> Config:
        raise UsageError("x.toml:3: broken")

    setup.found = broken
    with pytest.raises(UsageError, match=r"x\.toml:3: broken"):
        setup.reloader.reload()
    assert setup.target.taken() == []
    assert setup.reloader.config == BASE
