"""A study's own words are said everywhere, sizes instead of names of probes, and names never change."""

import html

import pytest

from embedlab import wording
from embedlab.errors import UserError
from embedlab.wording import naming, said, said_in_html, sized, speaking

SPEAKERS = {"identity": "speaker", "item": "utterance"}


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Two images of one person.", "Two utterances of one speaker."),
        ("People's images, a person's image", "Speakers' utterances, a speaker's utterance"),
        ("An image is a face; A person", "An utterance is an utterance; A speaker"),
        ("8 people and 1 photograph", "8 speakers and 1 utterance"),
        ("image_a, images/1.png, person-001, interface, 32-px images", None),
    ],
)
def test_each_word_becomes_that_of_the_study_in_number_case_and_with_its_article(text, spoken):
    assert said(text) == text
    with speaking(SPEAKERS):
        assert said(text) == (spoken or text.replace("px images", "px utterances"))
    assert said(text) == text


def test_articles_follow_the_sound():
    for word, spoken in (
        ("user", "a user"),
        ("hour", "an hour"),
        ("umbrella", "an umbrella"),
        ("euro", "a euro"),
    ):
        with speaking({"item": word}):
            assert said("an image") == spoken


def test_plurals_are_made_or_told():
    assert [wording.several(one) for one in ("speaker", "city", "toy", "class", "dish")] == [
        "speakers", "cities", "toys", "classes", "dishes",
    ]  # fmt: skip
    with speaking({"identity": "species", "identities": "species", "item": "leaf", "items": "leaves"}):
        assert said("2 people's images of a person") == "2 species' leaves of a species"


def test_who_says_it_twice_says_no_more():
    words = {"identity": "patient", "item": "X-ray image"}
    with speaking(words):
        once = said("Images of people, an image")
        assert once == "X-ray images of patients, an X-ray image"
        assert said(once) == once
        assert said_in_html(f"<p>{once}</p>") == f"<p>{once}</p>"


def test_names_are_no_words():
    with speaking(SPEAKERS, ["faces", "A person & co", "Image 7"]):
        assert said("faces") == "faces"
        assert (
            said("On faces, image Image 7 of A person & co") == "On faces, utterance Image 7 of A person & co"
        )
        assert said_in_html("<td>A person &amp; co</td>") == "<td>A person &amp; co</td>"
        with naming(lambda: ["Two People"]):
            assert said("Two People of faces are people") == "Two People of faces are speakers"
        assert said("Two People") == "Two Speakers"


def test_names_are_not_gathered_where_no_words_are_said():
    with naming(lambda: pytest.fail("nobody needs them")):
        assert said("a person") == "a person"


def test_a_page_is_said_but_for_code_scripts_and_what_is_somebody_s_own():
    page = (
        '<h1 data-as-written>Faces<br> of <b>people</b></h1><p class="person" title="a person">a face</p>'
        '<code>--people</code><script type="x">{"person": "image"}</script><style>.face{}</style>'
        '<div data-as-written><div>people</div>people</div><p>people</p><img alt="an image">'
    )
    with speaking(SPEAKERS):
        made = said_in_html(page)
    assert made == (
        '<h1 data-as-written>Faces<br> of <b>people</b></h1><p class="person" '
        'title="a speaker">an utterance</p>'
        '<code>--people</code><script type="x">{"person": "image"}</script><style>.face{}</style>'
        '<div data-as-written><div>people</div>people</div><p>speakers</p><img alt="an utterance">'
    )


def test_words_bring_no_elements_into_a_page():
    with speaking({"identity": "<b>&person"}):
        assert "<b>" not in said_in_html("<p>a person</p>")
        assert html.unescape(said_in_html("<p>a person</p>")) == "<p>a <b>&person</p>"


def test_sharp_and_blurred_may_be_clean_and_noisy():
    with speaking({"sharp": "clean", "blurred": "noisy", "blur": "noise"}):
        assert (
            said("Do sharp and blurred images differ by blur?")
            == "Do clean and noisy images differ by noise?"
        )


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ({"person": "speaker"}, "unknown word 'person'"),
        ({"identity": ""}, "identity must be a word of at most 40 letters"),
        ({"identity": 3}, "identity must be a word of at most 40 letters"),
        ({"item": "x" * 41}, "item must be a word of at most 40 letters"),
    ],
)
def test_words_that_are_none_are_refused(words, wrong):
    with pytest.raises(UserError, match=wrong):
        wording.checked(words, "study.toml: words")


def test_shrunk_images_are_called_by_their_size_in_sentences():
    probes = ("faces", "faces@32", "faces@8")
    assert sized("On faces@32 it is less than on faces.", probes) == "At 32 px it is less than on faces."
    assert sized("In m, on faces@8.", probes) == "In m, at 8 px."
    assert sized("From faces to faces@32 in m", probes) == "From faces to 32 px in m"
    assert sized("From faces@32 to faces@8", probes) == "From faces at 32 px to faces at 8 px"
    assert sized("rank-1 of faces@32", probes) == "rank-1 at 32 px"
    assert sized("Axes of faces@32 onto faces", probes) == "Axes of faces at 32 px onto faces"
    assert sized("On faces × faces@32, it", probes) == "Between faces and faces at 32 px, it"
    assert sized("d′ on clean × noisy", ()) == "d′ between clean and noisy"
    two = (*probes, "others", "others@32")
    assert sized("on faces@32 and others@32", two) == "on faces at 32 px and others at 32 px"


def test_what_only_looks_like_a_size_stays():
    probes = ("faces", "faces@32", "mail@home", "v@0")
    text = "ann@32, faces@32.png, faces@320, x-faces@32, mail@home and v@0"
    assert sized(text, probes) == text
    with speaking(SPEAKERS):
        assert sized("on faces@32", probes) == "on faces@32", "an utterance has no pixels"
