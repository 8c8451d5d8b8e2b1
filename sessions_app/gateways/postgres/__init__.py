"""The PostgreSQL gateway: authenticates holders, checks each of their statements, and relays it to the target
as the grant's own role.
"""
