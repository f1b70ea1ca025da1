"""nnU-Net v2's own files: where they lie, what they say, and the networks that they describe."""
