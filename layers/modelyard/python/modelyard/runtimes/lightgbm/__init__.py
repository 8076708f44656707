"""LightGBM models in text: `predictor` answers, `model_text` checks, `library` computes."""
