"""How good a network is, before and after post-processing, and its pictures."""
