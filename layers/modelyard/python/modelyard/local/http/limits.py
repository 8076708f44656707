"""How long a client may take for its part of a request, and how many bytes it may send."""

IDLE_TIMEOUT_S = 300.0
"""How long a connection stays open between requests."""
HEAD_TIMEOUT_S = 20.0
"""How long a client may take to send the head of a request."""
BODY_TIMEOUT_S = 60.0
"""How long it may take to send the body, plus the time at the slowest rate."""
SLOWEST_BYTES_PER_S = 16 << 10
"""The slowest rate at which a client may send a body, or read a response."""
SEND_TIMEOUT_S = 30.0
"""How long a client may read more slowly."""
LINGER_S = 2.0
"""How long a client that is refused early may take to read the response and stop sending."""
MAX_DISCARDED_BYTES = 64 << 20
"""A client sends its whole request before it reads the response, so a refused body is read up to
here.
"""
MAX_AHEAD_BYTES = 64 << 10
"""How many bytes of the next requests are read while one is answered."""
