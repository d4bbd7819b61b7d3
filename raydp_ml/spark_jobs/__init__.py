"""Statistics and scores that Spark computes, in as few jobs as they need, and their SQL."""
