"""The SSH connector: certificates for one command each, and the sweep that proves that nothing is left."""
