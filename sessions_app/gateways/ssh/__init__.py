"""The SSH gateway, which authenticates holders, checks their commands, and runs them on the target under
Stint's wrapper.
"""
