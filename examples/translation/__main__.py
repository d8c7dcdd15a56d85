# SPDX-License-Identifier: MIT
"""English to French: train, score, draw, translate; README.md has the equations and the results.

python -m examples.translation               the full run
python -m examples.translation --quick       a smaller one on short sentences, under a minute
python -m examples.translation --prompt      translate what is typed, with the model of the last run
"""

import sys
import time
from collections import defaultdict

import numpy as np

import rnncore
from examples import data
from examples.common import Log, compare_speed, out_folder, parser, start, training, write_picture
from examples.text import Casing, Vocabulary, tokenize
from examples.translation.model import Translator
from rnncore.nn import Adam, Cosine, fit

SPLITS = ("train", "valid", "test")
FULL = {"features": 256, "hidden": 256, "batch": 64, "epochs": 8, "lr": 1.5e-3, "dropout": 0.2}
QUICK = {"features": 96, "hidden": 96, "batch": 64, "epochs": 5, "lr": 5e-3, "dropout": 0.1, "words": 4}
ALPHAS = (0.0, 0.5, 1.0)
WIDTH = 5


def sentences(rows, words=None):
    """English sentences with all their French ones, by split; `words` keeps the sentences of at most so many words."""
    found = {split: defaultdict(list) for split in SPLITS}
    for split, english, french in rows:
        if words is None or len(tokenize(english)) <= words + 1:
            found[split][english].append(french)
    return found


def prepare(found, settings, seed):
    """A new translator, and the numbered pairs by split."""
    pairs = {
        split: [(tokenize(e), tokenize(f)) for e, several in found[split].items() for f in several]
        for split in SPLITS
    }
    english, french = (Casing([pair[k] for pair in pairs["train"]]) for k in (0, 1))
    lowered = {split: [(english.lower(e), french.lower(f)) for e, f in pairs[split]] for split in SPLITS}
    source, target = (Vocabulary.count([pair[k] for pair in lowered["train"]]) for k in (0, 1))
    model = Translator(source, target, english, settings["features"], settings["hidden"], seed)
    numbered = {s: [(source.encode(e), target.encode(f)) for e, f in lowered[s]] for s in SPLITS}
    return model, numbered


def bleu(translations, references):
    """sacrebleu's corpus score and its signature; `references` has all French sentences of each English one."""
    from sacrebleu.metrics import BLEU

    metric = BLEU()
    most = max(map(len, references))
    streams = [[several[k] if k < len(several) else None for several in references] for k in range(most)]
    return metric.corpus_score(translations, streams).score, str(metric.get_signature())


def train(model, numbered, settings, arguments, log):
    """Train until the last epoch, and keep the parameters of the lowest validation loss."""
    model.rate = settings["dropout"]
    return fit(
        model,
        numbered["train"],
        None,
        Adam(model.modules.values(), clip_norm=1.0),
        epochs=settings["epochs"],
        batch_size=settings["batch"],
        validation=numbered["valid"],
        schedule=Cosine(settings["lr"], warmup=100),
        **training(log, arguments),
    )


def evaluate(model, found, log):
    """BLEU of greedy and beam search on the test sentences; the beam's alpha is chosen on the validation ones."""
    texts, references = ({s: list(part(found[s])) for s in SPLITS} for part in (dict.keys, dict.values))
    scores = {}
    for alpha in ALPHAS:
        scores[alpha] = bleu(model.translate(texts["valid"], WIDTH, alpha), references["valid"])[0]
        log(f"validation, beam {WIDTH}, alpha {alpha}: BLEU {scores[alpha]:.2f}")
    alpha = max(scores, key=scores.get)
    results = {"alpha": alpha}
    for name, width in (("greedy", 1), ("beam", WIDTH)):
        started = time.perf_counter()
        lines = model.translate(texts["test"], width, alpha)
        seconds = time.perf_counter() - started
        results[name], signature = bleu(lines, references["test"])
        rate = len(lines) / seconds
        log(f"test, {name}: BLEU {results[name]:.2f} ({signature}); {rate:,.0f} sentences/s")
    copied, _ = bleu(texts["test"], references["test"])
    nearest = nearest_sentence(found)
    log(f"test, the English sentence itself: BLEU {copied:.2f}")
    results["nearest"], _ = bleu(nearest, references["test"])
    log(f"test, the translation of the most similar training sentence: BLEU {results['nearest']:.2f}")
    rng = np.random.default_rng(0)
    for row in rng.choice(len(lines), 12, replace=False):
        log(f"  {texts['test'][row]}  ->  {lines[row]}   ({' | '.join(references['test'][row])})")
    return results


