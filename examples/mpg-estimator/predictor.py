import mlflow.sklearn
import numpy as np

FEATURES = ("cylinders", "displacement", "horsepower", "weight", "acceleration")


class PythonPredictor:
    def __init__(self, config, python_client):
        self.client = python_client

    def load_model(self, model_path):
        return mlflow.sklearn.load_model(model_path)

    def predict(self, payload, query_params):
        model_version = query_params.get("version")

        # process the input
        model_input = np.array([[payload[feature] for feature in FEATURES]])

        model = self.client.get_model(model_version=model_version)
        result = model.predict(model_input)
        result = result.item()  # one car gives one number

        return {"prediction": result, "model": {"version": model_version}}
