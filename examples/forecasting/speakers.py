# SPDX-License-Identifier: MIT
"""Who is speaking? Nine men say /ae/, in 7 to 29 frames of twelve cepstrum coefficients each."""

import copy
import json

import numpy as np

import rnncore
from examples import common, data
from rnncore.nn import Adam, Cosine, Linear, Sequential, cross_entropy, fit, softmax

SPEAKERS = 9
CANDIDATES = [dict(hidden=h, noise=n) for h in (24, 32, 48) for n in (0.3, 0.6)]
"""What cross-validation chooses from: hidden units per direction, noise added to the inputs in training."""
FOLDS, DROPOUT, BATCH, LR, WEIGHT_DECAY = 5, 0.3, 32, 5e-3, 1e-2


def utterances(d, part):
    """List of (frames, 24) arrays: standardised coefficients and how they change from frame to frame."""
    mean, std = d["train_x"].mean(axis=0), d["train_x"].std(axis=0)
    scaled = [(one - mean) / std for one in data.ragged(d[f"{part}_x"], d[f"{part}_len"])]
    return [np.concatenate([one, 2 * np.gradient(one, axis=0)], axis=1, dtype=np.float32) for one in scaled]


def padded(some):
    """(T, N, I) and lengths; the layer spends no time on the padding."""
    lengths = np.array([len(one) for one in some])
    x = np.zeros((lengths.max(), len(some), some[0].shape[1]), np.float32)
    for n, one in enumerate(some):
        x[: len(one), n] = one
    return x, lengths


class Model:
    """A bidirectional GRU whose frames vote: the mean of its outputs over an utterance goes to a linear head."""

    def __init__(self, hidden, noise, seed):
        self.noise = noise
        self.layer = rnncore.GRU(24, hidden, bidirectional=True, seed=seed)
        self.head = Linear(2 * hidden, SPEAKERS, seed=seed)

    def train(self, x, lengths, speakers, rng):
        """Loss, number of utterances and gradients; sums over utterances."""
        x = x + np.float32(self.noise) * rng.standard_normal(x.shape, dtype=np.float32)
        y, _, tape = self.layer.forward(x, lengths=lengths)  # zero at the padding
        share = (1 / lengths[:, np.newaxis]).astype(np.float32)
        mean, mask = common.dropout(y.sum(axis=0) * share, DROPOUT, rng)
        logits, head_tape = self.head.forward(mean)
        loss, dlogits = cross_entropy(logits, speakers)
        head_grads = self.head.backward(head_tape, dlogits * np.float32(len(lengths)))
        dy = np.broadcast_to(head_grads.x * mask * share, y.shape)
        grads = self.layer.backward(tape, dy, input_grad=False)
        return loss * len(lengths), len(lengths), [grads.params, head_grads.params]

    def gradients(self, batch):
        """What `rnncore.nn.fit` asks of a model, of pairs of utterance and speaker."""
        some, speakers = zip(*batch.samples, strict=True)
        return self.train(*padded(some), np.array(speakers), batch.rng)

    def probabilities(self, some):
        """(N, SPEAKERS) for a list of utterances."""
        x, lengths = padded(some)
        y, _ = self.layer(x, lengths=lengths)
        return softmax(self.head((y.sum(axis=0) / lengths[:, np.newaxis]).astype(np.float32)))

    def optimizer(self):
        return Adam([self.layer, self.head], lr=LR, weight_decay=WEIGHT_DECAY, clip_norm=1.0)

    def fit(self, some, speakers, epochs, **options):
        """Train on all utterances of the list; `options` of `rnncore.nn.fit`."""
        pairs, rate = list(zip(some, speakers, strict=True)), Cosine(LR, warmup=10)
        how = {"epochs": epochs, "batch_size": BATCH, "schedule": rate} | options
        return fit(self, pairs, None, self.optimizer(), **how)


def choose(some, speakers, epochs, arguments, out):
    """The candidate with the best likelihood in cross-validation; what is known already lies in tuning.json."""
    path = out / "tuning.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() and not arguments.fresh else {}
    fold_of = np.arange(len(some)) % 30 * FOLDS // 30  # six neighbouring utterances of each speaker
    for candidate in CANDIDATES:
        for fold in range(FOLDS):
            name = f"hidden {candidate['hidden']}, noise {candidate['noise']}, fold {fold}, seed {arguments.seed}"
            if name in known:
                continue
            kept, left = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
            model = Model(**candidate, seed=arguments.seed)
            model.fit([some[k] for k in kept], speakers[kept], epochs, seed=arguments.seed, shards=1)
            found = model.probabilities([some[k] for k in left])
            likelihood = float(-np.log(found[np.arange(len(left)), speakers[left]]).mean())
            known[name] = [likelihood, float((found.argmax(axis=1) == speakers[left]).mean())]
            draft = path.with_suffix(".draft")
            draft.write_text(json.dumps(known, indent=1), encoding="utf-8")
            draft.replace(path)
    means = np.array(list(known.values())).reshape(len(CANDIDATES), FOLDS, 2).mean(axis=1)
    lines = [
        f"  hidden {c['hidden']}, noise {c['noise']}: loss {loss:.3f}, accuracy {accuracy:.3f}"
        for c, (loss, accuracy) in zip(CANDIDATES, means, strict=True)
    ]
    return CANDIDATES[int(means[:, 0].argmin())], lines


