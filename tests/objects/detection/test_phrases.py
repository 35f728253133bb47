"""From captions to phrases, and from phrases to labels."""

from __future__ import annotations

import unicodedata
import warnings

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stylemixseg.generators.toyworld.world import CLASS_NAMES as TOY
from stylemixseg.objects.detection.phrases import (
    MAX_PHRASES,
    MAX_PROMPT,
    PromptLanguageWarning,
    assign_labels,
    best_label,
    matches,
    parse_phrases,
)

COCO = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, "
    "surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, "
    "broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, "
    "mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, "
    "teddy bear, hair drier, toothbrush"
).split(", ")


@pytest.mark.parametrize(
    "prompt, phrases",
    [
        ("horses", ["horses"]),
        (
            "sofa, coffee table, lamp, side table, rug, in a livingroom",
            ["sofa", "coffee table", "lamp", "side table", "rug"],
        ),
        ("A Sofa;the LAMP. some rugs\nan armchair\r\n", ["sofa", "lamp", "rugs", "armchair"]),
        ("  coffee \t  table ,, ; lamp", ["coffee table", "lamp"]),
        ("a photo of a horse", ["horse"]),
        ("an image of the sofa, pictures of some lamps", ["sofa", "lamps"]),
        ("a photo of, sofa", ["sofa"]),
        ("a sofa and a lamp", ["sofa", "lamp"]),
        ("sofa, lamp, and rug", ["sofa", "lamp", "rug"]),
        ("and sofa and", ["sofa"]),
        ("a sandy band", ["sandy band"]),  # "and" only as a word
        ("black-and-white cat", ["black-and-white cat"]),
        ("lamp, sofa, a lamp, Lamp", ["lamp", "sofa"]),
        ("on the floor, rug, with a sofa, near the window", ["rug"]),
        ("inkwell, ottoman, theremin, androids", ["inkwell", "ottoman", "theremin", "androids"]),  # only whole words
        ("horse with a rider", ["horse with a rider"]),
        ("sofa, ..., -, !", ["sofa"]),
        ("ｓｏｆａ，lamp", ["sofa", "lamp"]),  # full-width letters and comma
        ("cafe\u0301 table, caf\u00e9 table", ["caf\u00e9 table"]),  # composed or not
        (["a sofa, lamp", "rug", "sofa"], ["sofa", "lamp", "rug"]),
        (("horses",), ["horses"]),
    ],
)
def test_phrases_of_a_prompt(prompt, phrases):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_phrases(prompt) == tuple(phrases)


@pytest.mark.parametrize(
    "prompt", ["", "  \n", ",;.", "in a livingroom", "the", "a photo of", "and", "!?", [], ["", "a"]]
)
def test_a_prompt_without_an_object(prompt):
    with pytest.raises(ValueError, match="prompt must name an object, such as 'sofa, coffee table, lamp', got"):
        parse_phrases(prompt)


@pytest.mark.parametrize("prompt", [None, 3, b"sofa", [b"sofa"], ["sofa", None], {"sofa"}, (word for word in "ab")])
def test_a_prompt_that_is_not_text(prompt):
    with pytest.raises(TypeError, match="prompt must be text or a sequence of texts, got"):
        parse_phrases(prompt)


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\x85", "\ud800"])
def test_control_characters_are_refused_by_name(character):
    with pytest.raises(ValueError, match="prompt must be plain text, got the control character") as caught:
        parse_phrases(f"sofa{character}, lamp")
    assert repr(character) in str(caught.value)


def test_limits():
    words = [f"thing{i}" for i in range(MAX_PHRASES)]
    assert len(parse_phrases(words)) == MAX_PHRASES
    with pytest.raises(ValueError, match=f"at most {MAX_PHRASES} objects, got {MAX_PHRASES + 1}"):
        parse_phrases([*words, "lamp"])
    assert parse_phrases("a" * MAX_PROMPT) == ("a" * MAX_PROMPT,)
    for prompt in ("a" * (MAX_PROMPT + 1), ["a" * MAX_PROMPT, "b"]):
        with pytest.raises(ValueError, match=f"at most {MAX_PROMPT} characters, got {MAX_PROMPT + 1}"):
            parse_phrases(prompt)


def test_all_classes_of_coco_fit_into_one_prompt():
    assert parse_phrases(", ".join(COCO)) == tuple(COCO) and len(COCO) == 80


@pytest.mark.parametrize("prompt, word", [("диван, lamp", "диван"), ("lamp, ソファ", "ソファ"), ("καναπές", "καναπές")])
def test_other_scripts_are_warned_of_and_kept(prompt, word):
    with pytest.warns(PromptLanguageWarning, match="trained on English captions") as caught:
        assert word in parse_phrases(prompt)
    assert repr(word) in str(caught[0].message)
    assert caught[0].filename == __file__


def test_other_languages_in_latin_letters_cannot_be_told():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_phrases("Stühle, canapé") == ("stühle", "canapé")


WORDS = st.sampled_from("sofa Sofa lamps table a an the and in with photo of some , . ; \n - 3 Σ ﬁ é İ".split(" "))
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=30)


