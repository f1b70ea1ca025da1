"""Patients on disk, the cache, patches and what is done to them."""
