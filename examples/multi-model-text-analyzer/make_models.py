"""Train a sentiment classifier, and learn which words are rare, from generated sentences.

Random choices are seeded, so every run trains the same models.
"""

import random
import sys
from pathlib import Path

import skops.io
from sklearn.feature_extraction.text import (
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline

MODELS = Path(__file__).parent / "models"
WORDS = {
    "POSITIVE": (
        "amazing beautiful brilliant charming delicious delightful excellent fantastic friendly",
        "admired enjoyed loved praised recommended",
    ),
    "NEGATIVE": (
        "awful boring broken dirty disappointing dreadful horrible noisy overpriced rude terrible",
        "avoided disliked hated regretted returned",
    ),
}
"""The adjectives and the verbs of each label."""
THINGS = "book breakfast camera concert film garden guide hotel museum restaurant room tour"
TEMPLATES = (
    "The {thing} was {adjective} and the {other} was {adjective2} too.",
    "We {verb} the {thing} because it is so {adjective}.",
    "It was a {adjective} {thing} in every way, and my friends {verb} it.",
    "What a {adjective} {thing}! I have never seen one that was as {adjective2} as this.",
    "Everybody who was with us {verb} the {other} and the {adjective} {thing} of the town.",
)
_SENTENCES_PER_LABEL = 400


def make_sentences(label: str) -> list[str]:
    """Return the sentences of one label; the same at each call."""
    chance = random.Random(label)
    adjectives, verbs, things = (words.split() for words in (*WORDS[label], THINGS))
    return [
        chance.choice(TEMPLATES).format(
            thing=chance.choice(things),
            other=chance.choice(things),
            verb=chance.choice(verbs),
            adjective=chance.choice(adjectives),
            adjective2=chance.choice(adjectives),
        )
        for _ in range(_SENTENCES_PER_LABEL)
    ]


def train_sentiment(sentences: list[str], labels: list[str]) -> tuple[Pipeline, float]:
    """Return the classifier and its accuracy on sentences that were not used for training."""
    split = train_test_split(sentences, labels, test_size=0.25, random_state=0)
    seen, unseen, seen_labels, unseen_labels = split
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression(C=100.0))
    pipeline.fit(seen, seen_labels)
    return pipeline, pipeline.score(unseen, unseen_labels)


def learn_rarity(sentences: list[str]) -> Pipeline:
    """Return a pipeline that weighs words by rarity; hashing makes unknown words the rarest."""
    words = HashingVectorizer(n_features=2**14, alternate_sign=False, norm=None)
    return make_pipeline(words, TfidfTransformer()).fit(sentences)


def main() -> None:
    by_label = {label: make_sentences(label) for label in WORDS}
    sentences = [sentence for made in by_label.values() for sentence in made]
    labels = [label for label, made in by_label.items() for _ in made]
    classifier, accuracy = train_sentiment(sentences, labels)
    MODELS.mkdir(exist_ok=True)
    skops.io.dump(classifier, MODELS / "sentiment-analysis.skops")
    skops.io.dump(learn_rarity(sentences), MODELS / "summarization.skops")
    print(f"sentiment-analysis: accuracy {accuracy:.0%}; summarization: {len(sentences)} sentences")


if __name__ == "__main__":
    sys.exit(main())
