"""Models that bring a Python script: where it is found, how it is run, what it may import."""
