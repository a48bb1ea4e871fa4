import pytest

from dreamgan.classifying.charts import confusion_chart, curves, side_by_side


def test_curves_of_one_epoch_and_of_equal_values() -> None:
    one = curves({"training": [(1, 0.5)], "validation": []}, "loss")
    flat = curves({"training": [(1, 1.0), (2, 1.0)]}, "accuracy")
    row = side_by_side([one, flat])
    assert row.size == (one.width + flat.width, one.height)
    assert one.tobytes() != flat.tobytes()
    with pytest.raises(ValueError, match="nothing to draw"):
        curves({"training": []}, "loss")


def test_a_curve_that_falls_is_drawn_falling() -> None:
    """The highest of its coloured pixels on the left is above that on the right."""
    picture = curves({"": [(1, 2.0), (9, 0.5)]}, "loss")
    blue = [
        (x, y)
        for x in range(picture.width)
        for y in range(30, picture.height)
        if picture.getpixel((x, y)) == (0x1F, 0x5F, 0xA8)
    ]
    assert min(blue)[1] < max(blue)[1]


def test_confusion_is_darker_where_more_is() -> None:
    chart = confusion_chart([[9, 1], [0, 10]], ["cats", "a very long name of a class"])
    assert chart.width > 2 * 52


@pytest.mark.parametrize("names", [["a", "b"], ["golden retriever", "greyhound"], ["x" * 300, "y"]])
def test_neither_the_caption_nor_a_name_is_cut_off(names: list[str]) -> None:
    """What is written ends before the edges of the picture."""
    chart = confusion_chart([[9, 1], [0, 10]], names)
    across, down = chart.width - 1, chart.height - 1
    edges = [(x, y) for x in range(chart.width) for y in (0, down)] + [
        (x, y) for y in range(chart.height) for x in (0, across)
    ]
    assert {chart.getpixel(place) for place in edges} == {(255, 255, 255)}
    assert chart.width < 600
