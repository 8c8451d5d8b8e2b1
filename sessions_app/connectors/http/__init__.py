"""Applications behind a proxy. Nothing is created on the target; a request without a token shows whether
access is closed.
"""
