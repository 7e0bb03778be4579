"""Finetuning in plain torch: batches, losses, the loop, evaluation. Knows neither Ray nor MLflow."""
