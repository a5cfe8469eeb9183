"""A backend of matplotlib that shows figures as images and closes them; matplotlib loads it by its name."""

from __future__ import annotations

import io
import sys
import traceback
from typing import Any, cast

import numpy as np
from matplotlib._pylab_helpers import Gcf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from agentrun.emulator.guest.workers import charts

FigureCanvas = FigureCanvasAgg  # the name by which matplotlib finds it
MAX_SVG = 256 * 1024
MAX_SVG_ARTISTS = 500
MAX_SVG_POINTS = 5000

_shown: set[int] = set()  # figures that are results already


def show(*_arguments: Any, **_options: Any) -> None:
    """Show all open figures and close them; what `pyplot.show` calls."""
    try:
        for manager in Gcf.get_all_fig_managers():
            figure = manager.canvas.figure
            if id(figure) not in _shown and figure.get_axes():
                charts.show(describe(figure))
    except Exception:
        traceback.print_exc(limit=-3, file=sys.stderr)
    finally:
        _shown.clear()
        Gcf.destroy_all()


def describe(figure: Figure) -> dict[str, Any]:
    """The figure as PNG, and as SVG when that is small."""
    data: dict[str, Any] = {"text/plain": repr(figure), "image/png": png(figure)}
    if _is_simple(figure):
        drawing = _render(figure, "svg")
        if len(drawing) <= MAX_SVG:
            data["image/svg+xml"] = drawing.decode()
    return data


def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    return _render(figure, "png")


def png_of_result(figure: Figure) -> bytes:
    """The same for a figure that is a result, and need not be shown once more."""
    _shown.add(id(figure))
    return png(figure)


def _render(figure: Figure, form: str) -> bytes:
    target = io.BytesIO()
    cast("Any", figure).savefig(target, format=form, bbox_inches="tight")
    return target.getvalue()


def _is_simple(figure: Figure) -> bool:
    """Whether a drawing of it can be small: an SVG of many points takes long to make and is thrown away."""
    artists = figure.findobj()
    points = sum(np.size(artist.get_xdata()) for artist in artists if isinstance(artist, Line2D))
    images = any(isinstance(artist, AxesImage) for artist in artists)
    return not images and len(artists) <= MAX_SVG_ARTISTS and points <= MAX_SVG_POINTS
