"""The frame of a report: a page with its style inside, for light and dark screens and paper."""

import html
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def write_page(path: Path, title: str, body: str) -> Path:
    """Write a page: all of it, or nothing.

    Args:
        path: The `.html` file; its folder is made if missing.
        title: As text.
        body: As HTML.

    Returns:
        `path`.

    Raises:
        OSError: It cannot be written.

    Example:
        >>> import tempfile
        >>> write_page(Path(tempfile.mkdtemp()) / "a.html", "Demo", "<p>...</p>").name
        'a.html'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(page(title, body), encoding="utf-8")
    partial.replace(path)
    return path


def page(title: str, body: str) -> str:
    """Return a whole page.

    Args:
        title: As text.
        body: As HTML.

    Example:
        >>> page("Demo", "<p>...</p>").splitlines()[0]
        '<!doctype html>'
    """
    return _PAGE.format(title=html.escape(title), style=_STYLE, body=body)


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the first cell of a row heads it.

    Args:
        head: Column headings, as text.
        rows: Cells, as HTML.

    Example:
        >>> "<td>2</td>" in grid(["model", "n"], [["gcn", "2"]])
        True
    """
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{c}</td>" for c in row[1:]) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def facts(values: Mapping[str, object]) -> str:
    """Return names and values as a list, or nothing of none.

    Args:
        values: By name, as text.

    Example:
        >>> facts({"engine": "fused"})
        '<dl><dt>engine</dt><dd><code>fused</code></dd></dl>'
    """
    items = "".join(
        f"<dt>{html.escape(k)}</dt><dd><code>{html.escape(str(v))}</code></dd>"
        for k, v in values.items()
    )
    return f"<dl>{items}</dl>" if items else ""


def made_with(command: str = "", device: str = "") -> str:
    """Return the foot of a page: how to make it again, when and by which versions it was made.

    Args:
        command: What makes it again, if that is known.
        device: What it was computed on, if that is worth a word.

    Example:
        >>> "numpy" in made_with("make report")
        True
    """
    names = ("graphattn", "torch", "torch-geometric", "numpy", "matplotlib")
    versions = ", ".join(f"{name} {_version(name)}" for name in names)
    made = f"<p>Again: <code>{html.escape(command)}</code></p>" if command else ""
    return (
        f"<footer>{made}<p>Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC with "
        f"{html.escape(versions)}, Python {platform.python_version()} on {platform.system()} "
        f"{platform.machine()}{html.escape(f', {device}' if device else '')}.</p></footer>"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --rule: #c8c8c8; --soft: #595959; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #16181c; --rule: #4a4d52; --soft: #b0b0b0; }
}
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .75rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .6rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; border-bottom: 1px solid var(--rule); text-align: right;
  white-space: nowrap; font-weight: 400; }
th:first-child { text-align: left; padding-left: 0; font-weight: 600; }
thead th { border-bottom-width: 2px; font-weight: 600; white-space: normal;
  vertical-align: bottom; }
.note, footer, dl { color: var(--soft); font-size: .875rem; }
figure { margin: 0; } figure svg { display: block; width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .875rem; margin-bottom: 1rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1.5rem;
  align-items: start; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem .8rem; } dd { margin: 0; }
code { overflow-wrap: anywhere; }
footer { margin-top: 2.5rem; border-top: 1px solid var(--rule); }
@media print {
  :root { --ink: #000; --paper: #fff; --rule: #999; --soft: #333; }
  main { max-width: none; padding: 0; }
  section, figure, tr { break-inside: avoid; }
  th, td { padding: .2rem .4rem; font-size: .8rem; }
}
"""
