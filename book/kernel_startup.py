"""Runs in the kernel of each chapter before its first cell: a plot also goes into the notebook as a vector picture.

Lines, bars and letters then stay sharp in print and at any zoom. The usual PNG stays beside it, for programs that show
no SVG. A figure with photos or maps of pixels is left as PNG, because SVG would hold the same pixels in more bytes.

Everything is local to a function that is deleted: a chapter must import what it uses, or it would fail elsewhere.
"""


def _keep_plots_as_vectors() -> None:
    import matplotlib
    import matplotlib.pyplot as plt
    from IPython import get_ipython
    from IPython.core.pylabtools import print_figure
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    picture = 32 * 32  # values; a heatmap has fewer, a photo has more
    largest = 200_000  # bytes; thousands of dots are lighter as PNG

    def as_vector(figure: Figure) -> str | None:
        """A plot as SVG text, equal for equal plots; None for a figure with pictures, or with too much to draw."""
        if hasattr(figure, "_repr_svg_"):  # a diagram draws itself
            return figure._repr_svg_()
        if any(image.get_size()[0] * image.get_size()[1] > picture for image in figure.findobj(AxesImage)):
            return None
        # Letters become outlines, so that they look alike on every machine.
        with matplotlib.rc_context({"svg.hashsalt": "stylemixseg", "svg.fonttype": "path"}):
            svg = print_figure(figure, fmt="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
        return svg if svg and len(svg) <= largest else None  # an empty figure has none

    plt.switch_backend(matplotlib.get_backend())  # the inline backend sets its own formats now, and not again later
    get_ipython().display_formatter.formatters["image/svg+xml"].for_type(Figure, as_vector)


_keep_plots_as_vectors()
del _keep_plots_as_vectors
