"""Train three small classifiers of cat pictures and save each as an ONNX model.

Random choices are seeded, so every run trains the same models. It takes a few seconds.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from networks import NETWORKS, Graph
from numpy.typing import NDArray
from pictures import draw
from predictor import normalize
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
MODELS = HERE / "models"
CLASSES: list[str] = json.loads((HERE / "classes.json").read_text())
_PICTURES_PER_LABEL = 300
_UNSEEN = 0.25


def make_pictures() -> tuple[NDArray[np.float32], NDArray[np.int_]]:
    """Return pictures in the form that the predictor sends to a model, and their label indexes."""
    random = np.random.default_rng(0)
    drawn = [normalize(draw(label, random)) for label in CLASSES * _PICTURES_PER_LABEL]
    return np.array(drawn), np.tile(np.arange(len(CLASSES)), _PICTURES_PER_LABEL)


def run(model: bytes, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the output of a model for all pictures as one batch."""
    return onnxruntime.InferenceSession(model).run(None, {"image": pictures})[0]


def add_trained_layer(graph: Graph, features: NDArray, labels: NDArray) -> None:
    """Add the last layer, which computes the label from the features."""
    scaler = StandardScaler().fit(features)
    layer = LogisticRegression(C=30.0, max_iter=1000).fit(scaler.transform(features), labels)
    weights = layer.coef_ / scaler.scale_  # fold the scaler into the layer
    bias = layer.intercept_ - weights @ scaler.mean_
    names = [graph.weights(one.astype(np.float32)) for one in (weights.T, bias)]
    graph.add("Gemm", *names)


def main() -> None:
    pictures, labels = make_pictures()
    unseen, seen = np.split(np.arange(len(labels)), [round(len(labels) * _UNSEEN)])
    shutil.rmtree(MODELS, ignore_errors=True)
    for name, network in NETWORKS.items():
        graph, width = network()
        features = run(graph.serialized(width), pictures[seen])
        add_trained_layer(graph, features, labels[seen])
        model = graph.serialized(len(CLASSES))
        right = run(model, pictures[unseen]).argmax(axis=1) == labels[unseen]
        (MODELS / name).mkdir(parents=True)
        (MODELS / name / f"{name}.onnx").write_bytes(model)
        print(f"{name}: accuracy {right.mean():.0%}")


if __name__ == "__main__":
    sys.exit(main())
