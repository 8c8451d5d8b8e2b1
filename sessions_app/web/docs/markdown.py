"""Render the guides' Markdown to HTML, without scripts, styles or raw markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from sessions_app.web.templatetags.stint import icon

PROMPT = "$ "


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of a guide, with all text up to the next heading. ``anchor`` is empty for the text above the
    first heading.
    """

    title: str
    anchor: str
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """A rendered guide. ``html`` is everything except the title, which the page shows separately."""

    title: str
    summary: str
    html: SafeString
    sections: tuple[Section, ...]


def read_document(source: str) -> Document:
    """Render a guide: one level-1 heading, a summary paragraph, and the text. Raises ValueError if the
    heading or the summary is missing.
    """
    tokens = _MARKDOWN.parse(source)
    if [token.type for token in tokens[:4:3]] != ["heading_open", "paragraph_open"] or tokens[0].tag != "h1":
        raise ValueError("a guide begins with its title and a paragraph")
    html = _MARKDOWN.renderer.render(tokens[3:], _MARKDOWN.options, {})
    return Document(
        title=_plain(tokens[1]),
        summary=_plain(tokens[4]),
        html=mark_safe(html),  # noqa: S308  # raw HTML is off, and the rules below escape what they are given
        sections=tuple(_sections(tokens)),
    )


def render_text(source: str) -> SafeString:
    """Render paragraphs, lists, tables and blocks of code, without a title."""
    return SafeString(_MARKDOWN.render(source))


def render_line(source: str) -> SafeString:
    """Render one line, without a paragraph around it."""
    return SafeString(_MARKDOWN.renderInline(source))


def commands_of(block: str) -> str:
    """Return the commands in a console block: the lines after prompts, and their continuation lines after a
    backslash.
    """
    typed, goes_on = [], False
    for line in block.splitlines():
        if goes_on or line.startswith(PROMPT):
            typed.append(line if goes_on else line.removeprefix(PROMPT))
            goes_on = line.endswith("\\")
    return "\n".join(typed)


def _sections(tokens: Sequence[Token]) -> Iterator[Section]:
    title, anchor, level, parts = "", "", 1, list[str]()
    for before, token in zip((None, *tokens), tokens, strict=False):
        if before is not None and before.type == "heading_open":
            if title:
                yield Section(title, anchor, level, " ".join(parts))
            title, level, parts = _plain(token), int(before.tag[1]), []
            anchor = slugify(title) if level > 1 else ""
        elif token.type == "inline":
            parts.append(_plain(token))
        elif token.type == "fence":
            parts.append(token.content)
    yield Section(title, anchor, level, " ".join(parts))


def _plain(token: Token) -> str:
    """Return the text of a token without its markup."""
    return "".join(
        " " if child.type in ("softbreak", "hardbreak") else child.content for child in token.children or ()
    )


class _Renderer(RendererHTML):
    """Renders headings, tables and code blocks with Stint's own markup."""

    def fence(self, tokens: Sequence[Token], idx: int, _options: OptionsDict, _env: EnvType) -> str:
        """Return a code block that scrolls and can be copied. From a console block, only the commands are
        copied.
        """
        token = tokens[idx]
        typed = commands_of(token.content) if token.info.split()[:1] == ["console"] else token.content
        block = format_html('<pre class="source" tabindex="0"><code>{}</code></pre>', token.content)
        button = format_html(
            '<button class="btn s jsonly" type="button" data-copy="{}">{}Copy</button>', typed, icon("copy")
        )
        return format_html('<div class="paste">{}{}</div>', block, button if typed else "")

    def heading_open(self, tokens: Sequence[Token], idx: int, _options: OptionsDict, _env: EnvType) -> str:
        """Return a heading that can be linked to."""
        anchor = slugify(_plain(tokens[idx + 1]))
        return format_html('<{} id="{}"><a href="#{}">', mark_safe(tokens[idx].tag), anchor, anchor)  # noqa: S308  # h2 …

    def heading_close(self, tokens: Sequence[Token], idx: int, _options: OptionsDict, _env: EnvType) -> str:
        """Close a heading."""
        return f"</a></{tokens[idx].tag}>"

    def table_open(self, tokens: Sequence[Token], idx: int, _options: OptionsDict, _env: EnvType) -> str:
        """Return a table that scrolls on its own on narrow screens, labeled by its column headings."""
        end = next(at for at in range(idx, len(tokens)) if tokens[at].type == "thead_close")
        columns = ", ".join(_plain(token) for token in tokens[idx:end] if token.type == "inline")
        return format_html(
            '<div class="table" tabindex="0" role="region" aria-label="Table: {}"><table>', columns
        )

    def table_close(self, _tokens: Sequence[Token], _idx: int, _options: OptionsDict, _env: EnvType) -> str:
        """Close a table."""
        return "</table></div>"


_MARKDOWN = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")
