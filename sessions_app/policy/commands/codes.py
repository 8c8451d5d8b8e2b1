"""The codes of the linter's findings, except those in the table of programs. Texts are Markdown."""

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
    "no_budget": Code(
        "warning",
        "The holder chooses an amount at each run, and nothing limits the total.",
        "Set a `budget`, such as `[{sum: amount, most: 500}]`, or `hold: true`, or accept it and say why.",
    ),
    "unused": Code(
        "warning",
        "No command uses the parameter.",
        "Remove the parameter, or use it in a command.",
    ),
    "look_alike": Code(
        "warning",
        "The command contains letters that look like others, such as a Cyrillic “а”.",
        "Check that each letter is the one intended.",
    ),
    "overlap": Code(
        "warning",
        "A line can match two commands of the set. The stricter one applies; for HTTP, either one is "
        "enough to allow the request.",
        "Remove one of the two, or narrow the values so that nothing matches both.",
    ),
    "effect": Code(
        "error or warning",
        "The command can do more than its `effect` says, so approvers would be misinformed.",
        "Set the effect that the finding names.",
    ),
    "secret": Code(
        "warning",
        "The command names a file or folder that usually contains passwords or keys.",
        "Remove the command, or accept that the holder and reviewers of recordings can read these secrets.",
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
        "The path can be any file below a folder that also contains unintended files.",
        "Set the intended folder.",
    ),
    "writable_path": Code(
        "error or warning",
        "Other accounts can write to the file or folder, so they decide what the command reads, changes "
        "or runs.",
        "Use a folder that only the administrator can write to.",
    ),
    "kernel_file": Code(
        "error",
        "The path of a file rule is a device, or a file in which the kernel shows its own or a process's "
        "data.",
        "Name a file on disk, or allow a program that prints the needed data.",
    ),
    "web_root": Code(
        "error or warning",
        "A web server serves the folder of an upload, and may run a file whose name the holder chooses.",
        "List the names with `choice`, and write out the file extension: `{name}.html`.",
    ),
    "as_root": Code(
        "error",
        "A command with `as: root` can't be contained, or can't be listed in sudoers.",
        "As the finding says, remove `contain: group`, or list the values with `choice`.",
    ),
    "uncontained": Code(
        "warning",
        "The command's processes can leave their process group, or nothing ends them when the command ends.",
        "Remove `contain`. If an account or image can't contain processes, accept the finding.",
    ),
    "unknown_program": Code(
        "error or warning",
        "The linter does not know the program, which could do anything. This is an error if the effect "
        "is `read`.",
        "Check what the program does, and state that in the reason when you accept the finding.",
    ),
    "unknown_option": Code(
        "error or warning",
        "The linter does not know the option. This is an error if the effect is `read`.",
        "Remove the option, or check what it does and state that in the reason when you accept the finding.",
    ),
    "unknown_word": Code(
        "error or warning",
        "The linter does not know a word of the command. This is an error if the effect is `read`.",
        "Remove the word, or check what it does and state that in the reason when you accept the finding.",
    ),
    "unknown_verb": Code(
        "error or warning",
        "The linter does not know this command of the program. This is an error if the effect is `read`.",
        "Check what the command does, and state that in the reason when you accept the finding.",
    ),
    "unknown_variable": Code(
        "error or warning",
        "The linter does not know the environment variable, which may determine what a program loads.",
        "Remove the variable, or check what it does and state that in the reason when you accept the "
        "finding.",
    ),
    "free_option": Code(
        "error",
        "A parameter takes the place of an option, so the option is not fixed.",
        "Write out the option.",
    ),
    "free_verb": Code(
        "error",
        "A parameter takes the place of the program or its verb, so the action of the command is not fixed.",
        "Write one command for each verb, or use `choice`.",
    ),
    "free_name": Code(
        "error or warning",
        "A parameter can name any object, including objects that are created later.",
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
        "Remove the privilege: every role already has the harmless privileges on these schemas.",
    ),
    "scheduler": Code(
        "error",
        "Scheduled jobs run after the grant ends, and users of the schema can add jobs.",
        "Put the task into a function in another schema, and grant EXECUTE on that function.",
    ),
    "definer": Code(
        "warning",
        "The routine may run with the privileges of the account that defined it.",
        "Check what the routine does, and state that in the reason when you accept the finding.",
    ),
    "role": Code(
        "error",
        "The role can do more than its privileges say, for example because it can log in or create roles.",
        "Create a template role with the needed privileges, and name that role.",
    ),
    "wide_role": Code(
        "warning",
        "The role reads every table of every database, including tables that are created later.",
        "Grant SELECT on the tables that are needed, or create a template role for them.",
    ),
    "free_role": Code(
        "error",
        "The requester could choose any role of the server.",
        "Write out the role, or use a `choice` of roles.",
    ),
    "free_schema": Code(
        "error",
        "The requester could choose any schema, including system schemas.",
        "Write out the schema, or use a `choice` of schemas.",
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
        "The request can have any body.",
        "Limit the body with `body` or `form`.",
    ),
    "deny_body": Code(
        "warning",
        "A proxy that does not send the body to Stint denies this path for any body.",
        "Limit the body in the allowed request instead.",
    ),
    "websocket": Code(
        "warning",
        "The messages of a WebSocket are not limited: the holder can send anything.",
        "Allow plain requests instead, or hold the connection.",
    ),
    "unbound": Code(
        "warning",
        "The command uses no parameter of the grant, so it is not limited to the grant's workflow.",
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
        "The tool's name suggests that it runs arbitrary code.",
        "Allow tools that each do one thing, or limit this tool's arguments.",
    ),
    "takes_out": Code(
        "warning",
        "The tool's name suggests that it exports a lot of data.",
        "Check what the tool returns, and bind its arguments to the grant.",
    ),
    "free_text": Code(
        "warning",
        "The argument accepts text of any content and length.",
        "Limit the length and characters with `pattern`.",
    ),
    "free_sink": Code(
        "error",
        "The holder can choose where a call's effect goes, or what it changes or destroys, without approval.",
        "Set `hold: true`, bind the argument to a parameter, or give the reason under `free_sinks`.",
    ),
    "likely_sink": Code(
        "warning",
        "An argument's name suggests that it decides where something goes or what is changed, and the "
        "holder can choose it.",
        "List it under `sinks` and set `hold: true`, bind it, or give the reason under `free_sinks`.",
    ),
    "after_untrusted": Code(
        "warning",
        "A destructive call, or one with a free sink, runs without approval after an untrusted result.",
        "Set `after_untrusted: hold`, or bind the sinks.",
    ),
    "held_call": Code(
        "warning",
        "A held `call` waits before it is sent. Approvers see the call, but not the rows that it changes.",
        "Write its statements as `sql`, which wait at COMMIT, or accept the finding, and state why "
        "approvers don't need to see the rows.",
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
        "The function returns a different value at each call, or acts on the server, on sequences or on"
        " settings.",
        "Remove it, or put the task into a function of your own and use `call`.",
    ),
    "unknown_function": Code(
        "warning",
        "The linter does not know the function.",
        "Check that it only computes a value, and state that in the reason when you accept the finding.",
    ),
    "wildcard_value": Code(
        "warning",
        "A parameter after LIKE can contain the wildcards `%` and `_`.",
        "Exclude both characters from its pattern, or compare with `=`.",
    ),
    "cast": Code(
        "warning",
        "A cast can change the parameter's value, so approvers don't see the value that is used.",
        "Remove the cast, or use a type whose values the cast keeps.",
    ),
    "denies_all": Code(
        "error or warning",
        "The rule denies every tool.",
        "Name the intended tools.",
    ),
    "wildcard": Code(
        "error",
        "A wildcard also covers everything that is later added to the cluster.",
        "List the intended verbs, groups or resources.",
    ),
    "off_limits": Code(
        "error",
        "The rule reaches a namespace or resource that Stint never grants.",
        "List the intended namespaces, or remove the rule.",
    ),
    "secrets": Code(
        "warning",
        "The holder still knows the content of secrets after the grant ends, and lists show it in full.",
        "Allow only `get` on the secret that is needed, with `names`.",
    ),
    "into_pods": Code(
        "warning",
        "The subresource gives access to the inside of a pod: it runs programs in the pod or opens its "
        "ports.",
        "Remove the subresource, or name one object with `names` and accept the finding with a reason.",
    ),
    "past_rbac": Code(
        "warning",
        "RBAC rules can't limit the access that the resource gives.",
        "Remove the resource, or name one object with `names` and accept the finding with a reason.",
    ),
    "decides_more": Code(
        "warning",
        "Changing or deleting the resource changes what other people can do, or what runs in other places.",
        "Remove the resource, or name one object with `names` and accept the finding with a reason.",
    ),
    "workload": Code(
        "warning",
        "The holder can run any image, as any service account of the namespace.",
        "Use `scale`, `set image` or `apply` with the fields that can be set.",
    ),
    "unknown_resource": Code(
        "warning",
        "The linter does not know the effect of the resource: it may run pods or grant permissions.",
        "Check what the resource's controller does, and state that in the reason when you accept the "
        "finding.",
    ),
    "whole_cluster": Code(
        "warning",
        "The rule covers every namespace, or a system namespace.",
        "Name the intended namespaces.",
    ),
    "any_object": Code(
        "warning",
        "The command can delete any object of the resource, because a selector does not limit a delete.",
        "Name the object, with a parameter or a pattern that begins with its name.",
    ),
    "leaves_container": Code(
        "error",
        "A field lets the pod escape its container, for example with a host path or privileges.",
        "Remove the field.",
    ),
    "free_image": Code(
        "warning",
        "The holder chooses the image at each run, and so the program that runs in the pod.",
        "Move the image to `parameters`, take it from the workflow with `from`, or list the images "
        "with `choice`.",
    ),
}
