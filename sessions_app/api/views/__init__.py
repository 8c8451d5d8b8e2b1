"""The endpoints. Each one parses the input, calls one operation or query, and renders the result."""
