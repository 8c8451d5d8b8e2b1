"""The record's tables and guards."""
