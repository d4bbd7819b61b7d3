"""The rows of a training: their layout, where their shards lie, what they are checked for."""
