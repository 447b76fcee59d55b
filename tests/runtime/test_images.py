"""Training's reader and the runtime's are one: every kind of file, every way in which one breaks.

What each kind of file becomes is tested where training reads it, in tests/data/test_reading.py.
"""

import io

import numpy as np
import pytest
from PIL import Image

from eseg.data import reading
from eseg.errors import DataError, ImageError
from eseg.runtime.images import as_batch, as_pixels, read_header, read_image

ORIENTATION = 0x0112


@pytest.fixture
def photo():
    rows, columns = np.mgrid[0:33, 0:47]
    return np.stack([rows * 5, columns * 4, 255 - rows - columns], axis=-1).astype(np.uint8)


def write(path, photo, kind):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture = {
        "plain": lambda: Image.fromarray(photo),
        "grey": lambda: Image.fromarray(photo[..., 0]),
        "grey alpha": lambda: Image.fromarray(photo[..., 0]).convert("LA"),
        "alpha": lambda: Image.fromarray(np.concatenate([photo, photo[..., :1]], axis=2)),
        "palette": lambda: Image.fromarray(photo).quantize(16),
        "16 bits": lambda: Image.fromarray(photo[..., 1].astype(np.uint16) * 257),
        "turned": lambda: Image.fromarray(photo),
    }[kind]()
    picture.save(path, exif=exif if kind == "turned" else Image.Exif())


@pytest.mark.parametrize(
    "kind", ["plain", "grey", "grey alpha", "alpha", "palette", "16 bits", "turned"]
)
def test_a_robot_sees_what_training_saw(tmp_path, photo, kind):
    path = tmp_path / "photo.png"
    write(path, photo, kind)
    image = read_image(path)
    np.testing.assert_array_equal(image, reading.read_image(path))
    if kind == "palette":
        return
    expected = {"turned": np.rot90(photo, -1), "16 bits": photo[..., [1, 1, 1]]}.get(
        kind, photo[..., [0, 0, 0]] if "grey" in kind else photo
    )
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_what_is_no_image_is_no_data_either(tmp_path, content):
    path = tmp_path / "photo.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=r"photo\.png: ") as here:
        read_image(path)
    with pytest.raises(DataError, match=r", or take it out of the data set$") as there:
        reading.read_image(path)
    assert str(there.value).startswith(str(here.value))


def test_pictures_are_taken_as_they_lie(photo, tmp_path):
    write(tmp_path / "turned.png", photo, "turned")
    with Image.open(tmp_path / "turned.png") as picture:
        np.testing.assert_array_equal(as_pixels(picture), photo)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA"])
def test_pictures_of_8_bits_become_rgb(photo, mode):
    picture = Image.fromarray(photo).convert(mode)
    np.testing.assert_array_equal(as_pixels(picture), np.array(picture.convert("RGB")))


@pytest.mark.parametrize("alpha", [3, bytes(range(256))])
def test_a_palette_with_transparency_gives_what_its_file_gives(photo, tmp_path, alpha):
    path = tmp_path / "palette.png"
    Image.fromarray(photo).quantize(16).save(path, transparency=alpha)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(as_pixels(picture), read_image(path))


def test_a_picture_whose_file_is_truncated_is_named(photo, tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(photo).resize((200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:-500])
    with Image.open(path) as picture, pytest.raises(ImageError, match=r"photo\.jpg: .*truncated"):
        as_pixels(picture)
    with (
        Image.open(io.BytesIO(path.read_bytes())) as picture,
        pytest.raises(ImageError, match=r"the Pillow picture: .*truncated"),
    ):
        as_pixels(picture)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_pictures_without_a_range_are_refused(mode):
    with pytest.raises(ImageError, match=f"mode {mode} .*8 bits"):
        as_pixels(Image.new(mode, (8, 8)))


def test_an_empty_picture_is_refused():
    with pytest.raises(ImageError, match="at least one pixel"):
        as_pixels(Image.new("RGB", (0, 5)))


def test_pixels_are_never_the_callers(photo):
    photo.flags.writeable = False
    for given in (photo, photo[::-1], np.asfortranarray(photo), Image.fromarray(photo)):
        pixels = as_pixels(given)
        assert pixels.flags.writeable
        assert pixels.flags.c_contiguous
        assert not np.shares_memory(pixels, photo)


def test_one_or_several(photo, tmp_path):
    path = tmp_path / "photo.png"
    write(path, photo, "plain")
    for one in (photo, path, str(path), Image.fromarray(photo)):
        images, several = as_batch(one)
        assert (len(images), several) == (1, False)
    for some in ([photo], (path, photo), np.stack([photo, photo]), []):
        images, several = as_batch(some)
        assert (len(images), several) == (len(some), True)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize(("suffix", "mode"), [("png", "RGB"), ("jpg", "RGB"), ("tif", "L")])
def test_header(photo, tmp_path, orientation, suffix, mode):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(photo).convert(mode).save(path, exif=exif)
    assert read_header(path) == (mode, orientation)


def test_header_of_a_file_without_exif_and_with_nonsense(photo, tmp_path):
    Image.fromarray(photo).convert("P").save(tmp_path / "plain.png")
    assert read_header(tmp_path / "plain.png") == ("P", 1)
    exif = Image.Exif()
    exif[ORIENTATION] = 77
    Image.fromarray(photo).save(tmp_path / "odd.jpg", exif=exif)
    assert read_header(tmp_path / "odd.jpg") == ("RGB", 1)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"text.png: cannot be read"):
        read_header(tmp_path / "text.png")
