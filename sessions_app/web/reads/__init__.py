"""Reads that pages need. Each starts from ``visible_to``, and costs the same number of queries for any number of rows."""

from sessions_app.web.reads.people import may_look
from sessions_app.web.reads.waiting import count_waiting, may_break_glass

__all__ = ["count_waiting", "may_break_glass", "may_look"]
