# SPDX-License-Identifier: MIT
"""Is somebody speaking? The streaming LSTM of Silero VAD (Silero Team, MIT), one chunk of 32 ms after the
other.

    python -m examples.models vad [FILE.wav]

A 16 kHz, 16-bit mono WAV file gives a line per chunk with the probability of speech. Without a file the
LSTM's 250 reference feature vectors run as a stream and are checked against ONNX Runtime's states and
probabilities, and timed.
"""

import sys
import wave

import numpy as np

import rnncore
from examples.models.common import agree, best_time, numpy_lstm, open_model, report
from rnncore.nn import sigmoid

RATE, CHUNK, CONTEXT, PAD = 16000, 512, 64, 64
STRIDES = (1, 2, 2, 1)
H_TOLERANCE, C_TOLERANCE, PROBABILITY_TOLERANCE = 1e-5, 5e-5, 5e-6


def convolve(x, weight, bias=None, stride=1, pad=0):
    """x (channels, T): (outputs, T') of a one-dimensional convolution."""
    x = np.pad(x, ((0, 0), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2], axis=1)[:, ::stride]
    y = np.einsum("ctk,ock->ot", windows, weight, optimize=True)
    return y if bias is None else y + bias[:, np.newaxis]


def cell_of(weights):
    """The LSTM: a torch.nn.LSTMCell is one that runs step by step."""
    cell = {
        name.removeprefix("lstm_cell."): a for name, a in weights.items() if name.startswith("lstm_cell.")
    }
    return rnncore.formats.torch.from_state_dict(cell).layer()


class Detector:
    """A running detector."""

    def __init__(self, weights):
        self.weights = weights
        self.stream = cell_of(weights).stream()
        self.head, self.bias = weights["final_conv.weight"][0, :, 0], weights["final_conv.bias"][0]
        self.context = np.zeros(CONTEXT, np.float32)

    def features(self, chunk):
        """512 samples: what the LSTM reads (128,)."""
        w = self.weights
        samples = np.concatenate([self.context, chunk])
        self.context = chunk[-CONTEXT:]
        samples = np.pad(samples, (0, PAD), mode="reflect")
        spectrum = convolve(samples[np.newaxis], w["stft_conv.weight"], stride=128)
        half = len(spectrum) // 2
        x = np.sqrt(spectrum[:half] ** 2 + spectrum[half:] ** 2)
        for k, stride in enumerate(STRIDES, 1):
            x = np.maximum(convolve(x, w[f"conv{k}.weight"], w[f"conv{k}.bias"], stride, pad=1), 0)
        return np.ascontiguousarray(x[:, 0])

    def step(self, features):
        """The probability of speech after one more chunk."""
        return sigmoid(self.head @ np.maximum(self.stream.step(features), 0) + self.bias)


def numpy_run(weights, x):
    """All steps in plain NumPy."""
    w_ih, w_hh = weights["lstm_cell.weight_ih"], weights["lstm_cell.weight_hh"]
    bias = weights["lstm_cell.bias_ih"] + weights["lstm_cell.bias_hh"]
    head, head_bias = weights["final_conv.weight"][0, :, 0], weights["final_conv.bias"][0]
    h = c = np.zeros((1, 128), np.float32)
    found = []
    for features in x:
        h, c = numpy_lstm(features[np.newaxis], h, c, w_ih, w_hh, bias)
        found.append(1 / (1 + np.exp(-(head @ np.maximum(h[0], 0) + head_bias))))
    return found


def check(log, repeats):
    """Run the reference features as a stream, compare, time."""
    _, weights, reference = open_model("silero_vad_16k")
    x, detector = reference["lstm_x"], Detector(weights)
    h, c, probability = [], [], []
    for features in x:
        probability.append(detector.step(features))
        state = detector.stream.state
        h.append(state[0][0, 0])
        c.append(state[1][0, 0])
    agree(log, "h", h, reference["h"], H_TOLERANCE)
    agree(log, "c", c, reference["c"], C_TOLERANCE)
    agree(log, "probability", probability, reference["prob"], PROBABILITY_TOLERANCE)

    def ours():
        detector.stream.reset()
        return [detector.step(features) for features in x]

    times = (best_time(call, repeats) for call in (ours, lambda: numpy_run(weights, x)))
    report(log, "voice activity", *times, len(x), "chunk")


def run(paths):
    """Listen to WAV files."""
    _, weights, _ = open_model("silero_vad_16k")
    for path in paths:
        listen(weights, path)


def listen(weights, path):
    """Print the probability of each chunk of a WAV file."""
    with wave.open(path, "rb") as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            sys.exit(f"{path}: expected 16 kHz, mono, 16 bit")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    detector = Detector(weights)
    for k in range(len(samples) // CHUNK):
        probability = detector.step(detector.features(samples[k * CHUNK : (k + 1) * CHUNK]))
        print(f"{k * CHUNK / RATE:8.2f} s  {probability:.3f}  {'#' * round(40 * float(probability))}")
