"""Lists in pages by cursor: stable while rows are added."""

from rest_framework import pagination


class CursorPagination(pagination.CursorPagination):
    """Newest first; `page_size` up to 200."""

    ordering = "-pk"
    page_size_query_param = "page_size"
    max_page_size = 200
