"""Verifiers are those that PostgreSQL's own library computes."""

import base64

import psycopg

from sessions_app.connectors.postgres.scram import new_password, verifier


def test_a_verifier_is_what_libpq_makes_of_the_same_password_and_salt(shop):
    with shop.server.login("stint_broker", shop.broker_password) as session:
        for _ in range(5):
            password = new_password()
            theirs = session.pgconn.encrypt_password(password.encode(), b"x", b"scram-sha-256").decode()
            salt = base64.b64decode(theirs.split("$")[1].split(":")[1])
            assert verifier(password, salt=salt) == theirs


def test_no_two_are_the_same(shop):
    assert verifier("x") != verifier("x")
    assert len({new_password() for _ in range(100)}) == 100
    assert len(new_password()) == 32
    assert psycopg.pq.version() > 100000
