"""Typed values: in one spelling, inside their limits, never an option, never with a hidden character."""

import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from sessions_app.policy.commands.parameters import Parameter, ParameterType, ValueRefused

ADAPTER: TypeAdapter[ParameterType] = TypeAdapter(Parameter)


def of(**written: Any) -> ParameterType:
    return ADAPTER.validate_python(written)


ACCEPTED = [
    (of(choice=["nginx", "haproxy"]), ["nginx", "haproxy"]),
    (of(choice=[80, "443"]), ["80", "443"]),
    (of(int=[1, 1000]), ["1", "1000", "42"]),
    (of(int=[-5, 5]), ["-5", "0", "5"]),
    (of(pattern="v[0-9.]+"), ["v1", "v1.2.3"]),
    (of(pattern="a|b"), ["a", "b"]),
    (
        of(path="/var/log"),
        ["/var/log/syslog", "/var/log/nginx/access.log", "/var/log/...", "/var/log/-x", "/var/log/a b"],
    ),
    (of(path="/"), ["/etc"]),
    (of(name=8), ["a", "CHG-2291", "_x", "a.b-c_d"]),
    (
        of(cidr=["10.0.0.0/8", "2001:db8::/32"]),
        ["10.1.2.3", "10.1.0.0/16", "10.0.0.0/8", "2001:db8::1", "2001:db8:1::/48"],
    ),
    (of(duration=["1s", "5m"]), ["1s", "300s", "5m", "2m"]),
    (of(**{"from": "workflow.id"}), ["CHG-2291", "a" * 64]),
    (of(**{"from": "workflow.release", "pattern": "v[0-9]+"}), ["v12"]),
]


@pytest.mark.parametrize(("type_", "values"), ACCEPTED, ids=lambda value: getattr(value, "limits", ""))
def test_a_value_inside_its_type_is_accepted_as_it_stands(type_, values):
    assert [type_.accept(value) for value in values] == values


REFUSED = [
    (of(choice=["nginx", "haproxy"]), ["sshd", "Nginx", "nginx ", "ngin"]),
    (
        of(int=[1, 1000]),
        ["0", "1001", "-1", "1.5", "1e2", "0x10", "01", "+1", " 1", "1 ", "١", "x", "1" * 30, "1\n"],
    ),
    (of(int=[-5, 5]), ["-6", "--5", "-", "-05", "-0"]),
    (of(pattern="v[0-9.]+"), ["v", "xv1", "v1x", "v1\n", "\nv1", "v1 v2"]),
    (of(pattern="a|b"), ["ab", "ax", "xb"]),
    (of(pattern=".*"), ["-x", "--", "-", "a\nb", "a\u200bb", "a\u202eb", "a\0b"]),
    (of(pattern="(?s).*"), ["a\nb"]),
    (
        of(path="/var/log"),
        [
            "/var/log",
            "/var/log/",
            "/var/logs/x",
            "/var/log/../x",
            "/var/log/a/..",
            "/var/log/./x",
            "/var/log//x",
            "/var/log/x/",
            "var/log/x",
            "//var/log/x",
            "/etc/passwd",
            "/var/log/a\nb",
            "/var/log/a\u202eb",
            "-/var/log/x",
            "../var/log/x",
        ],
    ),
    (of(path="/"), ["/", "/..", "//", "etc"]),
    (of(name=8), ["-a", ".a", "a/b", "a b", "a" * 9, "é", "a:b", "a=b", "a\n"]),
    (
        of(cidr=["10.0.0.0/8"]),
        ["11.0.0.1", "0.0.0.0/0", "10.0.0.0/7", "10.1.2.3/16", "::1", "10.1", "010.0.0.1", "10.0.0.1 ", "x"],
    ),
    (
        of(cidr=["2001:db8::/32"]),
        ["2001:DB8::1", "2001:db8::0001", "fe80::1%eth0", "::ffff:10.0.0.1", "10.0.0.1"],
    ),
    (of(cidr=["fe80::/10"]), ["fe80::1%eth0"]),
    (of(duration=["1s", "5m"]), ["0s", "301s", "6m", "5", "m", "1m30s", "05s", "5M", "5 m", "-5s", "1.5m"]),
    (of(**{"from": "workflow.id"}), ["a b", "a" * 65, "../x", "-x"]),
]


