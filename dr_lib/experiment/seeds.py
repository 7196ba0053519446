"""The same configurations with several seeds, to tell a difference from luck."""

from collections import Counter
from collections.abc import Iterable, Sequence

from dr_lib.config import MOST_RUNS, RunConfig
from dr_lib.errors import InputError


def parse_seeds(text: str) -> list[int]:
    """Return the seeds in ``0,1,2``; :class:`InputError` for what is none, or comes twice."""
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--seeds {text}: needs whole numbers with commas between, such as 0,1,2") from None
    twice = next((seed for seed, count in Counter(seeds).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"--seeds {text}: {twice} is there twice; leave one out")
    return seeds


def repeated_name(configs: Iterable[RunConfig]) -> str | None:
    """Return the first name that two runs have, and so would share a folder; None where each has its own."""
    return next((name for name, count in Counter(config.name for config in configs).items() if count > 1), None)


def with_seeds(configs: Sequence[RunConfig], seeds: Sequence[int]) -> list[RunConfig]:
    """Return each configuration once a seed, all of one seed before those of the next.

    The run of a configuration's own seed keeps its name, so that it is the one that is there already; the others are
    called ``<name>-seed1``. The split of the photographs has a seed of its own and stays. Raises :class:`InputError`
    where two runs would share a name, and for a seed out of range.
    """
    if len(configs) * len(seeds) > MOST_RUNS:
        raise InputError(f"--seeds: {len(configs) * len(seeds):,} runs, more than {MOST_RUNS:,}; give fewer seeds")
    runs = [_with_seed(config, seed) for seed in seeds for config in configs]
    if twice := repeated_name(runs):
        raise InputError(f"--seeds: {twice} is the name of a run file and of another one's seed; rename the file")
    return runs


def _with_seed(config: RunConfig, seed: int) -> RunConfig:
    name = config.run_name if seed == config.seed else f"{config.run_name}-seed{seed}"
    return RunConfig.from_mapping(config.model_dump() | {"seed": seed, "name": name}, {"seed": "--seeds"})
