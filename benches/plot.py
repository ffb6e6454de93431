"""Bar charts as SVG that is legible on light and on dark pages; nothing to install."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

__all__ = ["bars_svg"]

Panel = tuple[str, Sequence[tuple[str, float]]]
"""A title, and the bars: a label and a value of 0 or more each."""

_WIDTH, _BAR, _STEP, _LABEL, _TITLE, _MARGIN = 720, 18, 26, 210, 30, 16

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333; }
.title { font-weight: 600; font-size: 14px; }
.bar { fill: #8a94a6; }
.ours { fill: #2f6fdb; }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd; }
  .bar { fill: #6b7485; }
  .ours { fill: #6ea0ff; }
}
"""


def bars_svg(panels: Sequence[Panel]) -> str:
    """One panel below the other, each with a scale of its own."""
    parts: list[str] = []
    top = _MARGIN
    for title, bars in panels:
        parts.append(_text(_MARGIN, top + 15, title, "title"))
        top += _TITLE
        most = max((value for _, value in bars), default=0.0) or 1.0
        for label, value in bars:
            width = (_WIDTH - _LABEL - 80) * value / most
            kind = "ours" if label.startswith("ours") else "bar"
            parts.append(_text(_MARGIN, top + 14, label))
            parts.append(
                f'<rect class="{kind}" x="{_LABEL}" y="{top}" width="{width:.1f}" '
                f'height="{_BAR}" rx="3"/>'
            )
            parts.append(_text(_LABEL + width + 8, top + 14, f"{value:.3g}"))
            top += _STEP
        top += _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img">\n'
        f"<title>{escape('; '.join(title for title, _ in panels))}</title>\n"
        f"<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{attribute}>{escape(text)}</text>'
