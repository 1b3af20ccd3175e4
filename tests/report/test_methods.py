"""The methods tell what was really run, and no more."""

import dataclasses
import json
import re

import pytest

from embedlab.analysis import names
from embedlab.estimates import Comparisons
from embedlab.lab.store import Lab
from embedlab.question import Answer
from embedlab.report import build, methods
from embedlab.report.methods import Sources, fields_of

HASH = "ab" * 32
TRAINED = {
    "weights_sha256": HASH,
    "recipe": {
        "backbone": "ir_se_18",
        "width": 8,
        "dimension": 128,
        "head": "arcface",
        "scale": 16.0,
        "margin": 0.1,
    },
    "history": [{}, {}],
    "images": 5000,
    "identities": 250,
    "data": {"lowres": "…", "highres": "…"},
    "seed": 4,
}


def embedded(model, probe, **changes):
    data = {"name": "faces", "images": 600, "people": 200}
    return {"model": model, "probe": probe, "model_sha256": HASH, "dataset": data} | changes


def told(outcome, *records, trained=None, **more):
    return "\n".join(methods.of([outcome], Sources(records, trained or {}), **more).text)


def test_the_data_the_models_and_what_they_were_trained_on(outcome):
    records = [embedded("net", probe) for probe in ("faces", "faces@16", "faces@32")]
    text = told(outcome, *records, trained={"net": TRAINED})
    assert (
        "600 images of 200 people (faces) were embedded, as they are and shrunk to 32 and 16 px first."
        in text
    )
    assert (
        "net (ir_se_18, width 8, 128 dimensions) was trained for 2 epochs on 5,000 images of 250 people"
        in text
    )
    assert "(lowres and highres), by the head arcface (scale 16, margin 0.1), seed 4." in text


@pytest.mark.parametrize("record", [{}, TRAINED | {"weights_sha256": "other"}, TRAINED | {"history": []}])
def test_of_a_network_that_did_not_make_the_vectors_no_training_is_told(outcome, record):
    text = told(outcome, embedded("net", "faces"), trained={"net": record})
    assert "What net was trained on is not recorded." in text
    assert "250 people" not in text


def test_imported_vectors_are_called_so(outcome):
    text = told(
        outcome, embedded("a", "faces", dataset={}), embedded("b", "faces", imported_from={"name": "x"})
    )
    assert "The embeddings of a and b were imported." in text
    assert "were embedded" not in text


def test_parameters_are_those_of_the_run_and_not_the_defaults(outcome):
    assert outcome.analysis.params.holes == 3
    assert "1 analysis ran: conftest (holes 7)." in told(outcome)
    assert "seed 0" in told(outcome)


def test_an_analysis_without_a_result_is_not_told_nor_cited(outcome):
    failed = dataclasses.replace(outcome, runs=outcome.runs[2:])
    assert methods.of([failed], Sources()) == methods.Methods()


def test_claims_and_verdicts_are_told_where_there_are_any(outcome):
    assert "Benjamini" not in told(outcome)
    some = methods.of([outcome], Sources(), compared=Comparisons(40, 9))
    assert "Of 40 comparisons" in some.text[1]
    assert "rate of 5 %: 9 of them" in some.text[1]
    assert "Benjamini1995controlling" in some.bibtex
    assert "Dunn" not in some.bibtex
    answer = Answer("sizes", ("m",), "yes", "t", effect=outcome.results[0].share, matters=0.02, over=50)
    some = methods.of([outcome], Sources(), [answer])
    assert "simultaneously over 50 claims (Bonferroni" in some.text[1]
    assert "(sizes 0.02)" in some.text[1]
    # A fact such as a wrong label is judged by no effect, and none that matters was asked for.
    fact = Answer("data", (), "yes", "t", matters=0.5, over=50)
    assert "(sizes 0.02)" in methods.of([outcome], Sources(), [answer, fact]).text[1]
    assert "Dunn1961multiple" in some.bibtex


def test_versions_are_those_that_the_results_were_computed_with(outcome):
    first, second = (
        dataclasses.replace(run, record={"versions": {"numpy": version}})
        for run, version in zip(outcome.runs[:2], ("2.1", "2.2"), strict=True)
    )
    failed = dataclasses.replace(outcome.runs[3], record={"versions": {"numpy": "1.0"}})
    mixed = dataclasses.replace(outcome, runs=(first, second, failed))
    assert told(mixed).endswith("Software: numpy 2.1 and 2.2.")
    assert told(outcome, versions=[("numpy", "9")]).endswith("Software: numpy 9.")


def entries(bibtex):
    """Read BibTeX by counting braces: kind, key and body of each entry."""
    found, at = [], 0
    while match := re.compile(r"\s*@(\w+)\{([^,\s]+),").match(bibtex, at):
        depth, end = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(bibtex[end], 0)
            end += 1
        found.append((match[1], match[2], bibtex[match.end() : end - 1]))
        at = end
    assert not bibtex[at:].strip()
    return found


def test_every_reference_of_every_analysis_is_an_entry_of_its_own(outcome):
    from embedlab.analysis import get

    references = [one for name in names() for one in methods._references(get(name).doc)]
    made = entries(methods._bibtex(references, {"embedlab": "1.0"}))
    keys = [key for _, key, _ in made]
    assert len(keys) == len(set(keys)) == len(set(references)) + 1
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", key) for key in keys)
    assert sum("author = " in body for _, _, body in made) > 0.9 * len(made)
    for _, key, body in made[1:]:
        (year,) = re.findall(r"year = \{(\d{4})\}", body)
        assert year in key


def test_a_reference_is_taken_apart_or_left_whole():
    assert fields_of("Huh, M., Cheung, B. and Isola, P. The platonic one. ICML 2024.") == {
        "author": "Huh, M. and Cheung, B. and Isola, P.",
        "title": "The platonic one",
        "howpublished": "ICML",
        "year": "2024",
    }
    assert fields_of("Gao, P. et al. A theory. bioRxiv 214262, 2017.")["author"] == "Gao, P. and others"
    assert fields_of("Roe, R. Maps. IEEE 4(2), 2022. arXiv 2010.02323.")["year"] == "2022"
    assert fields_of("Roe, R. Novels of 1984. Maps 4(2), 2022.")["year"] == "2022"
    whole = "ISO/IEC 19795-1:2021. Reporting, part 1."
    assert fields_of(whole) == {"note": whole, "year": "2021"}


def test_what_bibtex_would_read_as_a_command_is_escaped():
    (_, _, body) = entries(methods._bibtex(["{Evil} & 5 % of $x_1$ \\input{a}, 1999."], {}))[0]
    assert r"Evil \& 5 \% of \$x\_1\$ inputa" in body


def test_the_lab_s_records_are_read_and_broken_ones_are_none(tmp_path):
    lab = Lab(tmp_path)
    for name, text in (("good", json.dumps(TRAINED)), ("bad", "{")):
        lab.checkpoint(name).mkdir(parents=True)
        (lab.checkpoint(name) / "model.json").write_text(text)
    assert dict(Sources.of(lab, ["good", "bad", "none"], []).trained) == {"good": TRAINED}


def test_page_and_numbers_hold_the_same_methods(tmp_path, outcome):
    page = build(tmp_path / "index.html", title="t", outcomes=[outcome], models=[], provenance={})
    kept = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["methods"]
    assert "conftest (holes 7)" in kept["text"][0]
    assert "Brie and Gouda, On holes, 1999. In two lines." in kept["bibtex"]
    text = page.read_text(encoding="utf-8")
    assert kept["text"][0] in text
    assert 'data-copy="Copy BibTeX"' in text
