"""Who killed the worker: which model to blame when a process dies with several in flight.

Nobody says why a process died. So every model in flight becomes a suspect and is tried again,
one suspect at a time. A suspect that is alone among suspects when the process dies again gets a
strike; with enough strikes it is guilty and its calls fail at once for a while, so that it stops
taking other models' memory down with it. A suspect that is answered is cleared.
"""

from dataclasses import dataclass

from modelyard.domain.values import ModelId

STRIKES_TO_CONVICT = 2
FIRST_SENTENCE_S = 10.0
LONGEST_SENTENCE_S = 600.0


@dataclass(slots=True)
class _Record:
    strikes: int = 0
    convictions: int = 0
    barred_until: float = float("-inf")


class Suspects:
    """The models that were in flight when a worker died and have not been answered since."""

    def __init__(self) -> None:
        self._records: dict[ModelId, _Record] = {}

    def is_suspect(self, model_id: ModelId) -> bool:
        """Return whether calls of this model go one at a time."""
        return model_id in self._records

    def barred_s(self, model_id: ModelId, now: float) -> float:
        """Return for how many seconds this model is not tried at all."""
        record = self._records.get(model_id)
        return 0.0 if record is None else max(0.0, record.barred_until - now)

    def clear(self, model_id: ModelId) -> None:
        """The model was answered."""
        self._records.pop(model_id, None)

    def crashed(self, in_flight: frozenset[ModelId], on_trial: ModelId | None, now: float) -> None:
        """A worker died with these models in flight, `on_trial` being the one suspect."""
        for model_id in in_flight:
            self._records.setdefault(model_id, _Record())
        if on_trial is not None:
            self._strike(on_trial, now)
        elif len(in_flight) == 1:
            self._strike(next(iter(in_flight)), now)

    def _strike(self, model_id: ModelId, now: float) -> None:
        record = self._records.setdefault(model_id, _Record())
        record.strikes += 1
        if record.strikes >= STRIKES_TO_CONVICT:
            sentence_s = FIRST_SENTENCE_S * 2**record.convictions
            record.barred_until = now + min(sentence_s, LONGEST_SENTENCE_S)
            record.convictions += 1
            record.strikes = STRIKES_TO_CONVICT - 1  # one more chance afterwards, not two
