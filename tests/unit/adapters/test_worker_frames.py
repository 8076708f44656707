import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.adapters.worker_frames import pack, read_frame
from modelyard.wire.envelope import Frame

FRAMES = st.builds(Frame, st.binary(max_size=100), st.binary(max_size=100))


@given(st.lists(FRAMES, max_size=5))
def test_frames_are_read_one_after_the_other(frames: list[Frame]) -> None:
    stream = io.BytesIO(b"".join(map(pack, frames)))

    assert [read_frame(stream) for _ in frames] == frames
    assert read_frame(stream) is None


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 13])
def test_frame_that_was_cut_off_is_no_frame(kept: int) -> None:
    stream = io.BytesIO(pack(Frame(b"head", b"bo"))[:kept])

    assert read_frame(stream) is None
