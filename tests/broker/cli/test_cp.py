"""`stint cp`, by the real scp, the real gateway and real targets."""

import pytest

from broker.cli.commands.files import Copy, parse_copy
from broker.cli.errors import Usage


@pytest.mark.parametrize(
    ("source", "destination", "copy", "words"),
    [
        (
            "web-1:/var/log/a",
            ".",
            Copy("", "web-1", "/var/log/a", ".", down=True),
            ["there:/var/log/a", "./."],
        ),
        (
            "a b",
            "gr-7f3k:/srv/a",
            Copy("GR-7F3K", "", "/srv/a", "a b", down=False),
            ["./a b", "there:/srv/a"],
        ),
        (
            "GR-7F3K.web-1:/v/a[1]*",
            "/tmp/x:y",
            Copy("GR-7F3K", "web-1", "/v/a[1]*", "/tmp/x:y", down=True),
            [r"there:/v/a\[1]\*", "/tmp/x:y"],
        ),
    ],
)
def test_a_copy_names_one_file_here_and_one_on_a_target(source, destination, copy, words):
    assert parse_copy(source, destination) == copy
    assert copy.words("there") == words


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("a", "b"),
        ("web-1:/a", "web-2:/b"),
        ("web-1:a", "b"),
        ("-oProxyCommand=id", "web-1:/a"),
        ("", "web-1:/a"),
    ],
)
def test_anything_else_is_not_copied(source, destination):
    with pytest.raises(Usage):
        parse_copy(source, destination)


def test_a_file_goes_there_and_back_under_a_grant_that_is_requested_for_it(laptops):
    alice, folder = laptops["alice"], laptops.place.folder.resolve()
    (alice.home / "mine").write_bytes(b"release")
    sent = alice("cp", "-m", "Deploy", str(alice.home / "mine"), f"web-1:{folder}/r1.bin")
    assert sent.returncode == 0, sent.stderr
    assert (folder / "r1.bin").read_bytes() == b"release"
    assert "has ended with the command." in sent.stderr
    got = alice("cp", "--keep", "-m", "Look", f"web-1:{folder}/r1.bin", str(alice.home / "back"))
    assert (got.returncode, (alice.home / "back").read_bytes()) == (0, b"release"), got.stderr
    (grant,) = alice.json("grants")["results"]
    again = alice("cp", f"{grant['ref']}.web-1:{folder}/none", str(alice.home / "none"))
    assert again.returncode == 1
    assert "the file does not exist" in again.stderr
    status, said = alice.fails("cp", f"{grant['ref']}:/etc/passwd", str(alice.home / "none"))
    assert (status, "allow" in said) != (0, False), said
