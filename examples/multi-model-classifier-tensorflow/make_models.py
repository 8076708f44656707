"""Train three small networks and save each as a SavedModel: iris flowers, and pictures twice.

Random choices are seeded, so every run trains nearly the same models. It takes about fifteen
seconds.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pictures import SIZE, draw
from sklearn.datasets import load_iris

HERE = Path(__file__).parent
MODELS = HERE / "models"
CLASSES: list[str] = json.loads((HERE / "classes.json").read_text())
_PICTURES_PER_LABEL = 300
_LEARNING_RATE, _UNSEEN = 0.005, 0.2


def make_pictures(labels: Sequence[str | None], each: int) -> tuple[NDArray, NDArray]:
    """Return the pictures [n, SIZE, SIZE, 3], 0 to 255, and the index of each one's label."""
    random = np.random.default_rng(0)
    pictures = [draw(label, random) for _ in range(each) for label in labels]
    return np.array(pictures, np.float32), np.tile(np.arange(len(labels)), each)


def picture_network(brightest: float, classes: int) -> keras.Sequential:
    """Return an untrained network for pixels from 0 to `brightest`."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((SIZE, SIZE, 3)),
            layers.Rescaling(2 / brightest, offset=-1),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Conv2D(32, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def iris_network(measures: NDArray) -> keras.Sequential:
    """Return an untrained network for the four measures of a flower, in cm."""
    layers = keras.layers
    normalise = layers.Normalization(mean=measures.mean(0), variance=measures.var(0))
    hidden, output = layers.Dense(8, activation="relu"), layers.Dense(3, activation="softmax")
    return keras.Sequential([layers.Input((4,)), normalise, hidden, output])


def train(network: keras.Sequential, inputs: NDArray, labels: NDArray, epochs: int) -> float:
    """Train the network and return its accuracy on examples that were not used for training."""
    order = np.random.default_rng(0).permutation(len(inputs))
    unseen, seen = np.split(order, [round(len(order) * _UNSEEN)])
    network.compile(
        optimizer=keras.optimizers.Adam(_LEARNING_RATE),
        loss="sparse_categorical_crossentropy",
        jit_compile=False,  # compiling takes longer than this training
    )
    network.fit(inputs[seen], labels[seen], epochs=epochs, batch_size=16, verbose=0)
    answers = np.argmax(network(inputs[unseen]), axis=1)
    return float((answers == labels[unseen]).mean())


def make_iris() -> float:
    """Train and save the classifier of flowers; return its accuracy."""
    flowers = load_iris()
    network = iris_network(flowers.data)
    accuracy = train(network, flowers.data, flowers.target, epochs=50)
    measures = ("sepal_length", "sepal_width", "petal_length", "petal_width")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, one) for one in measures])
    def predict(*columns: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = network(tf.stack(columns, axis=1))
        class_ids = tf.argmax(probabilities, axis=1)[:, tf.newaxis]
        return {"class_ids": class_ids, "probabilities": probabilities}

    tf.saved_model.save(network, MODELS / "iris", signatures=predict)
    return accuracy


def make_picture_model(
    name: str, labels: Sequence[str | None], brightest: float, key: str, output_key: str
) -> float:
    """Train and save a classifier of pictures with pixels from 0 to `brightest`.

    Returns:
        Its accuracy.
    """
    pictures, indices = make_pictures(labels, each=_PICTURES_PER_LABEL)
    network = picture_network(brightest, len(labels))
    accuracy = train(network, pictures * (brightest / 255), indices, epochs=3)

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32, key)])
    def predict(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {output_key: network(inputs)}

    tf.saved_model.save(network, MODELS / name, signatures=predict)
    return accuracy


def main() -> None:
    keras.utils.set_random_seed(0)
    shutil.rmtree(MODELS, ignore_errors=True)
    accuracies = {
        "iris": make_iris(),
        "resnet50": make_picture_model("resnet50", CLASSES, 255, "input", "output"),
        "inception": make_picture_model("inception", [None, *CLASSES], 1, "images", "classes"),
    }
    for name, accuracy in accuracies.items():
        print(f"{name}: accuracy {accuracy:.0%}")


if __name__ == "__main__":
    sys.exit(main())
