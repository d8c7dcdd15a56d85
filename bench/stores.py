# SPDX-License-Identifier: MIT
"""What small stores of weights gain over float32: `python bench/stores.py [--parts sizes peers window]`.

sizes    calls of one layer and of its quantised copies, one thread, I = H: times faster than float32
peers    int8 beside ONNX Runtime's dynamic int8 LSTM and PyTorch's dynamic int8 LSTM and GRU, in the same shapes
window   two LSTM layers of 100 units on 100 inputs: a window of 50 steps at one and two threads, and one step

What is compared is called in turn, and the shortest of many calls counts. A row alone is bound by the bytes of the
weights, a batch by arithmetic.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

from turns import data, measure

import rnncore
from rnncore.engine.config import config

STORES = ("int8", "int8x16", "bfloat16", "float16")
CELLS = {"LSTM": rnncore.LSTM, "GRU": rnncore.GRU}


def sizes(given):
    print(f"isa {config()['isa']}, one thread, T = {given.steps}, I = H, times faster than float32")
    print(f"{'cell':5} {'N':>3} {'H':>5} {'float32':>10}  " + "".join(f"{name:>9}" for name in STORES))
    for name, make in CELLS.items():
        for N in (1, 64):
            for H in given.sizes:
                layer, x = make(H, H, seed=0), data(given.steps, N, H)
                layers = [layer, *(layer.quantize(store) for store in STORES)]
                times = measure([partial(own, x, num_threads=1) for own in layers], given.rounds)
                gains = "".join(f"{times[0] / own:9.2f}" for own in times[1:])
                print(f"{name:5} {N:3} {H:5} {times[0] * 1e6:7.0f} us  {gains}", flush=True)


def onnxruntime_call(layer, x):
    """The layer's model after quantize_dynamic, per channel; ONNX Runtime has no such GRU."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "a.onnx", Path(folder) / "b.onnx"
        layer.save(source)
        kinds = {"op_types_to_quantize": ["LSTM"], "per_channel": True, "weight_type": QuantType.QInt8}
        quantize_dynamic(str(source), str(target), **kinds)
        session = onnxruntime.InferenceSession(str(target), options, providers=["CPUExecutionProvider"])
    return partial(session.run, None, {"x": x})


def torch_call(layer, x):
    """PyTorch's dynamically quantised module with the same parameters."""
    import torch

    torch.set_num_threads(1)
    kind = getattr(torch.nn, type(layer).__name__)
    module = kind(layer.spec.input_size, layer.spec.hidden_size)
    module.load_state_dict({name: torch.from_numpy(a) for name, a in layer.state_dict().items()})
    small = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(module.eval()), {kind}, torch.qint8)
    given = torch.from_numpy(x)

    def call():
        with torch.inference_mode():
            return small(given)

    return call


def peers(given):
    print(f"isa {config()['isa']}, one thread, T = {given.steps}, I = H, int8; a peer's time by rnncore's")
    print(f"{'cell':5} {'N':>3} {'H':>5} {'int8':>10}  {'onnxruntime':>12} {'torch':>8}")
    for name, make in CELLS.items():
        for N in (1, 64):
            for H in given.sizes:
                layer, x = make(H, H, seed=0), data(given.steps, N, H)
                calls = [partial(layer.quantize("int8"), x, num_threads=1), torch_call(layer, x)]
                if name == "LSTM":
                    calls.append(onnxruntime_call(layer, x))
                own, torch, *runtime = measure(calls, given.rounds)
                ratio = f"{runtime[0] / own:12.2f}" if runtime else f"{'no such':>12}"
                print(f"{name:5} {N:3} {H:5} {own * 1e6:7.0f} us  {ratio} {torch / own:8.2f}", flush=True)


def window(given):
    print(
        f"isa {config()['isa']}, LSTM of two layers of 100 units, 100 inputs, one row; shortest of many, us"
    )
    print(f"{'store':9} {'window of 50':>13} {'two threads':>12} {'one step':>9}")
    layer, x = rnncore.LSTM(100, 100, 2, seed=0), data(50, 1, 100)
    stores = (None, *STORES)
    layers = [layer.quantize(store) for store in stores]
    calls = [partial(own, x, num_threads=threads) for threads in (1, 2) for own in layers]
    calls += [partial(own.stream(1).step, x[0]) for own in layers]
    times = measure(calls, 100 * given.rounds).reshape(3, -1) * 1e6
    for store, (one, two, step) in zip(stores, times.T, strict=True):
        print(f"{store or 'float32':9} {one:13.1f} {two:12.1f} {step:9.2f}")


PARTS = {"sizes": sizes, "peers": peers, "window": window}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=100, metavar="T")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 1024], metavar="H")
    given = parser.parse_args()
    for name in given.parts:
        PARTS[name](given)


if __name__ == "__main__":
    main()
