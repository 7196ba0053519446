import io
import os
import zipfile

import numpy as np
import pandas as pd
import pytest
from data_folders import real_data, write_course

from dr_lib.data.labels import read_labels
from dr_lib.data.patients import patient_of
from dr_lib.errors import InputError


def rows(table):
    return [tuple(row) for row in table[["image", "grade", "patient", "split"]].itertuples(index=False)]


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def refusal(folder, form="auto", labels_file=""):
    with pytest.raises(InputError) as error:
        read_labels(folder, form, labels_file)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_course_files_without_header_keep_the_first_photograph(tmp_path):
    write_course(tmp_path, {"10_left": 2, "10_right": 0}, {"7_left": 4})
    labels = read_labels(tmp_path)
    table = labels.table
    assert list(table.columns) == ["image", "grade", "patient", "eye", "split", "suffix", "file"]
    assert rows(table) == [("10_left", 2, "10", "train"), ("10_right", 0, "10", "train"), ("7_left", 4, "7", "test")]
    assert (labels.form, labels.header) == ("course", False)
    assert table["grade"].dtype == np.int64


@pytest.mark.parametrize(("image", "grade"), [("image", "label"), ("img", "level"), ("name", "grade"), ("photo", "dr")])
def test_course_files_with_header_give_the_same_rows(tmp_path, image, grade):
    write(
        tmp_path,
        train_img=f"{image}\n1_left\n2_left\n",
        train_label=f"{grade}\n3\n1\n",
        test_img="3_left\n",
        test_label="0\n",
    )
    table = read_labels(tmp_path).table
    assert rows(table)[:2] == [("1_left", 3, "1", "train"), ("2_left", 1, "2", "train")]
    assert len(table) == 3


def test_course_files_as_pandas_writes_them_by_default(tmp_path):
    for split in ("train", "test"):
        pd.DataFrame([f"{split}1_left", f"{split}2_left"]).to_csv(tmp_path / f"{split}_img.csv", index=False)
        pd.DataFrame([0, 4]).to_csv(tmp_path / f"{split}_label.csv", index=False)
    labels = read_labels(tmp_path)
    table = labels.table
    assert table["grade"].tolist() == [0, 4, 0, 4]
    assert labels.header is True


def test_windows_lines_byte_order_mark_and_a_missing_last_newline(tmp_path):
    (tmp_path / "train_img.csv").write_bytes(b"\xef\xbb\xbf1_left\r\n2_left")
    (tmp_path / "train_label.csv").write_bytes(b"1\r\n2")
    write(tmp_path, test_img="3_left\n", test_label="0\n")
    assert rows(read_labels(tmp_path).table)[:2] == [("1_left", 1, "1", "train"), ("2_left", 2, "2", "train")]


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("trainLabels", "image,level\n10_left,0\n10_right,3\n", "kaggle"),
        ("train", "id_code,diagnosis\n10_left,0\n10_right,3\n", "aptos"),
        ("labels", "grade;image\n0;10_left\n3;10_right\n", "table"),
    ],
)
def test_each_form_is_recognized_and_named(tmp_path, name, text, form):
    write(tmp_path, **{name: text})
    labels = read_labels(tmp_path)
    table = labels.table
    assert labels.form == form
    assert rows(table) == [("10_left", 0, "10", ""), ("10_right", 3, "10", "")]
    assert rows(read_labels(tmp_path, form).table) == rows(table)


def test_table_with_patients_and_splits(tmp_path):
    write(tmp_path, any="Image,Grade,Patient,Split\na.png,0,ann,train\nb.jpeg,1,ann,val\nc,4,bob,Testing\n")
    assert rows(read_labels(tmp_path).table) == [
        ("a", 0, "ann", "train"), ("b", 1, "ann", "validation"), ("c", 4, "bob", "test"),
    ]  # fmt: skip


def test_names_stay_text(tmp_path):
    write(tmp_path, labels="image,grade,patient\n007,0,01\nNA,1,\n1e5,2,nan\n")
    table = read_labels(tmp_path).table
    assert table["image"].tolist() == ["007", "NA", "1e5"]
    assert table["patient"].tolist() == ["01", "NA", "nan"]


def test_labels_file_chooses_among_several(tmp_path):
    write(tmp_path, one="image,level\na,0\n", two="image,level\nb,1\n")
    assert "choose one with labels_file" in refusal(tmp_path)
    assert read_labels(tmp_path, labels_file="two.csv").table["image"].tolist() == ["b"]
    assert "labels_file" in refusal(tmp_path, labels_file="../two.csv")
    assert "three.csv" in refusal(tmp_path, labels_file="three.csv")