def baselines(train, test, y):
    """Accuracies of one nearest neighbour and of logistic regression on utterances stretched to 15 frames."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    def flat(some):
        at = [np.linspace(0, len(one) - 1, 15).round().astype(int) for one in some]
        return np.array([one[k, :12].ravel() for one, k in zip(some, at, strict=True)])

    models = {
        "1 nearest neighbour": KNeighborsClassifier(1),
        "logistic regression": LogisticRegression(C=0.1, max_iter=2000),
    }
    return {name: float(m.fit(flat(train), y[0]).score(flat(test), y[1])) for name, m in models.items()}


def run(arguments, out):
    """The whole example; gives the figures that are also written to results.json."""
    d = data.load("japanese_vowels")
    train, test = utterances(d, "train"), utterances(d, "test")
    y = [d[f"{part}_y"].astype(np.int64) for part in ("train", "test")]
    epochs = 40 if arguments.quick else 60
    chosen, lines = {"hidden": 32, "noise": 0.3}, []
    if not arguments.quick:
        chosen, lines = choose(train, y[0], epochs, arguments, out)
    model = Model(**chosen, seed=arguments.seed)
    log = common.Log(out)
    training = model.fit(train, y[0], epochs, **common.training(log, arguments, "utterance"))
    log(f"data: {data.SOURCES['japanese_vowels'].credit}")
    for line in [f"{FOLDS}-fold cross-validation on the training part:", *lines] if lines else []:
        log(line)
    log(f"trained on {len(train)} utterances: {chosen}, loss {training.losses[-1]:.4f}")
    found = {"accuracy": baselines(train, test, y)}
    guess = model.probabilities(test).argmax(axis=1)
    found["accuracy"]["GRU"] = float((guess == y[1]).mean())
    for name, accuracy in found["accuracy"].items():
        log(f"accuracy on the {len(test)} test utterances, {name}: {accuracy:.4f}")
    size = common.save_model(out / "model.safetensors", Sequential(model.layer, model.head), *padded(test))
    log(f"model.safetensors: {size} bytes, rnncore.load gives the same outputs to the last bit")
    draw(model, test, y[1], guess, out)
    found["speed"] = speed(model, train[::8][:BATCH], y[0][::8][:BATCH], arguments, log)
    (out / "results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def speed(model, some, speakers, arguments, log):
    """Training speed beside PyTorch, which gets the ragged batch as a packed sequence; trains a copy."""
    model = copy.deepcopy(model)
    x, lengths = padded(some)
    optimizer, rng = model.optimizer(), np.random.default_rng(0)

    def theirs():
        import torch
        from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

        layer, head = common.torch_twin(model.layer), common.torch_twin(model.head)
        parameters = [*layer.parameters(), *head.parameters()]
        update = torch.optim.AdamW(parameters, lr=LR, weight_decay=WEIGHT_DECAY)
        inputs, sizes, wanted = map(torch.from_numpy, (x, lengths, speakers))

        def step():
            noisy = inputs + model.noise * torch.randn(inputs.shape)
            y, _ = pad_packed_sequence(layer(pack_padded_sequence(noisy, sizes, enforce_sorted=False))[0])
            mean = torch.nn.functional.dropout(y.sum(0) / sizes[:, None], DROPOUT)
            update.zero_grad()
            torch.nn.functional.cross_entropy(head(mean), wanted).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            update.step()

        return step

    options = {"unit": "frame", "threads": arguments.threads, "seconds": 1.0 if arguments.quick else 8.0}

    def ours():
        _, count, grads = model.train(x, lengths, speakers, rng)
        optimizer.step(grads, grad_scale=1.0 / count)

    return common.compare_speed(ours, theirs, int(lengths.sum()), log, **options)


def draw(model, test, speakers, guess, out):
    """confusion.png: the confusion matrix, and how soon a speaker is known."""
    plt = common.pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    counts = np.zeros((SPEAKERS, SPEAKERS), int)
    np.add.at(counts, (speakers, guess), 1)
    left.imshow(counts / counts.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(counts):
        if number:
            left.text(column, row, number, ha="center", va="center", color="white" if row == column else "C3")
    ticks = range(SPEAKERS)
    left.set_xticks(ticks, [k + 1 for k in ticks])
    left.set_yticks(ticks, [k + 1 for k in ticks])
    left.set(xlabel="recognised as speaker", ylabel="speaker")
    left.set_title(f"Utterances: {counts.trace()} of {len(test)} recognised", loc="left")
    frames = np.arange(1, 30)
    share = [
        np.mean(model.probabilities([one[:k] for one in test]).argmax(axis=1) == speakers) for k in frames
    ]
    right.plot(6.4 * (frames - 1) + 25.6, 100 * np.array(share), color="C0")
    right.set(xlabel="milliseconds heard", ylabel="% recognised", ylim=(0, 101))
    right.set_title("How soon a speaker is known", loc="left")
    common.save_picture(figure, out / "confusion.png", data.SOURCES["japanese_vowels"].credit)
