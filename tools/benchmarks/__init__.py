"""Ways to run the network, measured against each other."""
