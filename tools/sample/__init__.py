"""How the sample patient's template was made; needed again only to make another one (docs/sample.md)."""