@pytest.mark.parametrize("grade", ["5", "-1", "2.5", "x", "", "1e0", "NaN", "٣"])
def test_a_grade_that_is_no_integer_0_to_4_is_named_with_its_line(tmp_path, grade):
    write(tmp_path, trainLabels=f"image,level\n1_left,0\n2_left,{grade}\n")
    message = refusal(tmp_path)
    assert "trainLabels.csv line 3" in message
    assert repr(grade) in message


@pytest.mark.parametrize("grade", ["9", "x"])
def test_a_bad_grade_in_the_first_line_of_a_course_file_is_no_header(tmp_path, grade):
    write_course(tmp_path, {"1_left": grade, "2_left": 0}, {"3_left": 1})
    assert "train_label.csv line 1" in refusal(tmp_path)


def test_grades_written_as_floats_are_the_integers_they_are(tmp_path):
    write(tmp_path, trainLabels="image,level\na,3.0\nb,0.\n")
    assert read_labels(tmp_path).table["grade"].tolist() == [3, 0]


def test_pair_of_different_length(tmp_path):
    write(tmp_path, train_img="a\nb\nc\n", train_label="0\n1\n", test_img="d\n", test_label="0\n")
    message = refusal(tmp_path)
    assert "train_img.csv has 3 names and train_label.csv 2 grades" in message


def test_a_name_twice_with_two_grades_names_both_lines(tmp_path):
    write_course(tmp_path, {"1_left": 0, "2_left": 1}, {"1_left": 3})
    message = refusal(tmp_path)
    assert "1_left" in message and "test_img.csv line 1" in message and "train_img.csv line 1" in message


def test_a_name_in_training_and_testing_is_refused_even_with_one_grade(tmp_path):
    write_course(tmp_path, {"1_left": 0, "2_left": 1}, {"1_left": 0})
    assert "split" in refusal(tmp_path)


def test_a_line_that_says_the_same_again_counts_once(tmp_path, caplog):
    write(tmp_path, trainLabels="image,level\na,3\nb,1\na,3\na.jpeg,3\n")
    assert read_labels(tmp_path).table["image"].tolist() == ["a", "b"]
    assert "2 repeated lines" in caplog.text


def test_the_ending_of_a_name_is_kept_beside_it(tmp_path):
    write(tmp_path, labels="image,grade\na.png,0\nb.JPG,1\nc,2\nsub/d.tif,3\na,0\n")
    table = read_labels(tmp_path).table
    suffixes = dict(zip(table["image"], table["suffix"], strict=True))
    assert suffixes == {"a": ".png", "b": ".JPG", "c": "", "sub/d": ".tif"}


def test_one_name_with_two_endings_is_two_photographs(tmp_path):
    write(tmp_path, labels="image,grade\na.png,0\na.jpeg,4\nb.png,1\n")
    table = read_labels(tmp_path).table
    assert rows(table) == [("a.png", 0, "a.png", ""), ("a.jpeg", 4, "a.jpeg", ""), ("b", 1, "b", "")]
    write(tmp_path, labels="image,grade\na.png,0\na.jpeg,0\na,0\n")
    message = refusal(tmp_path)
    assert "labels.csv line 4" in message and "a may be a.jpeg or a.png" in message


def test_unicode_forms_of_a_name_are_one_name_and_one_patient(tmp_path):
    composed, decomposed = "M\u00fcller", "Mu\u0308ller"
    write(tmp_path, labels=f"image,grade,patient\n{composed}_1,0,{composed}\n{decomposed}_2,1,{decomposed}\n")
    assert rows(read_labels(tmp_path).table) == [
        (f"{composed}_1", 0, composed, ""), (f"{composed}_2", 1, composed, ""),
    ]  # fmt: skip
    write(tmp_path, labels=f"image,grade\n{composed},0\n{decomposed},1\n")
    assert "grade 1 here and 0 at" in refusal(tmp_path)


def test_a_name_that_is_written_as_a_path_is_the_same_name(tmp_path):
    write(tmp_path, labels="image,grade\na,0\n./a,1\n")
    assert "grade 1 here and 0 at" in refusal(tmp_path)


