"""Asks whether registration that is told no pairs finds the true correspondence."""

from dataclasses import dataclass

from embedlab.analyses.registration import ALL, RIVALS, Registration
from embedlab.analysis import Params, bounded
from embedlab.estimates import as_points, counted, shares
from embedlab.identified import unfound
from embedlab.maths.clouds.trials import AFTER, BEFORE, IMAGE, NULL, PROCRUSTES, SHIFT
from embedlab.question import Claim, Question, Results

WITHOUT = {BEFORE: "without it", SHIFT: "by a shift", NULL: "onto strangers"}


@dataclass(frozen=True)
class BlindParams(Params):
    """What counts as found."""

    matters: float = bounded(0.02, least=0, below=1)
    """The share of images that must find themselves beyond what does so without registration."""


def judge(results: Results, params: BlindParams) -> list[Claim]:
    """Judge, on all axes, the pair of blurred and sharp and that of two models for which it adds most."""
    kinds: dict[bool, list[Registration]] = {}
    for r in results["registration"]:
        if isinstance(r, Registration):
            kinds.setdefault(r.models[0] == r.models[1], []).append(r)
    return [
        _found(max(them, key=lambda r: _gain(r, params.matters)), len(them), params.matters)
        for them in kinds.values()
    ]


def _gain(r: Registration, matters: float) -> float:
    axes = len(r.spaces) - 1
    after, before, known = (r.of(IMAGE, how, axes).value for how in (AFTER, r.most(RIVALS, axes), PROCRUSTES))
    # Where nothing is left to find is told rather than where nothing could be found.
    return -1.0 if before >= ALL else -2.0 if max(after, known) - before <= matters else after - before


def _found(r: Registration, among: int, matters: float) -> Claim:
    space = len(r.spaces) - 1
    rival = r.most(RIVALS, space)
    after, before, known = (r.of(IMAGE, how, space) for how in (AFTER, rival, PROCRUSTES))
    models, where = tuple(dict.fromkeys(r.models)), f"on {r.spaces[space]}"
    # Told by itself: what is like it is of other clouds, of which its models do not say which.
    unit = f"points of images of {r.title}"
    evidence = {f"same image, {how}": r.of(IMAGE, how, space) for how in r.maps}
    if before.value >= ALL:
        nothing = (
            f"Nothing is left to find for {r.title}: {where}, {before.value:.1%} of images find themselves "
            f"{'already' if rival == BEFORE else WITHOUT[rival]}"
        )
        return Claim(
            models,
            None,
            matters,
            {"no": nothing},
            unit=unit,
            evidence=evidence,
            fact="no",
            marks={"no": "no need"},
        )
    if max(after.value, known.value) - before.value <= matters:
        few = (
            f"Less than {as_points(matters)} are there to find for {r.title}: {where}, {known.value:.1%} of "
            f"images find themselves by known pairs, {before.value:.1%} {WITHOUT[rival]}"
        )
        return Claim(models, None, matters, {"cannot": few}, unit=unit, evidence=evidence, fact="cannot")
    found, there, top = shares(after, before, beside=(known,))
    told = f"{found} of images find themselves, {there} {WITHOUT[rival]}, {top} by known pairs"
    adds = f"adds over {as_points(matters)} for {r.title}"
    return Claim(
        models,
        after - before,
        matters,
        {
            "yes": f"Registration without pairs {adds}: {told}",
            "no": f"Registration without pairs {adds.replace('over', 'less than')}: {told}",
            "undecided": f"Whether registration {adds} is open: {told}",
        },
        unit=unit,
        marks={"yes": "finds", "no": "hardly"},
        word="gain",
        aside=f"{where}, {_over_fits(r, space)}{_likelier(r, space)}",
        among=among,
        evidence=evidence,
    )


def _over_fits(r: Registration, space: int) -> str:
    """Say how far fits differ: some may find nearly all and others nothing, which their mean hides."""
    each = r.fit_matches[r.fit_space == space, r.maps.index(AFTER)]
    return f"{counted(len(each), 'fit')} of {each.min():.1%} to {each.max():.1%}"


def _likelier(r: Registration, space: int) -> str:
    """Say how likely known pairs are where they find more: whether a better search had something to find."""
    held = unfound(r, space)
    return (
        f", log-likelihood an image {held[0]:.1f} from known pairs on, {held[1]:.1f} without" if held else ""
    )


QUESTION = Question(
    text="Does registration without pairs find the true correspondence?",
    needs={"registration": "it registers clouds blindly, and judges on other people"},
    params=BlindParams(),
    judge=judge,
)
