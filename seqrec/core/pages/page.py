"""A self-contained page, without scripts and without anything from elsewhere, and the parts that it is made of.

Text from data goes through `text` or `foreign`: a title may hold markup, run from right to left, or never end.
"""

import html
from collections.abc import Iterable, Sequence

_LONGEST = 200  # Characters of a text from data that are shown.
STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --quiet: #555; --line: #ddd; --rule: #888;
  --accent: #0060a0; --mark: #eef6fc; --note: #fff8e8; --code: #f6f6f6; --warn: #8a4b00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #16181b; --quiet: #a6abb2; --line: #34383e;
  --rule: #6d737b; --accent: #7cc0ff; --mark: #1d2c3a; --note: #33290f; --code: #212429; --warn: #ffc46b; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  padding: 1rem; max-width: 84rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 0.5rem; padding-bottom: 0.2rem; border-bottom: 2px solid var(--accent); }
h3 { font-size: 1.05rem; margin: 1.4rem 0 0.4rem; overflow-wrap: anywhere; }
p, dl { max-width: 48rem; }
nav { display: flex; flex-wrap: wrap; gap: 0 1rem; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.skip { position: absolute; left: -99rem; }
.skip:focus { position: static; }
.wide { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
caption { text-align: left; color: var(--quiet); padding-bottom: 0.3rem; }
th, td { padding: 0.3rem 0.6rem 0.3rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; }
thead th { border-bottom: 2px solid var(--rule); }
td.n, th.n { text-align: right; white-space: nowrap; }
td.t { white-space: nowrap; }
td.w { overflow-wrap: anywhere; }
small, .quiet { color: var(--quiet); }
.stale { color: var(--warn); font-weight: 600; }
.note { border-left: 4px solid #E69F00; padding: 0.3rem 0.8rem; background: var(--note); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1rem; margin: 0.5rem 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 2rem; color: var(--quiet); font-size: 0.85rem; }
@media (max-width: 30rem) {
  dl { grid-template-columns: 1fr; } dt { margin-top: 0.4rem; }
  table.cards thead { position: absolute; left: -99rem; }
  table.cards tr { display: block; padding: 0.4rem 0; border-bottom: 1px solid var(--line); }
  table.cards td { display: grid; grid-template-columns: 5.5rem 1fr; border: 0; padding: 0.1rem 0; text-align: left;
    white-space: normal; }
  table.cards td::before { content: attr(data-label); color: var(--quiet); }
}
@media print {
  :root { --ink: #000; --paper: #fff; --quiet: #444; --line: #bbb; --rule: #888; --accent: #004a80; --mark: #fff;
    --note: #fff; --code: #fff; --warn: #000; }
  body { max-width: none; font-size: 10pt; padding: 0; }
  nav, .skip { display: none; }
  .wide { overflow: visible; }
  table { font-size: 8.5pt; }
  thead { display: table-header-group; }
  tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""


def page(title: str, body: str, *, summary: str = "", footer: str = "") -> str:
    """A whole page.

    Args:
        title: plain text.
        body: HTML, sections as `section` makes them.
        summary: plain text below the title.
        footer: plain text.
    """
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{text(_cut(title))}</title><style>{STYLE}</style>'
    )
    lead = f"<p>{text(summary)}</p>" if summary else ""
    end = f"<footer>{text(footer)}</footer>" if footer else ""
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><a class="skip" href="#content">Skip to the '
        f'content</a><header><h1>{foreign(title)}</h1>{lead}</header>\n<main id="content">{body}</main>{end}</body>'
        "</html>\n"
    )


def section(title: str, body: str) -> str:
    """A part of a page under a heading."""
    return f"<section><h2>{text(title)}</h2>{body}</section>\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, classes: Sequence[str] = (), caption: str = "") -> str:
    """A table that becomes a list of cards on a narrow screen.

    Args:
        head: plain text of the columns.
        rows: cells as HTML.
        classes: one of each column: "n" number, "t" short text, "w" long text.
        caption: plain text above the table.
    """
    classes = classes or [""] * len(head)
    titles = "".join(
        f'<th scope="col" class="{kind}">{text(name)}</th>' for name, kind in zip(head, classes, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{kind}" data-label="{text(name)}"><span>{cell}</span></td>'
            for name, kind, cell in zip(head, classes, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    above = f"<caption>{text(caption)}</caption>" if caption else ""
    inside = f"{above}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table class="cards">{inside}</table></div>'


def text(value: str) -> str:
    """Plain text as HTML."""
    return html.escape("".join(letter if letter.isprintable() or letter in " \n" else "\ufffd" for letter in value))


def foreign(value: str | None) -> str:
    """Text from data as HTML: cut to a length that a page can bear, its direction apart from that of the page."""
    return f"<bdi>{text(_visible(_cut(value)))}</bdi>" if value else ""


def link(address: str, shown: str) -> str:
    """A link to another page below the same folder; both are plain text."""
    return f'<a href="{html.escape(address)}">{foreign(shown)}</a>'


def _cut(value: str) -> str:
    value = " ".join(value.split())
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"


def _visible(value: str) -> str:
    """Without characters that change the direction of what follows: `bdi` isolates them, copied text would not."""
    return "".join(letter for letter in value if letter not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
