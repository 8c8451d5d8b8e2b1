"""The reference: pages generated from the code, with one entry for each setting, key, error, event and
command.
"""
