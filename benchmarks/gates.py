"""How often `embedlab compare` calls a model worse that is not, and finds one that is.

``python -m benchmarks.gates`` draws a network that is as good as yesterday's (or worse by a planted loss) on
the same people, measures it as a report does, and compares; ``--tiny`` takes seconds. Measured,
two measures, 150 people of four images, margin 0.02:

================================  ============  ======  ===========
planted loss of TAR at FAR 0.001  called worse  open    comparisons
================================  ============  ======  ===========
none                              0.5 %         98 %    400
6.6 points                        45 %          55 %    60
10.0 points                       93 %          7 %     60
12.9 points                       100 %         0 %     60
================================  ============  ======  ===========
"""

import argparse
from collections import Counter

from embedlab.progress import track
from embedlab.report import gates, numbers, sections
from embedlab.report.past import Past, parsed
from tests.report.reports import outcome_of, planted

MARGIN = 0.02
NOISES = {0.70: 1000, 0.76: 200, 0.80: 200, 0.84: 200}
"""Noise of the new model → how often it is drawn; the first is that of yesterday's."""


def reported(noise: float, seed: int, shown: int, people: int) -> Past:
    """Give the report of one model, as a program reads it."""
    one = planted("net", noise, people, seed, shown)
    outcome = outcome_of([one], resamples=1000)
    members = [{"model": one.model, "probe": one.probe, "images": 0, "people": 0, "members": str(shown)}]
    section = sections.of_outcome(outcome)
    return parsed("report", numbers.document("t", ["net"], ["p"], [section], [outcome], {}, members))


def run(most: int, people: int) -> None:
    """Print a row a noise."""
    usual = min(NOISES)
    for noise, wanted in NOISES.items():
        samples = min(wanted, most)
        statuses: Counter[str] = Counter()
        loss = 0.0
        for shown in track(range(samples), f"noise {noise}", samples):
            old = reported(usual, 1, shown, people)
            new = reported(noise, 2, shown, people)
            judged = gates.compare(old, new, margin=MARGIN)
            worst = judged.rows[0].outcome
            statuses["worse" if worst == "worse" else "open" if worst == "open" else "no worse"] += 1
            before, after = (
                next(e.value for k, e in one.estimates.items() if k.what == "TAR@FAR=0.001")
                for one in (old, new)
            )
            loss += (before - after) / samples
        shares = "  ".join(f"{statuses[word] / samples:7.1%}" for word in ("worse", "open", "no worse"))
        print(f"{noise:.2f}: lost {100 * loss:5.1f} points  {shares}   ({samples} comparisons)", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--people", type=int, default=150)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    run(3 if options.tiny else options.samples, 30 if options.tiny else options.people)


if __name__ == "__main__":
    main()
