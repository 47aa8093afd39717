"""Tables of a study: columns, provenance, counts, bytes that do not change, and the document."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from starlight_exporter.analysis.study_metrics import METRICS, TESTED_METRICS
from starlight_exporter.analysis.study_results import Study
from starlight_exporter.publish.documents.model_study import document
from starlight_exporter.publish.study_tables import PAIR_COLUMNS, STUDY_COLUMNS, pairs_csv, study_csv
from support.snapshots import example_prediction
from support.studies import result_of, scored_predictions, study_of

COMMAND = "starlight study --model good.onnx bad.onnx --dataset reference"


@pytest.fixture(scope="module")
def study() -> Study:
    return study_of(
        [
            result_of(scored_predictions(3.0, 1), model="good"),
            result_of(scored_predictions(0.2, 2), model="bad"),
            result_of(scored_predictions(0.3, 3), model="worse|odd"),
        ]
    )


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_columns_are_a_contract(study: Study) -> None:
    assert study_csv(study).splitlines()[0] == (
        "model,dataset,metric,slice,value,ci_low,ci_high,ci_level,count,images,covers,resamples,not_measured,"
        "model_sha256,dataset_fingerprint,decision,seed,starlight_version,onnxruntime_version,numpy_version,"
        "pillow_version,execution_provider,evaluated_at"
    )
    assert pairs_csv(study).splitlines()[0] == (
        "dataset,first,second,metric,slice,difference,ci_low,ci_high,ci_level,images,covers,only_first,only_second,"
        "resamples,test,swaps,p_value,adjusted_p_value,tests,conclusion,not_measured,first_sha256,second_sha256,"
        "dataset_fingerprint,decision,seed,starlight_version,onnxruntime_version,numpy_version,pillow_version,"
        "execution_provider"
    )


def test_every_row_has_counts_interval_and_provenance(study: Study) -> None:
    found = rows(study_csv(study))
    assert len(found) == 3 * len(METRICS)
    for row in found:
        assert row["dataset_fingerprint"] == "b" * 64
        assert len(row["model_sha256"]) == 64
        assert row["evaluated_at"] == "1970-01-01T00:00:11Z"
        assert row["execution_provider"] == "CPUExecutionProvider"
        measured = [row[name] for name in ("value", "ci_low", "ci_high")]
        assert all(measured) if row["not_measured"] == "" else not any(measured)
        assert int(row["images"]) > 0
        assert int(row["covers"]) > 0
    values = {(row["model"], row["metric"], row["slice"]): row for row in found}
    good = study.results[0][0].evaluation
    fpr = values["good", "false_positive_rate", "all"]
    assert (int(fpr["count"]), int(fpr["images"]), float(fpr["value"])) == (good.clean.count, 250, good.clean.ratio)
    assert good.figures is not None
    p_e = values["good", "p_e", "all"]
    assert (float(p_e["value"]), p_e["count"], p_e["resamples"]) == (good.figures.figures["p_e"].value, "", "1000")
    assert (p_e["images"], p_e["covers"]) == ("350", "250")
    assert values["good", "detection_at_0_1_percent_fpr", "all"]["not_measured"] == "few_clean_images"


def test_pairs_have_test_family_and_conclusion(study: Study) -> None:
    found = rows(pairs_csv(study))
    assert len(found) == 3 * len(TESTED_METRICS)
    measured = [row for row in found if row["conclusion"] != "not measured"]
    assert {int(row["tests"]) for row in found} == {len(measured)}
    assert {row["conclusion"] for row in found} == {"distinguished", "not distinguished", "not measured"}
    for row in found:
        assert row["first_sha256"] != row["second_sha256"]
        if row["not_measured"] == "":
            counts = [row[name] != "" for name in ("swaps", "resamples", "only_first", "only_second")]
            assert counts == ([True, True, False, False] if row["test"] == "swap" else [False, False, True, True])
        assert (row["not_measured"] != "") == (row["p_value"] == "") == (row["difference"] == "")


def test_tables_of_the_same_results_are_equal(study: Study) -> None:
    again = study_of(*study.results)
    assert (study_csv(again), pairs_csv(again)) == (study_csv(study), pairs_csv(study))
    assert document(again, COMMAND) == document(study, COMMAND)
    later = replace(
        study,
        results=tuple(
            tuple(replace(one, evaluation=replace(one.evaluation, finished_at=1e9, id="x")) for one in results)
            for results in study.results
        ),
    )
    assert pairs_csv(later) == pairs_csv(study)
    assert study_csv(later) == study_csv(study).replace("1970-01-01T00:00:11Z", "2001-09-09T01:46:40Z")


def test_cells_that_look_like_formulas_are_escaped() -> None:
    text = study_csv(study_of([result_of(scored_predictions(1.0, 1), model="=1+1")]))
    assert text.splitlines()[1].startswith("'=1+1,")


def test_one_model_has_no_pairs() -> None:
    study = study_of([result_of(scored_predictions(1.0, 1))])
    assert pairs_csv(study) == ",".join(PAIR_COLUMNS) + "\n"
    text = document(study, COMMAND)
    assert text.startswith("# Study: 1 model on 1 dataset\n")
    assert "Not measured: requires 2 models." in text


def test_document_lists_distinguished_and_other_pairs(study: Study) -> None:
    text = document(study, COMMAND)
    assert "| metric | good | bad | worse\\|odd |" in text
    assert "370 images from 270 covers." in text
    counts = "250 clean, 100 stego from 250 covers"
    assert f"| images of the figures of merit | {counts} | {counts} | {counts} |" in text
    assert "### Not distinguished on any metric\n\n- reference: bad – worse\\|odd.\n" in text
    assert "| bad – worse\\|odd | not distinguished (0 of " in text
    assert "| good – bad | reference | P_E | -" in text
    assert "- reference: detection at 0.1% FPR (requires 2,000 clean images).\n" in text
    assert f"```sh\n{COMMAND}\n```" in text
    assert len(STUDY_COLUMNS) == len(set(STUDY_COLUMNS))


def test_document_states_that_nothing_is_distinguished() -> None:
    predictions = scored_predictions(1.0, 1)
    text = document(study_of([result_of(predictions, model=name) for name in ("one", "two")]), COMMAND)
    assert "No pair is distinguished on any dataset and metric." in text


def test_document_without_measured_images_has_no_zero() -> None:
    results = [result_of((example_prediction(verdict=None),), model=name) for name in ("one", "two")]
    text = document(study_of(results), COMMAND)
    assert "| one – two | not measured |" in text
    assert "0.00%" not in text
    table = rows(study_csv(study_of(results)))
    assert {row["value"] for row in table} == {""}
    assert {row["count"] for row in table} == {""}
    assert {row["not_measured"] for row in table} == {"no_images"}
