r"""What is known of the images of a folder, such as age: a file in the folder itself, one of two.

    labels.csv     image,age,gender             the first row names the columns; the first column is the path of an image
                   faces/1.jpg,34,female        within the folder; UTF-8, or UTF-16 with its mark; commas, semicolons or tabs
    names.regex    (?P<age>\d+)_(?P<gender>\d)_(?P<race>\d)_
                   a regular expression of Python, matched with the beginning of each file's name: its named groups are
                   the columns. This one reads UTKFace's names

Numbers are read as spreadsheets of several countries write them: 1.5, 1,5, 1,234.5, 1.234,5, 1 234,5, 1'234.5; the whole
column decides. MISSING are cells in which nothing is known.
"""
import csv
import io
import os
import re

import numpy as np

from kgan.data.files import composed, contents, number, ordered, text
from kgan.data.source import DataError

FILES = ("labels.csv", "names.regex")
# cells that say nothing, in any case of letters: as spreadsheets (in English and German), databases, pandas and R write them
MISSING = {"", "nan", "na", "n/a", "n.a.", "<na>", "nat", "null", "(null)", "\\n", "none", "nil", "-", "--", "\u2013", "\u2014",
           "?", ".", "#n/a", "#na", "#nv", "#n/v", "#value!", "#wert!", "#ref!", "#div/0!", "#num!", "#name?", "#null!"}
_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig"))


def read(root):
    """The file of attributes in `root`, as (its name, its bytes), or None."""
    there = [name for name in FILES if os.path.lexists(os.path.join(root, name))]
    if not there:
        return None
    if len(there) > 1:
        raise DataError(f"{root} holds both {' and '.join(there)}: which of them is to say what the images are? Take the "
                        "other away.")
    file = os.path.join(root, *there)
    try:
        return there[0], contents(file)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from None


class Table:
    """The file of attributes, read.

    Args:
        root: the folder.
        names: relative paths of its images.
        name, content: the file's, as `read` gives them.

    Attributes:
        file: its path; columns: their names, in order.

    Raises:
        DataError: it is broken.
    """

    def __init__(self, root, names, name, content):
        self.name, self.file, self._comma = name, os.path.join(root, name), None
        mark, encoding = next(pair for pair in _MARKS if content.startswith(pair[0]))
        try:
            whole = composed(content.decode(encoding))
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise DataError(f"{self.file}, line {line}: this is no UTF-8. Save the file as UTF-8.") from None
        self._names = names
        self._called = {text(name): name for name in names}
        self._called.update((name, name) for name in names if text(name) == name)
        self._rows, self.columns = (self._csv if name == "labels.csv" else self._matches)(whole)

    def described(self, wanted):
        """The images of which the columns `wanted` say something: ({its path: [cell]}, note).

        Raises:
            DataError: there are none, or a column cannot be.
        """
        self._check(wanted)
        places = [self.columns.index(column) for column in wanted]
        rows = {name: [row[place] for place in places] for name, row in self._rows.items()}
        named = {self._called[name]: cells for name, cells in rows.items() if name in self._called}
        strangers = [name for name in rows if name not in self._called]
        silent = [name for name in self._names if name not in named]
        gaps = {name: cell for name in self._names for cell in named.get(name, ()) if cell.lower() in MISSING}
        written = ", ".join(repr(cell) for cell in sorted({*gaps.values()} - {""})[:5])
        note = ""
        for found, words, more in (
                (silent, f"images of which {self.name} says nothing are left out", ""),
                ([*gaps], f"images with an empty cell in {self.name} are left out", written and f"; empty is also {written}"),
                (strangers, f"rows of {self.name} are of no image in the folder", "")):
            if found:
                note += f"{len(found)} {words} ({some(found, 3)}){more}. "
        named = {name: named[name] for name in self._names if name in named and name not in gaps}
        if not named:
            raise DataError(f"{self.file} describes none of the {len(self._names)} images in the folder. {note}" + (
                "Its first column must be their paths within the folder." if self.name == "labels.csv" else
                "The expression must match the beginning of their names."))
        return named, note

    def fields(self, columns, rows):
        """Columns as arrays: ({name: float32 or int64 [n]}, {name: names of classes}), of `rows` [n] of texts."""
        arrays, classes = {}, {}
        for column, cells in zip(columns, zip(*rows)):
            values = numbers(cells, self._comma)
            if values is None:
                unclear = next(cell for cell in cells if re.search("[.,]", cell))
                raise DataError(f"{self.file}: in the column {column}, {unclear!r} may have decimals or thousands: write numbers "
                                "without marks of thousands.")
            wrong = [cell for cell, value in zip(cells, values) if value is None]
            whole = not wrong and all(value == int(value) for value in values)
            if not wrong and column == "label" and not whole:
                raise DataError(f"{self.file}: label is for classes, names or whole numbers. Give this column another name.")
            if not wrong and column != "label":
                arrays[column] = np.array(values, np.float32)
                continue
            if column != "label" and len(wrong) < 0.5 * len(cells):
                raise DataError(f"{self.file}: in the column {column}, {len(wrong)} of {len(cells)} cells are no numbers "
                                f"({some(wrong, 3)}). Leave a cell empty where nothing is known: its image is then left out.")
            if whole:  # 1.0 is how a spreadsheet writes the class 1; 01 is a name
                cells = [cell if re.fullmatch("-?[0-9]+", cell) else f"{value:.0f}" for cell, value in zip(cells, values)]
            classes[column] = ordered(cells)
            places = {name: i for i, name in enumerate(classes[column])}
            arrays[column] = np.array([places[cell] for cell in cells], np.int64)
        return arrays, classes

    def _check(self, wanted):
        for column in wanted:
            if not re.fullmatch(r"\w[\w.-]*", column) or column in ("image", "sample", "notes", "whole"):
                raise DataError(f"{self.file}: a column cannot be called {column!r}. Its name is made of letters, digits and _, "
                                "and is not image, sample, notes or whole.")
            if self.columns.count(column) > 1:
                raise DataError(f"{self.file}: two columns are called {column}. Rename one.")

    def _csv(self, contents):
        """labels.csv as ({path: [cell]}, [name of a column])."""
        rows, columns, line = {}, None, 0
        contents, self._comma = _separated(contents)
        reader = csv.reader(io.StringIO(contents, newline=""), strict=True, delimiter=self._comma)
        try:
            for row in reader:
                line, row = reader.line_num, [cell.strip() for cell in row]
                if not any(row):
                    continue
                if columns is None:
                    columns = row
                    if len(columns) < 2:
                        raise DataError(f"{self.file}, line {line}: one column only. Write the path of the image first, "
                                        "then its attributes, with commas between.")
                    if columns[0] in self._called:
                        raise DataError(f"{self.file}, line {line}: this is a row, of {columns[0]!r}. The first row must "
                                        "name the columns, as in image,age,gender.")
                    continue
                if len(row) != len(columns):
                    raise DataError(f"{self.file}, line {line}: {len(row)} cells where the first row has {len(columns)}. "
                                    f"Write one for each column, \"in quotes\" where there is a {self._comma!r} in it.")
                path = row[0].replace("\\", "/").removeprefix("./")
                if path in rows:
                    raise DataError(f"{self.file}, line {line}: a second row of {path!r}. Leave one of them.")
                rows[path] = row[1:]
        except csv.Error as error:
            raise DataError(f"{self.file}, line {reader.line_num}: {error}. Cells with quotes in them are written "
                            "\"like \"\"this\"\"\".") from None
        if columns is None:
            raise DataError(f"{self.file} is empty. Its first row must name the columns, as in image,age,gender.")
        return rows, columns[1:]

    def _matches(self, contents):
        """names.regex, applied: ({path: [text of a group]}, [name of a group])."""
        lines = [line for line in contents.splitlines() if line.strip()]
        if len(lines) != 1:
            raise DataError(f"{self.file}: {len(lines)} lines; one regular expression is wanted, in one line.")
        try:
            pattern = re.compile(lines[0].strip())
        except re.error as error:
            raise DataError(f"{self.file}, line 1: no regular expression: {error}.") from None
        columns = list(pattern.groupindex)
        if not columns:
            raise DataError(f"{self.file}, line 1: no group has a name. Write (?P<age>\\d+) for a number that is to be called "
                            "age.")
        found = {name: pattern.match(name.rpartition("/")[2]) for name in self._called}
        return {name: [(match[column] or "").strip() for column in columns] for name, match in found.items() if match}, columns


