# SPDX-License-Identifier: MIT
"""What small stores of weights cost in quality, on published models: `python bench/store_quality.py`.

Each model of `examples.models` runs in float32 and quantised on the same inputs, and the two are compared in the
model's own measure. `--translation FOLDER` adds the translator that `python -m examples.translation` left in a
folder. Data and models are those of the examples; none of the figures depends on the machine.
"""

import argparse
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np

import rnncore

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from examples import data
from examples.models import common, g2p, textgen, vad
from examples.text import tokenize

STORES = ("int8", "int8x16", "bfloat16", "float16")
Row = namedtuple("Row", "model measure values wanted")


def quantised(model, names, store):
    """`model`, with its layers of these names in a store."""
    for name in names:
        setattr(model, name, getattr(model, name).quantize(store))
    return model


# Voice activity ------------------------------------------------------------------------------------------------


def detect(weights, x, store):
    """The probabilities of speech along the features x, and all h."""
    detector, cell = vad.Detector(weights), vad.cell_of(weights)
    h = cell.quantize(store)(x[:, np.newaxis])[0][:, 0]
    return rnncore.nn.sigmoid(np.maximum(h, 0) @ detector.head + detector.bias), h


def voice_activity():
    _, weights, reference = common.open_model("silero_vad_16k")
    x = reference["lstm_x"]
    long = np.tile(x, (10_000 // len(x), 1))
    plain, _ = detect(weights, x, None)
    steady, all_h = detect(weights, long, None)
    rows = {key: {} for key in ("mean error of p", "most", "flips %", "flips % of 10 000", "drift")}
    for store in STORES:
        p, _ = detect(weights, x, store)
        again, h = detect(weights, long, store)
        rows["mean error of p"][store] = float(abs(p - plain).mean())
        rows["most"][store] = float(abs(p - plain).max())
        rows["flips %"][store] = 100 * float(((p >= 0.5) != (plain >= 0.5)).mean())
        rows["flips % of 10 000"][store] = 100 * float(((again >= 0.5) != (steady >= 0.5)).mean())
        rows["drift"][store] = drift(h, all_h)
    wanted = ("<= 0.01", "", "<= 0.3", "<= 0.3", "<= 1.5")
    return [Row("voice activity", name, rows[name], w) for name, w in zip(rows, wanted, strict=True)]


def drift(h, plain):
    """The mean error of h in the last thousand steps by that in the first."""
    error = abs(h - plain).mean(axis=-1)
    return float(error[-1000:].mean() / error[:1000].mean())


# Spelling to phonemes ------------------------------------------------------------------------------------------


def words():
    """All words of the translation data and the captions of at most 28 letters a to z."""
    texts = [english for _, english, _ in data.load("tatoeba_eng_fra")]
    texts += [line[-1] for line in data.load("coco_val2017_captions")]
    found = {word.lower() for text in texts for word in tokenize(text)}
    return sorted(word for word in found if word.isascii() and word.isalpha() and len(word) <= 28)


def phonemes(weights, ids, lengths, store):
    model = quantised(g2p.Model(weights), ["encoder", "decoder"], store)
    return np.concatenate(
        [
            model.decode(model.encode(ids[n : n + 500], lengths[n : n + 500]))[0]
            for n in range(0, len(ids), 500)
        ]
    )


def spelling():
    _, weights, reference = common.open_model("g2p_en")
    rows = [[*(ord(c) - ord("a") + 3 for c in word), g2p.END_OF_WORD] for word in words()]
    lengths = np.array([len(row) for row in rows])
    ids = np.zeros((len(rows), lengths.max()), int)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = row
    sets = {
        "reference words": (reference["ids"].astype(int), reference["ids_len"].astype(int)),
        f"{len(ids)} words": (ids, lengths),
    }
    found = []
    for name, inputs in sets.items():
        plain = phonemes(weights, *inputs, None)
        values = {
            store: 100 * float((phonemes(weights, *inputs, store) == plain).all(axis=1).mean())
            for store in STORES
        }
        found.append(Row("spelling to phonemes", f"equal of the {name} %", values, ">= 99.5"))
    return found


# Characters ----------------------------------------------------------------------------------------------------


def windows(vocabulary, count):
    """Windows of 40 characters of English text, and the characters that follow."""
    text = " ".join(english for _, english, _ in data.load("tatoeba_eng_fra"))[: count * 8]
    ids = np.array([vocabulary.get(c, 0) for c in text])
    starts = np.arange(count) * 7
    return np.stack([ids[k : k + textgen.WINDOW] for k in starts]), ids[starts + textgen.WINDOW]


def characters():
    import json

    folder, weights, _ = common.open_model("textgenrnn")
    ids, after = windows(json.loads((folder / "vocab.json").read_text()), 8000)

    def bits(store):
        model = textgen.Model(weights)
        model.layers = [layer.quantize(store) for layer in model.layers]
        parts = [model(ids[n : n + 500])[0] for n in range(0, len(ids), 500)]
        p = rnncore.nn.softmax(np.concatenate(parts).astype(np.float64))
        return float(-np.log2(p[np.arange(len(ids)), after]).mean())

    plain = bits(None)
    values = {store: 100 * (bits(store) / plain - 1) for store in STORES}
    rows = [Row("characters", f"bits % over {plain:.4f}", values, "<= 0.5, 0.1")]
    x = textgen.Model(weights).embedding(ids.reshape(-1)[:10_000])[np.newaxis]
    layer = textgen.Model(weights).layers[0]
    plain = layer(x)[0][0]
    values = {store: drift(layer.quantize(store)(x)[0][0], plain) for store in STORES}
    return [*rows, Row("characters", "drift of layer 1", values, "<= 1.5")]


# Translation ---------------------------------------------------------------------------------------------------


def translation(folder):
    from examples.translation.__main__ import bleu, sentences
    from examples.translation.model import Translator

    test = sentences(data.load("tatoeba_eng_fra"))["test"]
    texts, references = list(test), list(test.values())

    def score(store, width):
        model = quantised(Translator.load(folder), ["encoder"], store)
        quantised(model.decoder, ["gru"], store)
        return bleu(model.translate(texts, width, 0.5), references)[0]

    found = []
    for name, width in (("greedy", 1), ("beam of 5", 5)):
        plain = score(None, width)
        values = {store: score(store, width) - plain for store in STORES}
        found.append(Row("translation", f"BLEU over {plain:.2f}, {name}", values, ">= -0.3"))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--translation", type=Path, metavar="FOLDER", help="the model folder of the translator"
    )
    given = parser.parse_args()
    print(f"| model | measure | {' | '.join(STORES)} | wanted |")
    print("| --- " * (3 + len(STORES)) + "|")
    parts = [voice_activity, spelling, characters]
    parts += [lambda: translation(given.translation)] if given.translation else []
    for part in parts:
        for row in part():
            values = " | ".join(f"{row.values[store]:.4g}" for store in STORES)
            print(f"| {row.model} | {row.measure} | {values} | {row.wanted} |", flush=True)


if __name__ == "__main__":
    main()
