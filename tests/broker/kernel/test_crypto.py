"""Secrets at rest."""

import pytest

from broker.kernel.crypto import CannotDecrypt, SecretLocation, seal, unseal

HERE = SecretLocation("webhooks", 7, "secret")


def test_a_secret_opens_where_it_was_sealed_and_looks_different_each_time():
    assert unseal(seal(b"hunter2", place=HERE), place=HERE) == b"hunter2"
    assert seal(b"hunter2", place=HERE) != seal(b"hunter2", place=HERE)


@pytest.mark.parametrize(
    "elsewhere", [HERE._replace(table="sources"), HERE._replace(row=70), HERE._replace(field="previous")]
)
def test_a_secret_opens_in_no_other_table_row_or_field(elsewhere):
    with pytest.raises(CannotDecrypt, match="secret in .* can't be decrypted"):
        unseal(seal(b"hunter2", place=HERE), place=elsewhere)


@pytest.mark.parametrize("sealed", [b"", b"short", b"altered" * 9])
def test_what_was_never_sealed_is_a_clear_error(sealed):
    with pytest.raises(CannotDecrypt, match="STINT_SECRET_KEY"):
        unseal(sealed, place=HERE)
