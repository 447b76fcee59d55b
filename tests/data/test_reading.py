"""Every kind of file that cameras and labelling tools write, and every way in which one breaks."""

import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from eseg.data.reading import read_image, read_mask_colours, read_mask_ids
from eseg.errors import DataError
from eseg.runtime import images

ORIENTATION = 0x0112


@pytest.fixture
def photo():
    """A smooth 33x47 picture: lossy formats stay within a few grey levels of it."""
    rows, columns = np.mgrid[0:33, 0:47]
    return np.stack([rows * 5, columns * 4, 255 - rows - columns], axis=-1).astype(np.uint8)


def png_bytes(bits, values):
    """A one-row greyscale PNG with 1, 2 or 4 bits per pixel, which Pillow cannot write."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    packed = int("1" + "".join(f"{value:0{bits}b}" for value in values), 2)
    row = packed.to_bytes(1 + len(values) * bits // 8, "big")[1:]
    header = struct.pack(">IIBBBBB", len(values), 1, bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" + row))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("suffix", "options", "tolerance"),
    [
        ("png", {}, 0),
        ("bmp", {}, 0),
        ("tif", {"compression": "tiff_lzw"}, 0),
        ("webp", {"lossless": True}, 0),
        ("webp", {"quality": 95}, 12),
        ("jpg", {"quality": 95, "subsampling": 0}, 6),
    ],
)
def test_formats(tmp_path, photo, suffix, options, tolerance):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(photo).save(path, **options)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.shape == photo.shape
    assert np.abs(image.astype(int) - photo).max() <= tolerance
    image[:] = 0  # Writable, so that torch takes it without a warning.


def test_the_content_decides_not_the_extension(tmp_path, photo):
    path = tmp_path / "really_a_png.jpg"
    Image.fromarray(photo).save(path, format="PNG")
    assert (read_image(path) == photo).all()


def test_greyscale_becomes_three_equal_channels(tmp_path, photo):
    Image.fromarray(photo[..., 0]).save(tmp_path / "grey.png")
    assert (read_image(tmp_path / "grey.png") == photo[..., :1]).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_greyscale_is_scaled(tmp_path, suffix):
    values = np.array([[0, 128, 129, 257 * 100], [32768, 65406, 65407, 65535]], np.uint16)
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(values).save(path)
    expected = np.rint(values / 65535 * 255)
    assert (read_image(path) == expected[..., None]).all()


def test_32_bit_greyscale_beyond_16_bits_is_refused(tmp_path):
    path = tmp_path / "depth.tif"
    Image.fromarray(np.array([[0, 70_000]], np.int32)).save(path)
    with pytest.raises(DataError, match=r"depth.tif: grey values from 0 to 70000 .* convert"):
        read_image(path)


def test_floating_point_is_refused(tmp_path):
    path = tmp_path / "float.tif"
    Image.fromarray(np.ones((2, 2), np.float32)).save(path)
    with pytest.raises(DataError, match=r"float.tif: floating-point .* convert"):
        read_image(path)
    with pytest.raises(DataError, match=r"float.tif: .* holds no ids; save it as"):
        read_mask_ids(path)


def test_alpha_is_dropped(tmp_path, photo):
    alpha = np.zeros((*photo.shape[:2], 1), np.uint8)
    path = tmp_path / "transparent.png"
    Image.fromarray(np.concatenate([photo, alpha], axis=-1)).save(path)
    assert (read_image(path) == photo).all()
    Image.fromarray(np.concatenate([photo[..., :1], alpha], axis=-1), "LA").save(path)
    assert (read_image(path) == photo[..., :1]).all()
    assert (read_mask_ids(path) == photo[..., 0]).all()


@pytest.mark.parametrize("transparency", [None, 1, b"\x00\x80\xff"])
def test_palette_images_give_colours_and_palette_masks_indices(tmp_path, transparency):
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    palette = np.array([[10, 20, 30], [200, 100, 0], [255, 255, 255]], np.uint8)
    picture = Image.fromarray(indices, "P")
    picture.putpalette(palette.tobytes())
    path = tmp_path / "palette.png"
    picture.save(path, **({} if transparency is None else {"transparency": transparency}))
    assert (read_image(path) == palette[indices]).all()
    assert (read_mask_ids(path) == indices).all()
    assert (read_mask_colours(path) == palette[indices]).all()


def test_cmyk(tmp_path):
    path = tmp_path / "print.jpg"
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(path, quality=95)
    assert np.abs(read_image(path).astype(int) - (255, 0, 0)).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_images_and_masks_alike(tmp_path, photo, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    mask = photo[..., 0]
    Image.fromarray(photo).save(tmp_path / "image.tif", exif=exif)
    Image.fromarray(photo).save(tmp_path / "image.png", exif=exif)
    Image.fromarray(mask).save(tmp_path / "mask.png", exif=exif)
    # What each value of the tag means, from the EXIF standard.
    upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a),
    }[orientation]
    for name in ("image.tif", "image.png"):
        image = read_image(tmp_path / name)
        np.testing.assert_array_equal(image, upright(photo))
    np.testing.assert_array_equal(read_mask_ids(tmp_path / "mask.png"), upright(mask))


@pytest.mark.parametrize(
    ("suffix", "dtype", "largest"),
    [
        ("png", np.uint8, 255),
        ("png", np.uint16, 65_535),
        ("tif", np.uint8, 255),
        ("tif", np.uint16, 65_535),
        ("tif", np.int32, 2**31 - 1),
    ],
)
def test_mask_values_are_kept(tmp_path, suffix, dtype, largest):
    values = np.array([[0, 1, 2], [11, largest - 1, largest]], dtype)
    path = tmp_path / f"mask.{suffix}"
    Image.fromarray(values).save(path)
    ids = read_mask_ids(path)
    assert ids.dtype == dtype
    assert (ids == values).all()


def test_big_endian_masks_come_in_this_machines_order(tmp_path):
    path = tmp_path / "mask.tif"
    header = b"MM\0*" + struct.pack(">I", 12) + struct.pack(">HH", 258, 7)
    entries = [(256, 2), (257, 1), (258, 16), (259, 1), (262, 1), (273, 8), (278, 1), (279, 4)]
    directory = b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    path.write_bytes(header + struct.pack(">H", len(entries)) + directory + b"\0\0\0\0")
    ids = read_mask_ids(path)
    assert ids.dtype == np.dtype("uint16")
    assert ids.dtype.isnative
    assert ids.tolist() == [[258, 7]]


@pytest.mark.parametrize(
    ("bits", "values"), [(1, [0, 1] * 4), (2, [0, 1, 2, 3]), (4, [0, 1, 9, 15])]
)
def test_few_bits_per_pixel_are_not_stretched(tmp_path, bits, values):
    path = tmp_path / "mask.png"
    path.write_bytes(png_bytes(bits, values))
    assert read_mask_ids(path).tolist() == [values]


def test_colour_masks(tmp_path, photo):
    path = tmp_path / "colours.png"
    Image.fromarray(photo).save(path)
    assert (read_mask_colours(path) == photo).all()
    with pytest.raises(DataError, match=r"colours.png: a mask in colours .*mask_values: colours"):
        read_mask_ids(path)


def test_ids_saved_as_rgb_are_accepted(tmp_path):
    ids = np.array([[0, 3], [7, 255]], np.uint8)
    path = tmp_path / "mask.png"
    Image.fromarray(np.repeat(ids[..., None], 3, axis=2)).save(path)
    assert (read_mask_ids(path) == ids).all()


def test_16_bit_masks_have_no_colours(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[300]], np.uint16)).save(path)
    with pytest.raises(DataError, match=r"mask.png: a 16- or 32-bit mask .*mask_values: ids"):
        read_mask_colours(path)


@pytest.mark.parametrize(
    ("suffix", "options", "lossy"),
    [
        ("jpg", {}, True),
        ("tif", {"compression": "jpeg"}, True),
        ("webp", {}, True),
        ("webp", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}, True),
        ("webp", {"lossless": True}, False),
        ("webp", {"lossless": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}, False),
        ("tif", {"compression": "tiff_lzw"}, False),
    ],
)
def test_lossy_masks_are_refused(tmp_path, suffix, options, lossy):
    ids = np.full((20, 20, 3), 3, np.uint8)
    path = tmp_path / f"mask.{suffix}"
    Image.fromarray(ids).save(path, **options)
    if not lossy:
        assert (read_mask_ids(path) == 3).all()
        return
    for read in (read_mask_ids, read_mask_colours):
        with pytest.raises(DataError, match=rf"mask.{suffix}: a mask in lossy .* as PNG"):
            read(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp"])
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.02])
def test_truncated_files(tmp_path, suffix, kept):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"half.{suffix}"
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    for read in (read_image, read_mask_colours) if suffix in ("png", "bmp") else (read_image,):
        with pytest.raises(DataError, match=rf"half.{suffix}: .*damaged.* out of the data set"):
            read(path)


def test_missing_empty_foreign_and_folder(tmp_path):
    with pytest.raises(DataError, match=r"gone.png: no such file; correct the path"):
        read_image(tmp_path / "gone.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match=r"empty.png: the file is empty"):
        read_image(tmp_path / "empty.png")
    (tmp_path / "note.png").write_text("not a picture")
    with pytest.raises(DataError, match=r"note.png: not a JPEG, PNG, WebP, TIFF or BMP picture"):
        read_mask_ids(tmp_path / "note.png")
    with pytest.raises(DataError, match=r"cannot be read.*Is a directory"):
        read_image(tmp_path)


def test_pillows_limit_is_lifted_and_ours_holds(tmp_path, monkeypatch):
    path = tmp_path / "wide.png"
    Image.fromarray(np.zeros((50, 60), np.uint8)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(path).shape == (50, 60, 3)
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setattr(images, "MAX_PIXELS", 2999)
    with pytest.raises(DataError, match=r"wide.png: 60x50 is more than the 2,999 pixels"):
        read_image(path)


def test_corrupt_exif_is_no_concern(tmp_path, photo):
    path = tmp_path / "photo.jpg"
    Image.fromarray(photo).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    with pytest.warns(UserWarning, match="Corrupt EXIF"), Image.open(path) as plain:
        plain.getexif()
    assert read_image(path).shape == photo.shape


def test_threads_leave_the_global_settings_alone(tmp_path, photo):
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    threads = [
        threading.Thread(target=lambda: [read_image(path) for _ in range(20)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit == Image.MAX_IMAGE_PIXELS
    assert filters == list(warnings.filters)
