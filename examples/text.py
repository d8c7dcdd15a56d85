# SPDX-License-Identifier: MIT
"""What the examples about language share: words, vocabularies, ragged batches, beam search and sampling."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
TOKEN = re.compile(r"-?\w+'?|[^\w\s]")
"""A word with the apostrophe it ends in (l', don') or the hyphen it begins with (-ce), or a sign."""


def tokenize(text):
    """Split a line into words and signs."""
    return TOKEN.findall(text)


def detokenize(tokens, tight=".,)…%"):
    """Put tokens together again; signs in `tight` stand without a space before them."""
    text = ""
    for token in tokens:
        joined = not text or text.endswith(("'", "(")) or token[0] == "-" or token in tight
        text += token if joined else " " + token
    return text


class Casing:
    """Sentences begin with a capital; this knows which words keep it in the middle, so that others lose it."""

    def __init__(self, sentences):
        self.small = {token for tokens in sentences for token in tokens[1:] if token[:1].islower()}

    def lower(self, tokens):
        """The tokens with the first one as it would stand in the middle."""
        first = tokens[0][:1].lower() + tokens[0][1:]
        return [first if first in self.small else tokens[0], *tokens[1:]]

    @staticmethod
    def raise_(text):
        """The text with a capital at its beginning."""
        return text[:1].upper() + text[1:]


class Vocabulary:
    """Words and their numbers: 0 begins a sentence, 1 ends it, 2 stands for all unknown words.

    Parameters
    ----------
    words : list of str
        The known ones, without the three.
    """

    def __init__(self, words):
        self.words = [BEGIN, END, UNKNOWN, *words]
        self.numbers = {word: number for number, word in enumerate(self.words)}

    @classmethod
    def count(cls, sentences, at_least=1):
        """The words that occur so often in the sentences, most frequent first."""
        counts = Counter(token for tokens in sentences for token in tokens)
        return cls(
            [
                word
                for word, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
                if n >= at_least
            ]
        )

    def __len__(self):
        return len(self.words)

    def encode(self, tokens):
        """Numbers of the tokens."""
        return [self.numbers.get(token, 2) for token in tokens]

    def decode(self, numbers):
        """The words of the numbers."""
        return [self.words[number] for number in numbers]

    def save(self, path):
        """Write the known words as JSON."""
        Path(path).write_text(json.dumps(self.words[3:], ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path):
        """Read what `save` wrote."""
        return cls(json.loads(Path(path).read_text(encoding="utf-8")))


def ragged(rows):
    """Lists of numbers as a batch: ids (T, N) and lengths (N,); what lies behind a length is never read."""
    lengths = np.array([len(row) for row in rows], np.int64)
    ids = np.zeros((lengths.max(), len(rows)), np.int64)
    for n, row in enumerate(rows):
        ids[: len(row), n] = row
    return ids, lengths


def valid(lengths, steps):
    """(T, N) mask of the tokens within the lengths."""
    return np.arange(steps)[:, np.newaxis] < lengths


def log_softmax(logits):
    """Logarithms of the softmax over the last axis, in float64."""
    logits = logits.astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def beam_search(step, state, *, width, limit, alpha=0.0, rewards=None, forbidden=(0, 2)):
    """The likeliest sentences, found with a beam; width 1 is greedy search.

    Parameters
    ----------
    step : callable
        ``step(tokens, state) -> (logits, state)``, tokens (N*width,): the hypotheses of a sentence are neighbours.
    state : array (L, N, H)
        Where the N sentences begin.
    width, limit : int
        Hypotheses that are kept for each sentence, and their largest length.
    alpha : float
        A finished hypothesis counts its log-probability divided by its length to this power.
    rewards : array (N, words), optional
        What a word adds to the log-probability of a sentence when it is used for the first time.
    forbidden : ints
        Words that are never chosen.

    Returns
    -------
    list of list of int
        The best finished hypothesis of each sentence, without its end; the best unfinished one if none ended.
    """
    rows = state.shape[1]
    first = np.arange(rows)[:, np.newaxis] * width  # of each sentence's hypotheses
    scores = np.full((rows, width), -np.inf)
    scores[:, 0] = 0.0  # all hypotheses begin alike: one of them stands for all
    words = np.zeros((rows, width, 0), np.int64)
    tokens, state = np.zeros(rows * width, np.int64), np.repeat(state, width, axis=1)
    left = None if rewards is None else np.repeat(rewards[:, np.newaxis], width, axis=1)  # not yet used
    best, found = np.full(rows, -np.inf), [[] for _ in range(rows)]
    for length in range(1, limit + 1):
        logits, state = step(tokens, state)
        logp = log_softmax(logits).reshape(rows, width, -1)
        logp[..., list(forbidden)] = -np.inf
        total = scores[..., np.newaxis] + (logp if left is None else logp + left)
        total = total.reshape(rows, -1)
        top = np.argpartition(-total, width - 1, axis=1)[:, :width]
        scores = np.take_along_axis(total, top, axis=1)
        parents, chosen = np.divmod(top, logp.shape[-1])
        for row, k in np.argwhere((chosen == 1) & (scores > -np.inf)):  # an end takes a place in the beam
            if scores[row, k] / length**alpha > best[row]:
                best[row], found[row] = scores[row, k] / length**alpha, words[row, parents[row, k]].tolist()
        scores[chosen == 1] = -np.inf
        words = np.concatenate(
            [np.take_along_axis(words, parents[..., np.newaxis], axis=1), chosen[..., np.newaxis]], axis=2
        )
        state, tokens = state[:, (first + parents).ravel()], chosen.ravel()
        reach = scores  # the most that a hypothesis can still come to
        if left is not None:
            left = np.take_along_axis(left, parents[..., np.newaxis], axis=1)
            np.put_along_axis(left, chosen[..., np.newaxis], 0.0, axis=2)
            reach = scores + left.sum(axis=2)
        if np.all(best >= np.where(reach < 0, reach / limit**alpha, reach).max(axis=1)):
            break
    for row in np.flatnonzero(np.isinf(best)):
        found[row] = words[row, scores[row].argmax()].tolist()
    return found


def sample(step, state, rng, *, limit, temperature=1.0, mass=1.0, rewards=None, forbidden=(0, 2)):
    """Sentences drawn word by word.

    Parameters
    ----------
    step, state, limit, rewards, forbidden
        As in `beam_search`, with one hypothesis per sentence.
    rng : numpy.random.Generator
    temperature : float
        The logits are divided by it: below 1 likely words become likelier.
    mass : float
        Only the likeliest words that together have this much probability are drawn from ("nucleus").

    Returns
    -------
    list of list of int
    """
    rows = state.shape[1]
    tokens, found, open_ = np.zeros(rows, np.int64), [[] for _ in range(rows)], np.ones(rows, bool)
    left = np.zeros((rows, 1)) if rewards is None else rewards.copy()
    for _ in range(limit):
        logits, state = step(tokens, state)
        logits = logits + left
        logits[:, list(forbidden)] = -np.inf
        p = np.exp(log_softmax(logits / temperature))
        order = np.argsort(-p, axis=1)
        sorted_p = np.take_along_axis(p, order, axis=1)
        before = np.cumsum(sorted_p, axis=1) - sorted_p
        sorted_p[before >= mass] = 0.0
        reach = np.cumsum(sorted_p, axis=1)
        drawn = (reach < rng.random((rows, 1)) * reach[:, -1:]).sum(axis=1)
        tokens = order[np.arange(rows), drawn]
        if rewards is not None:
            left[np.arange(rows), tokens] = 0.0
        open_ &= tokens != 1
        for row in np.flatnonzero(open_):
            found[row].append(int(tokens[row]))
        if not open_.any():
            break
    return found
