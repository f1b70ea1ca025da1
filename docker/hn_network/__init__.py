"""HN Segmenter's network: a CT in HU goes in, one labelmap an organ on exactly its grid comes out.

Research software, not a medical device: a clinician must review every contour.
"""
