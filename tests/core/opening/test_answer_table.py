"""Files of recorded answers: what technicians, spreadsheets and liars write."""

from pathlib import Path

import pytest

from cae_core.errors import DataError
from cae_core.opening.answer_table import read_answers

CLASSES = ("cat", "dog", "7")
NAMES = ("a.png", "b.png", "c.png")


def labels(tmp_path: Path, content: str, suffix: str = ".csv", *, encoding: str = "utf-8") -> list[int]:
    path = tmp_path / f"answers{suffix}"
    path.write_bytes(content.encode(encoding))
    found: list[int] = read_answers(path).labels(NAMES, CLASSES).tolist()
    return found


@pytest.mark.parametrize(
    "content",
    [
        "export,file,label\nx,a.png,0\nx,b.png,1\nx,c.png,-1\n",
        "export;file;label;note\r\nx;b.png;dog;seen\r\nx;c.png; ;\r\nx;images\\a.png;cat;\r\n",
        "File\tLabel\tExport\nimages/a.png\t0.0\tx\nb.png\t1\tx\n",
        '"export","file","label"\n"x","a.png","cat"\n"x","b.png","1."\n',
    ],
)
def test_what_spreadsheets_write_is_read(content: str, tmp_path: Path) -> None:
    assert labels(tmp_path, content) == [0, 1, -1]
    assert labels(tmp_path, content, encoding="utf-8-sig") == [0, 1, -1]


def test_json_lines_are_read_as_well(tmp_path: Path) -> None:
    lines = '{"export":"x","file":"b.png","label":1.0}\n\n{"export":"x","file":"a.png","label":"cat","score":0.5}\n'
    assert labels(tmp_path, lines + '{"export":"x","file":"c.png","label":null}', ".jsonl") == [0, 1, -1]


def test_a_number_wins_over_a_class_that_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="number from 0 to 2 or the name"):
        labels(tmp_path, "export,file,label\nx,a.png,7\n")


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("export,file,label\nx,a.png,0\nx,images/a.png,1\n", "answers twice for 'a.png'"),
        ("export,file,label\nx,z.png,0\n", "'z.png', which is no file of this export"),
        ("export,file,label\nx,a.png,0\ny,b.png,0\n", "name 2 exports"),
        ("export,file,label\n", "name 0 exports"),
        ("file,label\na.png,0\n", "has no export"),
        ("export,file,label\nx,a.png,3\n", "number from 0 to 2"),
        ("export,file,label\nx,a.png,-2\n", "number from 0 to 2"),
        ("export,file,label\nx,a.png,mouse\n", "found 'mouse'"),
        ("export,file,label\nx,a.png,0.5\n", "found '0.5'"),
        ("export,file,label\nx,a.png,0,1\n", "more cells"),
        ('export,file,label\nx,"a.png,0\n', "no recorded answers"),
        (f"export,file,label\nx,a.png,{'9' * 5000}\n", "number from 0 to 2"),
        ("\x00", "no recorded answers"),
        ("", "name 0 exports"),
    ],
)
def test_what_is_no_answer_is_refused_in_one_sentence(content: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words) as raised:
        labels(tmp_path, content)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


@pytest.mark.hostile
@pytest.mark.parametrize(
    "line",
    [
        "[1]",
        "{",
        "[" * 5000,
        '{"export":"x","file":"a.png","label":{"a":1}}',
        '{"export":"x","file":"a.png","label":1e999}',
    ],
)
def test_hostile_json_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        labels(tmp_path, line, ".jsonl")


@pytest.mark.hostile
def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_bytes(b"\xff\xfe" * 10)
    with pytest.raises(DataError, match="UTF-8"):
        read_answers(path)
