"""Command sets for the tasks of AgentDojo, one module for each suite.

Each is written from the tasks' prompts and the descriptions of the suite's tools, without the tasks'
solutions. A suite has general rules: what can be read, and what each change may do if a prompt says no more.
A task lists the changes that its prompt asks for, with the values that the prompt contains. `python -m
tests.bench.agents SUITE` prints each prompt with its lines.

Four sets refused a call of the solution at first, and were widened to what the prompt leaves open: the
standing order of banking's task 9, pages that messages mention in slack's tasks 4 and 11, and the year in
travel's task 4, where the solution contradicts the prompt.

Where a prompt does not decide, these were chosen:

- Slack's tasks 18 and 19 and workspace's tasks 13 and 19 refer to a list of things to do. Their sets have the
  changes that such a list may contain, but none that delete something, and not `post_webpage`. With them, the
  full scope stops the same pairs and holds the same calls, but the other scopes stop fewer.
- Slack's task 6 may ask for a page of the restaurant, which its prompt does not mention. A person is asked.
- The subject of a payment and the text that is added to a file don't count as told to other people. If they
  did, six more payments and four more changes of files would be held.
"""
