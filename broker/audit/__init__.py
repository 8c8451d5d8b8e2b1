"""The record: an append-only, hash-chained log of every act, written in the transaction of the act."""
