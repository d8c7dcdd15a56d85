# SPDX-License-Identifier: MIT
"""Many small models in one call beside loops over them: `python bench/fleet.py [--parts forward train ...]`.

forward  a fleet beside our own layers in a loop, GRU, I = H, one thread: times faster
train    the same, forward and backward
lanes    lanes that are models beside lanes that are units, in the core: where one becomes faster than the other
threads  a fleet on two threads beside one
optimiser  a step of FleetAdam on two threads beside one
peers    a fleet beside PyTorch's modules in a loop and JAX's vmap of a jitted scan

What is compared is called in turn, and the shortest of many calls counts.
"""

import argparse
from functools import partial

import numpy as np
from turns import data, measure

import rnncore
from rnncore.engine import _core
from rnncore.engine.threads import team_for


def fleet_of(given, H):
    return rnncore.Fleet("gru", H, H, models=given.models, seed=0)


def forward(given):
    print("forward: H, rows of a model, us a model of the fleet, times faster than a loop over layers")
    for H in given.sizes:
        for N in given.rows:
            fleet, x = fleet_of(given, H), data(given.models, given.steps, N, H)
            layers = fleet.unstack()
            calls = (
                partial(fleet, x, num_threads=1),
                lambda layers=layers, x=x: [
                    layer(own, num_threads=1) for layer, own in zip(layers, x, strict=True)
                ],
            )
            own, loop = measure(calls, given.rounds)
            print(f"{H:4} {N:3} {own / given.models * 1e6:8.2f} {loop / own:6.2f}", flush=True)


def gradients(model, x, dy):
    _, _, tape = model.forward(x, num_threads=1)
    return model.backward(tape, dy, input_grad=False)


def train(given):
    print(
        "forward and backward: H, rows of a model, us a model of the fleet, times faster than a loop over layers"
    )
    for H in given.sizes:
        for N in given.rows:
            fleet, x = fleet_of(given, H), data(given.models, given.steps, N, H)
            layers, dy = fleet.unstack(), np.ones_like(x)
            calls = (
                partial(gradients, fleet, x, dy),
                lambda layers=layers, x=x, dy=dy: [
                    gradients(layer, own, up) for layer, own, up in zip(layers, x, dy, strict=True)
                ],
            )
            own, loop = measure(calls, given.rounds)
            print(f"{H:4} {N:3} {own / given.models * 1e6:8.2f} {loop / own:6.2f}", flush=True)


def lanes(given):
    print(
        "lanes: cell, I, H, rows of a model, times faster with lanes that are models; by N = "
        + str(given.rows)
    )
    team = team_for(1)
    for cell in ("rnn", "lstm", "gru"):
        for H in (4, 8, 12, 16, 20, 24, 32):
            found = []
            for N in given.rows:
                fleet, x = rnncore.Fleet(cell, 4, H, models=64, seed=0), data(64, given.steps, N, 4)
                spec, y = fleet.layer_spec, np.empty((64, given.steps, N, H), np.float32)
                final = tuple(np.empty((64, *shape), np.float32) for shape in spec.state_shapes(N))
                none = (None,) * len(final)
                calls = [
                    partial(
                        fleet.packed(_core.FORWARD, by_models).packed.forward, given.steps, N, x, y, none, final,
                        None, None, None, None, False, 1, team,
                    )
                    for by_models in (True, False)
                ]  # fmt: skip
                models, units = measure(calls, given.rounds)
                found.append(units / models)
            print(f"{cell:5} {H:3} " + "".join(f"{ratio:7.2f}" for ratio in found), flush=True)


def threads(given):
    print("threads: H, times faster on two than on one, N = 1")
    for H in given.sizes:
        fleet, x = fleet_of(given, H), data(given.models, given.steps, 1, H)
        one, two = measure([partial(fleet, x, num_threads=n) for n in (1, 2)], given.rounds)
        print(f"{H:4} {one / two:6.2f}", flush=True)


def optimiser(given):
    print("optimiser: H, us a model of one step of Adam over GRUs, times faster on two threads than on one")
    for H in given.sizes:
        fleet = fleet_of(given, H)
        adam = rnncore.nn.FleetAdam(fleet, clip_norm=1.0)
        grads = {name: np.ones_like(value) for name, value in fleet.parameters().items()}
        one, two = measure([partial(adam.step, grads, num_threads=n) for n in (1, 2)], given.rounds)
        print(f"{H:4} {one / given.models * 1e6:8.2f} {one / two:6.2f}", flush=True)


def jax_call(fleet, x):
    """The same models by jit of vmap of scan."""
    import jax
    import jax.numpy as jnp

    H = fleet.layer_spec.hidden_size

    def model(w_ih, w_hh, b_ih, b_hh, x):
        def step(h, x):
            a, q = w_ih @ x + b_ih, w_hh @ h + b_hh
            r, z = jax.nn.sigmoid(a[:H] + q[:H]), jax.nn.sigmoid(a[H : 2 * H] + q[H : 2 * H])
            n = jnp.tanh(a[2 * H :] + r * q[2 * H :])
            h = (1 - z) * n + z * h
            return h, h

        return jax.lax.scan(step, jnp.zeros(H, jnp.float32), x)[1]

    given = [jnp.asarray(value) for value in fleet.parameters().values()]
    run, x = jax.jit(jax.vmap(model)), jnp.asarray(x[:, :, 0])
    expected = fleet(np.asarray(x)[:, :, None])[0][:, :, 0]
    assert np.abs(np.asarray(run(*given, x)) - expected).max() < 1e-4
    return lambda: run(*given, x).block_until_ready()


def torch_call(fleet, x):
    """The same models as modules in a loop."""
    import torch

    torch.set_num_threads(1)
    size = fleet.layer_spec.hidden_size
    modules = []
    for layer in fleet:
        module = torch.nn.GRU(size, size)
        module.load_state_dict({name: torch.from_numpy(a) for name, a in layer.state_dict().items()})
        modules.append(module.eval())
    rows = list(torch.from_numpy(x))

    def call():
        with torch.inference_mode():
            return [module(own) for module, own in zip(modules, rows, strict=True)]

    return call


def peers(given):
    print("peers: H, times faster than PyTorch in a loop, than JAX's vmap, N = 1")
    for H in given.sizes:
        fleet, x = fleet_of(given, H), data(given.models, given.steps, 1, H)
        calls = [partial(fleet, x, num_threads=1), torch_call(fleet, x), jax_call(fleet, x)]
        own, torch, jax = measure(calls, min(given.rounds, 5))
        print(f"{H:4} {torch / own:6.2f} {jax / own:6.2f}", flush=True)


PARTS = {
    "forward": forward,
    "train": train,
    "lanes": lanes,
    "threads": threads,
    "optimiser": optimiser,
    "peers": peers,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--models", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 2, 4, 8])
    given = parser.parse_args()
    print(f"isa {rnncore.isas()[0]}, M = {given.models}, T = {given.steps}, float32")
    for part in given.parts:
        PARTS[part](given)
