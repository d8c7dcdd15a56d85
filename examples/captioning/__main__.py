# SPDX-License-Identifier: MIT
"""Captions from keywords: train, score, draw, write; README.md has the equations and the results.

python -m examples.captioning               the full run
python -m examples.captioning --quick       a smaller one, under a minute
python -m examples.captioning --prompt      captions for keywords that are typed, with the model of the last run
"""

import math
import sys
from collections import defaultdict

import numpy as np

import rnncore
from examples import data
from examples.captioning.model import Captioner
from examples.captioning.ngram import KneserNey, keyword_mixture
from examples.common import Log, compare_speed, out_folder, parser, start, training, write_picture
from examples.text import Vocabulary, tokenize
from rnncore.nn import Adam, Cosine, fit

SPLITS = ("train", "valid", "test")
FULL = {
    "features": 128,
    "hidden": 128,
    "batch": 64,
    "epochs": 8,
    "lr": 8e-3,
    "dropout": 0.3,
    "at_least": 4,
}
QUICK = {
    "features": 64,
    "hidden": 64,
    "batch": 64,
    "epochs": 2,
    "lr": 2e-2,
    "dropout": 0.1,
    "at_least": 20,
}
DISCOUNTS = (0.7, 0.8, 0.9)
SHARES, REWARDS, ENOUGH = (0.1, 0.15, 0.2), (0.0, 0.5, 1.0, 1.5, 2.0, 3.0), 0.65
ALPHA, TEMPERATURE, MASS = 0.6, 0.8, 0.9


class Split:
    """The captions of some images: words and numbers of each, and the keywords of its image."""

    def __init__(self, rows, keywords, vocabulary):
        self.images = defaultdict(list)
        for image, tokens in rows:
            self.images[image].append(vocabulary.decode(vocabulary.encode(tokens)))
        self.words = [tokens for several in self.images.values() for tokens in several]
        self.numbers = [vocabulary.encode(tokens) for tokens in self.words]
        known = {image: [w for w in keywords[image] if w in vocabulary.numbers] for image in self.images}
        self.given = [known[image] for image, several in self.images.items() for _ in several]
        self.given_numbers = [vocabulary.encode(words) for words in self.given]
        self.pairs = list(zip(self.given_numbers, self.numbers, strict=True))
        self.all_keywords = [keywords[image] for image in self.images]
        self.image_keywords = [vocabulary.encode(known[image]) for image in self.images]


def prepare(at_least):
    """Vocabulary and splits; every tenth training image is kept for validation."""
    keywords = {image: words.split() for image, words in data.load("coco_val2017_keywords")}
    rows = defaultdict(list)
    numbers = {}
    for split, image, text in data.load("coco_val2017_captions"):
        if split == "train" and numbers.setdefault(image, len(numbers)) % 10 == 0:
            split = "valid"
        rows[split].append((image, tokenize(text.lower())))
    vocabulary = Vocabulary.count([tokens for _, tokens in rows["train"]], at_least)
    return vocabulary, {split: Split(rows[split], keywords, vocabulary) for split in SPLITS}


def train(model, splits, settings, arguments, log):
    """Train until the last epoch, and keep the parameters of the lowest validation loss."""
    model.rate = settings["dropout"]
    return fit(
        model,
        splits["train"].pairs,
        None,
        Adam(model.modules.values(), clip_norm=1.0),
        epochs=settings["epochs"],
        batch_size=settings["batch"],
        validation=splits["valid"].pairs,
        schedule=Cosine(settings["lr"], warmup=100),
        **training(log, arguments),
    )


