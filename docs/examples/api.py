"""Evaluate, compare, study and ablate models, score images without labels, and read a stored history.

python docs/examples/api.py models/v3/model.onnx models/v4/model.onnx datasets/reference data/history.jsonl
"""

import sys

import starlight_exporter as starlight


def main(baseline: str, candidate: str, dataset: str, history: str) -> None:
    """Print what each function of the public API returns."""
    rule = starlight.DecisionRule.single(0.9)
    evaluation = starlight.evaluate(candidate, dataset, decision=rule, latency_sample=100)
    fpr = evaluation.clean
    if fpr.ratio is None or fpr.lower is None or fpr.upper is None:
        print("false positive rate: not measured")
    else:
        print(
            f"false positive rate: {fpr.ratio:.2%} (95% CI {fpr.lower:.2%}–{fpr.upper:.2%}), {fpr.count} of {fpr.total}"
        )

    comparison = starlight.compare(baseline, candidate, dataset, decision=rule)
    for name, pairs in comparison.slices.items():
        p_value = "no flips" if pairs.p_value is None else f"p = {pairs.p_value:.4f}"
        print(f"{name}: {pairs.images} images, {pairs.fixed} fixed, {pairs.broken} broken, {p_value}")

    study = starlight.study([baseline, candidate], [dataset], decision=rule)
    for pair in study.pairs:
        if pair.value is not None and pair.adjusted is not None:
            print(f"{pair.metric.name} {pair.metric.slice}: {pair.value:+.4f}, adjusted p = {pair.adjusted:.4f}")

    ablated = starlight.ablate(candidate, dataset, mode="zero", decision=rule)
    for effect in ablated.ablation.effects:
        if effect.log_loss_increase is not None:
            print(f"without {effect.stream}: log loss increases by {effect.log_loss_increase.value:.3f} nats")

    scoring = starlight.score(candidate, dataset, decision=rule)
    alarms = [score.path for score in scoring.scores if score.verdict]
    print(f"{len(alarms)} of {scoring.images} images are classified as stego by {scoring.decision}")

    try:
        for stored in starlight.read_history(history):
            print(f"{stored.model} on {stored.dataset}: {stored.stego.count} of {stored.stego.total} detected")
    except starlight.StarlightError as error:
        print(f"history: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
