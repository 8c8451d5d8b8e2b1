"""The files that run Stint in production: systemd units, an nginx site and settings."""
