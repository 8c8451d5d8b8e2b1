"""The SSH gateway: authenticates holders, checks their commands, and runs them on the target, wrapped by
Stint.
"""
