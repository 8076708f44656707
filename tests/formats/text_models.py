"""Small ONNX models of Hugging Face beside a tokenizer."""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "houston", "is", "##s"]
WEIGHTS = np.linspace(-1, 1, len(WORDS) * 2, dtype=np.float32).reshape(len(WORDS), 2)


def write_tokenizer(folder: Path) -> Path:
    """Write a tokenizer of whole words and return the folder."""
    tokenizers: Any = importlib.import_module("tokenizers")
    vocabulary = {word: place for place, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def described(folder: Path, architecture: str, **members: Any) -> None:
    """Write the description of a model."""
    config = {"architectures": [architecture], "max_position_embeddings": 16, **members}
    (folder / "config.json").write_text(json.dumps(config))


def graph(folder: Path, *, per_token: bool, name: str = "model.onnx") -> None:
    """Write a graph that looks up two numbers for each token; without `per_token`, their sum."""
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["rows"])]
    shape: list[str | int] = ["batch", "tokens", 2]
    if not per_token:
        nodes.append(helper.make_node("ReduceSum", ["rows", "axis"], ["logits"], keepdims=0))
        shape = ["batch", 2]
    inputs = [
        helper.make_tensor_value_info(one, TensorProto.INT64, ["batch", "tokens"])
        for one in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("rows" if per_token else "logits", 1, shape)
    constants = [numpy_helper.from_array(WEIGHTS, "table")]
    if not per_token:
        constants.append(numpy_helper.from_array(np.array([1]), "axis"))
    made = helper.make_graph(nodes, "text", inputs, [output], constants)
    opset = [helper.make_opsetid("", 17)]
    (folder / name).parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(made, opset_imports=opset, ir_version=8), folder / name)


def text_classifier(folder: Path, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Write a classifier of texts; returns the best label of each, with its score."""
    described(folder, "BertForSequenceClassification", id2label={"0": "NEGATIVE", "1": "POSITIVE"})
    graph(write_tokenizer(folder), per_token=False)
    tokenizers: Any = importlib.import_module("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(16)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    answers = []
    for text in texts:
        encoded = tokenizer.encode(text)
        feed = {"input_ids": [encoded.ids], "attention_mask": [encoded.attention_mask]}
        (logits,) = session.run(None, {name: np.array(one) for name, one in feed.items()})
        scores = np.exp(logits[0] - logits[0].max())
        scores /= scores.sum()
        place = int(scores.argmax())
        answers.append({"label": ["NEGATIVE", "POSITIVE"][place], "score": float(scores[place])})
    return answers
