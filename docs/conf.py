"""Sphinx settings; the reference pages are written from each package's __all__ at every build."""

import importlib
import pkgutil
from pathlib import Path

import graphattn

project = "graphattn"
author = "the graphattn authors"
copyright = "2026, the graphattn authors"
release = version = graphattn.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"graphattn {release}"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
suppress_warnings = ["config.cache"]

SINGLE_FILES = ("graph", "config", "estimator")


def write_reference() -> None:
    """Writes one page for each package, listing what its __all__ lists."""
    folder = Path(__file__).parent / "reference"
    folder.mkdir(exist_ok=True)
    packages = [m.name for m in pkgutil.iter_modules(graphattn.__path__) if m.ispkg]
    pages = []
    for name in sorted((*SINGLE_FILES, *packages)):
        module = importlib.import_module(f"graphattn.{name}")
        names = getattr(module, "__all__", ())
        if not names:
            continue
        lines = [f"# graphattn.{name}", "", (module.__doc__ or "").strip(), ""]
        for public in names:
            kind = "autoclass" if isinstance(getattr(module, public), type) else "autofunction"
            if not callable(getattr(module, public)):
                continue
            lines += ["```{eval-rst}", f".. {kind}:: graphattn.{name}.{public}"]
            lines += ["   :members:", "```", ""] if kind == "autoclass" else ["```", ""]
        pages.append(name)
        write_if_changed(folder / f"{name}.md", "\n".join(lines))
    index = ["# Reference", "", "```{toctree}", ":maxdepth: 1", "", *pages, "```", ""]
    write_if_changed(folder / "index.md", "\n".join(index))


def write_if_changed(path: Path, text: str) -> None:
    """Leaves an unchanged page alone, so that Sphinx does not build it again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


write_reference()
