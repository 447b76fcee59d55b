"""Class tables that are compared."""

import pytest

from eseg.errors import DataError
from eseg.runtime.class_table import ClassTable, require_same_classes

TABLE = ClassTable(("road", "car", "sky"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))


def require(found):
    require_same_classes(TABLE, found, "the network", "a.yaml", "give it the same")


def test_colours_do_not_matter():
    require(TABLE)
    require(["road", "car", "sky"])
    require(ClassTable(TABLE.names, ((9, 9, 9),) * 3))


@pytest.mark.parametrize(
    ("found", "differences"),
    [
        (("road", "sky", "car"), "class 1 is 'sky' instead of 'car', class 2 is 'car' instead of"),
        (("road", "car"), "class 2 'sky' is missing; give"),
        ((*TABLE.names, "bus"), "class 3 'bus' is surplus; give"),
        (tuple("abcde"), "class 2 is 'c' instead of 'sky' and 2 more; give it the same$"),
    ],
)
def test_the_first_differences_are_named(found, differences):
    with pytest.raises(DataError, match=r"^a\.yaml has other classes than the network: ") as error:
        require(found)
    assert error.match(differences)
