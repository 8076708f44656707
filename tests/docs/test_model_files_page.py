"""The page about model files says what the detection does."""

import re

import pytest

from modelyard.domain import foreign_formats, model_files
from modelyard.domain.model_files import Role
from modelyard.runtimes import registry
from tests.docs import pages

PAGE = pages.text("docs/model-files.md")


def table(title: str) -> list[list[str]]:
    """Return the cells of the rows of the table below a heading."""
    lines = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0].splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


SERVED = table("Served formats")
OTHERS = table("Other formats")
NAMED = [
    (name, quoted(runtime)[0])
    for files, _, runtime, *_ in SERVED
    for name in quoted(re.sub(r"(flavour|beside).*", "", files))
    if quoted(runtime)
]
BY_CONTENT = ("m.json", "model.txt", "lightgbm.txt")
NOT_BY_SUFFIX = ("1/model.onnx", "1/saved_model.pb", "code/inference.py", "MLmodel")


@pytest.mark.parametrize(("name", "runtime"), NAMED)
def test_named_file_may_be_a_model_of_the_runtime(name, runtime):
    if name in NOT_BY_SUFFIX:
        assert model_files.targets([f"a/{name}"]) == {"a": [f"a/{name}"]}
    elif name in BY_CONTENT:
        assert model_files.is_often_model(name)
    else:
        assert model_files.role_of(name) is Role.MODEL
        assert (name, model_files.runtime_of(name)) in NAMED


def test_every_suffix_of_a_model_is_on_the_page():
    told = {(model_files.suffix_of(name), runtime) for name, runtime in NAMED}

    assert set(model_files.RUNTIMES.items()) <= told


def test_every_runtime_is_on_the_page_with_its_extra():
    extras = {runtime: extra for _, _, runtime, extra, *_ in SERVED}
    told = {
        quoted(runtime)[0]: quoted(extra) for runtime, extra in extras.items() if "`" in runtime
    }
    expected = {name: [extra] for name, extra in registry.EXTRAS.items()}
    expected["script"] = []
    del expected["saved_model"]

    assert told == expected


def test_every_other_format_is_on_the_page_with_the_words_of_its_refusal():
    told = {(what, instead, *sorted(quoted(files))) for files, what, instead in OTHERS}

    assert told == {
        (known.what, known.instead, *sorted(f"m{suffix}" for suffix in known.suffixes))
        for known in foreign_formats.FORMATS
    }
