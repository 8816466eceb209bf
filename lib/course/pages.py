"""Feedback pages that need no other host, and load nothing that a student's text names."""

from __future__ import annotations

import re

from nbformat import NotebookNode

from lib.errors import require_package

# code stays as it is; a formula touches its dollars
_FORMULA = re.compile(
    r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)|\$\$(.+?)\$\$|\$(?! )([^$`\n]+?)(?<! )\$(?!\d)", re.S
)
_MATHJAX = re.compile(r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->", re.S)
_FONTS = re.compile(r"@font-face\s*\{[^}]*\}")
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'\">"
)
_META = re.compile(r"<(?=meta\b)", re.I)  # could lead on to another page


def with_formulas(notebook: NotebookNode) -> NotebookNode:
    """Turn the TeX in a notebook's texts into MathML, which browsers draw by themselves.

    Args:
        notebook: changed in place.

    Returns:
        The same notebook. What is no TeX stays as it is.

    Example:
        >>> import nbformat
        >>> cell = nbformat.v4.new_markdown_cell("The root $\\\\sqrt{2}$, not `$2`")
        >>> with_formulas(nbformat.v4.new_notebook(cells=[cell])).cells[0].source
        'The root <math ...<msqrt>...</math>, not `$2`'
    """
    latex = require_package("latex2mathml.converter", "feedback", "latex2mathml")

    def drawn(match: re.Match) -> str:
        block, line = match[2], match[3]
        if not (block or line):
            return match[0]
        try:
            return latex.convert(block or line, display="block" if block else "inline")
        except Exception:  # students write what they like
            return match[0]

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _FORMULA.sub(drawn, cell.source)
    return notebook


def offline(page: str) -> str:
    """Take out of one of nbgrader's pages what other hosts would have to give.

    Args:
        page: HTML.

    Returns:
        The page, with a rule for the browser to load and to send nothing at all.

    Example:
        >>> script = "<!-- Load mathjax --><script></script><!-- End of mathjax configuration -->"
        >>> print(offline(f"<head>{script}</head>"))
        <head>
        <meta http-equiv="Content-Security-Policy" ...></head>
    """
    head, mark, body = _FONTS.sub("", _MATHJAX.sub("", page)).partition("</head>")
    return head.replace("<head>", f"<head>\n{_POLICY}", 1) + mark + _META.sub("&lt;", body)
