"""What a connection does."""

from enum import Enum, auto


class Phase(Enum):
    """What a connection does now."""

    READS_HEAD = auto()
    """It waits for a request, or has read a part of its head."""
    ADMITS = auto()
    """The site looks up the caller."""
    READS_BODY = auto()
    ANSWERS = auto()
    """The site makes the response."""
    SENDS = auto()
    """The system did not take the whole response yet."""
    STREAMS = auto()
    """The parts of the response are sent as the site makes them."""
    LINGERS = auto()
    """The last response was sent; what the client still sends is thrown away."""
