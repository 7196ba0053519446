"""Numbers and lists in words, the same way everywhere: shares in, percent and percentage points out."""

from collections.abc import Sequence

from dr_lib.system.terminal import counted as counted

SPLIT_WORDS = {"train": "training", "validation": "validation", "test": "testing"}
"""What the photographs of a split are called."""


def percent(share: float, digits: int = 1) -> str:
    """Return ``82.6%`` for 0.826."""
    return f"{100 * share:.{digits}f}%"


def signed(value: float, digits: int = 1) -> str:
    """Return the number with a true minus sign, no sign on what rounds to zero."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "" if float(text) == 0 else "−")


def between(low: float, high: float, *, scale: float = 100, digits: int = 1) -> str:
    """Return ``95% interval 8.0 to 9.8``; shares are given in percent."""
    return f"95% interval {signed(scale * low, digits)} to {signed(scale * high, digits)}"


def points(share: float) -> str:
    """Return ``8.9 points`` for a difference of 0.089 or of -0.089."""
    amount = f"{abs(100 * share):.1f}"
    return f"{amount} point" + "s" * (amount != "1.0")


def listed(items: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def capitalized(text: str) -> str:
    """Return ``text`` with its first letter in upper case, the others as they are."""
    return text[:1].upper() + text[1:]


def p_value(p: float | None) -> str:
    """Return ``< 0.001`` or the probability with three digits after the point; a dash where there was no test."""
    if p is None:
        return "–"
    return "<\u00a00.001" if p < 0.001 else f"{p:.3f}"


def patients(known: int, unknown: int) -> str:
    """Return ``18 patients``, and of how many photographs the patients are ``unknown``."""
    if not known and unknown:
        return "unknown patients"
    return counted(known, "patient") + f" and unknown ones ({counted(unknown, 'photograph')})" * bool(unknown)


def tally(words: Sequence[str]) -> str:
    """Return how often each word occurs: ``2 repaired and 1 dropped``."""
    return listed([f"{words.count(word)} {word}" for word in dict.fromkeys(words)])


def duration(seconds: float) -> str:
    """Return a time as people say it: ``48 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
