# SPDX-License-Identifier: MIT
"""The baseline: an interpolated Kneser-Ney trigram, NLTK's, with its slow counts made once.

NLTK's `_continuation_counts` walks over all n-grams for every probability; here the same numbers come from a table.
"""

import math
from collections import Counter

from nltk.lm import KneserNeyInterpolated, Vocabulary
from nltk.lm.preprocessing import padded_everygram_pipeline

ORDER = 3


class KneserNey(KneserNeyInterpolated):
    """A trigram over sentences that are lists of words of one vocabulary.

    Parameters
    ----------
    sentences : list of list of str
    discount : float
        Taken off every count, in (0, 1).
    """

    def __init__(self, sentences, discount):
        super().__init__(ORDER, discount=discount, vocabulary=Vocabulary(unk_cutoff=1))
        grams, words = padded_everygram_pipeline(ORDER, sentences)
        self.fit(grams, words)
        kinds, totals = Counter(), Counter()
        for order in range(2, ORDER + 1):
            for context, counts in self.counts[order].items():
                for word, count in counts.items():
                    if count > 0:
                        kinds[context[1:], word] += 1
                        totals[context[1:]] += 1
        self.estimator._continuation_counts = lambda word, context=(): (kinds[context, word], totals[context])
        self._known = {}

    def probability(self, word, context):
        """p(word | the two words before)."""
        key = (word, context)
        if key not in self._known:
            self._known[key] = self.score(word, context)
        return self._known[key]

    def probabilities(self, sentence):
        """p of each word of a sentence and of its end."""
        padded = ["<s>"] * (ORDER - 1) + [*sentence, "</s>"]
        return [
            self.probability(padded[k], tuple(padded[k - ORDER + 1 : k]))
            for k in range(ORDER - 1, len(padded))
        ]

    def loss(self, sentences):
        """Mean of -log p per word and end."""
        logs = [math.log(p) for sentence in sentences for p in self.probabilities(sentence)]
        return -sum(logs) / len(logs)


def keyword_mixture(model, sentences, keywords, share):
    """Mean of -log p of a mixture that knows the keywords: (1 - share) trigram + share, each keyword alike."""
    total, count = 0.0, 0
    for sentence, given in zip(sentences, keywords, strict=True):
        for word, p in zip([*sentence, "</s>"], model.probabilities(sentence), strict=True):
            part = share if given else 0.0
            total -= math.log((1 - part) * p + part * given.count(word) / max(len(given), 1))
            count += 1
    return total / count