def perplexities(model, splits, discounts, log):
    """Perplexity on the test captions, of the network and of trigrams whose settings the validation captions chose."""
    valid, test = splits["valid"], splits["test"]
    trigrams = [KneserNey(splits["train"].words, discount) for discount in discounts]
    best = min(trigrams, key=lambda trigram: trigram.loss(valid.words))
    share = min(SHARES, key=lambda share: keyword_mixture(best, valid.words, valid.given, share))
    tokens = sum(len(words) + 1 for words in test.words)
    log(f"{tokens} test words, {len(model.vocabulary)} known")
    log(f"chosen on validation: discount {best.estimator.discount}, share of keywords {share}")
    found = {
        "trigram": best.loss(test.words),
        "trigram with keywords": keyword_mixture(best, test.words, test.given, share),
        "network without keywords": model.loss([[] for _ in test.numbers], test.numbers),
        "network": model.loss(test.given_numbers, test.numbers),
    }
    for name, loss in found.items():
        log(f"test perplexity, {name}: {math.exp(loss):.2f}")
    return {name: math.exp(loss) for name, loss in found.items()}


def coverage(captions, keywords, copies):
    """Share of the keywords that the captions use, and of the captions that stand in the training data.

    What is copied covers nothing.
    """
    copied = [tuple(caption) in copies for caption in captions]
    used = sum(
        0 if copy else sum(word in caption for word in given)
        for caption, given, copy in zip(captions, keywords, copied, strict=True)
    )
    return used / sum(map(len, keywords)), sum(copied) / len(captions)


def bleu(captions, references):
    """sacrebleu's corpus score of lists of words against all captions of each image."""
    import sacrebleu

    most = max(map(len, references))
    streams = [
        [" ".join(several[k]) if k < len(several) else None for several in references] for k in range(most)
    ]
    return sacrebleu.corpus_bleu([" ".join(caption) for caption in captions], streams, force=True).score


def choose_reward(model, valid, copies, log):
    """The smallest reward with which the beam uses ENOUGH of the keywords of the validation images."""
    for reward in REWARDS:
        found = model.beam(valid.image_keywords, 5, ALPHA, reward)
        share, _ = coverage(found, valid.all_keywords, copies)
        log(
            f"validation, reward {reward}: keywords used {share:.1%}, BLEU {bleu(found, [*valid.images.values()]):.1f}"
        )
        if share >= ENOUGH:
            break
    return reward


def evaluate(model, splits, seed, log):
    """Keyword coverage and BLEU of generated captions, beside people's."""
    test = splits["test"]
    copies = {tuple(words) for name in ("train", "valid") for words in splits[name].words}
    references = list(test.images.values())
    reward = choose_reward(model, splits["valid"], copies, log)
    rng = np.random.default_rng(seed)
    captions = {
        "people (first caption)": [several[0] for several in references],
        "sampled": model.sample(test.image_keywords, rng, TEMPERATURE, MASS, reward),
        "greedy": model.beam(test.image_keywords, 1, ALPHA, reward),
        "beam": model.beam(test.image_keywords, 5, ALPHA, reward),
        "beam, no reward": model.beam(test.image_keywords, 5, ALPHA),
    }
    results = {}
    for name, found in captions.items():
        results[name] = coverage(found, test.all_keywords, copies)
        others = [several[1:] for several in references] if name.startswith("people") else references
        share, copied = results[name]
        log(f"test, {name}: keywords used {share:.1%}, copied {copied:.1%}, BLEU {bleu(found, others):.1f}")
    for row in np.random.default_rng(0).choice(len(references), 8, replace=False):
        log(f"  {' '.join(test.all_keywords[row])}")
        for name in ("beam", "sampled"):
            log(f"      {name}: {model.text(captions[name][row])}")
        log(f"      a person: {model.text(references[row][0])}")
    return reward, results


