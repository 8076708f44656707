"""Every format: the framework's answers through the SDK, and refusals of what is no good model.

`make formats` installs CatBoost and tokenizers; without them, theirs are left out.
"""

import io
import json
import os
import re
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from modelyard.domain.errors import ModelError
from modelyard.runtimes import registry
from tests.formats.kinds import FOLDER, KINDS, Kind
from tests.functional.served import Repository, S3Models, open_repository
from tests.serving import Server

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
NEEDED = {"CatBoost": "catboost", "Hugging Face": "tokenizers"}
CLIENTS_PATIENCE_S = 120


class Shop:
    """A server of a repository, whose endpoint `code` runs code of artifacts; `safe` does not."""

    def __init__(self, server: Server, repository: Repository) -> None:
        self._repository = repository
        self.is_s3 = isinstance(repository, S3Models)
        retries = {"mode": "standard", "total_max_attempts": 5}
        self.sdk = server.client(retries=retries, read_timeout=CLIENTS_PATIENCE_S)

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
        answer = self.sdk.invoke_endpoint(
            EndpointName=endpoint,
            TargetModel=target,
            Body=kind.body,
            ContentType="application/json",
            Accept="application/json",
        )
        found = json.loads(answer["Body"].read())
        return found if kind.member is None else found[kind.member]


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
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a function that makes the files of a format, and the framework's answers, once."""
    known: dict[str, tuple[dict[str, bytes], Any]] = {}
    sys.path.insert(0, str(FOLDER.resolve()))

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

    yield make
    sys.path.remove(str(FOLDER.resolve()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_thousand_rows_are_answered_as_by_the_framework(shop: Shop, made: Any, name: str) -> None:
    """S3 has each model as a folder, the directory as an archive and, where that can be, a file."""
    kind, (files, expected) = KINDS[name], made(name)
    names = [f"{name}/folder"] if shop.is_s3 else [f"{name}/archive.tar.gz"]
    if kind.file is not None and not shop.is_s3:
        names.append(f"{name}/{kind.file}")

    for target in [shop.put(name, files) for name in names]:
        found = shop.answer(target, kind, "code" if kind.needs_code else "safe")

        assert len(found) == 1000
        if kind.tolerance:
            assert np.allclose(found, expected, rtol=0, atol=kind.tolerance), target
        elif isinstance(expected, np.ndarray):
            assert np.array_equal(np.array(found, expected.dtype), expected), target
        else:
            assert found == expected, target


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_damaged_newer_and_hostile_models_are_refused_in_words(
    made: Any, tmp_path: Path, name: str
) -> None:
    """Loaded in this process: that a client gets a ModelError then is the same for all formats."""
    kind, (files, _) = KINDS[name], made(name)
    part = kind.part or kind.file or ""
    damaged = (lambda content: content[: len(content) // 2], "")
    for file, content in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(content)

    for what, case in {"damaged": damaged, "newer": kind.newer, "hostile": kind.hostile}.items():
        if case is not None:
            change, words = case
            (tmp_path / part).write_bytes(change(files[part]))
            allow_code = kind.needs_code and what != "hostile"
            with pytest.raises(ModelError, match=re.escape(words)):
                registry.load(registry.plan_load(tmp_path, allow_code=allow_code))


@pytest.mark.parametrize("shop", ["directory"], indirect=True)
def test_model_whose_numbers_catboost_trusts_harms_only_itself(shop: Shop, made: Any) -> None:
    name = "CatBoost JSON"
    files, expected = made(name)
    wrong = re.sub(rb'"split_index":\d+', b'"split_index":99999999', files["model.json"], count=1)
    target = shop.put("hostile/model.json", {"model.json": wrong})

    with pytest.raises(shop.sdk.exceptions.ModelError, match="process exited"):
        shop.answer(target, KINDS[name], "safe")

    good = shop.put("good/model.json", files)
    assert np.array_equal(shop.answer(good, KINDS[name], "safe"), expected)
