"""The one-time setup that a server's administrator runs: Stint's account, and the schema for its own data.

Sources: MariaDB's CREATE USER, GRANT and CREATE EVENT.
"""

from __future__ import annotations

from collections.abc import Sequence

from sessions_app.connectors.mariadb.facts import GLOBAL_COLUMNS, READ_TABLES
from sessions_app.connectors.mariadb.provision import grant_option
from sessions_app.policy.commands.mariadb.privileges import Privilege

_SETUP = """\
-- Run this with the mariadb client as an administrator, once on the server; running it again is safe.
CREATE USER IF NOT EXISTS {account} ACCOUNT LOCK;
GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO {account};
-- Stint reads the privileges of its grants' accounts, but no password hashes.
GRANT SELECT (User, Host, {columns}) ON mysql.user TO {account};
{tables}
-- Stint's own data: one row and one event for each grant. The event ends the grant by the server's clock.
CREATE DATABASE IF NOT EXISTS stint;
CREATE TABLE IF NOT EXISTS stint.grants (
  mark CHAR(32) CHARACTER SET ascii NOT NULL PRIMARY KEY,
  grant_ref VARCHAR(64) NOT NULL,
  expires_at DATETIME(6) NOT NULL,
  privileges LONGTEXT NOT NULL
) ENGINE=InnoDB;
GRANT SELECT, INSERT, UPDATE, DELETE ON stint.grants TO {account};
GRANT EVENT ON stint.* TO {account};
SET GLOBAL event_scheduler = ON; -- and event_scheduler=ON in the server's configuration
"""
_PRIVILEGES = (
    "-- The privileges that the command sets grant. Run this again after a command set allows "
    "more.\n{lines}\n"
)
_LAST = """\
-- Finally, set its password, at least 32 random characters:
-- ALTER USER {account} IDENTIFIED BY '…' {require} ACCOUNT UNLOCK;
"""


def target_setup(*, user: str, privileges: Sequence[Privilege] = (), encrypted: bool = True) -> str:
    """Return the SQL that creates Stint's account, and lets it grant the privileges.

    ``encrypted`` means that the account must use TLS.
    """
    account = f"'{user}'@'%'"
    tables = "\n".join(f"GRANT SELECT ON mysql.{name} TO {account};" for name in READ_TABLES)
    text = _SETUP.format(account=account, columns=", ".join(GLOBAL_COLUMNS), tables=tables)
    if privileges:
        text += _PRIVILEGES.format(
            lines="\n".join(grant_option(user, one) for one in sorted(privileges, key=str))
        )
    return text + _LAST.format(account=account, require="REQUIRE SSL" if encrypted else "REQUIRE NONE")