@pytest.mark.filterwarnings("ignore::stylemixseg.objects.detection.phrases.PromptLanguageWarning")
@given(st.lists(WORDS, max_size=12).map(" ".join) | TEXT)
def test_parsing_the_result_again_changes_nothing(prompt):
    try:
        phrases = parse_phrases(prompt)
    except ValueError:
        assume(False)
    assert parse_phrases(phrases) == parse_phrases(", ".join(phrases)) == phrases
    assert len(set(phrases)) == len(phrases)
    for phrase in phrases:
        assert phrase == phrase.lower() == " ".join(phrase.split()) and not set(phrase) & set(",;.\n\r")
        assert unicodedata.is_normalized("NFKC", phrase)


@pytest.mark.parametrize(
    "phrase, label",
    [
        ("sofa", "sofa"),
        ("Sofas", "sofa"),
        ("sofa", "Sofas"),
        ("the horses", "horse"),
        ("couches", "couch"),
        ("people", "person"),
        ("women", "woman"),
        ("knives", "knife"),
        ("shelves", "shelf"),
        ("teddies", "teddy"),
        ("sheep", "sheep"),
        ("buses", "bus"),
        ("tomatoes", "tomato"),
        ("potted-plants", "potted_plant"),
        ("dining table", "diningtable"),
        ("coffee table", "table"),
        ("small wooden coffee tables", "coffee table"),
        ("horse with a rider", "horse"),
        ("chair on a rug", "chair"),
        ("sofa", "couch"),
        ("red leather couches", "sofa"),
        ("carpet", "rug"),
        ("table", "dining table"),
        ("side table", "dining table"),
        ("plant", "potted plant"),
        ("television", "tv"),
    ],
)
def test_what_matches(phrase, label):
    assert matches(phrase, label)


@pytest.mark.parametrize(
    "phrase, label",
    [
        ("sofa", "lamp"),
        ("black bear", "ear"),  # words, not letters
        ("table", "lamp table"),
        ("dog", "hot dog"),
        ("glass", "wine glass"),
        ("chair on a rug", "rug"),
        ("glass of wine", "wine"),
        ("lamps", "amp"),
        ("a", "the"),  # nothing but articles
        ("in", "on"),
    ],
)
def test_what_does_not_match(phrase, label):
    assert not matches(phrase, label)


@pytest.mark.parametrize(
    "phrase, labels, best",
    [
        ("hot dogs", COCO, "hot dog"),
        ("dogs", COCO, "dog"),
        ("brown teddy bear", COCO, "teddy bear"),
        ("brown bear", COCO, "bear"),
        ("toy car seat cover", ["cover", "car seat cover", "seat cover"], "car seat cover"),  # the longest ending
        ("horses", COCO, "horse"),
        ("sofa", COCO, "couch"),
        ("coffee table", COCO, "dining table"),
        ("plants", COCO, "potted plant"),
        ("mobile phone", COCO, "cell phone"),
        ("lamp", COCO, None),
        ("couch", TOY, "sofa"),
        ("coffee table", TOY, "table"),
        ("carpets", TOY, "rug"),
        ("painting", TOY, "picture"),
        ("coffee table", ["table", "coffee table"], "coffee table"),  # exact before the last word
        ("coffee table", ["dining table", "table"], "table"),  # the last word before a synonym
        ("table", ["coffee table", "side table"], "coffee table"),  # the first of equals
        ("sofa", [], None),
    ],
)
def test_best_label(phrase, labels, best):
    assert best_label(phrase, labels) == best


@pytest.mark.parametrize("labels", [TOY, COCO])
def test_every_label_answers_to_its_own_name(labels):
    for label in labels:
        assert best_label(label, labels) == label and best_label(f"some {label}s", labels) == label
    assert assign_labels(labels, labels) == {label: label for label in labels}


def test_the_papers_caption_and_the_toy_world():
    phrases = parse_phrases("sofa, coffee table, lamp, side table, rug, in a livingroom")
    assert assign_labels(TOY, phrases) == {"rug": "rug", "sofa": "sofa", "table": "coffee table", "lamp": "lamp"}


@pytest.mark.parametrize(
    "labels, phrases, assigned",
    [
        (["table"], ["side table", "table"], {"table": "table"}),  # the exact phrase before an earlier one
        (["table"], ["side table", "coffee table"], {"table": "side table"}),  # the first of equals
        (["coffee table", "side table"], ["table"], {"coffee table": "table", "side table": "table"}),
        (["coffee table", "table"], ["coffee table"], {"coffee table": "coffee table"}),
        (["dog", "hot dog"], ["hot dog"], {"hot dog": "hot dog"}),
        (["dog", "hot dog"], ["hot dog", "dogs"], {"dog": "dogs", "hot dog": "hot dog"}),
        (["Sofa", "sofas"], ["sofa"], {"Sofa": "sofa", "sofas": "sofa"}),
        (["sofa", "sofa"], ["lamp"], {}),
        ([], ["lamp"], {}),
    ],
)
def test_assign_labels(labels, phrases, assigned):
    assert assign_labels(labels, phrases) == assigned
