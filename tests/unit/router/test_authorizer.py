"""Calls are judged by what they would open; nothing denied is ever read from the repository."""

import asyncio
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain.endpoints import AccessRule, Endpoint
from modelyard.domain.errors import (
    AccessDeniedError,
    DependencyError,
    InvalidRequestError,
    TargetModelNotFoundError,
)
from modelyard.domain.values import Principal, TargetModel
from modelyard.repositories import directory, settling
from modelyard.repositories.directory import DirectoryRepository
from modelyard.router import authorizer, lookups
from modelyard.router.authorizer import Authorizer
from modelyard.sagemaker.target_model import parse_target_model
from tests.fakes.clock import FakeClock
from tests.fakes.memory_repository import MemoryRepository
from tests.properties import examples
from tests.unit.router.test_access import reference

PAGE = Path(__file__).parents[3] / "docs" / "access.md"
BATCH = Principal("batch-1")


class Scene:
    """An authorizer over a repository in memory."""

    def __init__(self, *keys: str, access: Sequence[AccessRule], revalidate_s: float = 10) -> None:
        self.repository = MemoryRepository(dict.fromkeys(keys, b"1"))
        self.clock = FakeClock()
        self.endpoint = Endpoint(
            "housing", "memory:", access=tuple(access), revalidate_s=revalidate_s
        )
        self.authorizer = Authorizer(lambda _: self.repository, self.clock.monotonic)

    def may_call(self, target_model: str, principal: Principal = BATCH) -> bool:
        asked = self.authorizer.authorize(self.endpoint, principal, TargetModel(target_model))
        try:
            asyncio.run(asked)
        except AccessDeniedError:
            return False
        return True


@pytest.fixture(autouse=True)
def refusals_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorizer, "LOOK_S", 0.0)


def rules_of_the_page() -> list[AccessRule]:
    example = re.search(r"```yaml\n(  access:\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert example is not None
    rules = yaml.safe_load(example[1])["access"]
    return [
        AccessRule(rule["principal"], tuple(rule["allow"]), tuple(rule.get("deny", ())))
        for rule in rules
    ]


@pytest.mark.parametrize(
    ("target_model", "may"),
    [
        ("company_a/house.json", True),
        ("company_a", True),
        ("company_b/house.json", False),
        ("company_b", False),
        ("company_c/fraud/1", True),
        ("company_z", True),
    ],
)
def test_example_of_the_page_does_what_the_page_says(target_model: str, may: bool) -> None:
    scene = Scene(
        "company_a/house.json",
        "company_b/house.json",
        "company_c/fraud/1/model.onnx",
        access=rules_of_the_page(),
    )

    assert scene.may_call(target_model) is may


def test_role_of_the_page_may_call_its_own_folder_only() -> None:
    role = Principal("arn:aws:sts::111122223333:assumed-role/team-a-x/me")
    session = Principal(role.name, "arn:aws:iam::111122223333:role/team-a-x")
    scene = Scene("company_a/m", "company_b/m", access=rules_of_the_page())

    assert scene.may_call("company_a/m", session)
    assert not scene.may_call("company_b/m", session)
    assert not scene.may_call("company_a/m", role)


DENY_B = AccessRule("*", ("*",), ("b/*", "*/secret.json"))


@pytest.mark.parametrize(
    ("target_model", "may"),
    [
        ("b", False),
        ("b/1", False),
        ("a", False),
        ("a/secret.json", False),
        ("a/open.json", True),
        ("c", True),
        ("file", True),
    ],
)
def test_folder_is_judged_by_every_file_in_it(target_model: str, may: bool) -> None:
    keys = ("a/open.json", "a/secret.json", "b/1/model.onnx", "c/m.json", "file")

    assert Scene(*keys, access=[DENY_B]).may_call(target_model) is may


def test_denied_folder_is_refused_as_one_that_is_not_there() -> None:
    rule = AccessRule("*", ("*",), ("b/*",))

    for scene in (Scene("b/m", access=[rule]), Scene("a/m", access=[rule])):
        with pytest.raises(AccessDeniedError) as caught:
            asyncio.run(scene.authorizer.authorize(scene.endpoint, BATCH, TargetModel("b")))
        assert (
            caught.value.message == "batch-1 is not allowed to call this model of endpoint housing"
        )


def test_refusals_that_need_a_look_take_equally_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorizer, "LOOK_S", 0.05)
    scene = Scene("b/m", access=[DENY_B])
    scene.authorizer = Authorizer(lambda _: scene.repository)

    for target_model in ("b", "not there", "b"):
        before = time.monotonic()
        assert not scene.may_call(target_model)
        assert time.monotonic() - before >= 0.05


def test_folder_that_gets_a_denied_file_is_refused_after_the_revalidation() -> None:
    scene = Scene("a/m", access=[DENY_B], revalidate_s=10)
    assert scene.may_call("a")
    scene.repository.put("a/secret.json", b"1")

    scene.clock.advance(10)

    assert not scene.may_call("a")


def test_verdict_is_kept_as_long_as_the_model_is() -> None:
    scene = Scene("a/m", access=[DENY_B], revalidate_s=10)
    scene.may_call("a")
    scene.repository.objects = None  # type: ignore[assignment, method-assign]

    assert scene.may_call("a")


