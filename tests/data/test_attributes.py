"""labels.csv as people and programs write it: numbers, gaps, separators, names; which columns decide what."""
import unicodedata

import numpy as np
import pytest
from PIL import Image

import kgan.data
from kgan.data import folder
from kgan.data.attributes import numbers
from kgan.data.source import DataError, Source


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def numbered(root, count, names="{:02}.png"):
    """Images of which the i-th is of grey 245 - 10 · i."""
    for index in range(count):
        (root / names.format(index)).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 245 - 10 * index).save(root / names.format(index))


def table(root, *rows, encoding="utf-8"):
    (root / "labels.csv").write_bytes("".join(row + "\n" for row in rows).encode(encoding))


def test_mistakes_show_before_anything_is_decoded(root, monkeypatch):
    numbered(root, 10)
    numbered(root, 10, "../parts/train/{}.png")
    numbered(root, 10, "../parts/test/{}.png")
    monkeypatch.setattr(folder, "decode", lambda *_: pytest.fail("decoded"))
    table(root, "image,name,age", *(f"{i:02}.png,n{i},1.5x" for i in range(10)))
    for condition, words in (("name", "10 classes"), ("nam", "no such column"), ("label", "no such column"), ("age", "of one class")):
        with pytest.raises(DataError, match=words):
            of(root, condition)
    with pytest.raises(DataError, match="parts of a data set"):
        of(root.parent / "parts", "label")


def of(root, condition, **config):
    return kgan.data.of({"dataset": f"folder:{root}", "image_size": 8, "config": {"condition": condition, **config}})


