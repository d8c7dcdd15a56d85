# SPDX-License-Identifier: MIT
"""Published models, run by rnncore: checked against their reference outputs and timed, or used. See README.md.

python -m examples.models                       all three: check and time
python -m examples.models g2p recurrent network
python -m examples.models textgen "The "
python -m examples.models vad FILE.wav
"""

import rnncore
from examples import common
from examples.models import g2p, textgen, vad

MODELS = {"g2p": g2p, "textgen": textgen, "vad": vad}


def main(argv=None):
    """Check the models, or run one on inputs."""
    parser = common.parser(
        "models", "Published models, checked against their reference or used.", trains=False
    )
    parser.add_argument("model", nargs="?", choices=MODELS, help="only this one")
    parser.add_argument("inputs", nargs="*", help="words, prompts or WAV files; none: check and time")
    arguments = parser.parse_args(argv)
    rnncore.set_num_threads(arguments.threads)
    if arguments.inputs:
        MODELS[arguments.model].run(arguments.inputs)
        return
    log = common.Log(common.out_folder(arguments, "models"))
    for name in [arguments.model] if arguments.model else MODELS:
        MODELS[name].check(log, repeats=1 if arguments.quick else 5)


if __name__ == "__main__":
    common.start(main)
