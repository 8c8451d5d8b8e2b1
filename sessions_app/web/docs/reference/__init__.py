"""The reference: pages generated from the code, one entry for each setting, key, error, event and command."""
