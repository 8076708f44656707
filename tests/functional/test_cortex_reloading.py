"""Models that come, change and go while a Cortex API runs, in a folder and in S3, and its limits.

Every test has models of its own, and none of them restarts a worker. A row that speaks of ten
seconds is held to the window that the server was given instead.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.functional.cortex_project import Project, post
from tests.functional.served import open_repository, over_each_repository, started_once
from tests.functional.served_project import (
    GETTING,
    ServedProject,
    put,
)
from tests.serving import eventually, is_deployed

AT_ONCE_S = 20.0
"""Less than the 25 s for which a call would wait."""
DEFAULTING = """
    import json, os, threading

    class PythonPredictor:
        def __init__(self, config, python_client):
            self.client = python_client

        def load_model(self, model_path):
            with open(os.path.join(model_path, "model.json")) as file:
                return json.load(file)

        def predict(self, query_params):
            threading.Event().wait(0.05)
            return self.client.get_model(query_params.get("model", "default"))["a"]
"""


@pytest.fixture(scope="module")
def projects(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], ServedProject]]:
    @contextmanager
    def start(kind: str) -> Iterator[ServedProject]:
        folder = tmp_path_factory.mktemp("repository")
        repository = open_repository(kind, folder / "my models", request)
        for model in ("plain", "bert/1", "bert-large/1", "emptied/only/1"):
            put(repository, model, 1)
        for directory in ("dir", "cached", "tight"):
            put(repository, f"{directory}/first/1", 1)
        project = Project(tmp_path_factory.mktemp("project"))
        where = repository.target.rstrip("/")
        names = ("bert", "bert-large", "plain")
        paths = [{"name": name, "model_path": f"{where}/{name}/"} for name in names]
        project.api("listed", GETTING, models={"paths": paths})
        project.api("folder", GETTING, models={"dir": f"{where}/dir/"})
        project.api("emptied", GETTING, models={"dir": f"{where}/emptied/"})
        for name, (cache_size, disk_cache_size) in {"cached": (2, 3), "tight": (1, 1)}.items():
            limits = {"cache_size": cache_size, "disk_cache_size": disk_cache_size}
            project.api(name, GETTING, models={"dir": f"{where}/{name}/", **limits})
        with project.served(environment=repository.environment) as server:
            yield ServedProject(server, repository)

    with started_once(start) as found:
        yield found


@pytest.fixture
def served(
    request: pytest.FixtureRequest, projects: Callable[[str], ServedProject]
) -> ServedProject:
    """The project over a folder; over S3 too for tests of `over_each_repository`."""
    return projects(getattr(request, "param", "directory"))


@pytest.fixture(autouse=True)
def no_restart(served: ServedProject) -> Iterator[None]:
    """Whatever becomes of the models, the workers stay."""
    yield
    if not is_deployed():  # else environments come as they are needed
        assert psutil.Process(served.server.pid).children() == served.workers


@over_each_repository
def test_c35_new_versions_and_models_are_seen_within_the_window(served: ServedProject) -> None:
    api, name = served.api("folder"), served.new("dir", v2=2)
    assert api.slope(name) == 2

    served.put(f"dir/{name}/10", 10)

    eventually(api.answers(10, name))
    assert api.slope(name, "2") == 2
    assert served.api("folder").slope(served.new("dir", v1=6)) == 6


@over_each_repository
def test_c35_an_overwritten_version_is_loaded_again(served: ServedProject) -> None:
    for api in ("folder", "cached", "tight"):
        folder = "dir" if api == "folder" else api
        name = served.new(folder, v1=1)
        assert served.api(api).slope(name) == 1

        served.put(f"{folder}/{name}/1", 2)

        eventually(served.api(api).answers(2, name))


@over_each_repository
def test_c35_a_model_may_become_one_with_versions(served: ServedProject) -> None:
    api, name = served.api("folder"), served.new("dir")
    served.put(f"dir/{name}", 1)
    assert api.slope(name, "1") == 1

    served.put(f"dir/{name}/7", 7)
    served.remove(f"dir/{name}")

    eventually(api.answers(7, name))
    eventually(lambda: api.status(name, "1") == 404)


@over_each_repository
def test_c36_latest_falls_back_while_a_version_is_half_uploaded(served: ServedProject) -> None:
    api, name = served.api("folder"), served.new("dir", v1=1, v2=2)
    assert api.slope(name) == 2

    served.put_file(f"dir/{name}/3/a.first.file")
    eventually(lambda: api.status(name, "3") == 500)

    assert [api.slope(name), api.slope(name, "1")] == [2, 1]
    served.put(f"dir/{name}/3", 3)
    eventually(api.answers(3, name))


@over_each_repository
@pytest.mark.parametrize("api", ["listed", "folder"])
def test_c37_a_name_may_begin_with_another(served: ServedProject, api: str) -> None:
    folder = "" if api == "listed" else "dir/"
    for name in ("bert", "bert-large"):
        served.put(f"{folder}{name}/1", 1)
    eventually(served.api(api).answers(1, "bert"))
    eventually(served.api(api).answers(1, "bert-large"))

    served.put(f"{folder}bert/2", 2)

    eventually(served.api(api).answers(2, "bert"))
    assert served.api(api).slope("bert-large") == 1
    served.remove(f"{folder}bert/1")
    served.remove(f"{folder}bert/2")
    eventually(lambda: served.api(api).status("bert") == 404)
    assert served.api(api).slope("bert-large") == 1


@over_each_repository
def test_c38_an_emptied_directory_is_404_until_models_are_back(served: ServedProject) -> None:
    api = served.api("emptied")
    assert api.slope("only") == 1

    served.remove("emptied/only/1")

    eventually(lambda: api.status("only") == 404)
    assert served.server.http.get("/emptied").json()["model_metadata"] == {}
    served.put("emptied/other/1", 2)
    served.put("emptied/only/1", 3)
    assert api.slope("other") == 2
    eventually(api.answers(3, "only"))


def test_c39_limits_hold_at_once(served: ServedProject) -> None:
    api = served.api("cached")
    names = [served.new("cached", v1=number) for number in range(4)]

    for number, name in enumerate(names * 2):
        assert api.slope(name) == number % 4
        places = api.places()
        assert places.count("LOADED") <= 2
        assert len(places) <= 3


def test_c39_versions_of_a_model_count_separately(served: ServedProject) -> None:
    api, name = served.api("tight"), served.new("tight", v1=1, v2=2)

    for _ in range(2):
        assert [api.slope(name, "1"), api.slope(name, "2")] == [1, 2]
        assert api.places() == ["LOADED"]

    assert len(api.loads(name)) == 4


def test_c39_a_call_that_uses_more_models_than_the_cache_holds_fails_at_once(
    served: ServedProject,
) -> None:
    api, name = served.api("tight"), served.new("tight", v1=1, v2=2)
    asked_at = time.monotonic()

    answer = api.ask((name, "1"), (name, "2"))

    assert time.monotonic() - asked_at < AT_ONCE_S
    assert answer.status_code == 503
    assert "raise cache_size" in answer.json()["error"]
    assert api.slope(name, "2") == 2


@pytest.mark.local_door("functions are frozen while nobody calls")
def test_c40_a_removed_version_is_not_found_and_its_memory_free_though_nobody_calls(
    served: ServedProject,
) -> None:
    api, name = served.api("folder"), served.new("dir", v1=1, v2=2)
    assert [api.slope(name), api.slope(name, "1")] == [2, 1]

    served.remove(f"dir/{name}/2")

    eventually(lambda: not api.is_alive(f"/{name}/2"))
    assert api.is_alive(f"/{name}/1")
    assert api.status(name, "2") == 404
    assert api.slope(name) == 1


@over_each_repository
def test_c40_all_versions_of_a_listed_model_may_go_and_come_back(served: ServedProject) -> None:
    api = served.api("listed")
    eventually(api.answers(1, "plain"))

    served.remove("plain")

    eventually(lambda: api.status("plain") == 404)
    assert "has no versions now" in api.ask(("plain",)).json()["error"]
    served.put("plain", 1)
    eventually(api.answers(1, "plain"))


@pytest.mark.parametrize("api", ["folder", "cached"])
def test_c45_the_old_copy_answers_until_the_new_one_is_loaded(
    served: ServedProject, api: str
) -> None:
    folder = "dir" if api == "folder" else api
    name = served.new(folder, v1=1)
    assert served.api(api).slope(name, "1") == 1
    tried = len(served.api(api).loads(name))

    served.put_broken(f"{folder}/{name}/1")

    def was_tried() -> bool:
        assert served.api(api).slope(name, "1") == 1
        return len(served.api(api).loads(name)) > tried

    eventually(was_tried)
    assert served.api(api).slope(name, "1") == 1
    served.put(f"{folder}/{name}/1", 2)
    eventually(served.api(api).answers(2, name, "1"))


@pytest.mark.local_door("all execution environments of an API share its disk limit")
def test_c39_models_that_calls_wait_for_do_not_keep_the_running_call_from_its_own(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path)
    project.slope("models/default/1", 1)
    project.slope("models/other/1", 2)
    limits = {"cache_size": 1, "disk_cache_size": 1}
    project.api("api", DEFAULTING, models={"dir": "models", **limits})
    queries: list[dict[str, str]] = [{}, {"model": "other"}] * 6
    with project.served() as server, ThreadPoolExecutor(4) as threads:
        began_at = time.monotonic()
        answers = list(threads.map(lambda query: post(server, "/api", **query), queries))

    assert [answer.json() for answer in answers] == [1, 2] * 6
    assert time.monotonic() - began_at < AT_ONCE_S
