"""Applications behind a proxy. Nothing is created on the target. A request without a token shows whether
access is closed.
"""
