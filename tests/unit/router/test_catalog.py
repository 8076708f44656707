import asyncio
import random
import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest

from modelyard.domain.endpoints import AccessRule, Endpoint, EndpointTable
from modelyard.domain.errors import DependencyError, TargetModelNotFoundError, UnknownEndpointError
from modelyard.domain.ports import ModelRepository
from modelyard.domain.requests import Answer, Survey
from modelyard.domain.values import (
    ModelId,
    ModelResidence,
    ModelStatus,
    Principal,
    Sample,
    StoredObject,
    TargetModel,
)
from modelyard.router import catalog as catalog_module
from modelyard.router.catalog import Catalog, CatalogEntry, CatalogPage, targets_in
from tests.fakes.backend import FakeBackend
from tests.fakes.memory_repository import MemoryRepository
from tests.fakes.metrics import RecordingMetrics

ENDPOINT = Endpoint("housing", "memory:")


def targets(*keys: str) -> list[str]:
    return list(targets_in(StoredObject(key, 1, 0.0) for key in keys))


def residence(name: str, status: ModelStatus, memory_bytes: int = 0) -> ModelResidence:
    model_id = ModelId("housing", TargetModel(name))
    return ModelResidence(model_id, status, memory_bytes=memory_bytes)


class Scene:
    """A catalog over a repository in memory and scripted shards."""

    def __init__(self, *keys: str, shards: int = 2) -> None:
        self.backend = FakeBackend(shards)
        self.metrics = RecordingMetrics()
        repository = MemoryRepository(dict.fromkeys(keys, b"1234"))
        self.catalog = Catalog(
            endpoints=EndpointTable([ENDPOINT]),
            backend_of=lambda _: self.backend,
            open_repository={"memory:": repository}.__getitem__,
            metrics=self.metrics,
        )

    def models(self) -> dict[str, ModelStatus]:
        found = asyncio.run(self.catalog.page("housing"))
        return {entry.target_model: entry.residence.status for entry in found.entries}

    def model(self, name: str) -> CatalogEntry:
        return asyncio.run(self.catalog.model("housing", TargetModel(name)))


@pytest.mark.parametrize(
    "key",
    [
        "Houston_TX.tar.gz",
        "a/b/m.TAR.GZ",
        "m.tgz",
        "m.tar",
        "m.zip",
        "m.onnx",
        "m.json",
        "m.ubj",
        "m.bst",
        "xgboost.model",
        "m.skops",
        "m.joblib",
        "m.pkl",
        "m.pickle",
        "Houston_TX.1",
        "ModelA",
        "north/ModelA",
        "v1.2/ModelA",
    ],
)
def test_model_file_is_a_target(key: str) -> None:
    assert targets(key) == [key]


@pytest.mark.parametrize(
    "key",
    [
        "README.md",
        "notes.txt",
        ".DS_Store",
        ".git/HEAD",
        "a/.hidden/m.onnx",
        "__MACOSX/m.onnx",
        "saved_model.pb",
        "m.onnx.bak",
        "data.csv",
        "data.parquet",
        "config.json",
        "tokenizer.json",
        "MLmodel",
        "README",
        "MAR-INF/m.onnx",
    ],
)
def test_other_files_are_no_targets(key: str) -> None:
    assert targets(key) == []


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        ("half-plus-two/1/saved_model.pb", "half-plus-two"),
        ("half-plus-two/saved_model.pb", "half-plus-two"),
        ("north/net/00000123/saved_model.pb", "north/net"),
        ("my-script/code/inference.py", "my-script"),
        ("my-script/2/code/inference.py", "my-script/2"),
        ("churn/model.onnx", "churn"),
        ("churn/1/model.onnx", "churn"),
    ],
)
def test_folder_is_a_target_by_the_file_that_makes_it_one(key: str, folder: str) -> None:
    assert targets(key) == [folder]


def test_target_comes_with_the_bytes_of_its_object() -> None:
    found = targets_in([StoredObject("m.onnx", 42, 0.0)])

    assert found == {"m.onnx": 42}


