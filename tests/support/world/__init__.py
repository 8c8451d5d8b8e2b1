"""People, catalogs, grants and actions on them."""
