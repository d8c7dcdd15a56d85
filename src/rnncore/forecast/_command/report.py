# SPDX-License-Identifier: MIT
"""What the command prints: what was read, how the training goes, how good the forecasts are."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text


class Report:
    """Prints to standard output; nothing that comes from a file is read as markup."""

    def __init__(self):
        self.console = Console(highlight=False)

    def say(self, text):
        """One line."""
        self.console.print(Text(text), soft_wrap=True)

    def series(self, study):
        """What the series are, and what was decided about them."""
        tracks, plan = study.tracks, study.plan
        for track in tracks.tracks[:10]:
            name = track.column + (f" of {track.group}" if track.group is not None else "")
            first, last = tracks.text(track.index[:1])[0], tracks.text(track.index[-1:])[0]
            self.say(f"{name}: {len(track.values):,} values from {first} to {last}")
        if len(tracks.tracks) > 10:
            self.say(f"and {len(tracks.tracks) - 10} more")
        for note in tracks.notes:
            self.say(f"  {note}")
        for what, names in (("known ahead", plan.known), ("known up to now", plan.past)):
            if names:
                self.say(f"  {', '.join(names)}: {what}")

    def training(self, run, budget):
        """Run `run(progress)` under a bar with speed and time left; returns what it returns."""
        columns = (
            TextColumn("training"),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as bars:
            task = bars.add_task("training", total=None, note=f"at most {budget:g} s (--budget)")

            def show(state):
                note = (
                    f"{state.windows_per_second:,.0f} windows/s  {state.remaining:.0f} of {budget:g} s left"
                )
                bars.update(task, total=state.steps, completed=state.step, note=note)
                show.state = state

            show.state = None
            run(show)
        state = show.state
        if state is not None:
            self.say(
                f"trained {state.step:,} steps in {state.elapsed:.1f} of {budget:g} s, "
                f"{state.windows_per_second:,.0f} windows/s"
            )

    def scores(self, column, model, result, unit):
        """The table of errors, what its lines are, and who won by how much."""
        scores, horizon = result.scores, model.horizon
        table = Table(title_justify="left")
        table.add_column(f"{column}, {unit}" if unit else column)
        heads = ("MAE", "RMSE", "MAE 1 step", f"MAE {horizon} steps") if horizon > 1 else ("MAE", "RMSE")
        for head in heads:
            table.add_column(head, justify="right")
        for name, (mae, rmse) in scores.items():
            steps = result.by_step(name)
            numbers = (mae, rmse, steps[0], steps[-1])[: len(heads)]
            table.add_row(Text(name), *(f"{number:.4g}" for number in numbers))
        self.console.print(table)
        for line in verdict(model, scores):
            self.say(line)
        held = " and ".join(f"{share:.0%} in the {level:.0%} one" for level, share in result.coverage.items())
        self.say(f"intervals: of the test values, {held}")


def verdict(model, scores):
    """Sentences: how the networks did against the best of the others, and what they were given to say."""
    (name, (mine, _)), *others = scores.items()
    best, (theirs, _) = min(others, key=lambda other: other[1][0])
    change = 1 - mine / theirs if theirs else 0.0
    if abs(change) < 0.0005:
        yield f"{name} and {best} miss by the same"
    elif change > 0:
        yield f"{name} misses by {change:.1%} less than the best of the others, {best}"
    else:
        yield f"{name} misses by {-change:.1%} more than {best}: here the simpler forecast is the better one"
    if model.share_ == 0:
        yield "on windows that it was not trained on the network added nothing: what is shown is its linear part"
    elif model.share_ < 1:
        yield f"its forecast is {model.share_:.0%} network and {1 - model.share_:.0%} linear autoregression"
