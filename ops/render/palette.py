"""The colours of pictures, for light and for dark ground: 4.5 to 1 for texts and 3 to 1 for what is drawn (WCAG AA)."""

from __future__ import annotations

# class -> colour on light ground, on dark ground
_FILLS = {
    "ground": ("#ffffff", "#0d1117"),
    "band": ("#f4f6f9", "#161b22"),
    "before": ("#788ea7", "#707f95"),
    "after": ("#5690cd", "#4c8fd6"),
    "preparing": ("#a079d7", "#8c73b0"),
    "draining": ("#d27411", "#d98a34"),
    "taking-over": ("#459c72", "#3f9e70"),
    "stopping": ("#dd6a4e", "#ca5f46"),
    "starting": ("#3f97a8", "#4fa3b3"),
    "stall": ("#b08510", "#d9a514"),
    "long": ("#d1242f", "#f85149"),
    "passed": ("#439e5e", "#2f8f4e"),
    "refused": ("#d1242f", "#f85149"),
    "killed": ("#d1242f", "#f85149"),
}
_INK, _MUTED, _BAD, _NEW = (
    ("#1f2328", "#e6edf3"),
    ("#59636e", "#9198a1"),
    ("#c21c26", "#ff7b72"),
    ("#8250df", "#b98cff"),
)
# class -> size, weight, anchor, colour
_TEXTS = {
    "title": (20, 600, "start", _INK),
    "figure": (15, 600, "start", _INK),
    "bad-figure": (15, 600, "start", _BAD),
    "name": (12, 600, "start", _INK),
    "bad-name": (12, 600, "start", _BAD),
    "muted": (12, 400, "start", _MUTED),
    "small": (11, 400, "start", _MUTED),
    "label": (10.5, 400, "end", _MUTED),
    "scale": (10.5, 400, "end", _MUTED),
    "axis": (11, 400, "middle", _MUTED),
    "inside": (9, 600, "start", ("#1f2328", "#0d1117")),
    "inside-killed": (9, 600, "start", ("#ffffff", "#0d1117")),
    "killed-name": (10.5, 700, "end", _BAD),
    "bad-reason": (11, 600, "start", _BAD),
    "reason": (11, 400, "start", _INK),
    "stall-text": (9.5, 400, "start", _INK),
    "stall-long": (9.5, 600, "start", _BAD),
    "generation-text": (10.5, 600, "start", _NEW),
}
_LINES = {
    "rule": (("#dfe4ea", "#262c36"), ""),
    "tick": (("#d0d7de", "#2b323c"), ""),
    "generation": (_NEW, "stroke-width:1.5;stroke-dasharray:4 3;"),
}
_FONT = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"


def _sheet(ground: int) -> str:
    rules = [f".{name}{{fill:{colours[ground]}}}" for name, colours in _FILLS.items()]
    rules += [f".{name}{{fill:{colour[ground]}}}" for name, (_, _, _, colour) in _TEXTS.items()]
    rules += [f".{name}{{stroke:{colours[ground]}}}" for name, (colours, _) in _LINES.items()]
    return "".join(rules)


def _shapes() -> str:
    texts = [
        f".{name}{{font-size:{size}px;font-weight:{weight};text-anchor:{anchor}}}"
        for name, (size, weight, anchor, _) in _TEXTS.items()
    ]
    lines = [f".{name}{{{more}}}" for name, (_, more) in _LINES.items() if more]
    return "".join([f"text{{{_FONT}}}", ".veil{opacity:.18}", *texts, *lines])


STYLE = f"{_shapes()}{_sheet(0)}@media (prefers-color-scheme:dark){{{_sheet(1)}}}"
