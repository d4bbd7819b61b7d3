"""PyTorch over the workers of a gang."""