def draw(scores, results, reward, model, test, path):
    """Perplexities, coverage and the attention of one caption as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.2))
    left.barh(list(scores), list(scores.values()), color=["0.7", "0.7", "C0", "C0"])
    left.invert_yaxis()
    left.set_xlabel("perplexity on the test captions (lower is better)")
    middle.barh(
        list(results), [100 * share for share, _ in results.values()], color=["0.7", "C0", "C0", "C0", "C0"]
    )
    middle.invert_yaxis()
    middle.set_xlabel("keywords used, % (copied captions count nothing)")
    row = max(range(20), key=lambda row: len(test.image_keywords[row]))
    (words,) = model.beam([test.image_keywords[row]], 5, ALPHA, reward)
    weights = model.attention(test.image_keywords[row], model.vocabulary.encode(words))
    right.imshow(weights.T, cmap="Blues", vmin=0, vmax=1)
    right.set_xticks(range(len(words) + 1), [*words, "</s>"], rotation=60)
    right.set_yticks(range(len(weights[0])), model.vocabulary.decode(test.image_keywords[row]))
    right.set_title("which keyword each word reads")
    write_picture(figure, path, dpi=110)


def measure(model, split, settings, arguments, log):
    """Training speed beside PyTorch, on one batch."""
    rng = np.random.default_rng(0)
    rows = rng.choice(len(split.numbers), settings["batch"])
    given, captions = [split.given_numbers[row] for row in rows], [split.numbers[row] for row in rows]
    optimizer = Adam(model.modules.values(), lr=0.0, clip_norm=1.0)

    def ours():
        _, tokens, grads = model.train(given, captions, settings["dropout"], rng)
        optimizer.step(grads, grad_scale=1.0 / tokens)

    def theirs():
        from examples.captioning.peer import step

        return step(model, given, captions, settings["dropout"])

    tokens, seconds = sum(len(caption) + 1 for caption in captions), 1.5 if arguments.quick else 10.0
    return compare_speed(ours, theirs, tokens, log, threads=arguments.threads, seconds=seconds)


def prompt(model, reward, seed):
    """Captions for the keywords of each line, until there are no more."""
    print("Keywords, please; an empty line ends.")
    rng = np.random.default_rng(seed)
    for line in sys.stdin:
        if not line.strip():
            return
        words = [word for word in tokenize(line.lower()) if word in model.vocabulary.numbers]
        numbers = [model.vocabulary.encode(words)]
        print(
            f"keywords: {' '.join(words)}\nbeam:     {model.text(model.beam(numbers, 5, ALPHA, reward)[0])}"
        )
        for _ in range(3):
            print(
                f"sampled:  {model.text(model.sample(numbers, rng, TEMPERATURE, MASS, reward)[0])}",
                flush=True,
            )


def main(argv=None):
    """Run; returns what was reached."""
    described = parser("captioning", __doc__.splitlines()[0])
    described.add_argument("--prompt", action="store_true", help="captions for keywords that are typed")
    described.add_argument(
        "--reward", type=float, default=1.5, help="of a keyword's first use, with --prompt"
    )
    arguments = described.parse_args(argv)
    out = out_folder(arguments, "captioning")
    if arguments.prompt:
        prompt(Captioner.load(out / "model"), arguments.reward, arguments.seed)
        return None
    rnncore.set_num_threads(arguments.threads)
    settings = QUICK if arguments.quick else FULL
    vocabulary, splits = prepare(settings["at_least"])
    model = Captioner(vocabulary, settings["features"], settings["hidden"], arguments.seed)
    log = Log(out)
    train(model, splits, settings, arguments, log)
    size = model.save(out / "model")
    log(f"saved and loaded back: {size / 1e6:.1f} MB")
    model = Captioner.load(out / "model")
    scores = perplexities(model, splits, DISCOUNTS[1:2] if arguments.quick else DISCOUNTS, log)
    reward, results = evaluate(model, splits, arguments.seed, log)
    draw(scores, results, reward, model, splits["test"], out / "captions.png")
    speed = measure(model, splits["train"], settings, arguments, log)
    log(f"data: {data.SOURCES['coco_val2017_captions'].credit}")
    return {"perplexity": scores, "coverage": results, "speed": speed}


if __name__ == "__main__":
    start(main)
