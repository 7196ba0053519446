"""Public data sets as they unpack: each is read by itself, or by the one parameter that the message names."""

import os
import sys
import unicodedata

import numpy as np
import pandas as pd
import pytest
from data_folders import write_course, write_photographs

import dr_lib
from dr_lib.config import RunConfig
from dr_lib.data.label_files import COLUMN_NAMES
from dr_lib.data.labels import labels_of, read_labels
from dr_lib.data.layouts import LAYOUTS
from dr_lib.data.manifest import reconcile
from dr_lib.data.matching import find_photographs
from dr_lib.data.patients import names_that_look_paired, patients_and_eyes
from dr_lib.errors import InputError


def touch(folder, *names):
    """Make files; nothing but their names counts here."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def course(folder):
    write_course(folder, {"10_left": 2, "10_right": 0}, {"7_left": 4})
    touch(folder, "10_left.jpeg", "10_right.jpeg", "7_left.jpeg")


def eyepacs(folder):
    (folder / "trainLabels.csv").write_text("image,level\n10_left,0\n10_right,3\n")
    touch(folder, "train/10_left.jpeg", "train/10_right.jpeg")


def eyepacs_with_solution(folder):
    eyepacs(folder)
    (folder / "retinopathy_solution.csv").write_text("image,level,Usage\n1_left,4,Public\n1_right,2,Private\n")
    touch(folder, "test/1_left.jpeg", "test/1_right.jpeg")


def eyepacs_repacked(folder):
    (folder / "trainLabels_cropped.csv").write_text(",Unnamed: 0,image,level\n0,0,10_left,0\n1,1,10_right,3\n")
    inner = "resized_train_cropped/resized_train_cropped"
    touch(folder, f"{inner}/10_left.jpeg", f"{inner}/10_right.jpeg")


def aptos(folder):
    (folder / "train.csv").write_text("id_code,diagnosis\n000c1434d8d7,2\n001639a390f0,4\n")
    (folder / "test.csv").write_text("id_code\n0005cfc8afb6\n")
    (folder / "sample_submission.csv").write_text("id_code,diagnosis\n0005cfc8afb6,0\n")
    touch(folder, "train_images/000c1434d8d7.png", "train_images/001639a390f0.png", "test_images/0005cfc8afb6.png")


def aptos_repacked(folder):
    for name, image in {"train_1": "a1", "valid": "b1", "test": "c1"}.items():
        (folder / f"{name}.csv").write_text(f"id_code,diagnosis\n{image},1\n")
    touch(folder, "train_images/train_images/a1.png", "val_images/val_images/b1.png", "test_images/test_images/c1.png")


def ddr(folder):
    for split, rows in {
        "train": ["004-000.jpg 0", "005-000.jpg 5"],
        "valid": ["006-000.jpg 1"],
        "test": ["7-000.jpg 4"],
    }.items():
        (folder / f"{split}.txt").write_text("".join(f"007-0{row}\n" for row in rows))
    touch(
        folder, "train/007-0004-000.jpg", "train/007-0005-000.jpg", "valid/007-0006-000.jpg", "test/007-07-000.jpg"
    )  # fmt: skip


def gdrbench(folder):
    (folder / "DDR_train.txt").write_text("DDR/nodr/007-0004-000.jpg 0\nDDR/pdr/007-0005-000.jpg 4\n")
    (folder / "DDR_crossval.txt").write_text("DDR/mild_npdr/007-0006-000.jpg 1\n")
    (folder / "APTOS_train.txt").write_text("APTOS/nodr/0a.png 0\n")
    touch(folder, *(f"DDR/{name}.jpg" for name in ("nodr/007-0004-000", "pdr/007-0005-000", "mild_npdr/007-0006-000")))
    touch(folder, "APTOS/nodr/0a.png")


def messidor2(folder):
    (folder / "messidor_data.csv").write_text(
        "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable\n"
        "20051020_43808_0100_PP.tif,0,0,1\n20051020_43832_0100_PP.tif,,,0\nIM002385.JPG,3,1,1\nIM003718.JPG,2,0,1\n"
    )
    (folder / "messidor-2.csv").write_text(
        "left;right\n20051020_43808_0100_PP.png;20051020_43832_0100_PP.png\nIM002385.jpg;IM003718.jpg\n"
    )
    touch(folder, *(f"IMAGES/2005102{name}_0100_PP.png" for name in ("0_43808", "0_43832")))
    touch(folder, "IMAGES/IM002385.jpg", "IMAGES/IM003718.jpg")


def idrid(folder):
    labels = folder / "2. Groundtruths"
    labels.mkdir()
    header = "Image name,Retinopathy grade,Risk of macular edema ,,,,,,,,,\n"
    (labels / "a. IDRiD_Disease Grading_Training Labels.csv").write_text(
        f"{header}IDRiD_001,3,2,,,,,,,,,\nIDRiD_002,1,0,,,,,,,,,\n"
    )
    (labels / "b. IDRiD_Disease Grading_Testing Labels.csv").write_text(f"{header}IDRiD_001,4,0,,,,,,,,,\n")
    touch(folder, *(f"1. Original Images/a. Training Set/IDRiD_00{number}.jpg" for number in (1, 2)))
    touch(folder, "1. Original Images/b. Testing Set/IDRiD_001.jpg")


def deepdrid(folder):
    header = "patient_id,image_id,image_path,Overall quality,left_eye_DR_Level,right_eye_DR_Level,patient_DR_Level\n"
    for split, patient in {"training": 1, "validation": 265}.items():
        part = f"regular-fundus-{split}"
        path = f"\\{part}\\{patient}\\{patient}"
        touch(folder, *(f"{part}/Images/{patient}/{patient}_{eye}.jpg" for eye in ("l1", "r2")))
        (folder / part / f"{part}.csv").write_text(
            f"{header}{patient},{patient}_l1,{path}_l1.jpg,0,3,,4\n{patient},{patient}_r2,{path}_r2.jpg,1,,4,4\n"
        )


def eyeq(folder):
    (folder / "Label_EyeQ_train.csv").write_text(",image,quality,DR_grade\n0,10_left.jpeg,0,0\n1,10_right.jpeg,2,3\n")
    (folder / "Label_EyeQ_test.csv").write_text(",image,quality,DR_grade\n0,1_left.jpeg,1,4\n")
    touch(folder, "train/10_left.jpeg", "train/10_right.jpeg", "test/1_left.jpeg")


def class_folders(folder):
    touch(folder, "train/0/a.jpeg", "train/4/b.jpeg", "val/4/b.jpeg", "test/2/c.JPG")


def class_folders_in_words(folder):
    for grade, name in enumerate(["No_DR", "Mild", "Moderate", "Severe", "Proliferate_DR"]):
        touch(folder, f"colored_images/{name}/{grade}a.png")


def gdrbench_folders(folder):
    for grade, name in enumerate(["nodr", "mild_npdr", "moderate_npdr", "severe_npdr", "pdr"]):
        touch(folder, f"{name}/{grade}a.jpg")


def flair(folder):
    (folder / "02_MESSIDOR.csv").write_text(
        ",image,atributes,categories\n0,02_MESSIDOR/images/x.png,[],['mild diabetic retinopathy']\n"
        "1,02_MESSIDOR/images/y.png,[],\"['no diabetic retinopathy', 'drusen']\"\n"
        "2,02_MESSIDOR/images/z.png,[],['glaucoma']\n"
    )
    touch(folder, *(f"images/{name}.png" for name in "xyz"))


def hospital(folder):
    (folder / "Export.csv").write_bytes(
        "Patient;File;Grade\r\nMüller;P01_OD.dcm;2,0\r\nMüller;P01_OS.dcm;0,0\r\n".encode("cp1252")
    )
    touch(folder, "P01/2019-05-01/P01_OD.png", "P01/2019-05-01/P01_OS.JPG")


def hospital_utf16(folder):
    (folder / "labels.csv").write_bytes("image\tgrade\nP02_L\t1\nP02_R\t4\n".encode("utf-16"))
    touch(folder, "P02/2019-05-01/P02_L.jpg", "P02/2019-05-02/P02_R.jpg")


def hospital_windows_paths(folder):
    (folder / "labels.csv").write_text("image,grade\nD:\\export\\P01\\OD\\1.jpg,1\nD:\\export\\P01\\OS\\1.jpg,4\n")
    touch(folder, "photos/P01/OD/1.jpg", "photos/P01/OS/1.jpg")


SETS = {
    course: ("course", "10_left 2 10 left train, 10_right 0 10 right train, 7_left 4 7 left test", {}),
    eyepacs: ("kaggle", "10_left 0 10 left -, 10_right 3 10 right -", {}),
    eyepacs_with_solution: (
        "kaggle",
        "10_left 0 10 left train, 10_right 3 10 right train, 1_left 4 1 left test, 1_right 2 1 right test", {},
    ),
    eyepacs_repacked: ("kaggle", "10_left 0 10 left -, 10_right 3 10 right -", {}),
    aptos: ("aptos", "000c1434d8d7 2 - - -, 001639a390f0 4 - - -", {}),
    aptos_repacked: ("aptos", "a1 1 - - train, b1 1 - - validation, c1 1 - - test", {}),
    ddr: ("ddr", "007-0004-000 0 - - train, 007-0006-000 1 - - validation, 007-07-000 4 - - test", {"ungradable": 1}),
    gdrbench: (
        "gdrbench",
        "APTOS/nodr/0a 0 - - train, DDR/nodr/007-0004-000 0 - - train, DDR/pdr/007-0005-000 4 - - train, "
        "DDR/mild_npdr/007-0006-000 1 - - validation", {},
    ),
    messidor2: (
        "messidor2",
        "20051020_43808_0100_PP 0 20051020_43808_0100_PP+20051020_43832_0100_PP left -, "
        "IM002385 3 IM002385+IM003718 left -, IM003718 2 IM002385+IM003718 right -", {"ungradable": 1},
    ),
    idrid: ("idrid", "train/IDRiD_001 3 - - train, train/IDRiD_002 1 - - train, test/IDRiD_001 4 - - test", {}),
    deepdrid: (
        "deepdrid",
        "1_l1 3 1 left train, 1_r2 4 1 right train, 265_l1 3 265 left validation, 265_r2 4 265 right validation", {},
    ),
    eyeq: ("eyeq", "10_left 0 10 left train, 10_right 3 10 right train, 1_left 4 1 left test", {}),
    class_folders: (
        "folders", "test/2/c 2 - - test, train/0/a 0 - - train, train/4/b 4 - - train, val/4/b 4 - - validation", {},
    ),
    class_folders_in_words: (
        "folders", ", ".join(
            f"colored_images/{name}/{grade}a {grade} - - -" for grade, name in
            [(1, "Mild"), (2, "Moderate"), (0, "No_DR"), (4, "Proliferate_DR"), (3, "Severe")]
        ), {},
    ),
    gdrbench_folders: (
        "folders",
        "mild_npdr/1a 1 - - -, moderate_npdr/2a 2 - - -, nodr/0a 0 - - -, pdr/4a 4 - - -, severe_npdr/3a 3 - - -", {},
    ),
    flair: ("table", "02_MESSIDOR/images/x 1 - - -, 02_MESSIDOR/images/y 0 - - -", {"ungradable": 1}),
    hospital: ("table", "P01_OD 2 Müller right -, P01_OS 0 Müller left -", {}),
    hospital_utf16: ("table", "P02_L 1 P02 left -, P02_R 4 P02 right -", {}),
    hospital_windows_paths: ("table", "P01/OD/1 1 P01 right -, P01/OS/1 4 P01 left -", {}),
}  # fmt: skip
"""Per data set the form, the rows as image, grade, patient, eye, split (- for none), and the rows left out."""


def described(table):
    def row(image, grade, patient, eye, split):
        return f"{image} {grade} {'-' if patient == image else patient} {eye or '-'} {split or '-'}"

    columns = (table[name] for name in ("image", "grade", "patient", "eye", "split"))
    return ", ".join(map(row, *columns))


@pytest.mark.parametrize("make", SETS, ids=lambda make: make.__name__)
def test_each_public_data_set_is_read_as_it_unpacks(tmp_path, make):
    form, rows, left_out = SETS[make]
    make(tmp_path)
    labels = read_labels(tmp_path)
    assert labels.form == form and described(labels.table) == rows
    assert "\n" not in labels.recognized and f"{len(labels.table)} photographs" in labels.recognized
    for why, count in left_out.items():
        assert f"left out: {count} {why}" in labels.recognized
    search = find_photographs(tmp_path, labels)
    assert search.missing == [] and search.several == {}
    assert len({*search.photographs.paths.values()}) == len(labels.table)
    check_sums(labels, search)
    # By its name, too, and from its own table written beside it.
    assert described(read_labels(tmp_path, form).table) == rows
    manifest = dr_lib.read_labels(tmp_path)
    manifest.to_csv(tmp_path / "again.csv", index=False)
    again = dr_lib.read_labels(tmp_path, labels_file="again.csv")
    pd.testing.assert_frame_equal(again, manifest, check_dtype=False)


def check_sums(labels, search, damaged=0):
    for counts in reconcile(labels, search, damaged).values():
        assert counts["all"] == sum(counts.values()) - counts["all"], counts
        assert min(counts.values()) >= 0


def test_the_layouts_are_those_of_the_configuration():
    forms = RunConfig.model_fields["labels"].annotation.__args__
    assert [*dict.fromkeys(layout.name for layout in LAYOUTS), "auto"] == [*forms]
    roles = RunConfig.model_fields["columns"].annotation.__args__[0].__args__
    assert {*roles} == {*COLUMN_NAMES}


def test_extra_columns_are_kept_and_quality_has_its_place(tmp_path):
    eyeq(tmp_path)
    manifest = dr_lib.read_labels(tmp_path)
    assert list(manifest.columns) == ["image", "path", "grade", "patient", "eye", "split", "quality"]
    assert manifest["quality"].tolist() == ["0", "2", "1"]
    (tmp_path / "other").mkdir()
    eyepacs_with_solution(tmp_path / "other")
    manifest = dr_lib.read_labels(tmp_path / "other")
    assert manifest["Usage"].tolist() == ["", "", "Public", "Private"]
    (tmp_path / "wide").mkdir()
    (tmp_path / "wide" / "labels.csv").write_text("image,grade,site,camera,age,sex\na,0,x,y,7,f\n")
    assert [*dr_lib.read_labels(tmp_path / "wide")][6:] == ["site", "camera", "age", "sex"]


def test_course_labels_by_a_grade_map_have_their_first_photograph_named(tmp_path):
    write_course(tmp_path, {"1_left": "mild", "2_left": "R0"}, {"3_left": "-"})
    labels = read_labels(tmp_path, grade_map={"mild": 1, "R0": 0}, ungradable=["-"])
    assert labels.header is False and [row["grade"] for row in labels.header_loss] == [1]
    assert described(labels.table) == "1_left 1 1 left train, 2_left 0 2 left train"


# What a parameter decides


def refusal(folder, **parameters):
    with pytest.raises(InputError) as error:
        dr_lib.read_labels(folder, **parameters)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_columns_grades_and_what_is_ungradable_by_parameter(tmp_path):
    (tmp_path / "labels.csv").write_text("Foto;Wer;Auge;Stadium\na;ann;OD;R0\nb;ann;OS;R3\nc;bob;OS;-\nd;bob;OD;-1\n")
    columns = {"image": "Foto", "patient": "Wer", "eye": "auge", "grade": "Stadium"}
    assert "no image column" in refusal(tmp_path) and "columns: {image: ...}" in refusal(tmp_path)
    assert "did you mean 'Foto'" in refusal(tmp_path, columns=columns | {"image": "Fotos"})
    message = refusal(tmp_path, columns=columns)
    assert "labels.csv line 2: grade 'R0' of a" in message and "grade_map" in message and "ungradable" in message
    options = {"columns": columns, "grade_map": {"R0": 0, "r3": 4}, "ungradable": ["-", -1]}
    labels = dr_lib.read_labels(tmp_path, **options)
    assert labels[["image", "grade", "patient", "eye"]].to_numpy().tolist() == [
        ["a", 0, "ann", "right"], ["b", 4, "ann", "left"]
    ]  # fmt: skip
    left_out = dr_lib.data.account(tmp_path, **options)
    assert "left out: 2 ungradable" in left_out["recognized"] and left_out["rows"]["ungradable"] == 2
    config = RunConfig(data_dir=str(tmp_path), **options)
    assert described(labels_of(config).table) == described(labels)
    assert RunConfig(grade_map={False: 0, 5: 4}).grade_map == {"no": 0, "5": 4}  # as YAML reads no
    for wrong in ({"columns": {"foto": "a"}}, {"grade_map": {"a": 5}}, {"labels_files": {"dev": "a.csv"}}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            RunConfig(**wrong)


def test_columns_that_are_not_clear_are_refused(tmp_path):
    (tmp_path / "labels.csv").write_text("image,grade,grade\na,1,2\n")
    assert "line 1: two columns are called 'grade'" in refusal(tmp_path)
    (tmp_path / "labels.csv").write_text("image,grade\na,1\n")
    assert "'foo' is none of image, path, grade" in refusal(tmp_path, columns={"foo": "grade"})


def test_several_label_files_with_a_split_each(tmp_path):
    for name, image in {"one": "a", "two": "b", "three": "c"}.items():
        (tmp_path / f"{name}.csv").write_text(f"image,grade\n{image},1\n")
    message = refusal(tmp_path)
    assert "labels_file: one.csv or labels_file: three.csv" in message and "labels_files" in message
    files = {"train": "one.csv", "test": "two.csv"}
    assert described(dr_lib.read_labels(tmp_path, labels_files=files)) == "a 1 - - train, b 1 - - test"
    assert "leads out" in refusal(tmp_path, labels_files={"train": "../one.csv"})
    assert "say one of them" in refusal(tmp_path, labels_files=files, labels_file="one.csv")
    assert "four.csv: no such file" in refusal(tmp_path, labels_files={"train": "four.csv"})
    assert "'dev' is none of" in refusal(tmp_path, labels_files={"dev": "one.csv"})


def test_two_readings_ask_for_the_parameter_that_decides(tmp_path):
    eyepacs(tmp_path)
    eyeq(tmp_path)
    assert "labels: kaggle (trainLabels.csv) or labels: eyeq (Label_EyeQ_train.csv)" in refusal(tmp_path)
    (tmp_path / "grades").mkdir()
    (tmp_path / "grades" / "x.csv").write_text("image,level,diagnosis\na,0,1\nb,1,1\n")
    message = refusal(tmp_path / "grades")
    assert "columns: {grade: level} or columns: {grade: diagnosis}" in message
    labels = dr_lib.read_labels(tmp_path / "grades", columns={"grade": "diagnosis"})
    assert labels["grade"].tolist() == [1, 1]
    (tmp_path / "grades" / "x.csv").write_text("image,level,diagnosis\na,0,No_DR\nb,1,Mild\n")  # the same twice
    assert dr_lib.read_labels(tmp_path / "grades")["grade"].tolist() == [0, 1]
    (tmp_path / "own").mkdir()
    eyepacs(tmp_path / "own")
    dr_lib.read_labels(tmp_path / "own").to_csv(tmp_path / "own" / "labels.csv", index=False)
    assert "labels: kaggle (trainLabels.csv) or labels_file: labels.csv" in refusal(tmp_path / "own")


def test_a_folder_beside_those_of_grades_is_asked_for(tmp_path):
    class_folders_in_words(tmp_path)
    touch(tmp_path, "colored_images/Unclear/u.png", "unlabeled/v.png")
    message = refusal(tmp_path)
    assert "Unclear/u.png: grade 'Unclear'" in message and "grade_map" in message and "ungradable" in message
    labels = read_labels(tmp_path, ungradable=["unclear"])
    assert len(labels.table) == 5 and labels.ungradable["image"].tolist() == ["colored_images/Unclear/u"]
    search = find_photographs(tmp_path, labels)
    assert search.unlabeled == ["unlabeled/v.png"]
    assert search.ignored["of photographs that are ungradable"] == ["colored_images/Unclear/u.png"]
    check_sums(labels, search)


def test_folders_of_numbered_patients_are_no_grades(tmp_path):
    touch(tmp_path, *(f"{patient}/x.jpg" for patient in range(9)))
    assert "no label files" in refusal(tmp_path)


def workbook(path, **sheets):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)


def test_a_workbook_is_read_by_its_sheet(tmp_path, monkeypatch):
    rows = [["image", "grade", "patient"], ["10_left", 2, 7.0], ["10_right", 0.0, None]]
    workbook(tmp_path / "labels.xlsx", Labels=rows, Empty=[])
    labels = dr_lib.read_labels(tmp_path)
    assert described(labels) == "10_left 2 7 left -, 10_right 0 10 right -"
    workbook(tmp_path / "labels.xlsx", One=rows, Two=[["image", "grade"], ["a", "x"]])
    message = refusal(tmp_path)
    assert "labels_file: labels.xlsx#One or labels.xlsx#Two" in message
    assert described(dr_lib.read_labels(tmp_path, labels_file="labels.xlsx#One")) == described(labels)
    assert "line 2: grade 'x' of a" in refusal(tmp_path, labels_file="labels.xlsx#Two")
    assert "has no sheet 'Three'" in refusal(tmp_path, labels_file="labels.xlsx#Three")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert "save its sheet as CSV, or install openpyxl" in refusal(tmp_path)


def test_paths_of_another_machine_count_below_the_data_folder(tmp_path):
    outside = tmp_path / "outside"
    touch(outside, "c.jpg")
    data = tmp_path / "data"
    touch(data, "images/P1/a.jpg", "images/P2/a.jpg", "b.jpg")
    text = f"image,grade\n/mnt/x/images/P1/a.jpg,0\n/mnt/x/images/P2/a.jpg,1\n/mnt/x/c.jpg,2\n{data}/b.jpg,3\n"
    (data / "labels.csv").write_text(text)
    labels = dr_lib.read_labels(data)
    assert labels["image"].tolist() == ["images/P1/a", "images/P2/a", "c", "b"]
    assert [path and os.path.relpath(path, data) for path in labels["path"].fillna("")] == [
        "images/P1/a.jpg", "images/P2/a.jpg", "", "b.jpg"
    ]  # fmt: skip
    (data / "labels.csv").write_text(f"image,grade\nb,0\n{outside}/c.jpg,1\n")
    assert "line 3" in refusal(data) and "leads out of the data folder" in refusal(data)
    (data / "labels.csv").write_text(f"image,grade\n{data}/../outside/c.jpg,1\n")
    assert "leads out of the data folder" in refusal(data)


def test_a_folder_of_another_split_is_not_the_one_that_a_path_names(tmp_path):
    (tmp_path / "labels.csv").write_text("image,grade\ntrain/1.jpg,0\nval/2.jpg,1\n")
    touch(tmp_path, "test/1.jpg", "images/2.jpg")
    search = find_photographs(tmp_path, read_labels(tmp_path))
    assert search.missing == ["train/1"] and search.unlabeled == ["test/1.jpg"]
    assert {name: path.name for name, path in search.respelled.items()} == {"val/2.jpg": "2.jpg"}


def test_the_same_name_in_two_splits_is_two_photographs_where_folders_tell(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("image,grade\n1,0\n")
    touch(tmp_path, "train/1.jpg")
    assert "1 has split 'test' here" in refusal(tmp_path)
    touch(tmp_path, "test/1.jpg")
    labels = dr_lib.read_labels(tmp_path)
    assert described(labels) == "train/1 0 - - train, test/1 0 - - test"
    assert labels["path"].tolist() == [str(tmp_path / f"{split}/1.jpg") for split in ("train", "test")]


# Eyes and patients


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("10_left 10_RIGHT", "10:left 10:right"),
        ("P1_l P1_R", "P1:left P1:right"),
        ("265_l1 265_r2", "265:left 265:right"),
        ("P01_OD P01_os", "P01:right P01:left"),
        ("P01-LE P01-re", "P01:left P01:right"),
        ("OD/P01 OS/P01", "P01:right P01:left"),
        ("train/left/7 test/right/8", "7:left 8:right"),
        ("P01/2019-05-01/OD P01/2019-05-01/OS", "P01:right P01:left"),
        ("P01/OD/1 P01/OS/1", "P01:right P01:left"),
        ("000c1434d8d7 left all", "000c1434d8d7: left: all:"),
    ],
)
def test_eyes_and_patients_of_names(names, expected):
    patients, eyes = patients_and_eyes(names.split())
    assert " ".join(f"{patient}:{eye}" for patient, eye in zip(patients, eyes, strict=True)) == expected


def test_a_pattern_tells_patients(tmp_path):
    (tmp_path / "labels.csv").write_text("image,grade\nA-1-x,0\nA-1-y,1\nB-2-y,1\nodd,2\n")
    labels = dr_lib.read_labels(tmp_path, patient_pattern=r"^(?P<patient>\w-\d)-(?P<eye>\w)")
    assert labels["patient"].tolist() == ["A-1", "A-1", "B-2", "odd"]
    assert "fits none of 4 names" in refusal(tmp_path, patient_pattern="(?P<patient>zzz)")
    assert "no group called patient" in refusal(tmp_path, patient_pattern="(A)")
    assert "no regular expression" in refusal(tmp_path, patient_pattern="(")


@pytest.mark.parametrize(
    ("names", "paired"),
    [
        ("P01_A P01_B P02_A P02_B", True),
        ("12a 12b 13a 13b", True),
        ("x/1 x/2 y/1 y/2", True),
        ("007-0004-000 007-0004-100 007-0005-000 007-0005-100", True),
        ("IDRiD_001 IDRiD_002 IDRiD_003", False),
        ("train/IDRiD_001 train/IDRiD_002 test/IDRiD_001", False),
        ("000c1434d8d7 001639a390f0", False),
    ],
)
def test_names_that_look_paired_and_are_not_understood_are_found(tmp_path, caplog, names, paired):
    assert bool(names_that_look_paired(names.split())) == paired
    (tmp_path / "labels.csv").write_text("image,grade\n" + "".join(f"{name},0\n" for name in names.split()))
    assert bool(read_labels(tmp_path).look_paired) == paired
    assert ("set patient_pattern" in caplog.text) == paired


# Nothing is lost in silence


@pytest.mark.parametrize("seed", range(12))
def test_files_and_rows_add_up_in_random_folders(tmp_path, seed):
    """Whatever is in a folder: each file and each row has one fate, and all fates together are all that there is."""
    rng = np.random.default_rng(seed)
    folders = ["", "images", "train", "test", "deep/er", ".hidden", "__MACOSX", "x.jpeg"]
    stems = ["1_left", "1_right", "A", "a", "Müller", unicodedata.normalize("NFD", "Müller"), "p 1", "2.5"]
    endings = [".jpeg", ".JPG", ".jpg", ".png", ".dcm", ".txt", ""]

    def name():
        return rng.choice(stems) + rng.choice(endings)

    for folder in rng.choice(folders, 4):
        touch(tmp_path, *(os.path.join(folder, name()) for _ in range(6)))
    touch(tmp_path, "images/._1_left.jpeg", "images/Thumbs.db", "desktop.ini", "notes.txt")
    for link, target in {"gone.jpeg": "nowhere", "ring.png": "ring.png", "again": "images"}.items():
        (tmp_path / link).symlink_to(target)
    kept = []
    for _ in range(14):
        image = name().removesuffix(rng.choice([".jpeg", ".png", ""]))
        line = f"{image},{rng.integers(6)},{rng.choice(['train', 'test'])}" if rng.random() < 0.8 else kept[:1]
        lines = [*kept, *([line] if isinstance(line, str) else line)]  # some say again what another says
        (tmp_path / "labels.csv").write_text("image,grade,split\n" + "\n".join(lines) + "\n")
        try:
            labels = read_labels(tmp_path, ungradable=[5])
            search = find_photographs(tmp_path, labels)
        except InputError as error:  # two rows of one photograph, or one row of two
            assert any(part in str(error) for part in ("one photograph", "write its ending", "keep one", "no photo"))
            continue
        kept = lines
        check_sums(labels, search)
    (tmp_path / "labels.csv").write_text("image,grade,split\n" + "\n".join(kept) + "\n")
    labels = read_labels(tmp_path, ungradable=[5])
    search = find_photographs(tmp_path, labels)
    assert len(kept) > 3
    check_sums(labels, search)
    counts = reconcile(labels, search)
    assert counts["rows"]["all"] == len(kept)
    on_disk = []
    for folder, below, files in os.walk(tmp_path):
        on_disk += [os.path.join(folder, file) for file in files]
        on_disk += [folder for folder in below if folder.startswith(".") or folder.endswith(".jpeg")]
        on_disk += [link for link in below if os.path.islink(os.path.join(folder, link))]
        below[:] = [part for part in below if not part.startswith(".")]
    assert counts["files"]["all"] == len(on_disk)
    named = {*search.photographs.paths, *search.missing, *search.several}
    assert named == {*labels.table["image"]}


def test_files_of_every_kind_are_listed(tmp_path):
    write_photographs(tmp_path / "images", ["a", "b"])
    (tmp_path / "labels.csv").write_text("image,grade\na,0\nP01_OD.dcm,1\nP01_OS.dcm,1\n")
    touch(tmp_path, "images/._a.jpeg", "images/Thumbs.db", "test/c.jpeg", "more/A.JPEG", "solution.csv", "readme.md")
    touch(tmp_path, "P01_OD.dcm", "b.jpeg/d.png", ".git/x")
    labels = read_labels(tmp_path)
    assert labels.table["patient"].tolist() == ["a", "P01", "P01"]
    search = find_photographs(tmp_path, labels)
    assert search.missing == ["P01_OD", "P01_OS"]
    assert search.unlabeled == ["b.jpeg/d.png", "images/b.jpeg", "more/A.JPEG", "test/c.jpeg"]
    assert search.ignored == {
        "folders named like photographs": ["b.jpeg"],
        "hidden folders, not entered": [".git"],
        "hidden or system files": ["images/._a.jpeg", "images/Thumbs.db"],
        "label files": ["labels.csv"],
        "other files": ["readme.md"],
        "pictures of other kinds": ["P01_OD.dcm"],
        "tables that are not read": ["solution.csv"],
    }
    check_sums(labels, search)


def test_a_folder_is_listed_once(tmp_path, monkeypatch):
    eyepacs_with_solution(tmp_path)
    listed, scandir = [], os.scandir
    monkeypatch.setattr("os.scandir", lambda path: listed.append(str(path)) or scandir(path))
    dr_lib.read_labels(tmp_path)
    assert sorted(listed) == sorted({*listed}) and len(listed) == 3
