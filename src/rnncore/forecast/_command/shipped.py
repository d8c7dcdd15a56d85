# SPDX-License-Identifier: MIT
"""Series that ship with the package, with what the command needs to know about them (sources: data/README.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .._reading.lines import Wanted

FOLDER = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Shipped:
    """A file, what is read from it, and what the picture says about it."""

    file: str
    wanted: Wanted
    title: str
    unit: str
    credit: str
    horizon: int | None = None
    seasons: tuple[int, ...] | None = None

    @property
    def path(self):
        """Where the file is."""
        return FOLDER / self.file


EXAMPLES = {
    "bikes": Shipped(
        "bike_hire.csv.xz",
        Wanted(
            columns=("bikes",),
            covariates=("holiday", "temperature", "humidity", "wind", "weather"),
            fill="previous",
        ),
        "Bikes hired every hour in Washington DC",
        "bikes per hour",
        "Data: Bike Sharing, H. Fanaee-T and J. Gama (2013), doi:10.1007/s13748-013-0040-3, UCI, CC BY 4.0",
    ),
    "sunspots": Shipped(
        "sunspots.csv",
        Wanted(columns=("SUNACTIVITY",)),
        "Sunspots seen every year",
        "sunspot number",
        "Data: National Geophysical Data Center, public domain",
        # The solar cycle (Schwabe 1844).
        horizon=11,
        seasons=(11,),
    ),
}
