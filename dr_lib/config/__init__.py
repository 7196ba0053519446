"""Every parameter of a run, validated, and the params files that set them."""

from dr_lib.config.files import combine, parse_assignment, read_parameters, run_files, shipped_or_own, spelled_out
from dr_lib.config.run_config import (
    ABBREVIATIONS,
    CACHE_DIR,
    CROP_PARAMETERS,
    DATA_PARAMETERS,
    DEMO_DIR,
    MOST_RUNS,
    RUN_NAME,
    TEXT_PARAMETERS,
    Int,
    RunConfig,
    nearest,
)

__all__ = [
    "ABBREVIATIONS",
    "CACHE_DIR",
    "CROP_PARAMETERS",
    "DATA_PARAMETERS",
    "DEMO_DIR",
    "MOST_RUNS",
    "RUN_NAME",
    "TEXT_PARAMETERS",
    "Int",
    "RunConfig",
    "combine",
    "nearest",
    "parse_assignment",
    "read_parameters",
    "run_files",
    "shipped_or_own",
    "spelled_out",
]
