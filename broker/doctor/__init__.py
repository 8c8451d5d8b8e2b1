"""The checks of `manage.py doctor`, which find problems of this installation and explain how to fix them."""
