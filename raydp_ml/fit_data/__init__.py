"""What ``fit`` was given, whatever X was, as data sets for a training."""
