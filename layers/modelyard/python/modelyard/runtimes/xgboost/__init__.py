"""Models of XGBoost of every version: which file can be read, and how it is loaded."""
