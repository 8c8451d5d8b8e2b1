"""The checks of `manage.py doctor`: what is wrong with this installation, and how to fix it."""
