# SPDX-License-Identifier: MIT
"""Pictures of a study, by matplotlib (extra `study`)."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable
from typing import Any

from . import draw_ratios, draw_times, look, quotes
from .tables import Study


@dataclasses.dataclass(frozen=True)
class Picture:
    """The function that draws it, its size in inches, and whether a study has what it needs."""

    draw: Callable[[Any, Study], None]
    size: Callable[[Study], tuple[float, float]]
    possible: Callable[[Study], bool]


def _by_set(study: Study) -> tuple[float, float]:
    return 9.6, 1.4 + 0.36 * study.best["set"].nunique()


def _fixed(height: float) -> Callable[[Study], tuple[float, float]]:
    return lambda study: (9.6, height)


PICTURES = {
    "speedup": Picture(draw_ratios.speedup, _by_set, lambda study: len(study.best) > 0),
    "lost": Picture(
        draw_ratios.lost,
        lambda study: (9.6, 1.2 + 0.24 * len(draw_ratios.losses(study))),
        lambda study: len(study.best) > 0,
    ),
    "heat": Picture(
        draw_ratios.heat,
        lambda study: (9.6, 1.0 + 2.4 * len(study.threads[: look.MOST_PANELS])),
        lambda study: len(draw_ratios.heat_rows(study)) > 0,
    ),
    "tails": Picture(draw_times.tails, _fixed(4.2), lambda study: len(draw_times.step_rows(study)) > 0),
    "limit": Picture(draw_times.limit, _by_set, lambda study: len(study.fractions) > 0),
    "roofline": Picture(
        draw_times.roofline,
        _fixed(4.6),
        lambda study: study.limits is not None and len(draw_times.roof_rows(study)) > 0,
    ),
    "scaling": Picture(draw_times.scaling, _by_set, lambda study: len(study.scaling) > 0),
    "costs": Picture(
        draw_times.costs,
        lambda study: (9.6, 1.0 + 0.3 * len(study.names)),
        lambda study: len(study.systems) > 0,
    ),
}
"""By the names of `quotes.PICTURES`."""


def draw(name: str, study: Study) -> str:
    """The SVG of a picture, in the light theme (`look.dark`, `look.inline`); its description holds `digest`.

    Raises
    ------
    ValueError
        No such picture, or the study has nothing for it.
    """
    if name not in PICTURES:
        raise ValueError(f"picture: expected one of {', '.join(PICTURES)}, got {name!r}")
    picture = PICTURES[name]
    if not picture.possible(study):
        raise ValueError(f"picture: expected one that the study has rows for, got {name!r}")
    return look.svg(
        lambda figure: picture.draw(figure, study),
        picture.size(study),
        f"rnncore-{name}",
        digest(study.folder),
    )


def save(name: str, study: Study, folder: pathlib.Path) -> None:
    """Write ``NAME-light.svg`` and ``NAME-dark.svg``. Raises what `draw` raises, and OSError."""
    drawn = draw(name, study)
    for theme, text in (("light", drawn), ("dark", look.dark(drawn))):
        (folder / f"{name}-{theme}.svg").write_text(text, encoding="utf-8")


def digest(folder: pathlib.Path) -> str:
    """SHA-256 of what a picture is made from: the study's files and the code that draws."""
    found = hashlib.sha256(quotes.digest(folder).encode())
    for module in (draw_ratios, draw_times, look):
        found.update(pathlib.Path(module.__file__).read_bytes())
    return found.hexdigest()
