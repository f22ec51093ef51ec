"""The idea of conferrable examples as a drawing: borders of models around one image."""

from cae_site.svg import circle, drawing, path, rectangle, words

__all__ = ["idea"]

_SOURCE = "M 300 40 C 345 150, 345 250, 310 400"
_SURROGATES = ("M 322 40 C 362 150, 368 250, 335 400", "M 338 40 C 372 160, 388 240, 352 400")
_REFERENCES = (
    "M 452 40 C 430 150, 470 260, 440 400",
    "M 482 40 C 466 170, 480 260, 474 400",
    "M 520 40 C 500 150, 530 240, 508 400",
)


def idea() -> str:
    """Return the figure: between the borders of the copies and those of independent models lies what is conferrable."""
    zone = "M 338 40 C 372 160, 388 240, 352 400 L 440 400 C 470 260, 430 150, 452 40 Z"
    parts = [
        f'<path d="{zone}" style="fill: var(--surrogate); fill-opacity: 0.14"/>',
        path(_SOURCE, "source", stroke_width=4),
        *(path(course, "surrogate", stroke_width=2) for course in _SURROGATES),
        *(path(course, "reference", stroke_width=2, stroke_dasharray="7 5") for course in _REFERENCES),
        rectangle(150, 115, 420, 210, "fill: none; stroke: var(--muted); stroke-width: 1.5; stroke-dasharray: 2 4"),
        *_points(),
        *_labels(),
    ]
    return drawing(
        "idea",
        parts,
        width=720,
        height=450,
        title="Borders of the source, of surrogates and of references around one image",
        caption="Left of its border a model answers the true class, right of it a wrong one. The image may be changed "
        "by at most eps in every pixel (dotted). In the shaded zone the source and its surrogates are wrong and the "
        "references are right: such an example is conferrable.",
    )


def _points() -> list[str]:
    return [
        circle(205, 220, 7, "ink"),
        circle(402, 210, 8, "surrogate"),
        circle(545, 180, 7, "muted"),
        path("M 214 220 C 270 232, 330 226, 386 212", "ink", stroke_width=1.5, stroke_dasharray="3 3"),
    ]


def _labels() -> list[str]:
    return [
        words(205, 250, "image", anchor="middle"),
        words(403, 190, "example", colour="surrogate", anchor="middle"),
        words(552, 205, "fools", anchor="middle", size=13),
        words(552, 221, "everybody", anchor="middle", size=13),
        words(156, 132, "eps", colour="muted", size=13),
        words(296, 28, "source", colour="source", anchor="end"),
        words(306, 28, "surrogates", colour="surrogate"),
        words(452, 28, "references", colour="reference"),
        words(150, 430, "true class", anchor="middle"),
        words(620, 430, "wrong class", anchor="middle"),
    ]
