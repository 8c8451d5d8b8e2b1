"""Check for types whose values allow more than their author may expect: patterns, paths, negative numbers."""

from collections.abc import Iterator

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.parameters import Int, ParameterType, PathBelow, Pattern
from sessions_app.policy.commands.patterns import compile_pattern
from sessions_app.policy.commands.ssh.command import ParsedCommand

_OPTION_PROBES = ("-", "-a", "-1", "--a", "-oProxyCommand=a", "--rsh=a")
_ANYTHING_PROBES = ("a", "a b", "../a", "/etc/passwd", "a;b", "$(a)", "a=b", "@a", "'a'", "é")
_TRAVERSAL_PROBES = ("..", "../a", "a/../b", "/etc/passwd", "/a", "a/b")
_QUOTED_PROBES = ("a b", "a;b", "$(a)", "'a'", "`a`", "a|b", "a\\b")

WRITABLE = ("/tmp", "/var/tmp", "/dev/shm", "/home", "/run/user", "/var/spool", "/var/crash")  # noqa: S108
_SENSITIVE = (
    "/etc",
    "/root",
    "/home",
    "/proc",
    "/sys",
    "/dev",
    "/boot",
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/var",
    "/run",
    "/var/lib",
    "/var/spool",
    "/opt",
)


def below(path: str, folders: tuple[str, ...]) -> bool:
    """Whether a path is one of the folders or inside one."""
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def type_findings(where: str, type_: ParameterType) -> Iterator[Finding]:
    """Check one declared type. `where` is its path in the document."""
    if isinstance(type_, Pattern):
        yield from _pattern(where, type_)
    if isinstance(type_, PathBelow):
        yield from _path(where, type_)


def _admits(type_: Pattern, probes: tuple[str, ...]) -> list[str]:
    compiled = compile_pattern(type_.pattern)
    return [probe for probe in probes if compiled.fullmatch(probe) is not None]


def _pattern(where: str, type_: Pattern) -> Iterator[Finding]:
    if len(_admits(type_, _ANYTHING_PROBES)) >= len(_ANYTHING_PROBES) - 2:
        yield Finding(
            "error",
            "broad_pattern",
            where,
            f"the pattern {clip(type_.pattern)} matches nearly any text",
            "allow only the expected characters, like [a-z0-9-]{1,40}, or use choice or name",
        )
        return
    if options := _admits(type_, _OPTION_PROBES):
        yield Finding(
            "warning",
            "option_like",
            where,
            f"the pattern matches {clip(options[-1])}, which programs read as an option, so Stint "
            "refuses such a run",
            "begin the pattern with a letter or digit, or put `--` before the value if the program "
            "supports it",
        )
    if paths := _admits(type_, _TRAVERSAL_PROBES):
        yield Finding(
            "warning",
            "path_pattern",
            where,
            f"the pattern matches {clip(paths[0])}, which leads to other folders",
            "exclude “/” and “..” from the pattern, or use path with the intended folder",
        )
    if quoted := _admits(type_, _QUOTED_PROBES):
        yield Finding(
            "warning",
            "broad_pattern",
            where,
            f"the pattern matches {clip(quoted[0])}, which is harmless here, but another program may pass "
            "it to a shell",
            "exclude spaces and shell metacharacters from the pattern",
        )


def _path(where: str, type_: PathBelow) -> Iterator[Finding]:
    if type_.root == "/":
        yield Finding(
            "error",
            "free_path",
            where,
            "a path below / can be any file of the target",
            "set the intended folder",
        )
    elif below(type_.root, WRITABLE):
        yield Finding(
            "warning",
            "writable_path",
            where,
            f"other accounts can write below {type_.root}: a symbolic link there can redirect the command "
            "to any file",
            "use a folder that only the administrator can write to",
        )
    elif type_.root in _SENSITIVE:
        yield Finding(
            "warning",
            "free_path",
            where,
            f"{type_.root} also contains secrets, programs or settings, which may be unintended",
            "name the intended subfolder",
        )


def value_findings(command: ParsedCommand) -> Iterator[Finding]:
    """Check each value of one command in its position."""
    for name, type_, position in command.whole_word_types():
        if isinstance(type_, Int) and type_.bounds[0] < 0 and "--" not in command.texts[:position]:
            yield command.found(
                "warning",
                "option_like",
                f"{name} can be negative, which a program reads as an option",
                "begin the range at 0, or put `--` before the value if the program supports it",
            )
    for text in command.texts[1:]:
        if below(text.rpartition("=")[2], WRITABLE):
            yield command.found(
                "warning",
                "writable_path",
                f"other accounts can write to the location of {clip(text)}, and so control what is read or "
                "changed",
                "use a folder that only the administrator can write to",
            )
