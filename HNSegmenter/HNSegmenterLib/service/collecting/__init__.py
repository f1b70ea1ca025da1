"""Approved patients as training data, without what tells who they are."""
