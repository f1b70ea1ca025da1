"""The child process of a run, from its start to its results."""
