"""Content types and Python values: `media_types` negotiates, one module per format converts."""
