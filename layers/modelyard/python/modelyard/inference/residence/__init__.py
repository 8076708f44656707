"""Residence: where each model is, and how it gets from the repository into memory."""
