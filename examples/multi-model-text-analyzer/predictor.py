import re

import numpy as np
import skops.io
from starlette.responses import JSONResponse

SUMMARY_SENTENCES = 2


class SentimentAnalyzer:
    """Return the best label and its score, as a transformers pipeline of this task does."""

    def __init__(self, pipeline):
        self.pipeline = pipeline

    def __call__(self, text):
        scores = self.pipeline.predict_proba([text])[0]
        best = int(np.argmax(scores))
        return [{"label": str(self.pipeline.classes_[best]), "score": float(scores[best])}]


class Summarizer:
    """Return the sentences most similar to the whole text; rare words count more."""

    def __init__(self, pipeline):
        self.pipeline = pipeline

    def __call__(self, text):
        sentences = re.split(r"(?<=[.!?])\s+", text.strip())
        weights = self.pipeline.transform(sentences)
        likeness = np.asarray(weights @ weights.sum(axis=0).T).ravel()
        kept = sorted(np.argsort(-likeness, kind="stable")[:SUMMARY_SENTENCES])
        return [{"summary_text": " ".join(sentences[index] for index in kept)}]


TASKS = {"sentiment-analysis": SentimentAnalyzer, "summarization": Summarizer}


def postprocess(results):
    return results[0]["label"]


class PythonPredictor:
    def __init__(self, config):
        # prepare the environment, download/load models/labels, etc
        def initialize_model(task):
            return TASKS[task](skops.io.load(config["models"][task]))

        # load models
        self.analyzer = initialize_model("sentiment-analysis")
        self.summarizer = initialize_model("summarization")

    def predict(self, query_params, payload):
        # preprocessing
        model_name = query_params.get("model")
        model_input = payload["text"]

        # make prediction
        if model_name == "sentiment":
            results = self.analyzer(model_input)
            predicted_label = postprocess(results)
            return {"label": predicted_label, "score": results[0]["score"]}
        elif model_name == "summarizer":
            results = self.summarizer(model_input)
            return results[0]["summary_text"]
        else:
            return JSONResponse({"error": f"unknown model: {model_name}"}, status_code=400)
