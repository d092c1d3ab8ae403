"""Training and the MLflow server that keeps the models."""
