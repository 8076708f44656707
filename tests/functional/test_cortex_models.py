"""How the class of a Cortex API gets its models, by name and version, from a folder and from S3."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.functional.cortex_project import Project, post
from tests.functional.served import open_repository, over_each_repository, started_once
from tests.functional.served_project import (
    GETTING,
    ServedProject,
    put,
)
from tests.serving import eventually

EAGER = """
    import json, os

    class PythonPredictor:
        def __init__(self, config, python_client):
            self.slope = python_client.get_model()["a"]

        def load_model(self, model_path):
            with open(os.path.join(model_path, "model.json")) as file:
                return json.load(file) if self is None else {"a": None}

        def predict(self):
            return self.slope
"""


@pytest.fixture(scope="module")
def projects(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], ServedProject]]:
    @contextmanager
    def start(kind: str) -> Iterator[ServedProject]:
        folder = tmp_path_factory.mktemp("repository")
        repository = open_repository(kind, folder / "my models", request)
        for version in (1, 2, 10):
            put(repository, f"linreg/{version}", version)
        for model in ("plain", "bert/1", "bert-large/1", "dir/first/1", "cached/first/1"):
            put(repository, model, 1)
        project = Project(tmp_path_factory.mktemp("project"))
        where = repository.target.rstrip("/")
        names = ("bert", "bert-large", "plain")
        paths = [{"name": name, "model_path": f"{where}/{name}/"} for name in names]
        limits = {"cache_size": 2, "disk_cache_size": 2}
        project.api("single", GETTING, model_path=f"{where}/linreg/")
        project.api("eager", EAGER, model_path=f"{where}/linreg/")
        project.api("listed", GETTING, models={"paths": paths})
        project.api("folder", GETTING, models={"dir": f"{where}/dir/"})
        project.api("cached", GETTING, models={"dir": f"{where}/cached/", **limits})
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


@pytest.mark.parametrize("model", [(), ("whatever",), ("linreg", "latest")])
def test_c20_any_name_is_the_single_model(served: ServedProject, model: tuple[str, ...]) -> None:
    assert served.api("single").slope(*model) == 10


def test_c21_no_name_among_several_models_is_400_and_lists_them(served: ServedProject) -> None:
    answer = served.api("listed").ask(())

    assert answer.status_code == 400
    assert "bert, bert-large, plain" in answer.json()["error"]
    assert served.api("folder").status() == 400


@over_each_repository
@pytest.mark.parametrize("api", ["listed", "folder", "cached"])
def test_c22_unknown_names_and_versions_are_404(served: ServedProject, api: str) -> None:
    known = "bert" if api == "listed" else "first"

    assert served.api(api).status("nope") == 404
    assert served.api(api).status("nope", "1") == 404
    answer = served.api(api).ask((known, "7"))
    assert answer.status_code == 404
    assert "has no version 7: it has 1" in answer.json()["error"]
    assert served.api(api).status(known, "01") == 404


@pytest.mark.parametrize("version", ["latest", None])
def test_c23_c24_the_latest_version_is_the_highest_number(
    served: ServedProject, version: Any
) -> None:
    assert served.api("single").slope(None, version) == 10


@pytest.mark.parametrize("version", ["2", 2])
def test_c25_a_version_may_be_a_number_or_its_text(served: ServedProject, version: Any) -> None:
    assert served.api("single").slope(None, version) == 2


@pytest.mark.parametrize("version", ["abc", "", "-1", "1.0", "Latest", True, -1, 1.5])
def test_c26_other_versions_are_400(served: ServedProject, version: Any) -> None:
    assert served.api("single").status(None, version) == 400


@over_each_repository
def test_c27_a_model_without_versions_is_version_1(served: ServedProject) -> None:
    api = served.api("listed")

    assert [api.slope("plain"), api.slope("plain", "1")] == [1, 1]
    assert api.status("plain", "2") == 404


def test_c28_a_version_is_loaded_once(served: ServedProject) -> None:
    api, name = served.api("folder"), served.new("dir", v1=3, v2=4)

    answer = api.ask((name,), (name, "2"), (name, "1"))

    assert answer.json() == [4, 4, 3]
    assert api.slope(name, "latest") == 4
    assert len(api.loads(name)) == 2


@over_each_repository
def test_c29_load_model_gets_a_folder_ending_in_name_and_version(served: ServedProject) -> None:
    for api, asked, ending in [
        ("single", (None, "1"), "/_cortex_default/1"),
        ("listed", ("plain",), "/plain/1"),
        ("folder", ("first",), "/first/1"),
    ]:
        served.api(api).slope(*asked)
        loads = served.api(api).loads(ending.split("/")[1])
        assert any(path.startswith("/") and path.endswith(ending) for path in loads)


def test_c30_a_load_model_that_raises_is_500_and_tried_again_at_the_next_call(
    served: ServedProject,
) -> None:
    api, name = served.api("folder"), served.new("dir")
    served.put_broken(f"dir/{name}/1")

    answer = api.ask((name, "1"))
    tried = len(api.loads(name))
    api.ask((name, "1"))

    assert (answer.status_code, answer.content) == (500, b"internal server error")
    assert "PythonPredictor.load_model failed: JSONDecodeError" in served.server.log
    assert len(api.loads(name)) > tried > 0
    served.put(f"dir/{name}/1", 5)
    eventually(api.answers(5, name, "1"))


def test_c31_the_constructor_may_get_models(served: ServedProject) -> None:
    assert post(served.server, "/eager").json() == 10


@over_each_repository
def test_c44_the_first_call_of_a_model_finds_it(served: ServedProject) -> None:
    for api, folder in (("folder", "dir"), ("cached", "cached")):
        assert served.api(api).slope(served.new(folder, v1=8)) == 8
