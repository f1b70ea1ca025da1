"""The way of the shipped model, "hn-network": before its network and after it."""
