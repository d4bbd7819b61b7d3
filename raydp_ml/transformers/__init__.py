"""Fit, transform and refuse on Spark: what every transformer shares."""