def test_folder_is_one_target_with_the_bytes_of_all_its_files() -> None:
    keys = ("net/code/helper.json", "net/code/inference.py", "net/model.onnx", "other.onnx")

    found = targets_in(StoredObject(key, 10, 0.0) for key in keys)

    assert found == {"net": 30, "other.onnx": 10}


@pytest.mark.parametrize("key", ["Ä.onnx", "a\\b.onnx", "a//m.onnx", " m.onnx"])
def test_names_that_nobody_can_ask_for_are_left_out(key: str) -> None:
    assert targets(key) == []


def test_models_are_listed_by_name_with_their_residence() -> None:
    scene = Scene("b.onnx", "a.onnx", "notes.txt")
    scene.backend.script_survey(1, Answer(residences=(residence("b.onnx", ModelStatus.LOADED),)))

    assert list(scene.models().items()) == [
        ("a.onnx", ModelStatus.NOT_LOADED),
        ("b.onnx", ModelStatus.LOADED),
    ]


def test_model_that_is_likely_refused_says_why_before_anybody_calls_it() -> None:
    page = asyncio.run(Scene("a.onnx", "net.pt", "old.pkl").catalog.page("housing"))

    details = {entry.target_model: entry.residence.detail for entry in page.entries}
    assert details.pop(TargetModel("a.onnx")) == ""
    assert "a PyTorch model: export it to ONNX" in details[TargetModel("net.pt")]
    assert "--allow-code or allow_code: true, unless" in details[TargetModel("old.pkl")]


def test_models_come_with_the_files_that_a_load_opens() -> None:
    scene = Scene("net/code/inference.py", "net/weights", "group/a.onnx", "groups/b.onnx")
    group = residence("group", ModelStatus.LOADED)
    scene.backend.script_survey(0, Answer(residences=(group, residence("gone", group.status))))

    entries = asyncio.run(scene.catalog.page("housing")).entries

    assert {entry.target_model: [file.key for file in entry.files] for entry in entries} == {
        "gone": [],
        "group": ["group/a.onnx"],
        "group/a.onnx": ["group/a.onnx"],
        "groups/b.onnx": ["groups/b.onnx"],
        "net": ["net/code/inference.py", "net/weights"],
    }


def test_every_shard_is_asked() -> None:
    scene = Scene("a.onnx", shards=3)

    scene.models()

    assert [call.shard for call in scene.backend.calls] == [0, 1, 2]
    assert {call.request for call in scene.backend.calls} == {Survey("housing", "memory:")}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first-shard", "second-shard"])
def test_nearest_residence_is_the_one_that_counts(order: tuple[int, int]) -> None:
    scene = Scene("a.onnx")
    near, far = order
    scene.backend.script_survey(near, Answer(residences=(residence("a.onnx", ModelStatus.LOADED),)))
    scene.backend.script_survey(far, Answer(residences=(residence("a.onnx", ModelStatus.STAGED),)))

    assert scene.models() == {"a.onnx": ModelStatus.LOADED}


def test_loaded_model_that_left_the_repository_is_still_listed() -> None:
    scene = Scene()
    scene.backend.script_survey(0, Answer(residences=(residence("gone", ModelStatus.LOADED),)))

    assert scene.models() == {"gone": ModelStatus.LOADED}


@pytest.mark.parametrize("failure", [TimeoutError(), DependencyError("down")], ids=repr)
def test_shard_that_cannot_answer_is_left_out(failure: Exception) -> None:
    scene = Scene("a.onnx", "b.onnx")
    scene.backend.script_survey(0, failure)
    scene.backend.script_survey(1, Answer(residences=(residence("b.onnx", ModelStatus.LOADED),)))

    assert scene.models() == {"a.onnx": ModelStatus.NOT_LOADED, "b.onnx": ModelStatus.LOADED}


def test_samples_that_came_with_a_survey_are_recorded() -> None:
    sample = Sample("ModelUnloadingTime", 3.0, "housing")
    scene = Scene()
    scene.backend.script_survey(1, Answer(samples=(sample,)))

    scene.models()

    assert scene.metrics.samples == [sample]


def test_models_of_an_unknown_endpoint() -> None:
    with pytest.raises(UnknownEndpointError):
        asyncio.run(Scene().catalog.page("churn"))


