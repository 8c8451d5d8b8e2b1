"""What changes and reads targets, one connector for each kind of cluster. No Django here."""
