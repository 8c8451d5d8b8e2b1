"""The requests that one line sends. Each has a target, a check of its query and body, and a line for the
record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sessions_app.policy.commands.kubernetes.api_request import KubeRequest
from sessions_app.policy.commands.kubernetes.checks import Check, Taken
from sessions_app.policy.commands.kubernetes.resources import known_resource
from sessions_app.policy.commands.kubernetes.rights import Right

_READS = frozenset(("get", "list", "watch"))
# Commands of kubectl whose subresource is in their name.
_IMPLY = frozenset(("scale", "logs", "exec", "attach", "port-forward"))


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of request of a line.

    `says` are the words of the line before the object; if empty, the API verb. `main`: the request is the run
    itself, not one that kubectl sends before or after it. `bare`: the line has only the object's name.
    """

    right: Right
    check: Check
    says: tuple[str, ...] = ()
    main: bool = True
    bare: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The step's parameters, without duplicates."""
        return tuple(dict.fromkeys((*self.right.slots, *self.check.names)))

    def filled(self, values: Mapping[str, str]) -> Step:
        """Return the step with the known values inserted."""
        return replace(self, right=self.right.filled(values), check=self.check.filled(values))

    def line(self, request: KubeRequest, taken: Taken) -> tuple[str, ...]:
        """Return the words of the line that sends a request, in canonical spelling."""
        says = self.says or (("get",) if request.verb in _READS else (request.verb,))
        resource = known_resource(request.group, request.resource)
        words = [*says, *self._object(request)]
        words += taken.objects
        if request.namespace and request.resource != "namespaces":
            words += ["-n", request.namespace]
        elif resource.namespaced is not False:
            words.append("-A")
        if request.subresource and says[0] not in _IMPLY:
            words += [f"--subresource={request.subresource}"]
        if not self.says and request.verb == "watch":
            words.append("-w")
        words += taken.options
        return tuple(words) + (("--", *taken.program) if taken.program else ())

    def _object(self, request: KubeRequest) -> tuple[str, ...]:
        resource = known_resource(request.group, request.resource)
        if not request.name:
            return () if self.bare else (resource.word,)
        return (request.name,) if self.bare else (f"{resource.one}/{request.name}",)
