"""What every trained estimator shares: fit, predict and score, the prediction column, progress."""
