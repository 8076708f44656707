"""The measurements ("works"): one module per kind."""
