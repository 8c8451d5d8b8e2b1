"""Commands over SSH: strictly parsed command lines that are compared word by word."""
