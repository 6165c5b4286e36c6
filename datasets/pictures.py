"""Pictures as PNG files, drawn by matplotlib without a display."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from env_adapters.errors import MissingExtraError
from env_adapters.files import write_atomic, writing


def new_figure(what: str, inches: tuple[float, float], dots_per_inch: int) -> Any:
    """An empty `matplotlib.figure.Figure`.

    Args:
        what: is shown, for the message.
        inches: width and height.
        dots_per_inch: how fine.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(what, "plot") from error
    return Figure(figsize=inches, dpi=dots_per_inch, layout="constrained")


def write_png(figure: Any, path: Path) -> None:
    """Write a figure; missing folders are created. OutputError where that is impossible."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getvalue())
