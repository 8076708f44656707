import json
import urllib.request
from pathlib import Path

import numpy as np
import tensorflow as tf
from starlette.exceptions import HTTPException

SCHEMES = ("https://", "http://", "data:image/")


def download(url):
    if not url.startswith(SCHEMES):
        raise HTTPException(status_code=400, detail="url: must start with " + ", ".join(SCHEMES))
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - checked above
        return response.read()


def iris_steps(labels):
    def preprocess(measures):
        return {name: [value] for name, value in measures.items()}

    def postprocess(results):
        return labels[int(results["class_ids"][0])]

    return preprocess, postprocess


def image_steps(labels, brightest, input_shape, input_key, output_key):
    def preprocess(url):
        image = tf.io.decode_image(download(url), channels=3, expand_animations=False)
        image = tf.image.resize(image, input_shape, antialias=True).numpy()
        return {input_key: image[np.newaxis] * brightest / 255}

    def postprocess(results):
        return labels[int(np.argmax(results[output_key]))]

    return preprocess, postprocess


class TensorFlowPredictor:
    def __init__(self, tensorflow_client, config):
        # prepare the environment, download/load labels, etc
        classes = json.loads(Path(config["image-classifier-classes"]).read_text())
        models = config["models"]
        self.steps = {
            "iris": iris_steps(**models["iris"]),
            "resnet50": image_steps(classes, 255, **models["resnet50"]),
            "inception": image_steps(["background", *classes], 1, **models["inception"]),
        }

        self.client = tensorflow_client

    def predict(self, payload, query_params):
        # preprocessing
        model_name = query_params["model"]
        preprocess, postprocess = self.steps[model_name]
        if model_name == "iris":
            model_input = preprocess(payload["input"])
        else:
            model_input = preprocess(payload["url"])

        # make prediction
        results = self.client.predict(model_input, model_name)

        # postprocess
        predicted_label = postprocess(results)

        return {"label": predicted_label}
