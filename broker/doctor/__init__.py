"""What `manage.py doctor` examines: is this installation as it should be, and what has to be done where it is not."""
