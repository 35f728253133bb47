"""From a caption to phrases, and from phrases to the labels of a detector that knows only some nouns.

The paper gives its captions as they stand (section 3.3): "horses", and "sofa, coffee table, lamp, side table, rug, in a
livingroom".
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache

# A text encoder such as Grounding DINO's takes 256 tokens, some 1000 letters of English: COCO's 80 classes just fit.
MAX_PROMPT = 1000  # characters
MAX_PHRASES = 80

PREPOSITIONS = {
    "above", "against", "along", "among", "around", "at", "behind", "below", "beneath", "beside", "between", "by",
    "for", "from", "in", "inside", "into", "near", "next", "of", "on", "outside", "over", "through", "to", "under",
    "with", "within", "without",
}  # fmt: skip
SEPARATORS = re.compile(r"[,;.\n\r]")
AND = re.compile(r"(?:^| )and(?= |$)")
LEADING = re.compile(r"(?:(?:an?|the|some|(?:photo|picture|image)s? of)(?: |$))+")

# Nouns that label sets use for the same thing: COCO says "couch" and "dining table", the toy world "sofa" and "table".
# A noun here that is not the same thing (a side table is no dining table) is the nearest that some label set has.
SYNONYMS = (
    ("sofa", "couch"),
    ("rug", "carpet"),
    ("table", "coffee table", "side table", "dining table"),
    ("plant", "potted plant", "houseplant"),
    ("picture", "painting"),
    ("tv", "television", "tv monitor"),
    ("airplane", "aeroplane", "plane"),
    ("motorcycle", "motorbike"),
    ("bicycle", "bike"),
    ("cell phone", "mobile phone", "phone"),
    ("refrigerator", "fridge"),
)
IRREGULAR_PLURALS = {
    "person": "people", "man": "men", "woman": "women", "child": "children",
    "foot": "feet", "tooth": "teeth", "goose": "geese", "mouse": "mice",
}  # fmt: skip


class PromptLanguageWarning(UserWarning):
    """A prompt in letters that are not Latin: the zero-shot models were trained on English captions."""


def parse_phrases(prompt: str | Sequence[str]) -> tuple[str, ...]:
    """The phrases of a caption, in its order.

    1. Compatible forms of letters are made one (Unicode NFKC), and lower case.
    2. Commas, semicolons, full stops, line ends and the word "and" separate ("a sofa and a lamp" names two things; for
       one thing of two colours write "black-and-white cat"). White space is collapsed.
    3. Leading articles ("a", "an", "the", "some") and "photo of" are dropped.
    4. A part that begins with a preposition is dropped: "in a livingroom" says where the scene is. A grounding model
       would take it for one more object and answer with a box of the whole room, or merge it with another label.
    5. A part without a letter or digit names nothing, and repeats add nothing: dropped.

    Words stay as written otherwise: plurals too, for the models take both ("horses").

    >>> parse_phrases("sofa, coffee table, lamp, side table, rug, in a livingroom")
    ('sofa', 'coffee table', 'lamp', 'side table', 'rug')

    Args:
        prompt: a caption, or several; each is parsed alike. At most MAX_PROMPT characters in all.

    Raises:
        TypeError: neither text nor a sequence of texts.
        ValueError: too long, more than MAX_PHRASES phrases, control characters, or no object named.

    Warns `PromptLanguageWarning` of letters that are not Latin, and goes on. A language in Latin letters cannot be told
    from English here: German words pass, and a model may not know them.
    """
    captions = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(captions, Sequence) or not all(isinstance(caption, str) for caption in captions):
        raise TypeError(f"prompt must be text or a sequence of texts, got {prompt!r:.80}")
    if (length := sum(map(len, captions))) > MAX_PROMPT:
        raise ValueError(f"prompt must have at most {MAX_PROMPT} characters, got {length}: name fewer objects")
    parts = [part for caption in captions for part in _parts(caption)]
    phrases = tuple(dict.fromkeys(part for part in parts if _names_an_object(part)))
    if not phrases:
        raise ValueError(f"prompt must name an object, such as 'sofa, coffee table, lamp', got {prompt!r:.80}")
    if len(phrases) > MAX_PHRASES:
        raise ValueError(f"prompt must name at most {MAX_PHRASES} objects, got {len(phrases)}")
    if foreign := [phrase for phrase in phrases if any(map(_not_latin, phrase))]:
        warnings.warn(
            f"prompt: {foreign[0]!r} is not in Latin letters; detectors of words were trained on English captions and "
            "may find nothing, or anything: better use English nouns",
            PromptLanguageWarning,
            stacklevel=2,
        )
    return phrases


def matches(phrase: str, label: str) -> bool:
    """Whether boxes of `label` may answer `phrase`.

    In this order of preference:

    1. the same noun: upper and lower case, a leading article, hyphens, underscores, spaces and the plural do not count
       ("the Horses" and "horse");
    2. the phrase ends in the label ("coffee table" and "table"; "horse with a rider" ends in "horse"), the longest
       ending first. Not the other way round: "dog" does not ask for a "hot dog";
    3. the phrase ends in a synonym of the label (see SYNONYMS), likewise.
    """
    return _rank(phrase, label) is not None


def best_label(phrase: str, labels: Iterable[str]) -> str | None:
    """The label that answers `phrase` best, in the order of preference of `matches`, the first of equals; or None."""
    ranks = {label: rank for label in labels if (rank := _rank(phrase, label)) is not None}
    return min(ranks, key=ranks.__getitem__, default=None)


def assign_labels(labels: Iterable[str], phrases: Sequence[str]) -> dict[str, str]:
    """Which phrase the boxes of each label answer; labels that nobody asked for are left out.

    A phrase takes the labels that match it best and no others: "hot dog" takes no "dog" where "hot dog" is a label too.
    A label goes to the phrase that matches it best, of equals to the first: with the one label "table", the boxes for
    "coffee table" and "side table" are all called "coffee table".

    >>> assign_labels(["table", "rug", "sofa"], ["couch", "coffee table", "side table"])
    {'table': 'coffee table', 'sofa': 'couch'}
    """
    labels = list(dict.fromkeys(labels))
    assigned: dict[str, tuple[tuple[int, int], str]] = {}
    for phrase in phrases:
        ranks = {label: rank for label in labels if (rank := _rank(phrase, label)) is not None}
        best = min(ranks.values(), default=None)
        for label, rank in ranks.items():
            if rank == best and (label not in assigned or rank < assigned[label][0]):
                assigned[label] = rank, phrase
    return {label: assigned[label][1] for label in labels if label in assigned}


def _parts(caption: str) -> list[str]:
    for character in caption:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
            raise ValueError(f"prompt must be plain text, got the control character {character!r}")
    caption = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", caption).lower())
    parts = [part for piece in SEPARATORS.split(caption) for part in AND.split(" ".join(piece.split()))]
    return [_without_article(part.strip()) for part in parts]


def _without_article(part: str) -> str:
    leading = LEADING.match(part)
    return part[leading.end() :] if leading else part


def _names_an_object(part: str) -> bool:
    return any(map(str.isalnum, part)) and part.split()[0] not in PREPOSITIONS


def _not_latin(character: str) -> bool:
    return character.isalpha() and "LATIN" not in unicodedata.name(character, "")


@lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
    text = " ".join(re.split(r"[\s_-]+", unicodedata.normalize("NFKC", text).lower().strip()))
    return tuple(_without_article(text).split())


@lru_cache(maxsize=4096)
def _endings(phrase: str) -> tuple[str, ...]:
    """Nouns in which the phrase ends, longest first: "red dining table" gives reddiningtable, diningtable, table."""
    words = _words(phrase)
    # What a thing stands on or holds is not what it is: "chair on a rug" ends in "chair".
    place = next((i for i, word in enumerate(words) if i and word in PREPOSITIONS), len(words))
    return tuple("".join(words[i:place]) for i in range(place))


@lru_cache(maxsize=4096)
def _forms(noun: str) -> frozenset[str]:
    """A noun and what its English plural may look like; more than one, as spelling alone does not tell."""
    forms = {noun, noun + "s"}
    if noun.endswith(("s", "x", "z", "ch", "sh", "o")):
        forms.add(noun + "es")
    if noun.endswith("y"):
        forms.add(noun[:-1] + "ies")
    if noun.endswith(("f", "fe")):
        forms.add(noun[: noun.rindex("f")] + "ves")
    forms.update(noun[: -len(one)] + many for one, many in IRREGULAR_PLURALS.items() if noun.endswith(one))
    return frozenset(forms)


def _same(a: str, b: str) -> bool:
    """One noun, in the singular or the plural."""
    return b in _forms(a) or a in _forms(b)


@lru_cache(maxsize=4096)
def _synonyms(noun: str) -> tuple[str, ...]:
    groups = [["".join(_words(name)) for name in group] for group in SYNONYMS]
    return tuple(name for group in groups if any(_same(noun, member) for member in group) for name in group)


def _rank(phrase: str, label: str) -> tuple[int, int] | None:
    """Which rule of `matches` holds, and how many of the phrase's words the label leaves out; None if none holds."""
    noun, endings = "".join(_words(label)), _endings(phrase)
    if not noun:  # a label such as "the"
        return None
    if _same("".join(_words(phrase)), noun):
        return 1, 0
    for rule, names in ((2, (noun,)), (3, _synonyms(noun))):
        for left_out, ending in enumerate(endings):
            if any(_same(ending, name) for name in names):
                return rule, left_out
    return None