def nearest_sentence(found):
    """The baseline: the first translation of the training sentence that shares most words with the test sentence."""
    index, sizes = defaultdict(list), []
    for number, english in enumerate(found["train"]):
        words = set(tokenize(english.lower()))
        sizes.append(len(words))
        for word in words:
            index[word].append(number)
    answers, sizes, lines = list(found["train"].values()), np.array(sizes), []
    for english in found["test"]:
        words = set(tokenize(english.lower()))
        shared = np.bincount(np.concatenate([index[w] for w in words if w in index]), minlength=len(sizes))
        lines.append(
            answers[int(np.argmax(shared / (len(words) + sizes - shared)))][0]
        )  # Jaccard's similarity
    return lines


def draw(model, texts, alpha, path):
    """The attention of some sentences as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(texts), 4.4), layout="constrained")
    for axes, text in zip(figure.subplots(1, len(texts)), texts, strict=True):
        english, french, weights = model.attention(text, WIDTH, alpha)
        axes.imshow(weights, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(english)), english, rotation=60)
        axes.set_yticks(range(len(french)), french)
    figure.suptitle("What each French word reads in the English sentence")
    write_picture(figure, path, dpi=110)


def measure(model, numbered, settings, arguments, log):
    """Training speed beside PyTorch, on one batch."""
    rng = np.random.default_rng(0)
    batch = [numbered["train"][row] for row in rng.choice(len(numbered["train"]), settings["batch"])]
    optimizer = Adam(model.modules.values(), lr=0.0, clip_norm=1.0)

    def ours():
        _, tokens, grads = model.train(batch, settings["dropout"], rng)
        optimizer.step(grads, grad_scale=1.0 / tokens)

    def theirs():
        from examples.translation.peer import step

        return step(model, batch, settings["dropout"])

    tokens, seconds = sum(len(french) + 1 for _, french in batch), 1.5 if arguments.quick else 10.0
    return compare_speed(ours, theirs, tokens, log, threads=arguments.threads, seconds=seconds)


def prompt(model):
    """Translate lines until there are no more."""
    print("English, please; an empty line ends.")
    for line in sys.stdin:
        if not line.strip():
            return
        (greedy,), (best,) = model.translate([line.strip()]), model.translate([line.strip()], WIDTH, 0.5)
        print(best if best == greedy else f"{best}   (greedy: {greedy})", flush=True)


def main(argv=None):
    """Run; returns what was reached."""
    arguments_ = parser("translation", __doc__.splitlines()[0])
    arguments_.add_argument("--prompt", action="store_true", help="translate lines that are typed")
    arguments = arguments_.parse_args(argv)
    out = out_folder(arguments, "translation")
    if arguments.prompt:
        prompt(Translator.load(out / "model"))
        return None
    rnncore.set_num_threads(arguments.threads)
    settings = QUICK if arguments.quick else FULL
    found = sentences(data.load("tatoeba_eng_fra"), settings.get("words"))
    model, numbered = prepare(found, settings, arguments.seed)
    log = Log(out)
    train(model, numbered, settings, arguments, log)
    size = model.save(out / "model")
    log(f"saved and loaded back: {size / 1e6:.1f} MB")
    model = Translator.load(out / "model")
    results = evaluate(model, found, log)
    results["speed"] = measure(model, numbered, settings, arguments, log)
    draw(model, list(found["test"])[40:43], results["alpha"], out / "attention.png")
    log(f"data: {data.SOURCES['tatoeba_eng_fra'].credit}")
    return results


if __name__ == "__main__":
    start(main)
