"""Command lines on hosts."""

from __future__ import annotations

from sessions_app.policy.commands.kind import CommandKind, Forms
from sessions_app.policy.commands.ssh.covers import covers
from sessions_app.policy.commands.ssh.decide import (
    compile_open,
    compile_set,
    decide,
    describe,
    fillable,
    line_of,
    lines_for,
)
from sessions_app.policy.commands.ssh.document import SSHCommandSet
from sessions_app.policy.commands.ssh.lint import lint
from sessions_app.policy.commands.ssh.starters import STARTERS

KIND = CommandKind(
    name="ssh",
    title="SSH",
    document=SSHCommandSet,
    starters=STARTERS,
    hint="systemctl restart nginx",
    with_values=compile_set,
    open=compile_open,
    decide=decide,
    covers=covers,
    describe=describe,
    lint=lint,
    forms=Forms(fillable=fillable, lines_for=lines_for, line_of=line_of),
)