@pytest.mark.parametrize(
    "name", ["../1_left", "/etc/1_left", "a/../../b", "..", r"..\1_left", r"C:\1_left", r"\1_left"]
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    write_course(tmp_path, {"2_left": 0, name: 1}, {"3_left": 1})
    message = refusal(tmp_path)
    assert "train_img.csv line 2" in message and repr(name) in message


def test_a_name_in_a_subfolder_is_fine(tmp_path):
    write(tmp_path, labels="image,grade\nsub/10_left,1\n..hidden/a,2\n")
    assert rows(read_labels(tmp_path).table) == [("sub/10_left", 1, "10", ""), ("..hidden/a", 2, "..hidden/a", "")]


def test_course_without_test_files_needs_to_be_asked_for(tmp_path):
    write(tmp_path, train_img="1_left\n2_left\n", train_label="0\n1\n")
    assert "labels: course" in refusal(tmp_path)
    assert read_labels(tmp_path, "course").table["split"].tolist() == ["", ""]
    write(tmp_path, test_img="3_left\n")
    assert "test_label.csv" in refusal(tmp_path, "course")


@pytest.mark.parametrize(
    ("form", "name", "text", "expected"),
    [
        ("kaggle", "trainLabels", "", "trainLabels.csv: empty"),
        ("kaggle", "trainLabels", "image,level\n", "no photographs"),
        ("kaggle", "trainLabels", "image,stage\na,1\n", "no grade column"),
        ("table", "labels", "image,grade\na\n", "labels.csv line 2"),
        ("table", "labels", "image,grade\n,1\n", "name of the photograph is empty"),
        ("table", "labels", "image,grade,split\na,1,train\nb,1,\n", "labels.csv line 3"),
        ("table", "labels", "image,grade,split\na,1,holdout\n", "'holdout' is none of train, validation, test"),
        ("course", "train_img", "1_left,0\n", "one value a line"),
        ("aptos", "other", "a,b\n", "train.csv: no such file"),
        ("squirrel", "labels", "image,grade\na,0\n", "squirrel"),
    ],
)
def test_what_cannot_be_read_says_so(tmp_path, form, name, text, expected):
    if form == "course":
        write_course(tmp_path, {"1_left": 0}, {"2_left": 1})
    write(tmp_path, **{name: text})
    assert expected in refusal(tmp_path, form)


def test_missing_folder_and_folder_without_labels(tmp_path):
    assert "no such folder" in refusal(tmp_path / "none")
    assert "no label files" in refusal(tmp_path)


def test_binary_label_file(tmp_path):
    (tmp_path / "trainLabels.csv").write_bytes(b"\xff\xfe\x00\x01")
    assert "trainLabels.csv" in refusal(tmp_path)


TABLE = "image,grade\nMüller_1,0\nb_2,3\n"


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-8", ""), ("utf-8-sig", ""), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"), ("utf-16-be", "UTF-16"),
     ("utf-32", "UTF-32"), ("cp1252", "Windows-1252")],
)  # fmt: skip
def test_the_encoding_of_a_label_file_is_detected_and_said_once(tmp_path, caplog, encoding, said):
    (tmp_path / "labels.csv").write_bytes(TABLE.encode(encoding))
    assert rows(read_labels(tmp_path).table) == [("Müller_1", 0, "Müller_1", ""), ("b_2", 3, "b_2", "")]
    assert [record.getMessage().count(said) for record in caplog.records] == ([1] if said else [])
    assert not said or str(tmp_path / "labels.csv") in caplog.text


@pytest.mark.parametrize(
    "name", ["labels.CSV", "Labels.csv", "labels.tsv", "LABELS.TSV", "mine.TSV", "trainlabels.CSV"]
)
def test_label_files_are_found_by_their_names_in_any_case_and_as_tsv(tmp_path, name):
    text = TABLE.replace(",", "\t") if name.lower().endswith("tsv") else TABLE
    (tmp_path / name).write_text(text.replace("grade", "level"))
    assert read_labels(tmp_path).table["grade"].tolist() == [0, 3]


def test_course_files_are_found_in_any_case(tmp_path):
    write_course(tmp_path, {"1_left": 2}, {"7_left": 4})
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(path.name.upper()))
    assert read_labels(tmp_path).table["split"].tolist() == ["train", "test"]


def test_two_label_files_of_one_name_are_refused(tmp_path):
    write(tmp_path, trainLabels="image,level\na,0\n", trainlabels="image,level\na,1\n", other="image,level\na,2\n")
    assert read_labels(tmp_path).table["grade"].tolist() == [0]  # spelled as it should be
    (tmp_path / "trainLabels.csv").rename(tmp_path / "TRAINLABELS.csv")
    assert "TRAINLABELS.csv or " in refusal(tmp_path)


