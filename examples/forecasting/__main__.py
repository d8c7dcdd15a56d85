# SPDX-License-Identifier: MIT
"""Time series: python -m examples.forecasting {hours,speakers,air} [--quick]."""

import rnncore
from examples import common
from examples.forecasting import air, backtest, hours, speakers

TASKS = {
    "hours": lambda *a: backtest.run(hours, *a),
    "speakers": speakers.run,
    "air": lambda *a: backtest.run(air, *a),
}


def main(argv=None):
    parser = common.parser("forecasting", "Prediction, classification and regression of time series.")
    parser.add_argument("task", choices=TASKS, help="bike hire, speaker recognition, or air pollution")
    arguments = parser.parse_args(argv)
    rnncore.set_num_threads(arguments.threads)
    return TASKS[arguments.task](arguments, common.out_folder(arguments, f"forecasting-{arguments.task}"))


if __name__ == "__main__":
    common.start(main)
