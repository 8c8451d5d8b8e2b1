"""The record: an append-only, hash-chained log of every action, written in the transaction of the action."""
