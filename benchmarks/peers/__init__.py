"""The systems that are compared: how each is started, called and asked what it knows."""
