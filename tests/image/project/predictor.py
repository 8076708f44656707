"""A class that needs a package of its project's own, and a variable of its environment."""

import os

import inflection


class PythonPredictor:
    def __init__(self, config):
        self.greeting = os.environ["GREETING"]

    def predict(self, payload):
        return {"greeting": self.greeting, "plural": inflection.pluralize(payload["word"])}
