"""One file for each family of paths (`web.endpoints` has the table)."""
