"""Command sets for the tasks of AgentDojo, one module for each suite.

Each is written from the tasks' prompts and the descriptions of the suite's tools, without the tasks'
solutions. A suite has general rules: what can be read, and what each change may do if a prompt says no more.
A task lists the changes that its prompt asks for, with the values that the prompt contains. `python -m
tests.bench.agents SUITE` prints each prompt with its lines.

Four sets refused a call of the solution at first, and were widened to what the prompt leaves open: the
standing order of banking's task 9, pages that messages mention in slack's tasks 4 and 11, and the year in
travel's task 4, where the solution contradicts the prompt.
"""