def greys(source):
    return ((245 - np.int32(source.arrays["image"][:, 0, 0, 0])) // 10).tolist()


# === Numbers ===

@pytest.mark.parametrize("cells, separator, wanted", [
    (["1.5", "-2", "1e-3", ".5", "2.", "+7"], ",", [1.5, -2, 1e-3, 0.5, 2, 7]),
    (["1,5", "2", "0,25"], ";", [1.5, 2, 0.25]),
    (["1,5", "2"], ",", [1.5, 2]),  # quoted
    (["1.234,5", "7", "1.234.567"], ";", [1234.5, 7, 1234567]),
    (["1,234.5", "7", "1,234,567"], ",", [1234.5, 7, 1234567]),
    (["1,234", "999"], ",", [1234, 999]),
    (["1,234", "2,5"], ",", [1.234, 2.5]),  # the whole column decides
    (["1,234", "999"], ";", [1.234, 999]),
    (["1\u202f234,5", "2\u00a0000", "3 000,25", "1\u2009234\u2009567"], ";", [1234.5, 2000, 3000.25, 1234567]),
    (["1'234.5", "2\u2019000"], ",", [1234.5, 2000]),
    (["\u22125", "-3"], ",", [-5, -3]),
    (["1.234", "0.5"], ";", [1.234, 0.5]), (["1.234", "0.123"], ";", [1.234, 0.123]),
    (["1.234", "1.234,5"], ";", [1234, 1234.5]),
    (["1.234", "2.345"], ",", [1.234, 2.345]), (["1.234", "2.345"], None, [1.234, 2.345]),
    (["1.234", "2.345"], ";", None), (["1,234", "2"], "\t", None),
    (["1_000", "\u0661", "0x1", "inf", "1.2.3", "12:30", "01.02.2021", "1,2,3", "--5"], ",", [None] * 9),
])
def test_numbers(cells, separator, wanted):
    assert numbers(cells, separator) == wanted


def test_numbers_that_may_be_two_are_refused_only_when_asked_for(root):
    numbered(root, 4)
    table(root, "image;price;age", "00.png;1.200;1,5", "01.png;2.400;2", "02.png;3.500;2,5", "03.png;9.000;4")
    assert folder.source(root, 8, attributes="age").arrays["age"].tolist() == [1.5, 2, 2.5, 4]
    with pytest.raises(DataError, match=r"labels.csv: in the column price, '1.200' may have decimals or thousands: write"):
        folder.source(root, 8, attributes="price")


@pytest.mark.parametrize("lines, encoding", [
    (["image;age", "00.png;1,5", "01.png;3"], "utf-8-sig"),
    (["sep=;", "image;age", "00.png;1,5", "01.png;3"], "utf-8"),
    (["image\tage", "00.png\t1,5", "01.png\t3"], "utf-16"),  # "Unicode text" of Excel
    (['image,age', '00.png,"1,5"', '"01.png","3"'], "utf-8"),
    (['"image";"age"', '"00.png";"1,5"', '"01.png";"3"'], "utf-8"),
    (["image;age;remark, if any", "00.png;1,5;a, b", "01.png;3;"], "utf-8"),
])
def test_separators_and_encodings(root, lines, encoding):
    numbered(root, 2)
    table(root, *lines, encoding=encoding)
    assert folder.source(root, 8, attributes="age").arrays["age"].tolist() == [1.5, 3]


# === Gaps ===

@pytest.mark.parametrize("gap", ["", " ", "NA", "N/A", "n/a", "null", "NULL", "None", "-", "--", "\u2014", "?", "#N/A", "#NV", "NaN",
                                 "<NA>", "NaT", r"\N", "#DIV/0!", "."])
@pytest.mark.parametrize("values", [(3, 5, 7), ("old", "young", "old")], ids=["numbers", "classes"])
def test_cells_that_say_nothing(root, gap, values):
    numbered(root, 4)
    table(root, "image,age", f"00.png,{values[0]}", f"01.png,{gap}", f"02.png,{values[1]}", f"03.png,{values[2]}")
    found = folder.source(root, 8)
    assert greys(found) == [0, 2, 3] and len(found.arrays["age"]) == 3
    assert "1 images with an empty cell in labels.csv are left out ('01.png')" in found.note
    assert not gap.strip() or f"empty is also {gap!r}" in found.note


def test_only_the_column_asked_for_leaves_images_out(root):
    numbered(root, 6)
    table(root, "image,age,glasses,my remark,my remark,image", *(
        f"{i:02}.png,{age},{glasses},x,,y" for i, (age, glasses) in enumerate(
            [(1, "NA"), (2, "sun"), ("?", "sun"), (4, ""), (5, "reading"), (6, "reading")])))
    assert greys(folder.source(root, 8, attributes=False)) == [0, 1, 2, 3, 4, 5]
    assert greys(of(root, "age")) == [0, 1, 3, 4, 5]
    assert greys(of(root, "glasses")) == [1, 2, 4, 5]
    assert {*of(root, "age").arrays} == {"image", "age"}
    with pytest.raises(DataError, match="condition=aeg: .*labels.csv has no such column.*age.*; it has age, glasses"):
        of(root, "aeg")


def test_a_table_of_something_else_does_not_touch_the_sub_folders(root):
    numbered(root, 3, "cat/{}.png")
    numbered(root, 2, "dog/{}.png")
    table(root, "image,age", "cat/1.png,3")
    found = of(root, "label")
    assert len(found) == 5 and found.arrays["label"].tolist() == [0, 0, 0, 1, 1] and found.note == ""


def test_labels_beside_what_is_asked_for_come_where_they_leave_nothing_out(root):
    numbered(root, 4)
    table(root, "image,age,label", "00.png,1,a", "01.png,2,b", "02.png,3,a", "03.png,4,b")
    assert of(root, "age").classes["label"] == ["a", "b"]
    table(root, "image,age,label", "00.png,1,a", "01.png,2,b", "02.png,3,-", "03.png,4,b")
    found = of(root, "age")
    assert len(found) == 4 and "label" not in found.arrays and "label of labels.csv is not read: 1 images lack it" in found.note


# === Columns that are no classes ===

@pytest.mark.parametrize("cells, words", [
    ([f"IMG_{i}.jpg" for i in range(12)], "12 classes ('IMG_0.jpg', "), ([f"2021-03-{i + 1:02}" for i in range(12)], "and dates have"),
    ([f"{i:x}{i * 7919:x}-a" for i in range(12)], "12 classes"), ([f"{i // 1.5:.0f}th" for i in range(12)], "8 classes"),
])
def test_classes_of_one_example_each_are_none(root, cells, words):
    numbered(root, 12)
    table(root, "image,name,kind", *(f"{i:02}.png,{cell},{'ab'[i % 2]}" for i, cell in enumerate(cells)))
    with pytest.raises(DataError) as caught:
        of(root, "name")
    assert "condition=name: " in str(caught.value) and words in str(caught.value) and "in 12 examples" in str(caught.value)
    assert of(root, "kind").classes["kind"] == ["a", "b"]


@pytest.mark.parametrize("values, words", [
    (np.arange(1, 25), "ids"), (20210301 + np.arange(24), "dates"), (np.arange(24) + 0.5, ""), (np.arange(100, 124), ""),
    (np.arange(24) % 7, ""),
])
def test_numbers_that_measure_nothing_are_remarked(values, words):
    source = Source("some", {"image": np.zeros((24, 8, 8, 1), np.uint8), "number": np.float32(values) if not words else values})
    note = source.by("number", 3).note
    assert note == (words and f"condition=number: its 24 numbers look like {words}, which are no measure of an image.")


def test_dates_and_rare_classes_are_remarked():
    labels = np.repeat(np.arange(4), 5)
    dates = Source("some", {"image": np.zeros((20, 8, 8, 1), np.uint8), "day": labels},
                   {"day": ["1.2.2020", "2020-02-03", "3/4/21", "2021-02-03 12:30"]})
    assert "its classes look like dates ('1.2.2020', " in dates.by("day", 6).note
    rare = Source("some", {"image": np.zeros((20, 8, 8, 1), np.uint8), "who": np.maximum(np.arange(20) - 15, 0)},
                  {"who": list("abcde")})
    assert rare.by("who", 6).note == "condition=who: 4 of 5 classes have one example only."


# === The order and the names of classes ===

@pytest.mark.parametrize("names", [
    [str(i) for i in range(1, 13)], ["-1", "0", "1", "10"], ["0.5", "1.5", "10"], ["01", "2", "010", "11"], ["a10", "a2", "b"],
    ["10", "9", "one"],
], ids=str)
def test_folders_and_labels_agree(tmp_path, names):
    wanted = sorted(names) if not names[-1].isdecimal() else sorted(names, key=float)
    for i, name in enumerate(names):
        numbered(tmp_path / "folders", 2, name + "/{}.png")
        numbered(tmp_path / "table", 2, f"{i}" + "-{}.png")
    table(tmp_path / "table", "image,label", *(f"{i}-{k}.png,{name}" for i, name in enumerate(names) for k in range(2)))
    if "0.5" in names:  # in a table they are a quantity
        with pytest.raises(DataError, match="label is for classes"):
            of(tmp_path / "table", "label")
    else:
        assert of(tmp_path / "table", "label").classes["label"] == wanted
    found = of(tmp_path / "folders", "label")
    assert found.classes["label"] == wanted
    asked = [wanted[label] for label in found.arrays["label"]]
    assert asked == [name for name in sorted(names) for _ in range(2)]  # images are in the order of their paths


def test_a_run_keeps_the_order_that_its_classes_had(root):
    for name in range(1, 13):
        numbered(root, 2, f"{name}" + "/{}.png")
    names = sorted(str(name) for name in range(1, 13))  # as text, as it was
    settings = {"dataset": f"folder:{root}", "image_size": 8, "config": {"condition": "label"}}
    now = kgan.data.of(settings)
    then = kgan.data.of({**settings, "classes": names})
    assert now.classes["label"] == [str(name) for name in range(1, 13)] and then.classes["label"] == names
    assert [names[label] for label in then.arrays["label"]] == [now.classes["label"][label] for label in now.arrays["label"]]
    assert kgan.data.of({**settings, "classes": [*names, "13"]}).classes == now.classes  # of other data


def test_whole_numbers_of_spreadsheets_are_the_classes_of_folders(root):
    numbered(root, 4)
    table(root, "image;label", "00.png;10,0", "01.png;9,0", "02.png;9", "03.png;10")
    assert folder.source(root, 8, attributes="label").classes["label"] == ["9", "10"]
    table(root, "image,label", "00.png,10.0", "01.png,9.0", "02.png,9", "03.png,10")
    assert folder.source(root, 8, attributes="label").arrays["label"].tolist() == [1, 0, 0, 1]


# === Names ===

@pytest.mark.parametrize("name", ["caf\u00e9", "\u00fcn\u00ef", "\u30d1\u30f3", "\uac00\ub098"])
def test_composed_and_decomposed_names_are_the_same(root, name):
    apart = unicodedata.normalize("NFD", name)
    assert apart != name
    numbered(root, 2, apart + "/{}.png")
    numbered(root, 3, "other/{}.png")
    table(root, f"image,{name},label", *(f"{name}/{i}.png,{i},{(name, apart)[i]}" for i in range(2)),
          *(f"other/{i}.png,5,other" for i in range(3)))
    assert of(root, "label").classes["label"] == sorted([name, "other"])
    assert len(of(root, "label")) == 5
    assert of(root, apart).classes[apart] == ["0", "1", "5"] and of(root, apart).cuts[apart][1] == 0.5
    (root / "labels.csv").unlink()
    assert folder.source(root, 8).classes["label"] == sorted([name, "other"])
    (root / "names.regex").write_text(r"(?P<n>\d)")
    assert len(folder.source(root, 8)) == 5
