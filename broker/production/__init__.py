"""What an operator's machine needs to run Stint for good: units of systemd, nginx, settings."""