def zipped(name, content=b"x"):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("labels.xlsx", zipped("xl/workbook.xml"), ["an Excel workbook", "save its sheet as CSV"]),
        (
            "labels.xls",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
            ["an Excel workbook", "save its sheet as CSV"],
        ),
        ("labels.ods", zipped("content.xml"), ["a spreadsheet", "save its sheet as CSV"]),
        ("labels.zip", zipped("labels.csv", TABLE.encode()), ["a ZIP archive", "unpack it"]),
        ("labels.csv.gz", b"\x1f\x8b\x08" + bytes(20), ["a gzip archive", "unpack it"]),
        ("labels.parquet", b"PAR1" + bytes(20), ["a Parquet table", "save it as CSV"]),
    ],
)
def test_labels_of_another_kind_are_named_with_what_to_do(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    for file in ("", name):
        message = refusal(tmp_path, labels_file=file)
        assert name in message and all(word in message for word in words), message
    # Whatever it is called: what is in it counts.
    (tmp_path / name).rename(tmp_path / "labels.csv")
    assert all(word in refusal(tmp_path) for word in words)


@pytest.mark.parametrize(
    "data", [b"\x00\x01\x02\x03" * 20, b"image,grade\na\x00,1\n", b"\x89PNG\r\n\x1a\n\xff\x81", b"image\xff\x81,grade"]
)
def test_what_is_no_text_is_refused(tmp_path, data):
    (tmp_path / "labels.csv").write_bytes(data)
    assert "no text" in refusal(tmp_path)


def test_patients():
    assert [patient_of(name) for name in ("10_left", "10_RIGHT", "a_b_left", "left", "000c1434d8d7", "s/9_left")] == [
        "10", "10", "a_b", "left", "000c1434d8d7", "9",
    ]  # fmt: skip


def write_medmnist(path, grades=(0, 1, 2, 3, 4)):
    arrays = {}
    for split, count in (("train", 10), ("val", 5), ("test", 5)):
        arrays[f"{split}_images"] = np.full((count, 28, 28, 3), count, dtype=np.uint8)
        arrays[f"{split}_labels"] = np.resize(np.array(grades, dtype=np.uint8), (count, 1))
    np.savez_compressed(path, **arrays)


def test_medmnist_with_its_official_splits(tmp_path):
    write_medmnist(tmp_path / "retinamnist_64.npz")
    labels = read_labels(tmp_path)
    table = labels.table
    assert (labels.form, labels.header, labels.header_loss) == ("medmnist", None, ())
    assert table["split"].value_counts().to_dict() == {"train": 10, "validation": 5, "test": 5}
    assert table["grade"].tolist()[:6] == [0, 1, 2, 3, 4, 0]
    assert table["image"].is_unique and table["patient"].is_unique


def test_several_sizes_of_medmnist_need_a_choice(tmp_path):
    write_medmnist(tmp_path / "retinamnist.npz")
    write_medmnist(tmp_path / "retinamnist_224.npz")
    assert "labels_file" in refusal(tmp_path)
    assert len(read_labels(tmp_path, labels_file="retinamnist_224.npz").table) == 20


@pytest.mark.parametrize("folder", ["", "none"])
def test_missing_medmnist_says_where_it_is_published(tmp_path, folder):
    message = refusal(tmp_path / folder, "medmnist")
    for part in ("https://zenodo.org/records/10519652", "bd4c0672f1bba3e3a89f0e4e876791e4", "data_dir", "CC BY 4.0"):
        assert part in message


def test_a_medmnist_file_that_is_none(tmp_path):
    (tmp_path / "retinamnist.npz").write_bytes(b"half a download")
    assert "retinamnist.npz" in refusal(tmp_path)
    np.savez(tmp_path / "retinamnist.npz", train_labels=np.array([object()], dtype=object))
    assert "retinamnist.npz" in refusal(tmp_path)
    write_medmnist(tmp_path / "retinamnist.npz", grades=(0, 7))
    assert "7" in refusal(tmp_path)


@pytest.mark.real
def test_the_courses_own_files():
    table = read_labels(real_data() / "course-csv").table
    assert table["split"].value_counts().to_dict() == {"train": 28097, "test": 7026}
    assert rows(table)[0] == ("2576_right", 0, "2576", "train")
    kaggle = read_labels(real_data(), "kaggle").table
    assert len(kaggle) == 35126
    both = table.merge(kaggle, on="image", suffixes=("", "_kaggle"))
    assert len(both) == 35123 and (both["grade"] == both["grade_kaggle"]).all()


def test_a_pipe_is_no_label_file(tmp_path):
    for name in ("labels.csv", "train_img.csv", "train_label.csv"):  # which nobody writes into: opened, one would wait
        os.mkfifo(tmp_path / name)
    for form, labels_file in (("table", "labels.csv"), ("course", "")):
        with pytest.raises(InputError, match=r"\.csv: (no such file|cannot be read \(no regular file\))"):
            read_labels(tmp_path, form, labels_file)