@pytest.mark.parametrize(("type_", "values"), REFUSED, ids=lambda value: getattr(value, "limits", ""))
def test_a_value_outside_its_type_is_refused(type_, values):
    for value in ["", "-", "-x", "--x=y", "a\u200bb", *values]:
        with pytest.raises(ValueRefused):
            pytest.fail(f"{value!r} gave {type_.accept(value)!r}")


@pytest.mark.parametrize(
    ("type_", "written", "normal"),
    [
        (of(int=[1, 1000]), "007", "7"),
        (of(int=[1, 1000]), "+7", "7"),
        (of(cidr=["2001:db8::/32"]), "2001:DB8::0001", "2001:db8::1"),
        (of(duration=["1s", "5m"]), "05s", "5s"),
        (of(choice=["a"]), "a", "a"),
    ],
)
def test_a_value_given_in_advance_gets_its_one_spelling(type_, written, normal):
    assert type_.normalize(written) == normal


def test_a_refusal_names_the_limits():
    with pytest.raises(ValueRefused, match=r"^needs a number from 1 to 1000$"):
        of(int=[1, 1000]).accept("1001")
    with pytest.raises(ValueRefused, match=r"^`sshd` is not one of nginx, haproxy$"):
        of(choice=["nginx", "haproxy"]).accept("sshd")
    with pytest.raises(ValueRefused, match=r"^`05` must be written as `5`$"):
        of(int=[1, 9]).accept("05")


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("v[0-9.]+", "text that matches v[0-9.]+, for example v123"),
        (r"\pN+", r"text that matches \pN+"),
        ("v[0-9]{1,2}" * 4, "text in the required form, for example v12v12v12v12"),
    ],
)
def test_a_pattern_is_described_by_an_example_and_if_it_is_short_by_itself(pattern, wanted):
    with pytest.raises(ValueRefused, match=f"^{re.escape(f'needs {wanted}')}$"):
        of(pattern=pattern).accept("!")


@pytest.mark.parametrize(
    ("type_", "value", "said"),
    [
        (of(int=[1, 9]), "x", "lines needs a number from 1 to 9"),
        (of(choice=["a", "b"]), "x", "lines: `x` is not one of a, b"),
        (
            of(name=9),
            "a\u200bb",
            "lines contains the unprintable character U+200B (zero width space): remove it",
        ),
    ],
)
def test_a_refusal_reads_as_a_sentence_about_its_parameter(type_, value, said):
    with pytest.raises(ValueRefused) as refused:
        type_.accept(value)
    assert refused.value.of("lines") == said


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"choise": ["a"]},
        {"choice": []},
        {"choice": ["a", "a"]},
        {"choice": ["-a"]},
        {"choice": [""]},
        {"choice": [True]},
        {"choice": [None]},
        {"choice": ["a\u202eb"]},
        {"choice": "a"},
        {"choice": ["a"], "int": [1, 2]},
        {"int": [2, 1]},
        {"int": [1]},
        {"int": [1, 2, 3]},
        {"int": ["1", "2"]},
        {"int": [1.5, 2]},
        {"int": [True, 2]},
        {"int": [0, 2**70]},
        {"pattern": ""},
        {"pattern": "["},
        {"pattern": "(?=a)"},
        {"pattern": "(a)\\1"},
        {"pattern": "a" * 513},
        {"pattern": "a\u200b"},
        {"path": "var/log"},
        {"path": "/var/../etc"},
        {"path": "/var/"},
        {"path": ""},
        {"name": 0},
        {"name": 256},
        {"name": True},
        {"cidr": []},
        {"cidr": ["10.0.0.1/8"]},
        {"cidr": ["x"]},
        {"duration": ["5m", "1s"]},
        {"duration": ["1", "2"]},
        {"from": "identity.name"},
        {"from": "workflow"},
        {"from": "workflow.id.x"},
        {"from": None},
    ],
)
def test_a_type_that_means_nothing_or_too_much_cannot_be_declared(written):
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(written)


def test_a_pattern_takes_no_longer_for_a_wicked_text():
    wicked = of(pattern="(a*)*(a|aa)+b")
    with pytest.raises(ValueRefused):
        wicked.accept("a" * 4000)
