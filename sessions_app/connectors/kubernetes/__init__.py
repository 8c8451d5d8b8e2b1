"""The Kubernetes connector: an account, roles and bindings for each grant, and the proof that they
are gone.
"""
