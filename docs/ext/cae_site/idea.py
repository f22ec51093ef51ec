"""The idea of conferrable examples as a drawing: borders of models around one image."""

from cae_site.svg import circle, drawing, path, rectangle, words

__all__ = ["idea"]

_SOURCE = "M 170 40 C 215 150, 215 250, 180 400"
_SURROGATES = ("M 192 40 C 232 150, 238 250, 205 400", "M 208 40 C 242 160, 258 240, 222 400")
_REFERENCES = (
    "M 322 40 C 300 150, 340 260, 310 400",
    "M 352 40 C 336 170, 350 260, 344 400",
    "M 390 40 C 370 150, 400 240, 378 400",
)


def idea() -> str:
    """Return the figure: between the borders of the copies and those of independent models lies what is conferrable."""
    zone = "M 208 40 C 242 160, 258 240, 222 400 L 310 400 C 340 260, 300 150, 322 40 Z"
    parts = [
        f'<path d="{zone}" style="fill: var(--surrogate); fill-opacity: 0.14"/>',
        path(_SOURCE, "source", stroke_width=4),
        *(path(course, "surrogate", stroke_width=2) for course in _SURROGATES),
        *(path(course, "reference", stroke_width=2, stroke_dasharray="7 5") for course in _REFERENCES),
        rectangle(20, 115, 440, 210, "fill: none; stroke: var(--muted); stroke-width: 1.5; stroke-dasharray: 2 4"),
        *_points(),
        *_labels(),
    ]
    return drawing(
        "idea",
        parts,
        width=500,
        height=440,
        title="Borders of the source, of surrogates and of references around one image",
        caption="Left of its border a model answers the true class, right of it a wrong one. The image may be changed "
        "by at most eps in every pixel (dotted). In the shaded zone the source and its surrogates are wrong and the "
        "references are right: such an example is conferrable.",
    )


def _points() -> list[str]:
    return [
        circle(75, 220, 7, "ink"),
        circle(272, 210, 8, "surrogate"),
        circle(408, 180, 7, "muted"),
        path("M 84 220 C 140 232, 200 226, 256 212", "ink", stroke_width=1.5, stroke_dasharray="3 3"),
    ]


def _labels() -> list[str]:
    return [
        words(75, 250, "image", anchor="middle"),
        words(273, 190, "example", colour="surrogate", anchor="middle"),
        words(408, 208, "fools", anchor="middle"),
        words(408, 226, "everybody", anchor="middle"),
        words(26, 132, "eps", colour="muted"),
        words(166, 28, "source", colour="source", anchor="end"),
        words(176, 28, "surrogates", colour="surrogate"),
        words(322, 28, "references", colour="reference"),
        words(20, 428, "true class"),
        words(480, 428, "wrong class", anchor="end"),
    ]
