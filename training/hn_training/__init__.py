"""Training of the network that HN Segmenter ships: data, loop and export."""

__version__ = "0.1.0"
