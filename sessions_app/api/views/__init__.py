"""The endpoints. Each parses, makes one domain call, and renders."""
