"""The codes of the linter's findings, but for those in the table of programs. Texts are Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """What findings with one code mean, how severe they are, and how to fix them."""

    severity: str
    meaning: str
    fix: str


CODES: Mapping[str, Code] = {
    "empty": Code(
        "error",
        "No command is listed, so the set allows nothing.",
        "Add at least one command.",
    ),
    "no_examples": Code(
        "warning",
        "The set has no examples of allowed and refused lines.",
        "Add at least one line under `allow` and one under `refuse`.",
    ),
    "unused": Code(
        "warning",
        "No command uses the parameter.",
        "Remove it, or use it in a command.",
    ),
    "look_alike": Code(
        "warning",
        "The command contains letters that look like others, such as a Cyrillic “а”.",
        "Check that each letter is what it looks like.",
    ),
    "overlap": Code(
        "warning",
        "A line can match two commands of the set. The stricter one decides; for HTTP, either one allows it.",
        "Remove one, or narrow its values so that nothing matches both.",
    ),
    "effect": Code(
        "error or warning",
        "The command can do more than its `effect` says, so approvers would be misinformed.",
        "Set the effect that the finding names.",
    ),
    "secret": Code(
        "warning",
        "The command names a place that usually contains passwords or keys.",
        "Remove it, or accept that the holder and reviewers of recordings can read it.",
    ),
    "broad_pattern": Code(
        "error or warning",
        "The pattern matches nearly any text, or text with a shell metacharacter.",
        "Allow only the expected characters, like `[a-z0-9-]{1,40}`, or use `choice` or `name`.",
    ),
    "option_like": Code(
        "warning",
        "The value can begin with “-”, which programs read as an option.",
        "Begin the pattern with a letter or digit, begin the range at 0, or put `--` before the value.",
    ),
    "path_pattern": Code(
        "warning",
        "The pattern matches a path that leads to other folders.",
        "Exclude “/” and “..” from the pattern, or use `path` with the intended folder.",
    ),
    "free_path": Code(
        "error or warning",
        "The path can be any file below a folder that also contains files that are not intended.",
        "Set the intended folder.",
    ),
    "writable_path": Code(
        "error or warning",
        "Other accounts can write to the place, and so decide what is read, changed or run there.",
        "Use a folder that only the administrator can write to.",
    ),
    "kernel_file": Code(
        "error",
        "The path of a file rule is a device, or data of the kernel and of processes.",
        "Name a file on a disk, or allow a program that prints what is needed.",
    ),
    "web_root": Code(
        "error or warning",
        "A web server serves the folder of an upload, and may run a file whose name the holder chooses.",
        "List the names with `choice`, and write out the ending: `{name}.html`.",
    ),
    "as_root": Code(
        "error",
        "A command with `as: root` can't be contained, or can't be listed in sudoers.",
        "Do what the finding says: remove `contain: group`, or list the values with `choice`.",
    ),
    "uncontained": Code(
        "warning",
        "A process can leave its process group, or nothing ends what the program starts.",
        "Remove `contain`. Accept the finding for targets or images without what containment needs.",
    ),
    "unknown_program": Code(
        "error or warning",
        "The linter does not know the program, which could do anything. It is an error if the effect is"
        " `read`.",
        "Check what it does, and accept the finding with that as the reason.",
    ),
    "unknown_option": Code(
        "error or warning",
        "The linter does not know the option. It is an error if the effect is `read`.",
        "Remove it, or check what it does and accept the finding with that as the reason.",
    ),
    "unknown_word": Code(
        "error or warning",
        "The linter does not know a word of the command. It is an error if the effect is `read`.",
        "Remove it, or check what it does and accept the finding with that as the reason.",
    ),
    "unknown_verb": Code(
        "error or warning",
        "The linter does not know this command of the program. It is an error if the effect is `read`.",
        "Check what it does, and accept the finding with that as the reason.",
    ),
    "unknown_variable": Code(
        "error or warning",
        "The linter does not know the environment variable, which may decide what a program loads.",
        "Remove it, or check what it does and accept the finding with that as the reason.",
    ),
    "free_option": Code(
        "error",
        "A parameter is in the place of an option, so the option is not fixed.",
        "Write out the option.",
    ),
    "free_verb": Code(
        "error",
        "A parameter is in the place of the program or its verb, so what the command does is not fixed.",
        "Write one command for each verb, or use `choice`.",
    ),
    "free_name": Code(
        "error or warning",
        "A parameter can name any object, including ones that are created later.",
        "List the intended values with `choice`, or begin the word with fixed text: `web-{name}`.",
    ),
    "free_code": Code(
        "error",
        "A parameter is part of code that the program runs.",
        "List the intended values with `choice`.",
    ),
    "free_mode": Code(
        "error",
        "A parameter is a file mode, so the permissions are not fixed.",
        "List the intended values with `choice`.",
    ),
    "system": Code(
        "error",
        "System schemas contain functions that read files and end other sessions.",
        "Remove it: every role already has the harmless privileges there.",
    ),
    "scheduler": Code(
        "error",
        "Scheduled jobs run after the grant ends, and users of the schema can add jobs.",
        "Put the task into a function in another schema, and grant EXECUTE on that.",
    ),
    "definer": Code(
        "warning",
        "The routine may run with the privileges of the account that defined it.",
        "Check what the routine does, and accept the finding with that as the reason.",
    ),
    "role": Code(
        "error",
        "The role can do more than its privileges say, for example because it can log in or create roles.",
        "Create a template role with the needed privileges, and name that.",
    ),
    "wide_role": Code(
        "warning",
        "The role reads every table of every database, including tables that are created later.",
        "Grant SELECT on the tables that are needed, or create a template role for them.",
    ),
    "free_role": Code(
        "error",
        "The requester could choose any role of the server.",
        "Write the role, or a `choice` of roles.",
    ),
    "free_schema": Code(
        "error",
        "The requester could choose any schema, including system schemas.",
        "Write the schema, or a `choice` of schemas.",
    ),
    "root": Code(
        "warning",
        "The path `/` is the root of the application.",
        "Set the intended path.",
    ),
    "powerful": Code(
        "warning",
        "A path with this word, such as a GraphQL endpoint, often does more than one thing.",
        "List the paths below it one by one, and limit query and body.",
    ),
    "free_root": Code(
        "warning",
        "The first part of the path is free, so one request can reach different parts of the application.",
        "Write out the first part.",
    ),
    "stream": Code(
        "warning",
        "A response that has started can continue after the grant ends, except through Stint's own gateway.",
        "Remove `stream`, unless the application sends events.",
    ),
    "free_body": Code(
        "warning",
        "The body is not limited.",
        "Limit it with `body` or `form`.",
    ),
    "deny_body": Code(
        "warning",
        "A proxy that does not send the body denies this path for any body.",
        "Limit the body where the request is allowed instead.",
    ),
    "websocket": Code(
        "warning",
        "The messages of a WebSocket are not limited: the holder can send anything.",
        "Allow plain requests instead, or hold the connection.",
    ),
    "unbound": Code(
        "warning",
        "The command uses no parameter of the grant, so it covers more than one workflow.",
        "Use a parameter in the path, query, body, form or arguments.",
    ),
    "free_method": Code(
        "error",
        "The holder can choose the method that the framework uses, through an override field or header.",
        "List the methods with `choice`, or remove the field.",
    ),
    "method_field": Code(
        "warning",
        "Some frameworks read the field as the method, so a POST can become a DELETE.",
        "Allow the method itself, or limit the value.",
    ),
    "runs": Code(
        "warning",
        "The tool's name suggests that it runs whatever it is given.",
        "Allow tools that each do one thing, or limit its arguments.",
    ),
    "takes_out": Code(
        "warning",
        "The tool's name suggests that it exports a lot at once.",
        "Check what it returns, and bind its arguments to the grant.",
    ),
    "free_text": Code(
        "warning",
        "The text is not limited in content or length.",
        "Limit its length and characters with `pattern`.",
    ),
    "free_sink": Code(
        "error",
        "The holder can choose where a call's effect goes, or what it changes or destroys, without approval.",
        "Set `hold: true`, bind the argument to a parameter, or give the reason under `free_sinks`.",
    ),
    "likely_sink": Code(
        "warning",
        "An argument's name suggests that it says where something goes or what is changed, and it is free.",
        "List it under `sinks` and set `hold: true`, bind it, or give the reason under `free_sinks`.",
    ),
    "after_untrusted": Code(
        "warning",
        "A destructive call, or one with a free sink, runs without approval after an untrusted result.",
        "Set `after_untrusted: hold`, or bind the sinks.",
    ),
    "no_where": Code(
        "error or warning",
        "The statement covers every row, or its WHERE can match every row. It is an error for UPDATE and"
        " DELETE without WHERE.",
        "Add a WHERE that compares a column with a parameter, or set `where: required` or `limit`.",
    ),
    "every_column": Code(
        "warning",
        "`*` also returns columns that are added later.",
        "List the columns.",
    ),
    "volatile": Code(
        "error or warning",
        "The function returns something else at each call, or acts on the server, on sequences or on"
        " settings.",
        "Remove it, or put the task into a function of your own and use `call`.",
    ),
    "unknown_function": Code(
        "warning",
        "The linter does not know the function.",
        "Check that it only computes a value, and accept the finding with that as the reason.",
    ),
    "wildcard_value": Code(
        "warning",
        "A parameter after LIKE can contain `%` and `_`, which match any text.",
        "Exclude both characters from its pattern, or compare with `=`.",
    ),
    "cast": Code(
        "warning",
        "A cast can change the parameter's value, so approvers don't see what is used.",
        "Remove the cast, or use a type whose values the cast keeps.",
    ),
    "denies_all": Code(
        "error or warning",
        "The rule denies every tool.",
        "Name the intended tools.",
    ),
    "wildcard": Code(
        "error",
        "A wildcard also covers everything that is added to the cluster later.",
        "List the intended verbs, groups or resources.",
    ),
    "off_limits": Code(
        "error",
        "The rule reaches a namespace or resource that Stint never grants.",
        "List the intended namespaces, or remove the rule.",
    ),
    "secrets": Code(
        "warning",
        "What is read from secrets is still known after the grant ends, and lists show their full content.",
        "Allow only `get` on the one that is needed, with `names`.",
    ),
    "into_pods": Code(
        "warning",
        "The subresource enters a pod: it runs programs there or opens its ports.",
        "Remove it, or name one object with `names` and accept the finding with a reason.",
    ),
    "past_rbac": Code(
        "warning",
        "The resource gives access that RBAC rules don't limit any further.",
        "Remove it, or name one object with `names` and accept the finding with a reason.",
    ),
    "decides_more": Code(
        "warning",
        "Changing or deleting the resource changes what others can do, or what runs elsewhere.",
        "Remove it, or name one object with `names` and accept the finding with a reason.",
    ),
    "workload": Code(
        "warning",
        "The holder can run any image, as any service account of the namespace.",
        "Use `scale`, `set image` or `apply` with the fields that may be set.",
    ),
    "unknown_resource": Code(
        "warning",
        "The linter does not know what the resource does to the cluster: it may run pods or grant"
        " permissions.",
        "Check what its controller does, and accept the finding with that as the reason.",
    ),
    "whole_cluster": Code(
        "warning",
        "The rule covers every namespace, or a system namespace.",
        "Name the intended namespaces.",
    ),
    "any_object": Code(
        "warning",
        "The command can delete any object of the resource, because selectors limit nothing.",
        "Name the object, with a parameter or a pattern that begins with its name.",
    ),
    "leaves_container": Code(
        "error",
        "A field lets the pod leave its container, for example by a host path or privileges.",
        "Remove the field.",
    ),
    "free_image": Code(
        "warning",
        "The holder chooses the image at each run, and so the program that runs as the pod.",
        "Move it to `parameters`, take it from the workflow with `from`, or list the images with `choice`.",
    ),
}
