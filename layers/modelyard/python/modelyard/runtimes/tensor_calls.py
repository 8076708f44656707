"""Call a loaded model with a body of another protocol, or of the model's own formats."""

from modelyard.domain import protocol_bodies
from modelyard.domain.ports import Predictor
from modelyard.domain.values import Payload, Prediction


def predict(predictor: Predictor, payload: Payload) -> Prediction:
    """Return the prediction for one payload.

    Raises:
        ModelError: a subclass of it. Any other exception is a defect of the predictor.
    """
    if not protocol_bodies.is_of_a_protocol(payload.content_type):
        return predictor.predict(payload)
    # NumPy is imported here, when a model is loaded already.
    from modelyard.runtimes import tensor_models

    return tensor_models.predict(predictor, payload)
