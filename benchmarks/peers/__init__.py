"""The compared systems: how to start and call each, and how to read its own measurements."""
