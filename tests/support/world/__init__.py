"""People, catalogues, grants and what is done with them."""
