"""One class for each value that occurs, with names where a list of names lies beside the data."""

import pytest

from eseg.doctor.facts import MaskFacts
from eseg.doctor.proposal import distinct_colours, propose_classes
from eseg.errors import DataError

RED, BLUE = (200, 0, 0), (0, 0, 200)


def mask(values, palette=None):
    stored = "colours" if values and isinstance(values[0], tuple) else "ids"
    return MaskFacts((1, len(values)), b"", 1, stored, dict.fromkeys(values, 1), palette or {})


def test_ids(tmp_path):
    proposal = propose_classes([tmp_path], [mask([0, 7]), mask([7, 12, 255])])
    assert [entry.ids for entry in proposal.classes] == [(0,), (7,), (12,)]
    assert [entry.name for entry in proposal.classes] == ["class_0", "class_7", "class_12"]
    assert len({entry.colour for entry in proposal.classes}) == 3
    assert (proposal.mask_values, proposal.ignore_index) == ("ids", (255,))


def test_black_and_white_masks_have_two_classes(tmp_path):
    proposal = propose_classes([tmp_path], [mask([0, 255]), mask([0])])
    assert [(entry.name, entry.ids) for entry in proposal.classes] == [
        ("background", (0,)),
        ("object", (255,)),
    ]
    assert proposal.ignore_index == ()


def test_colours(tmp_path):
    proposal = propose_classes([tmp_path], [mask([RED, BLUE]), mask([BLUE])])
    assert proposal.mask_values == "colours"
    assert [entry.colour for entry in proposal.classes] == [BLUE, RED]


@pytest.mark.parametrize(
    ("second", "mask_values"),
    [({0: RED, 1: BLUE}, "ids"), ({0: BLUE, 1: RED}, "colours")],
)
def test_palettes_count_by_index_unless_they_disagree(tmp_path, second, mask_values):
    masks = [mask([0, 1], {0: RED, 1: BLUE}), mask([0, 1], second)]
    proposal = propose_classes([tmp_path], masks)
    assert proposal.mask_values == mask_values
    assert {entry.colour for entry in proposal.classes} == {RED, BLUE}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("classes.txt", "road\ncar\n", ["road", "car"]),
        ("_classes.csv", "Pixel Value, Class\n0, road\n1, car\n", ["road", "car"]),
        ("labels.txt", "1 car\n", ["class_0", "car"]),
        ("classes.txt", "thing\nthing\n", ["thing_0", "thing_1"]),
    ],
)
def test_names_of_ids(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    proposal = propose_classes([tmp_path], [mask([0, 1])])
    assert [entry.name for entry in proposal.classes] == expected


def test_names_of_colours(tmp_path):
    (tmp_path / "label_colors.txt").write_text("200 0 0\tbus\n0 0 200\tparking block\n")
    proposal = propose_classes([tmp_path], [mask([RED, BLUE])])
    assert [entry.name for entry in proposal.classes] == ["parking block", "bus"]


@pytest.mark.parametrize("values", [range(300), [(i, i, i // 2) for i in range(256)]])
def test_too_many_values_are_no_classes(tmp_path, values):
    with pytest.raises(DataError, match=r"different (ids|colours), such as .* not classes"):
        propose_classes([tmp_path], [mask(list(values))])


def test_ids_beyond_16_bits_are_refused(tmp_path):
    with pytest.raises(DataError, match="from 0 to 70000; they must fit 16 bits"):
        propose_classes([tmp_path], [mask([0, 70_000])])


def test_colours_are_told_apart():
    colours = distinct_colours(60)
    assert len(set(colours)) == 60
    assert colours[:20] == distinct_colours(20)


def test_smoothed_edges_are_no_classes(tmp_path):
    counts = dict.fromkeys(range(1, 255, 3), 1) | {0: 6000, 255: 4000}
    smoothed = MaskFacts((1, 10_000), b"", 1, "ids", counts, {})
    with pytest.raises(DataError, match="smoothed edges"):
        propose_classes([tmp_path], [smoothed])


def test_many_rare_classes_are_no_smoothed_edges(tmp_path):
    counts = dict.fromkeys(range(150), 1) | {7: 6000, 255: 100}
    rare = MaskFacts((1, 10_000), b"", 1, "ids", counts, {})
    assert len(propose_classes([tmp_path], [rare]).classes) == 150


def test_names_and_colours_as_cvat_writes_them(tmp_path):
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbus:200,0,0::\nvoid:0,0,200::\n"
    )
    proposal = propose_classes([tmp_path], [mask([RED, BLUE])])
    assert [entry.name for entry in proposal.classes] == ["bus"]
    assert proposal.ignore_colours == (BLUE,)


def test_names_that_mean_no_label(tmp_path):
    (tmp_path / "classes.txt").write_text("Unlabelled\nroad\ncar\n")
    proposal = propose_classes([tmp_path], [mask([0, 1, 2, 255])])
    assert [entry.name for entry in proposal.classes] == ["road", "car"]
    assert proposal.ignore_index == (255, 0)
