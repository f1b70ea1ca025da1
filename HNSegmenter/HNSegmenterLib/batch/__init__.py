"""Every planning CT below a folder contoured: found, handed out, contoured, and listed on a page and in a table."""
