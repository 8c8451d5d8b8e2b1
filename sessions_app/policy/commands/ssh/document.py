"""The document of a command set for SSH: command lines and files, with `{name}` for a parameter's value."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StrictBool, Tag

from sessions_app.policy.commands.argv.lines import LineRefused
from sessions_app.policy.commands.argv.templates import Template, parse_template
from sessions_app.policy.commands.document import (
    MAX_COMMANDS,
    CommandRule,
    CommandSetDocument,
    Visible,
)
from sessions_app.policy.commands.finish import Finish
from sessions_app.policy.commands.ssh.file_rules import (
    DIRECTIONS,
    FileRule,
    GetFile,
    ListFolder,
    PutFile,
    file_problems,
)
from sessions_app.policy.documents import Problem

Contain = Literal["group", "pidns"]


class SSHCommand(CommandRule):
    """One allowed command, with `{name}` in place of each parameter value."""

    run: Visible = Field(
        min_length=1, max_length=4096, description="The command, with {name} for each parameter"
    )
    hold: StrictBool = Field(default=False, description="Each run needs the approval of a second person")
    end: Literal["cut"] | Finish = Field(
        default="cut", description="What happens to a running command when the grant ends"
    )
    contain: Contain | None = Field(default=None, description="How its processes are contained")
    account: Literal["root"] | None = Field(
        default=None,
        alias="as",
        description="Run it as root, through sudo, if Stint logs in to the target as another account",
    )

    @property
    def text(self) -> str:
        """The command as written."""
        return self.run

    @property
    def names(self) -> tuple[str, ...]:
        """The command's parameters, without duplicates. Raises LineRefused."""
        return self.template().names

    @property
    def held(self) -> bool:
        """Whether each run needs approval."""
        return self.hold

    @property
    def finish_seconds(self) -> int | None:
        """How many seconds a run may continue after the grant's end; None if it is cut off."""
        return self.end.finish if isinstance(self.end, Finish) else None

    @property
    def as_root(self) -> bool:
        """Whether the command runs as root, regardless of the account that Stint logs in as."""
        return self.account == "root"

    def template(self) -> Template:
        """Return the command's words. Raises LineRefused if the strict parser refuses the command."""
        return parse_template(self.run)


_FORMS: Mapping[str, type[CommandRule]] = {
    rule.WRITTEN: rule for rule in (SSHCommand, GetFile, PutFile, ListFolder)
}


def _form(data: Any) -> str | None:
    """Return the kind of a rule: its key that contains a command or a path.

    None if it has several such keys.
    """
    if isinstance(data, CommandRule):
        return _label(data.WRITTEN)
    found = [name for name in _FORMS if isinstance(data, Mapping) and name in data] or ["run"]
    return _label(found[0]) if len(found) == 1 else None


def _label(name: str) -> str:
    # Not a key of a rule, so that an error's path contains only keys from the document.
    return f"{name} rule"


SSHRule = Annotated[
    Annotated[SSHCommand, Tag(_label("run"))]
    | Annotated[GetFile, Tag(_label("get"))]
    | Annotated[PutFile, Tag(_label("put"))]
    | Annotated[ListFolder, Tag(_label("list"))],
    Discriminator(
        _form,
        custom_error_type="ssh_rule",
        custom_error_message="needs only one of run, get, put and list",
    ),
]


class SSHCommandSet(CommandSetDocument):
    """A named list of allowed command lines and files. A published version never changes."""

    kind: Literal["ssh"]
    commands: tuple[SSHRule, ...] = Field(max_length=MAX_COMMANDS, description="An empty list allows nothing")
    contain: Contain = Field(
        default="pidns",
        description=(
            "How processes of commands are contained: in a PID namespace, or as root in a scope of systemd,"
            " that ends with the command; or in its process group, which a process can leave"
        ),
    )

    def contain_of(self, rule: SSHCommand | FileRule) -> Contain:
        """Return how this command's processes are contained.

        Every target supports `pidns` for commands that run as root, some with a scope instead. A transfer
        starts only Stint's own helper, which no process can leave.
        """
        if isinstance(rule, FileRule):
            return "pidns"
        return rule.contain or ("pidns" if rule.as_root else self.contain)

    def in_force(self, rule: CommandRule) -> Mapping[str, Any]:
        """Return the set's defaults that apply to a command, by field."""
        return {"contain": self.contain_of(rule)} if isinstance(rule, SSHCommand) else {}

    def problems(self) -> Iterator[Problem]:
        """Yield inconsistencies between the parts of the document."""
        yield from super().problems()
        for index, rule in enumerate(self.commands):
            if isinstance(rule, FileRule):
                yield from file_problems(f"commands[{index}]", rule, self.parameters)
            elif _program(rule) in DIRECTIONS:
                yield Problem(
                    f"commands[{index}].run",
                    "begins with the name of a file transfer: write the program's full path",
                )


def _program(rule: SSHCommand) -> str:
    try:
        return str(rule.template().words[0][0])
    except LineRefused:
        return ""
