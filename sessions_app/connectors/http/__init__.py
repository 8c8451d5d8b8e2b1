"""Applications behind a proxy. Nothing is created there; a request without a token shows whether access is
closed.
"""
