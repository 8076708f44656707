"""The results as a table and as a plot."""
