"""The inbox section: patients that the scanner sent to the node."""
