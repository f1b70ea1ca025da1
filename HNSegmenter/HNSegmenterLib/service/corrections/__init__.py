"""How much reviewers correct what the network drew: measured at an approval, added up, shown."""
