"""Distributed training: gangs of Ray actors and the loops that they run."""
