-- Stint's roles and database: sudo -u postgres psql -v ON_ERROR_STOP=1 < /etc/stint/database.sql
CREATE ROLE stint_owner LOGIN PASSWORD '@owner_password@';
CREATE ROLE stint_app LOGIN PASSWORD '@app_password@';
CREATE DATABASE stint OWNER stint_owner;
\connect stint
ALTER DEFAULT PRIVILEGES FOR ROLE stint_owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO stint_app;
ALTER DEFAULT PRIVILEGES FOR ROLE stint_owner GRANT USAGE, SELECT ON SEQUENCES TO stint_app;
