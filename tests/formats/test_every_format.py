"""Every format through the SDK: the framework's answers, and refusals of what is no good model.

`make formats` installs CatBoost and tokenizers; without them, theirs are left out.
"""

import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.formats.kinds import FOLDER, KINDS, Kind, use_packages
from tests.functional.served import Repository, open_repository
from tests.serving import Server

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
NEEDED = {"CatBoost": "catboost", "Hugging Face": "tokenizers"}
CLIENTS_PATIENCE_S = 120


class Shop:
    """A server of a repository, whose endpoint `code` runs code of artifacts; `safe` does not."""

    def __init__(self, server: Server, repository: Repository) -> None:
        self._repository = repository
        retries = {"mode": "standard", "total_max_attempts": 5}
        self._sdk = server.client(retries=retries, read_timeout=CLIENTS_PATIENCE_S)

    def put(self, target: str, files: Mapping[str, bytes]) -> str:
        """Store files as one model: a folder, an archive or a file; returns its target model."""
        if target.endswith(".tar.gz"):
            self._repository.put(target, archived(files))
        elif len(files) == 1 and Path(target).suffix:
            self._repository.put(target, *files.values())
        else:
            for name, content in files.items():
                self._repository.put(f"{target}/{name}", content)
        return target

    def answer(self, target: str, kind: Kind, endpoint: str) -> Any:
        """Return what a model answers to the rows of its format."""
        answer = self._sdk.invoke_endpoint(
            EndpointName=endpoint,
            TargetModel=target,
            Body=kind.body,
            ContentType="application/json",
            Accept="application/json",
        )
        found = json.loads(answer["Body"].read())
        return found if kind.member is None else found[kind.member]

    def refusal(self, target: str, kind: Kind, endpoint: str) -> str:
        """Return the message of the ModelError that a model is answered with."""
        with pytest.raises(self._sdk.exceptions.ModelError) as refused:
            self.answer(target, kind, endpoint)
        return str(refused.value)


def archived(files: Mapping[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return sink.getvalue()


@pytest.fixture(scope="module", params=["directory", "s3"])
def shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    repository = open_repository(request.param, folder / "models", request)
    resources = [
        {
            "name": name,
            "kind": "MultiModelEndpoint",
            "models": {"path": repository.target, "allow_code": name == "code"},
            "sync_window": "50s",
        }
        for name in ("code", "safe")
    ]
    (folder / "modelyard.yaml").write_text(yaml.safe_dump(resources))
    paths = [str(FOLDER.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**repository.environment, "PYTHONPATH": os.pathsep.join(paths)}
    options = ("--workers", "1")
    with Server(folder / "modelyard.yaml", *options, environment=environment) as server:
        yield Shop(server, repository)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that makes the files of a format, and the framework's answers, once."""
    known: dict[str, tuple[dict[str, bytes], Any]] = {}
    use_packages()

    def make(name: str) -> tuple[dict[str, bytes], Any]:
        needed = next((one for start, one in NEEDED.items() if start.lower() in name.lower()), None)
        if needed and not (FOLDER / needed).is_dir():
            pytest.skip("make formats installs the package")
        if name not in known:
            folder = tmp_path_factory.mktemp("made")
            answers = KINDS[name].write(folder)
            files = [path for path in folder.rglob("*") if path.is_file()]
            read = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
            known[name] = read, answers
        return known[name]

    return make


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_thousand_rows_are_answered_as_by_the_framework(shop: Shop, made: Any, name: str) -> None:
    kind, (files, expected) = KINDS[name], made(name)
    targets = [shop.put(f"{name}/folder", files), shop.put(f"{name}/archive.tar.gz", files)]
    if kind.file is not None:
        targets.append(shop.put(f"{name}/{kind.file}", files))

    for target in targets:
        found = shop.answer(target, kind, "code" if kind.needs_code else "safe")

        if isinstance(expected, np.ndarray):
            found = np.array(found, expected.dtype)
        assert len(found) == 1000
        assert np.array_equal(found, expected), target


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shop", ["directory"], indirect=True)
@pytest.mark.parametrize("name", KINDS)
def test_damaged_newer_and_hostile_models_are_refused_in_words(
    shop: Shop, made: Any, name: str
) -> None:
    kind, (files, _) = KINDS[name], made(name)
    part = kind.part or kind.file or ""
    endpoint = "code" if kind.needs_code else "safe"
    damaged = {**files, part: files[part][: len(files[part]) // 2]}

    words = shop.refusal(shop.put(f"{name}/damaged.tar.gz", damaged), kind, endpoint)

    assert "Traceback" not in words
    for what, change in {"newer": kind.newer, "hostile": kind.hostile}.items():
        if change is not None:
            changed = {**files, part: change[0](files[part])}
            target = shop.put(f"{name}/{what}.tar.gz", changed)
            where = endpoint if what == "newer" else "safe"
            assert change[1] in shop.refusal(target, kind, where)
