"""Asks what in the data looks wrong: labels, images and people under two names."""

from embedlab.analyses.audit import EVERYBODY, NAMES, PARTS, TWICE, WRONG, Audited, Fault
from embedlab.analysis import Params
from embedlab.question import Claim, Question, Results, Said, Verdict, listed

NAMED = 2
WORDS = {
    WRONG: ("image looks mislabelled", "images look mislabelled"),
    TWICE: ("photograph stands under two names", "photographs stand under two names"),
    NAMES: ("person has two names", "people have two names"),
    PARTS: ("name stands for two people", "names stand for two people"),
    EVERYBODY: ("image matches everybody", "images match everybody"),
}
MARKS: dict[Verdict, str] = {"yes": "check", "no": "nothing"}


def judge(results: Results, _: Params) -> list[Claim]:
    """Count what every model finds wrong: it is seen in the images and not inferred."""
    r = next(one for one in results["audit"] if isinstance(one, Audited))
    by = "every model" if len(r.models) > 1 else r.models[0]
    found = {kind: r.of(kind) for kind in WORDS if r.of(kind)}
    told = [
        f"{len(every):,} {WORDS[kind][len(every) > 1]}" + (f" ({_named(every)})" if k == 0 else "")
        for k, (kind, every) in enumerate(found.items())
    ]
    said: dict[Said, str] = {
        "yes": f"To {by}, {listed(told, len(WORDS))}: check them",
        # Not that all are right: what a weak model cannot tell apart it does not find.
        "no": f"No label or image is surely wrong to {by}, which does not show that all are right",
    }
    return [Claim(r.models, None, 0.0, said, hazard="yes", fact="yes" if told else "no", marks=MARKS)]


def _named(every: list[Fault]) -> str:
    return listed([fault.image or f"{fault.person} = {fault.like_person}" for fault in every], NAMED)


QUESTION = Question(
    text="What in the data looks wrong?",
    needs={"audit": "it lets the models vote on labels and images"},
    params=Params(),
    judge=judge,
    hazards=True,
)
