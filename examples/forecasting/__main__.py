# SPDX-License-Identifier: MIT
"""Time series: python examples/forecasting {hours,speakers,air} [--quick]."""

import sys
from pathlib import Path

if not __package__:  # run as a folder: the path begins with it instead of the repository's root
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import rnncore
from examples import common, data
from examples.forecasting import air, backtest, hours, speakers

TASKS = {
    "hours": lambda *a: backtest.run(hours, *a),
    "speakers": speakers.run,
    "air": lambda *a: backtest.run(air, *a),
}


def main(argv=None):
    parser = common.parser(
        "examples/forecasting", "Prediction, classification and regression of time series."
    )
    parser.add_argument("task", choices=TASKS, help="bike hire, speaker recognition, or air pollution")
    arguments = parser.parse_args(argv)
    rnncore.set_num_threads(arguments.threads)
    try:
        return TASKS[arguments.task](arguments, common.out_folder(arguments, f"forecasting-{arguments.task}"))
    except data.DataNotFoundError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
