"""The MariaDB connector: an account for each grant, which the server itself locks at the deadline."""
