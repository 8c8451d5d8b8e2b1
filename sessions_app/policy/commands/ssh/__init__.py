"""Commands over SSH: a strict reading of command lines, compared word by word."""
