import io
import json
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image
from starlette.exceptions import HTTPException

SCHEMES = ("https://", "http://", "data:image/")
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # of ImageNet, red to blue


def download(url):
    if not url.startswith(SCHEMES):
        raise HTTPException(status_code=400, detail="url: must start with " + ", ".join(SCHEMES))
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - checked above
        return response.read()


def decode(image, height):
    picture = Image.open(io.BytesIO(image)).convert("RGB")
    size = (picture.width * height // picture.height, height)
    return np.asarray(picture.resize(size, Image.BILINEAR))


def normalize(pixels):
    channels_last = (pixels / 255 - MEAN) / DEVIATION
    return channels_last.transpose(2, 0, 1).astype(np.float32)


def softmax(scores):
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


class ONNXPredictor:
    def __init__(self, onnx_client, config):
        # prepare the environment, download/load labels, etc
        self.labels = json.loads(Path(config["image-classifier-classes"]).read_text())
        self.height = config["image-resize"]

        self.client = onnx_client

    def predict(self, payload, query_params):
        def preprocess(url):
            return normalize(decode(download(url), self.height))[np.newaxis]

        def postprocess(results):
            return self.labels[int(np.argmax(softmax(np.squeeze(results[0]))))]

        # process the input
        model_name = query_params["model"]
        model_input = preprocess(payload["url"])

        # make prediction
        results = self.client.predict(model_input, model_name)

        # postprocess
        predicted_label = postprocess(results)

        return {"label": predicted_label}
