import io

import numpy as np
import pytest

from embedlab.data.datasets import read_image
from embedlab.data.encoding import encoder
from embedlab.errors import UserError

NOISE = np.random.default_rng(0).integers(0, 256, (20, 16, 3), dtype=np.uint8)


def test_png_loses_nothing():
    encoded = encoder("png")(NOISE)
    assert encoded.startswith(b"\x89PNG")
    np.testing.assert_array_equal(read_image(io.BytesIO(encoded)), NOISE)


def test_jpeg_keeps_the_colours_at_full_resolution():
    """One red column among blue ones: halved colours would smear it over its neighbour."""
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, :, 2] = 200
    image[:, 8] = (200, 0, 0)
    encoded = encoder("jpg")(image)
    assert encoded.startswith(b"\xff\xd8")
    assert np.abs(read_image(io.BytesIO(encoded)).astype(int) - image).max() < 20
    assert len(encoder("jpg", 30)(NOISE)) < len(encoder("jpg", 95)(NOISE))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gif",), "cannot be written as 'gif': choose png or jpg"),
        (("jpg", 0), "quality of 0 does not exist"),
    ],
)
def test_what_cannot_be_written_is_told(arguments, message):
    with pytest.raises(UserError, match=message):
        encoder(*arguments)