def _separated(contents):
    """(the text without what Excel writes before it, what separates cells): what gives the same number of cells in all rows."""
    if said := re.match(r"sep=(.)\r?\n", contents):
        return contents[said.end():], said[1]
    best, found = (0, 0), ","
    for separator in ",;\t":
        try:
            rows = csv.reader(io.StringIO(contents, newline=""), strict=True, delimiter=separator)
            counts = [len(row) for row, _ in zip((row for row in rows if any(row)), range(50))]
        except csv.Error:
            counts = []
        if counts and counts[0] > 1 and (score := (len({*counts}) == 1, counts[0])) > best:
            best, found = score, separator
    return contents, found


# === Numbers ===

_SPACES = re.compile("(?<=[0-9])[ \u00a0\u2009\u202f'\u2019](?=[0-9]{3}(?![0-9]))")
_ENGLISH = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?")
_EUROPEAN = re.compile(r"[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]*)(,[0-9]+)?")


def numbers(cells, separator=None):
    """The finite numbers in texts, None for those that are none; None for all where they can be read in two ways.

    `separator`: of the cells in their file. A comma: what may be English is; a semicolon: 1,234 is 1.234, and 1.234 may be both.
    """
    cells = [_SPACES.sub("", cell.replace("\u2212", "-")) for cell in cells]
    plain = [number(cell) for cell in cells]
    english = [number(cell.replace(",", "")) if value is None and _ENGLISH.fullmatch(cell) else value
               for cell, value in zip(cells, plain)]
    # 0.123 is no thousands
    european = [number(cell.replace(".", "").replace(",", ".")) if _EUROPEAN.fullmatch(cell) and not re.match(r"[+-]?0\.", cell)
                else None for cell in cells]
    ways = (plain, european, english) if separator == ";" else (plain, english, european)
    most = max(len(way) - way.count(None) for way in ways)
    best = [way for way in ways if len(way) - way.count(None) == most]
    certain = separator == "," or best[0] is european or best[0] is plain and separator != ";"
    return best[0] if certain or all(way == best[0] for way in best) else None


def some(names, count):
    """The first of some names, in words."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(repr(name) for name in names[:count]) + more
