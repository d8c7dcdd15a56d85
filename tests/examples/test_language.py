# SPDX-License-Identifier: MIT
"""The examples about language: words, search, the trigram, gradients beside PyTorch's, and both quick runs."""

import importlib
import itertools
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tables

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "examples" / "text.py").is_file():
    pytest.skip("the examples are not here", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from examples import data, text  # noqa: E402
from examples.captioning.model import Captioner  # noqa: E402
from examples.translation.model import Translator  # noqa: E402

F32 = np.dtype(np.float32)
WORDS = 6  # of the small search problems: begin, end, unknown and three more
LIMIT = 4
# The quick runs reach about 30 and 17 points more than the bars; other machines round other gradients.
QUICK_BLEU, QUICK_COVERAGE = 25.0, 0.55


@pytest.mark.parametrize(
    "line", ["Qu'est-ce que c'est ?", "Je t'aime, Tom.", "A-t-il dit « non » ?", "I don't (really) know..."]
)
def test_words_go_back_to_the_line(line):
    tokens = text.tokenize(line)
    assert all(token == token.strip() for token in tokens)
    assert text.detokenize(tokens) == line


def test_a_sentence_begins_small_unless_the_word_never_does():
    casing = text.Casing([["Tom", "is", "here"], ["He", "knows", "what", "he", "does"]])
    assert casing.lower(["He", "is"]) == ["he", "is"]
    assert casing.lower(["Tom", "is"]) == ["Tom", "is"]
    assert casing.raise_("he is") == "He is"


def test_a_vocabulary_knows_frequent_words_and_comes_back_from_its_file(tmp_path):
    words = text.Vocabulary.count([["a", "b", "a"], ["b", "c"]], at_least=2)
    assert words.words == [text.BEGIN, text.END, text.UNKNOWN, "a", "b"]
    assert words.decode(words.encode(["b", "c", "a"])) == ["b", text.UNKNOWN, "a"]
    words.save(tmp_path / "words.json")
    assert text.Vocabulary.load(tmp_path / "words.json").numbers == words.numbers


def markov(seed):
    """Logits of the next word given the one before, and the step that search calls."""
    logits = np.random.default_rng(seed).standard_normal((WORDS, WORDS))
    return logits, lambda tokens, state: (logits[tokens], state)


def exhaustive(logits, alpha, rewards=None):
    """The best finished sentence of fewer than LIMIT words."""
    logp, found = text.log_softmax(logits), []
    for length in range(LIMIT):
        for words in itertools.product(range(3, WORDS), repeat=length):
            path = [0, *words, 1]
            score = sum(logp[a, b] for a, b in itertools.pairwise(path))
            score += 0.0 if rewards is None else sum(rewards[word] for word in set(words))
            found.append((score / (length + 1) ** alpha, list(words)))
    return max(found)[1]


@pytest.mark.parametrize("rewarded", [False, True], ids=["plain", "rewards"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_likeliest_sentence(seed, alpha, rewarded):
    logits, step = markov(seed)
    rewards = np.array([0, 0, 0, 1.5, 0, 0.5]) if rewarded else None
    both = None if rewards is None else np.stack([rewards, np.zeros(WORDS)])
    found = text.beam_search(step, np.zeros((1, 2, 1)), width=120, limit=LIMIT, alpha=alpha, rewards=both)
    assert found == [exhaustive(logits, alpha, rewards), exhaustive(logits, alpha)]


def test_width_one_takes_the_likeliest_word_each_time():
    logits, step = markov(1)
    logits[:, 1] = -50.0  # no end in sight
    (found,) = text.beam_search(step, np.zeros((1, 1, 1)), width=1, limit=LIMIT)
    word, expected = 0, []
    for _ in range(LIMIT):
        word = 3 + int(logits[word, 3:].argmax())
        expected.append(word)
    assert found == expected


def test_samples_follow_the_probabilities_and_the_nucleus():
    logits, step = markov(2)
    p = np.exp(text.log_softmax(np.where(np.isin(np.arange(WORDS), (0, 2)), -np.inf, logits[0])))
    rows = 20_000
    found = text.sample(step, np.zeros((1, rows, 1)), np.random.default_rng(0), limit=1)
    counts = np.bincount([words[0] if words else 1 for words in found], minlength=WORDS) / rows
    assert np.max(np.abs(counts - p)) <= 5 * math.sqrt(0.25 / rows)
    top = text.sample(step, np.zeros((1, 50, 1)), np.random.default_rng(0), limit=1, mass=1e-6)
    assert {words[0] if words else 1 for words in top} == {int(p.argmax())}


def test_the_trigram_is_nltk_s():
    lm = pytest.importorskip("nltk.lm")
    from nltk.lm.preprocessing import padded_everygram_pipeline

    from examples.captioning.ngram import KneserNey, keyword_mixture

    rng = np.random.default_rng(0)
    sentences = [[str(w) for w in rng.integers(0, 5, rng.integers(1, 8))] for _ in range(40)]
    own, plain = KneserNey(sentences, 0.7), lm.KneserNeyInterpolated(3, discount=0.7)
    plain.fit(*padded_everygram_pipeline(3, sentences))
    vocabulary = sorted(own.vocab)
    for context in [("<s>", "<s>"), ("<s>", "1"), ("2", "3"), ("4", "4")]:
        values = [own.probability(word, context) for word in vocabulary]
        assert values == [plain.score(word, context) for word in vocabulary]
    assert keyword_mixture(own, sentences, [["1"]] * 40, 0.0) == own.loss(sentences)


def numbered(rng, rows, longest):
    return [rng.integers(3, 12, rng.integers(1, longest)).tolist() for _ in range(rows)]


def translator():
    words = text.Vocabulary([chr(97 + k) for k in range(9)])
    return Translator(words, words, text.Casing([]), 8, 6, seed=1)


@pytest.mark.parametrize("kind", ["translation", "captioning"])
def test_gradients_are_pytorch_s(kind):
    """All gradients of a ragged batch, among them a caption without keywords."""
    torch = pytest.importorskip("torch")
    from examples.captioning.peer import Peer as CaptionPeer
    from examples.translation.peer import Peer as TranslationPeer

    rng = np.random.default_rng(0)
    source, target = numbered(rng, 7, 6), numbered(rng, 7, 9)
    if kind == "translation":
        model, peer = translator(), TranslationPeer
        loss, tokens, grads = model.train(list(zip(source, target, strict=True)), 0.0, rng)
    else:
        model, peer = Captioner(translator().source, 8, 6, seed=1), CaptionPeer
        loss, tokens, grads = model.train(source, target, 0.0, rng)
    other = peer(model, 0.0)
    before, steps = text.ragged([[0, *row] for row in target])
    after, _ = text.ragged([[*row, 1] for row in target])
    counts = text.valid(steps, len(before))
    ids, lengths = text.ragged(source)
    expected = other(*map(torch.from_numpy, (ids, lengths, before, counts, after[counts])))
    expected.backward()
    assert tokens == int(counts.sum())
    loss /= tokens
    grads = [{name: grad / tokens for name, grad in part.items()} for part in grads]
    assert abs(loss - float(expected)) <= tables.TOLERANCES["forward", F32] * loss
    theirs = {name: value.grad.numpy() for name, value in other.named_parameters()}
    ours = {f"{m}.{p}": g for m, part in zip(model.modules, grads, strict=True) for p, g in part.items()}
    assert set(ours) == set(theirs)
    for name in ours:
        assert tables.relative_error(ours[name], theirs[name]) <= tables.TOLERANCES["gradient", F32], name


def test_no_keywords_leave_a_language_model():
    model = Captioner(translator().source, 8, 6, seed=1)
    memory, _, state = model.read([[], []])
    assert memory.shape[0] == 0
    np.testing.assert_array_equal(state[0], np.tanh(np.tile(model.start.parameters()["bias"], (2, 1))))
    grads = model.train([[], []], [[3], [4, 5]], 0.0, np.random.default_rng(0))[2]
    assert not grads[0]["weight"].any()


def test_saved_models_come_back(tmp_path):
    model = translator()
    model.save(tmp_path / "t")
    again = Translator.load(tmp_path / "t")
    assert again.translate(["a b c", "d"], 3, 0.5) == model.translate(["a b c", "d"], 3, 0.5)
    captioner = Captioner(model.source, 8, 6, seed=1)
    captioner.save(tmp_path / "c")
    assert Captioner.load(tmp_path / "c").beam([[3, 4], []]) == captioner.beam([[3, 4], []])


def run(name, folder, *packages):
    """What a quick run of an example finds."""
    for package in ("matplotlib", "rich", "safetensors", "sacrebleu", *packages):
        pytest.importorskip(package)
    try:
        return importlib.import_module(f"examples.{name}.__main__").main(["--quick", "--out", str(folder)])
    except data.DataNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.full
def test_quick_translation(tmp_path):
    found = run("translation", tmp_path)
    assert found["beam"] >= max(QUICK_BLEU, found["nearest"])
    assert (tmp_path / "attention.png").stat().st_size > 10_000


@pytest.mark.full
def test_quick_captions(tmp_path):
    found = run("captioning", tmp_path, "nltk")
    perplexity = found["perplexity"]
    assert perplexity["network"] < min(perplexity["trigram"], perplexity["trigram with keywords"])
    assert found["coverage"]["beam"][0] >= QUICK_COVERAGE
    assert (tmp_path / "captions.png").stat().st_size > 10_000


def test_small_translation(tmp_path, shorten):
    """Everything that the example does, on few sentences."""
    shorten("translation", lambda rows: rows[::10], {"features": 24, "hidden": 24, "epochs": 3, "lr": 3e-2})
    found = run("translation", tmp_path)
    assert all(0 <= found[name] <= 100 for name in ("greedy", "beam", "nearest"))
    assert found["speed"]["rnncore"] > 0
    assert (tmp_path / "attention.png").stat().st_size > 10_000
    losses = re.findall(r"validation (\d\S*)", (tmp_path / "log.txt").read_text())
    assert len(losses) == 3 and float(losses[2]) < float(losses[0])
    again = Translator.load(tmp_path / "model").translate(["We won.", "I ran."])
    assert len(again) == 2


def test_small_captions(tmp_path, shorten):
    """Everything that the example does, on the captions of few images; better than chance already."""
    few = lambda rows: [row for row in rows if len(row) == 2 or int(row[1]) % 16 == 1]  # noqa: E731
    shorten("captioning", few, {"features": 16, "hidden": 16, "epochs": 2, "at_least": 8})
    found = run("captioning", tmp_path, "nltk")
    words = len(text.Vocabulary.load(tmp_path / "model" / "words.json").words)
    assert found["perplexity"]["network"] < words / 4
    assert all(0 <= share <= 1 for pair in found["coverage"].values() for share in pair)
    assert (tmp_path / "captions.png").stat().st_size > 10_000
