"""Do intervals of separability and displacement hold, and are equal models told apart? Some minutes.

``python -m benchmarks.separability``. People are drawn again and again from one population of Gaussians,
whose blurred versions are narrower, shifted and noisier; two models differ in noise alone, so that every
difference that is claimed is false. Truth is the mean over all samples; *width* is that of the intervals in
units of 3.92 standard deviations: 1 is right, below it they are too short. Shorter runs are tests.
"""

import numpy as np

from embedlab.analyses import displacement, separability
from embedlab.lab.embeddings import EmbeddingSet

SAMPLES = 300
LAWS = {
    "100 people of 4 images, 10 numbers": (np.full(100, 4), 10),
    "300 people of 1 to 40 images, 10 numbers": (None, 10),
    "one person of 60 images, 149 of 3, 10 numbers": (np.r_[60, np.full(149, 3)], 10),
    "150 people of 4 images, 64 numbers": (np.full(150, 4), 64),
}


def images(law, seed):
    """Give the images of each person; heavy-tailed and drawn anew where no numbers are given."""
    given = LAWS[law][0]
    if given is not None:
        return given
    return np.minimum(1 + np.random.default_rng([3, seed]).pareto(1.2, 300).astype(int), 40)


def sets(law, seed, model):
    """Draw one model's vectors, native and degraded; the people of a seed are those of all models."""
    of_each, dimension = images(law, seed), LAWS[law][1]
    shift = np.random.default_rng(5).normal(size=dimension) / np.sqrt(dimension)
    people, rng = len(of_each), np.random.default_rng([2, seed, model])
    owners = np.repeat(np.arange(people), of_each)
    centres = np.random.default_rng([1, seed]).normal(size=(people, dimension))[owners]

    def noise(own):
        return own * rng.normal(size=(people, dimension))[owners] + 0.6 * rng.normal(size=centres.shape)

    native = centres + noise(0.5)
    names = [f"{k:06}" for k in range(len(owners))], [f"{k:05}" for k in owners]
    degraded = 0.8 * native + shift + noise(0.4)
    return [
        EmbeddingSet.from_rows(f"m{model}", probe, vectors, *names)
        for probe, vectors in (("p", native), ("p@8", degraded))
    ]


def main(samples: int = SAMPLES) -> None:
    """Print, for each law of numbers of images, false claims and each figure's coverage and width."""
    runs = (
        (separability, separability.SeparabilityParams(permutations=1)),
        (displacement, displacement.DisplacementParams()),
    )
    for law in LAWS:
        for module, params in runs:
            found: dict[str, list[tuple[float, ...]]] = {}
            false = 0
            for seed in range(samples):
                results = [module.compute(sets(law, seed, model), params) for model in range(2)]
                last = module.findings(results)[-1]
                false += last.gap is not None and last.gap.sign in (-1, 1)
                for r in results:
                    for (what, *_), e in r.estimates.items():
                        found.setdefault(what, []).append((e.value, e.low, e.high))
            print(f"{law}: {module.__name__.rpartition('.')[2]}, false claims {false / samples:.1%}")
            for what, ends in found.items():
                value, low, high = np.array(ends, float).T
                held = ((low <= value.mean()) & (value.mean() <= high)).mean()
                width = (high - low).mean() / (3.92 * value.std())
                print(f"  {what:45s} {value.mean():.3f}  held {held:.1%}  width {width:.2f}")


if __name__ == "__main__":
    main()
