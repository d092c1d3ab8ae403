"""Known rows, and what each panel has to say of them."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


def at(offset_s: float) -> datetime:
    return START + timedelta(seconds=offset_s)


END = at(30)


# id, inserted, data set, image, predicted class, true class, predicted
PREDICTIONS = [
    (1, at(1.0), "monday", "wood/a.jpg", 4, 4, at(1.1)),
    (2, at(2.0), "monday", "brick/b.jpg", 4, 1, at(2.2)),
    (3, at(2.5), "tuesday", "brick/c.jpg", 1, 1, at(2.8)),
    (4, at(7.0), "tuesday", "ground/d.jpg", 3, None, at(7.4)),
    # Outside the time range, the last one only by the time of its prediction.
    (5, at(-10), "monday", "wood/e.jpg", 4, 4, at(-9)),
    (6, at(29.5), "monday", "wood/f.jpg", 0, 4, at(31)),
]


DEAD_LETTERS = [
    ("topic", 0, 1, None, "not JSON", at(3)),
    ("topic", 0, 2, 77, "no such image", at(4)),
    ("topic", 1, 1, 78, "no such image", at(5)),
    ("topic", 1, 2, 79, "no such image", at(-5)),
]


# version, detector, first and last id, size, score, threshold, alarm, checked
DRIFT = [
    ("1", "confidence", 1, 75, 75, 0.05, 0.04, 0.10, False, at(1)),
    ("1", "mmd", 1, 75, 75, 0.03, 0.0, 0.02, True, at(1)),
    ("1", "confidence", 6, 80, 75, 0.15, 0.04, 0.10, True, at(2)),
    # Without a reference there is no threshold.
    ("2", "confidence", 90, 165, 75, 0.07, None, None, False, at(3)),
    ("1", "confidence", 0, 70, 75, 0.05, 0.04, 0.10, False, at(-2)),
]


EVIDENCE = '{"images": [{"image_path": "wood/a.jpg"}, {"image_path": "wood/b.jpg"}]}'


# detector, version, first and last id, score, threshold, began, ended, why, evidence
ALARMS = [
    ("confidence", "1", 1, 75, 0.12345, 0.1, at(-60), at(-50), "ended before", EVIDENCE),
    ("confidence", "1", 1, 75, 0.12345, 0.1, at(-20), at(5), "version 2 serves", EVIDENCE),
    ("accuracy", "2", 90, 165, 0.2, 0.15, at(6), None, None, "{}"),
    ("accuracy", "3", 90, 165, 0.2, 0.15, at(40), None, None, "{}"),
]


# alarm, state, champion, challenger, strategy, images, reason, began, finished
ADAPTATIONS = [
    (1, "failed", "1", None, "all", 5, "ended before", at(-55), at(-50)),
    (2, "promoted", "1", "2", "balanced_margin", 300, "better by 12 points", at(-15), at(4)),
    (3, "training", "2", None, "balanced_margin", 50, None, at(7), None),
]


def epoch(offset_s: float) -> float:
    return at(offset_s).timestamp()


ANSWERS: dict[str, tuple[tuple[str, ...], list[tuple[object, ...]]]] = {
    "Cargo inference result": (
        ("timestamp", "target"),
        [(at(29.5), 0), (at(7.0), 3), (at(2.5), 1), (at(2.0), 4), (at(1.0), 4)],
    ),
    # The row without a label counts for neither.
    "Accuracy by data set": (
        ("time", "dataset", "accuracy"),
        [(epoch(0), "monday", 0.5), (epoch(0), "tuesday", 1.0)],
    ),
    "Throughput": (
        ("time", "rows/s"),
        [(epoch(0), 0.6), (epoch(5), 0.2), (epoch(10), 0), (epoch(15), 0), (epoch(20), 0), (epoch(25), 0)],
    ),
    "Latency": (
        ("time", "p50", "p99"),
        [(epoch(0), 200, 298), (epoch(5), 400, 400)],
    ),
    "Predicted classes": (
        ("class", "rows"),
        [("brick", 1), ("3", 1), ("wood", 2)],
    ),
    "Dead letters": (
        ("reason", "rows", "latest"),
        [("no such image", 2, at(5)), ("not JSON", 1, at(3))],
    ),
    "Drift by detector": (
        ("time", "detector", "drift"),
        [(at(1), "confidence", 0.5), (at(1), "mmd", 1.5), (at(2), "confidence", 1.5)],
    ),
    "Uncertainty": (
        ("time", "uncertainty", "threshold"),
        [(at(1), 0.05, 0.1), (at(2), 0.15, 0.1), (at(3), 0.07, None)],
    ),
    "Drift alarms": (
        ("began_at", "ended_at", "detector", "model_version", "score", "threshold", "end_reason", "images"),
        [
            (at(6), None, "accuracy", "2", 0.2, 0.15, None, None),
            (
                *(at(-20), at(5), "confidence", "1", 0.123, 0.1),
                *("version 2 serves", "wood/a.jpg, wood/b.jpg"),
            ),
        ],
    ),
    "Accuracy by model version": (
        ("time", "model_version", "accuracy"),
        [(epoch(0), "version 1", 0.5), (epoch(0), "version 2", 1.0)],
    ),
    "Served version": (
        ("time", "model_version", "predictions"),
        [(epoch(0), "version 1", 2), (epoch(0), "version 2", 1), (epoch(5), "version 2", 1)],
    ),
    "Adaptations": (
        (
            *("began_at", "finished_at", "state", "champion_version", "challenger_version", "strategy", "images"),
            "reason",
        ),
        [
            (at(7), None, "training", "2", None, "balanced_margin", 50, None),
            (at(-15), at(4), "promoted", "1", "2", "balanced_margin", 300, "better by 12 points"),
        ],
    ),
}
"""What each panel shows of the rows above with points 5 s apart; a new panel is one entry more."""
