"""XGBoost over the workers of a gang."""