def test_one_model_is_shown_with_its_size_and_residence() -> None:
    scene = Scene("a.onnx")
    loaded = residence("a.onnx", ModelStatus.LOADED, memory_bytes=99)
    scene.backend.script_survey(0, Answer(residences=(loaded,)))

    assert scene.model("a.onnx") == CatalogEntry(TargetModel("a.onnx"), 4, loaded, ())


def test_model_nobody_has_loaded_is_shown_as_such() -> None:
    assert Scene("a.onnx").model("a.onnx").residence.status is ModelStatus.NOT_LOADED


def test_model_that_is_not_in_the_repository_cannot_be_shown() -> None:
    with pytest.raises(TargetModelNotFoundError):
        Scene().model("a.onnx")


class CountingRepository(MemoryRepository):
    """Counts its listings."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(objects)
        self.listings = 0

    def objects(self, under: str = "", after: str = "") -> Iterator[StoredObject]:
        self.listings += 1
        yield from super().objects(under, after)


def catalog_of(repository: ModelRepository) -> Catalog:
    return Catalog(
        endpoints=EndpointTable([ENDPOINT]),
        backend_of=lambda _: FakeBackend(),
        open_repository=lambda _: repository,
        metrics=RecordingMetrics(),
    )


async def walk(catalog: Catalog, limit: int) -> list[list[str]]:
    pages: list[list[str]] = []
    page = await catalog.page("housing", limit=limit)
    pages.append([str(entry.target_model) for entry in page.entries])
    while page.has_more:
        page = await catalog.page("housing", after=page.token, limit=limit)
        pages.append([str(entry.target_model) for entry in page.entries])
    return pages


def test_pages_that_follow_each_other_come_from_one_listing() -> None:
    repository = CountingRepository({f"{number}.onnx": b"1" for number in range(5)})

    pages = asyncio.run(walk(catalog_of(repository), 2))

    assert pages == [["0.onnx", "1.onnx"], ["2.onnx", "3.onnx"], ["4.onnx"]]
    assert repository.listings == 1


def test_first_page_is_listed_anew() -> None:
    repository = CountingRepository({"b.onnx": b"1", "c.onnx": b"1"})

    async def walk_twice() -> list[list[str]]:
        catalog = catalog_of(repository)
        before = await walk(catalog, 1)
        repository.put("a.onnx", b"1")
        return before + await walk(catalog, 1)

    pages = asyncio.run(walk_twice())

    assert pages == [["b.onnx"], ["c.onnx"], ["a.onnx"], ["b.onnx"], ["c.onnx"]]


def test_listing_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "LISTING_TTL_S", 0.0)
    repository = CountingRepository({"a.onnx": b"1", "b.onnx": b"1"})

    async def two_pages() -> None:
        catalog = catalog_of(repository)
        await catalog.page("housing", limit=1)
        await asyncio.sleep(0.01)
        await catalog.page("housing", after="a.onnx", limit=1)

    asyncio.run(two_pages())

    assert repository.listings == 2


def test_names_that_may_not_be_seen_fill_no_page() -> None:
    repository = MemoryRepository({f"{number}.onnx": b"1" for number in range(6)})

    page = asyncio.run(
        catalog_of(repository).page(
            "housing", after="1.onnx", limit=2, may_see=lambda name, files: name != "3.onnx"
        )
    )

    assert [entry.target_model for entry in page.entries] == ["2.onnx", "4.onnx"]
    assert page.has_more


def test_page_reads_no_more_of_the_repository_than_it_takes() -> None:
    class EndlessRepository(MemoryRepository):
        def objects(self, under: str = "", after: str = "") -> Iterator[StoredObject]:
            return (StoredObject(f"{number:020}.onnx", 1, 0.0) for number in count())

    page = asyncio.run(catalog_of(EndlessRepository()).page("housing", limit=100))

    assert (len(page.entries), page.has_more) == (100, True)


def test_another_reader_misses_nothing_that_the_first_one_may_not_see() -> None:
    repository = MemoryRepository({f"{number}.onnx": b"1" for number in range(4)})

    async def two_readers() -> tuple[CatalogPage, CatalogPage]:
        catalog = catalog_of(repository)
        first = await catalog.page(
            "housing", limit=1, may_see=lambda name, files: name != "1.onnx", reader="one"
        )
        return first, await catalog.page("housing", after=first.token, reader="two")

    first, second = asyncio.run(two_readers())

    assert first.has_more
    assert [entry.target_model for entry in second.entries] == ["1.onnx", "2.onnx", "3.onnx"]


NAMES = ["a", "a.b", "a-b", "ab", "b", "1", "model.onnx", "x.onnx"]


@pytest.mark.parametrize("ttl_s", [0.0, 60.0])
def test_pages_of_any_size_are_the_whole_listing(
    ttl_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over generated folders, and models that workers have but the repository may not."""
    monkeypatch.setattr(catalog_module, "LISTING_TTL_S", ttl_s)
    for seed in range(300):
        dice = random.Random(seed)
        keys = {"/".join(dice.choices(NAMES, k=dice.randint(1, 3))) for _ in range(8)}
        files = {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}
        named = [*files, *(key.rpartition("/")[0] or key for key in keys), *NAMES]
        resident = {name: residence(name, ModelStatus.STAGED) for name in dice.choices(named, k=4)}
        scene = Scene(*files)
        scene.backend.script_survey(0, Answer(residences=tuple(resident.values())))

        whole = list(scene.models())
        pages = asyncio.run(walk(scene.catalog, limit=dice.randint(1, 3)))

        assert [name for page in pages for name in page] == whole, (seed, files, resident)
        assert len(set(whole)) == len(whole), (seed, files, resident)
        assert set(whole) == {*targets(*files), *resident}, (seed, files, resident)


