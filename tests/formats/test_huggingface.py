"""ONNX models of Hugging Face beside their tokenizer; `make formats` installs the package."""

import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from modelyard.domain.errors import InputRejectedError, ModelLoadError
from modelyard.domain.values import Payload
from modelyard.runtimes import registry
from tests.formats.text_models import WEIGHTS, described, graph, write_tokenizer
from tests.serving import Server, body

FOLDER = Path("build/formats")
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def tokenizers():
    if not (FOLDER / "tokenizers").is_dir():
        pytest.skip("make formats installs the package")
    sys.path.insert(0, str(FOLDER.resolve()))
    yield importlib.import_module("tokenizers")
    sys.path.remove(str(FOLDER.resolve()))


@pytest.fixture
def folder(tokenizers, tmp_path):
    return write_tokenizer(tmp_path)


def loaded(folder):
    plan = registry.plan_load(folder, allow_code=False)
    assert plan.runtime == "huggingface"
    assert plan.own_process
    return registry.load(plan)


def answer(predictor, **members):
    return json.loads(predictor.predict(Payload(json.dumps(members).encode())).body)


def softmax(values):
    return np.exp(values) / np.exp(values).sum()


@pytest.fixture
def classifier(folder):
    described(folder, "BertForSequenceClassification", id2label={"0": "NEGATIVE", "1": "POSITIVE"})
    graph(folder, per_token=False)
    return loaded(folder)


GOOD = softmax(WEIGHTS[[2, 4, 3]].sum(axis=0))
"""The scores of `[CLS] good [SEP]`."""


def test_text_gets_its_best_label(classifier):
    (found,) = answer(classifier, inputs="Good")

    assert found["label"] == "POSITIVE"
    assert found["score"] == pytest.approx(GOOD[1])


def test_answer_to_a_text_has_no_other_output(classifier):
    body = json.dumps({"inputs": "Good"}).encode()

    with pytest.raises(InputRejectedError, match="no other outputs"):
        classifier.predict(Payload(body, accept="application/json;output=logits"))


def test_each_of_several_texts_gets_its_best_label(classifier):
    found = answer(classifier, inputs=["good", "houston is bad", {"text": "good"}])

    assert [one["label"] for one in found] == ["POSITIVE"] * 3
    assert found[0] == found[2]


def test_pair_of_texts_is_one_input(classifier):
    (found,) = answer(classifier, inputs={"text": "good", "text_pair": "bad"})

    scores = softmax(WEIGHTS[[2, 4, 3, 5, 3]].sum(axis=0))
    assert found["score"] == pytest.approx(scores[1])


def test_parameters_choose_labels_and_function(classifier):
    everything = answer(classifier, inputs="good", parameters={"top_k": None})
    of_lists = answer(classifier, inputs=["good"], parameters={"top_k": 2})
    raw = answer(classifier, inputs="good", parameters={"function_to_apply": "none"})

    assert [one["label"] for one in everything] == ["POSITIVE", "NEGATIVE"]
    assert of_lists == [everything]
    assert answer(classifier, inputs="good", parameters={"truncation": True}) == everything[:1]
    assert raw[0]["score"] == pytest.approx(float(WEIGHTS[[2, 4, 3]].sum(axis=0)[1]))


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"inputs": "good", "parameters": {"beams": 2}}, "'beams'; allowed: function_to_apply"),
        ({"inputs": "good", "parameters": {"top_k": 0}}, "top_k must be a whole number"),
        ({"inputs": ["good", 5]}, "inputs must be texts"),
        ({"inputs": "good", "parameters": ["top_k"]}, "parameters must be an object"),
        (
            {"inputs": "good", "parameters": {"function_to_apply": ["x"]}},
            "function_to_apply; allowed",
        ),
        ({"text": "good"}, 'got .text.; a text is sent as {"inputs": "a text"}'),
    ],
)
def test_body_that_does_not_fit_is_refused(classifier, members, words):
    with pytest.raises(InputRejectedError, match=words):
        answer(classifier, **members)


def test_tensors_of_the_graph_are_still_taken(classifier):
    found = answer(classifier, input_ids=[[2, 4, 3]], attention_mask=[[1, 1, 1]])

    assert np.allclose(found, [WEIGHTS[[2, 4, 3]].sum(axis=0)])


def test_long_text_is_cut_at_what_the_model_takes(folder):
    described(folder, "BertModel")
    graph(folder, per_token=True, name="onnx/model.onnx")

    (vectors,) = answer(loaded(folder), inputs="good " * 100)

    assert len(vectors) == 16


def test_tokens_are_tagged_with_their_places(folder):
    described(folder, "BertForTokenClassification", id2label={"0": "O", "1": "CITY"})
    graph(folder, per_token=True)
    predictor = loaded(folder)

    found = answer(predictor, inputs="is Houston good")
    everything = answer(predictor, inputs=["good"], parameters={"ignore_labels": []})

    city = {key: found[1][key] for key in ("entity", "index", "word", "start", "end")}
    expected = {"entity": "CITY", "index": 2, "word": "houston", "start": 3, "end": 10}
    assert city == expected
    assert [one["word"] for one in everything[0]] == ["good"]


@pytest.mark.parametrize("is_normalised", [True, False])
def test_sentence_becomes_the_mean_of_its_tokens(folder, is_normalised):
    described(folder, "BertModel")
    graph(folder, per_token=True)
    (folder / "1_Pooling").mkdir()
    modes = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    kind = "Normalize" if is_normalised else "Pooling"
    modules = [{"type": f"sentence_transformers.models.{kind}"}]
    (folder / "modules.json").write_text(json.dumps(modules))

    found = answer(loaded(folder), inputs=["good", "bad is"])

    expected = WEIGHTS[[2, 4, 3]].mean(axis=0)
    expected = expected / np.linalg.norm(expected) if is_normalised else expected
    assert np.allclose(found[0], expected, rtol=1e-5)
    assert len(found) == 2


def test_task_that_is_not_served_is_named(folder):
    described(folder, "BertForQuestionAnswering")
    graph(folder, per_token=True)

    with pytest.raises(InputRejectedError, match="not answered for BertForQuestionAnswering"):
        answer(loaded(folder), inputs="good")


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": "1.0"}', b"\xff"])
def test_damaged_file_is_a_typed_error_or_read(folder, name, content):
    described(folder, "BertModel")
    graph(folder, per_token=True)
    (folder / name).write_bytes(content)

    try:
        predictor = loaded(folder)
    except ModelLoadError as error:
        assert str(folder) not in error.message
    else:
        assert name == "config.json"
        assert answer(predictor, inputs="good")


def test_folder_is_answered_through_the_sdk(folder, monkeypatch, tmp_path_factory):
    described(folder, "BertForSequenceClassification", id2label={"0": "NEGATIVE", "1": "POSITIVE"})
    graph(folder, per_token=False, name="onnx/model.onnx")
    models = tmp_path_factory.mktemp("repository") / "models"
    models.mkdir()
    folder.rename(models / "mood")
    paths = [str(FOLDER.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    with Server(models, "--endpoint", "texts", "--sync-window", "60s") as server:
        found = server.client().invoke_endpoint(
            EndpointName="texts",
            TargetModel="mood",
            Body=b'{"inputs": "good"}',
            ContentType="application/json",
        )

    assert body(found)[0]["label"] == "POSITIVE"
