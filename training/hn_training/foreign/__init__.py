"""Networks that others trained: their label names, and how they become a model folder."""
