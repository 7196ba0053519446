"""Training, validation and testing photographs: patients stay together, grades keep their shares."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from dr_lib.config import RunConfig
from dr_lib.errors import InputError

SPLITS = ("train", "validation", "test")


def assign_splits(
    table: pd.DataFrame,
    *,
    validation_share: float,
    test_share: float,
    seed: int,
    given_validation: bool = True,
    to_train: bool = True,
) -> pd.DataFrame:
    """Return the table with every row in ``train``, ``validation`` or ``test``.

    A split that the labels bring is kept, but for their validation photographs without ``given_validation``: these join
    training. Where they bring no test photographs, ``test_share`` of the patients, or of those in training, is tested
    on. Where there are no validation photographs then, ``validation_share`` of the training patients is held out. Both
    eyes of a patient stay together, patients are stratified by grade, and who goes where depends on ``seed`` and names
    alone, not on the order of the rows. Raises :class:`InputError` where nothing is left to train or to test on, unless
    nobody is ``to_train`` on the table.
    """
    table = table.copy()
    if (table["split"] == "").all():
        table["split"] = "train"
    if "test" not in set(table["split"]):
        _hold_out(table, "test", test_share, seed)
    if not given_validation:
        table.loc[table["split"] == "validation", "split"] = "train"
    if "validation" not in set(table["split"]):
        _hold_out(table, "validation", validation_share, seed)
    for split in ("train", "test"):
        if to_train and split not in set(table["split"]):
            remedy = "raise test_share" if split == "test" else "lower test_share and validation_share"
            raise InputError(f"labels: no photograph is in split {split!r}; add some with this split, or {remedy}")
    return table


def splits_of(config: RunConfig, labels: pd.DataFrame, *, to_train: bool = True) -> pd.DataFrame:
    """Return the labels with their rows in splits as a run's parameters say, none left out by ``limit`` yet.

    ``to_train``: as for :func:`assign_splits`.
    """
    return assign_splits(
        labels,
        validation_share=config.validation_share,
        test_share=config.test_share,
        seed=config.split_seed,
        given_validation=config.given_validation,
        to_train=to_train,
    )


def limit_splits(table: pd.DataFrame, limit: int, seed: int) -> pd.DataFrame:
    """Return at most ``limit`` photographs of each split (0: all), grades in their shares.

    Every grade of a split keeps at least one photograph where ``limit`` allows. Patients are drawn, in one order for
    all grades, so that nearly all who are kept keep both eyes. Rows keep their order.
    """
    if limit == 0:
        return table
    kept: list[int] = []
    for split in SPLITS:
        part = table[table["split"] == split]
        counts = part["grade"].value_counts().sort_index()
        for grade, quota in zip(counts.index, _quotas(counts.to_numpy(), limit), strict=True):
            rows: Iterable[Any] = part[part["grade"] == grade].itertuples()
            ranks = [(_rank(seed, "limit", row.patient), row.image, row.Index) for row in rows]
            kept.extend(index for _, _, index in sorted(ranks)[:quota])
    return table.loc[sorted(kept)].reset_index(drop=True)


MOST_OF_ONE = 0.1
"""Share of all photographs that one patient may have before splits by patient are uneven."""
FEWEST_OF_A_GRADE = 3
"""Patients that a grade needs to be in training, validation and testing."""


def unbalanced(table: pd.DataFrame) -> list[str]:
    """Return in sentences what splits by patient cannot balance: patients of many photographs, grades of few.

    ``table``: image, grade, patient and split of photographs that are in splits.
    """
    said = []
    sizes = table.loc[table["patient"] != table["image"], "patient"].value_counts()
    large = sizes[(sizes > MOST_OF_ONE * len(table)) & (sizes > 2)]
    for patient, photographs in large.items():
        split = table.loc[table["patient"] == patient, "split"].iloc[0]
        shares = ", ".join(f"{name} {100 * (table['split'] == name).mean():.0f}%" for name in SPLITS)
        said.append(
            f"Patient {patient} has {photographs:,} of {len(table):,} photographs, all in {split}: the shares of "
            f"photographs are {shares}."
        )
    for grade, patients in table.groupby("grade")["patient"].nunique().items():
        if patients < FEWEST_OF_A_GRADE:
            where = table.loc[table["grade"] == grade, "split"]
            known = " and ".join(name for name in SPLITS if (where == name).any())
            few = f"{patients} patient{'s' * (patients > 1)}"
            said.append(f"Grade {grade} is of {few}, so it is in {known} alone; what is said of it rests on them.")
    return said


def _hold_out(table: pd.DataFrame, split: str, share: float, seed: int) -> None:
    """Move ``share`` of the training patients to ``split``, in place.

    scikit-learn's ``StratifiedGroupKFold`` knows no shares but 1/n, meets these to one patient, and strays from the
    shares of grades up to twice as far (1,000 patients, 20 seeds: 0.46 points against 0.40); ``GroupShuffleSplit``
    strays by 8. ``train_test_split`` of the patients is as good, but refuses a grade that one patient alone has.
    """
    if share == 0:
        return
    train = table[table["split"] == "train"]
    patients = train.groupby("patient")["grade"].agg(["max", "mean"])
    patients["rank"] = [_rank(seed, split, patient) for patient in patients.index]
    patients = patients.sort_values(["max", "mean", "rank"])
    # The only training patient of a grade stays in training: without it the grade could not be learned.
    alone = patients.groupby("max")["rank"].transform("size") == 1
    if alone.all():
        alone[:] = False
    # Every (1/share)-th patient in order of grade: each stratum, however small, gives its share or the nearest to it.
    steps = np.floor(np.arange(len(patients) + 1) * share + 0.5)
    chosen = patients[(np.diff(steps) > 0) & ~alone]
    if chosen.empty and len(patients) > 1:
        chosen = patients[~alone].sort_values("rank")[:1]
    table.loc[(table["split"] == "train") & table["patient"].isin(chosen.index), "split"] = split


def _quotas(counts: np.ndarray, limit: int) -> np.ndarray:
    """Return how many of each grade to keep: shares of ``limit`` by largest remainder, one at least where it fits."""
    if counts.sum() <= limit:
        return counts
    exact = counts * (limit / counts.sum())
    quotas = np.floor(exact).astype(int)
    if limit >= len(counts):
        quotas = np.maximum(quotas, 1)
    # Rounding, and the grades lifted to one, leave the sum off by a few: mend where the share is missed most.
    while quotas.sum() != limit:
        if quotas.sum() < limit:
            quotas[np.argmax(np.where(quotas < counts, exact - quotas, -np.inf))] += 1
        else:
            quotas[np.argmax(np.where(quotas > 1, quotas - exact, -np.inf))] -= 1
    return quotas


def _rank(seed: int, purpose: str, name: str) -> str:
    """Return a place in a shuffled order that depends on nothing but these three."""
    return hashlib.blake2b(f"{seed}/{purpose}/{name}".encode(), digest_size=8).hexdigest()
