"""The SSH gateway: authenticates holders, checks what they may run, and runs it on the target under the target's own
control.
"""
