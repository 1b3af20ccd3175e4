"""Asks what in the data looks wrong: labels that every model doubts, one photograph under two names."""

from collections.abc import Sequence

from embedlab.analyses.confusions import Confusions
from embedlab.analysis import Params
from embedlab.question import Claim, Question, Results, Verdict, listed

NAMED = 2


def judge(results: Results, _: Params) -> list[Claim]:
    """Count what every model finds wrong: it is seen in the images and not inferred."""
    every = [r for r in results["confusions"] if isinstance(r, Confusions)]
    doubted, doubles = _doubted(every), _doubles(every)
    told = []
    if doubted:
        told.append(
            f"{_count(len(doubted), 'image looks', 'images look')} mislabelled ({listed(doubted, NAMED)})"
        )
    if doubles:
        what = _count(len(doubles), "photograph stands", "photographs stand")
        told.append(f"{what} under two names ({listed(doubles, NAMED)})")
    by = "every model" if len(every) > 1 else every[0].title
    said: dict[Verdict, str] = {
        "yes": f"To {by}, {' and '.join(told)}: check them",
        "no": f"To {by}, no image looks mislabelled, and no photograph stands under two names",
    }
    verdict: Verdict = "yes" if told else "no"
    return [Claim(tuple(r.title for r in every), None, 0.0, said, hazard="yes", fact=verdict)]


def _count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def _doubted(every: Sequence[Confusions]) -> list[str]:
    """Name the images whose label every model doubts."""
    first, *rest = every
    others = [{one[:2] for one in r.suspects} for r in rest]
    return [one[0] for one in first.suspects if all(one[:2] in them for them in others)]


def _doubles(every: Sequence[Confusions]) -> list[str]:
    """Name the pairs of images of two people that every model finds nearly equal."""
    seen = [{" = ".join(pair) for pair in r.doubles} for r in every]
    return sorted(set.intersection(*seen))


QUESTION = Question(
    text="What in the data looks wrong?",
    needs={"confusions": "it finds the people and the pairs of images that are confused most"},
    params=Params(),
    judge=judge,
)
