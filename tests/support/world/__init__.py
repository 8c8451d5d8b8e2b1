"""People, catalogs, grants and what is done with them."""