def test_repository_that_cannot_be_listed_opens_nothing() -> None:
    scene = Scene(access=[DENY_B])

    def fail(under: str = "") -> Iterator[object]:
        raise DependencyError("down")

    scene.repository.objects = fail  # type: ignore[assignment, method-assign]

    with pytest.raises(DependencyError):
        scene.may_call("a")


# -- nothing denied is ever read ---------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "A", "m.json", "s"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
GLOBS = st.one_of(
    PATHS,
    PATHS.map("{}/*".format),
    PATHS.map("*{}".format),
    st.text(st.sampled_from("abAs/*?m."), max_size=5),
    st.just("*"),
)
RULES = st.builds(
    AccessRule,
    st.sampled_from(["*", "batch-*", "batch-?", "other"]),
    st.just(("*",)) | st.lists(GLOBS, max_size=2).map(tuple),
    st.lists(GLOBS, max_size=3).map(tuple),
)
DECORATIONS = ("{}", "/{}", "{}/", "./{}", "{} ", "//{}", "{}/.", "{}/../{}")
TREES = st.tuples(st.sets(PATHS, min_size=1, max_size=6), st.lists(st.tuples(PATHS, PATHS)))


def plant(root: Path, files: set[str], links: list[tuple[str, str]]) -> None:
    for key in sorted(files):
        try:
            (root / key).parent.mkdir(parents=True, exist_ok=True)
            (root / key).write_bytes(b"1")
        except OSError:  # it is a folder, or one of its folders is a file
            continue
    for link, target in links:
        try:
            (root / link).parent.mkdir(parents=True, exist_ok=True)
            (root / link).symlink_to(root / target)
        except OSError:
            continue


def spellings(paths: Iterable[str]) -> Iterator[str]:
    """Yield every way to write the paths and the folders that they are in."""
    parts = [path.split("/") for path in paths]
    names = {"/".join(part[:depth]) for part in parts for depth in range(1, len(part) + 1)}
    for name in sorted(names | {name.swapcase() for name in names}):
        yield from (how.replace("{}", name) for how in DECORATIONS)


async def read_by_a_call(root: Path, rules: list[AccessRule], text: str) -> set[str]:
    """Return the files that the call of a name reads, by their names and as they are on disk."""
    repository = DirectoryRepository(root)
    endpoint = Endpoint("e", root.as_uri(), access=tuple(rules), revalidate_s=0)
    read: set[str] = set()
    try:
        target_model = parse_target_model(text)
        await Authorizer(lambda _: repository).authorize(endpoint, BATCH, target_model)
        artifact = repository.describe(target_model)
        for file in repository.fetch(artifact):
            key = f"{target_model}/{file.path}" if artifact.is_folder else target_model
            read |= {key, os.path.relpath(os.path.realpath(root / key), os.path.realpath(root))}
    except (AccessDeniedError, InvalidRequestError, TargetModelNotFoundError):
        pass
    return read


def denied(rules: list[AccessRule], keys: set[str]) -> set[str]:
    """Return the keys that the rules deny, without the code under test."""
    mine = [rule for rule in rules if reference(rule.principal, BATCH.name)]
    return {key for key in keys for rule in mine for glob in rule.deny if reference(glob, key)}


@dataclass
class Tally:
    """How many calls were tried, and how many of them read something."""

    calls: int = 0
    reads: int = 0

    async def try_all(
        self, files: set[str], links: list[tuple[str, str]], rules: list[AccessRule]
    ) -> None:
        """Call every name in a folder, in every spelling; nothing denied may be read."""
        with tempfile.TemporaryDirectory() as folder:
            plant(Path(folder), files, links)
            for text in spellings([*files, *(link for link, _ in links)]):
                read = await read_by_a_call(Path(folder), rules, text)
                assert not denied(rules, read), text
                self.calls += 1
                self.reads += bool(read)


def tried(trees: int) -> Tally:
    tally = Tally()
    with asyncio.Runner() as runner:

        @settings(max_examples=trees)
        @given(TREES, st.lists(RULES, min_size=1, max_size=3))
        def each(tree: tuple[set[str], list[tuple[str, str]]], rules: list[AccessRule]) -> None:
            runner.run(tally.try_all(*tree, rules))

        each()
    return tally


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SETTLE_S", "SETTLE_UNSEEN_S"):
        monkeypatch.setattr(directory, name, 0.0)
    monkeypatch.setattr(settling, "_COARSE_SETTLE_S", 0.0)


@pytest.mark.volume
@pytest.mark.usefixtures("settled")
def test_nothing_denied_is_ever_read() -> None:
    tally = tried(examples(100))

    assert tally.calls > 500
    assert tally.reads > 0


def test_allowed_call_is_allowed_while_the_repository_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lookups, "MOMENT_S", 0.01)
    rule = AccessRule("batch-1", allow=("*",), deny=("net/secret*",))
    scene = Scene("net/a.onnx", "other/a.onnx", access=[rule])
    assert scene.may_call("net")
    goes_on, objects = threading.Event(), scene.repository.objects
    monkeypatch.setattr(scene.repository, "objects", lambda key: goes_on.wait() and objects(key))
    scene.repository.put("net/secret.onnx", b"1")

    scene.clock.advance(10)
    during = scene.may_call("net")
    goes_on.set()

    assert during
    scene.clock.advance(lookups.OLDEST_S + 10)
    assert not scene.may_call("net")
