"""Settings from the environment: what is wrong is said, never silently replaced by a default."""

import pytest

from broker.env import EnvError, envbool, envint, envlist, envsecret, envstr

NAME = "STINT_TEST_VALUE"


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.delenv(f"{NAME}_FILE", raising=False)


def test_a_missing_text_without_default_is_an_error_that_names_it():
    assert envstr(NAME, "fallback") == "fallback"
    with pytest.raises(EnvError, match=f"{NAME} is not set"):
        envstr(NAME)


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("Yes", True), ("off", False), ("0", False), ("", True)]
)
def test_yes_and_no_have_several_words_and_empty_is_the_default(monkeypatch, text, value):
    monkeypatch.setenv(NAME, text)
    assert envbool(NAME, True) is value


def test_a_word_that_is_neither_yes_nor_no_is_an_error(monkeypatch):
    monkeypatch.setenv(NAME, "maybe")
    with pytest.raises(EnvError, match=r"'maybe'.*Set it to 1 or 0"):
        envbool(NAME, False)


def test_a_number_that_is_none_is_an_error(monkeypatch):
    assert envint(NAME, 8000) == 8000
    monkeypatch.setenv(NAME, "80 00")
    with pytest.raises(EnvError, match="not a whole number"):
        envint(NAME, 8000)
    monkeypatch.setenv(NAME, "0")
    assert envint(NAME, 8000) == 0
    with pytest.raises(EnvError, match="Set it to 1 or more"):
        envint(NAME, 8000, least=1)


def test_a_list_that_is_set_but_empty_means_nothing_and_not_the_default(
    monkeypatch,
):
    assert envlist(NAME, ["a"]) == ["a"]
    monkeypatch.setenv(NAME, " b, c ,,")
    assert envlist(NAME, ["a"]) == ["b", "c"]
    monkeypatch.setenv(NAME, "")
    assert envlist(NAME, ["a"]) == []


def test_a_secret_comes_from_the_variable_or_from_the_file_without_its_newline(monkeypatch, tmp_path):
    monkeypatch.setenv(NAME, "direct")
    assert envsecret(NAME) == "direct"
    monkeypatch.delenv(NAME)
    file = tmp_path / "secret"
    file.write_text("from file\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(file))
    assert envsecret(NAME, "default") == "from file"


def test_a_secret_that_is_set_twice_is_an_error_that_shows_neither(monkeypatch, tmp_path):
    monkeypatch.setenv(NAME, "hunter2")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "secret"))
    with pytest.raises(EnvError, match=r"both set\. Unset one") as caught:
        envsecret(NAME)
    assert "hunter2" not in str(caught.value)


def test_a_secret_file_that_cannot_be_read_or_is_empty_is_an_error_and_not_the_default(monkeypatch, tmp_path):
    file = tmp_path / "secret"
    monkeypatch.setenv(f"{NAME}_FILE", str(file))
    with pytest.raises(EnvError, match=f"{NAME}_FILE names .* can't be read"):
        envsecret(NAME, "default")
    file.write_text(" \n")
    with pytest.raises(EnvError, match="empty"):
        envsecret(NAME, "default")


def test_a_secret_that_is_missing_is_an_error_unless_there_is_a_default():
    assert envsecret(NAME, "") == ""
    with pytest.raises(EnvError, match=f"set {NAME}_FILE"):
        envsecret(NAME)
