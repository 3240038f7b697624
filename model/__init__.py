"""The science: methods, training, sampling and metrics; usable alone, knows no Prefect, MLflow or DVC."""
