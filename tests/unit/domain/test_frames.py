import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.envelope import Frame
from modelyard.domain.frames import FrameBuffer, pack

FRAMES = st.builds(Frame, st.binary(max_size=100), st.binary(max_size=100))
NUMBERED = st.tuples(st.integers(0, 2**32 - 1), FRAMES)


@pytest.mark.parametrize("kept", [0, 1, 11, 12, 13, 17])
def test_frame_that_was_cut_off_is_no_frame(kept: int) -> None:
    assert FrameBuffer().feed(pack(7, Frame(b"head", b"bo"))[:kept]) == []


@given(st.lists(NUMBERED, max_size=5), st.lists(st.integers(1, 60), max_size=20))
def test_frames_may_arrive_in_any_pieces(frames: list[tuple[int, Frame]], cuts: list[int]) -> None:
    buffer, found = FrameBuffer(), []
    rest = b"".join(pack(*one) for one in frames)

    for cut in [*cuts, len(rest)]:
        found += buffer.feed(rest[:cut])
        rest = rest[cut:]

    assert found == frames
