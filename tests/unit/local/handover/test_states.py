"""The states of connections, which all processes of the server see."""

from pathlib import Path

from modelyard.local.handover.states import MAX_CONNECTIONS, ConnectionStates, State


def test_a_state_is_seen_by_others(tmp_path: Path) -> None:
    ours = ConnectionStates.create(tmp_path / "states")
    theirs = ConnectionStates.open(tmp_path / "states")

    theirs.set(0, State.ANSWERING)
    theirs.set(MAX_CONNECTIONS - 1, State.CALLED)

    assert [ours.of(number) for number in (0, 1, MAX_CONNECTIONS - 1)] == [
        State.ANSWERING,
        State.WAITS,
        State.CALLED,
    ]
