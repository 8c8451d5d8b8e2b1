"""The PostgreSQL connector: a role for each grant, and its removal from every database of the server."""