def test_listings_that_hang_leave_the_event_loop_its_threads() -> None:
    goes_on = threading.Event()

    class HangingRepository(MemoryRepository):
        def objects(self, under: str = "", after: str = "") -> Iterator[StoredObject]:
            goes_on.wait()
            yield from super().objects(under, after)

    async def others_while_many_list() -> str:
        catalog = catalog_of(HangingRepository({"a.onnx": b"1"}))
        listings = [asyncio.create_task(catalog.page("housing")) for _ in range(100)]
        try:
            return await asyncio.wait_for(asyncio.to_thread(lambda: "answered"), 10)
        finally:
            goes_on.set()
            await asyncio.gather(*listings)

    assert asyncio.run(others_while_many_list()) == "answered"


def test_event_loop_goes_on_while_thirty_thousand_models_are_listed() -> None:
    models = {f"area-{number % 100}/{number}.onnx": b"1" for number in range(30_000)}
    catalog = catalog_of(MemoryRepository(models))
    longest_s = 0.0

    async def list_and_look() -> CatalogPage:
        nonlocal longest_s
        listing = asyncio.create_task(catalog.page("housing", limit=100))
        looked_at = time.thread_time()
        while not listing.done():
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.thread_time() - looked_at)
            looked_at = time.thread_time()
        return await listing

    page = asyncio.run(list_and_look())

    assert (len(page.entries), page.has_more) == (100, True)
    assert longest_s < 0.02  # processor time of the loop's own thread, in one piece


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("fraud.ub", " Did you mean 'fraud.ubj'?"),
        ("churn", " Did you mean 'churn.json'?"),
        ("fraud.ubj", " It is there now: call it again."),
        ("quite-another", ""),
        ("secret.on", ""),
    ],
)
def test_error_for_a_missing_model_names_a_similar_one_that_may_be_called(
    wanted: str, hint: str
) -> None:
    rule = AccessRule("*", allow=("*",), deny=("secret*",))
    endpoint = Endpoint("shop", "file:///shop/", access=(rule,))
    repository = MemoryRepository(dict.fromkeys(("fraud.ubj", "churn.json", "secret.onnx"), b"1"))
    catalog = Catalog(
        endpoints=EndpointTable([endpoint]),
        backend_of=lambda _: FakeBackend(1),
        open_repository=lambda _: repository,
        metrics=RecordingMetrics(),
    )
    missing = TargetModelNotFoundError("Not there.")

    found = asyncio.run(catalog.with_hint(missing, endpoint, Principal("ada"), TargetModel(wanted)))

    assert found.message == f"Not there.{hint}"
