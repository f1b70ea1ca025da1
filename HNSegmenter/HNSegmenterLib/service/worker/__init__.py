"""The worker: watches the node, segments, delivers."""
