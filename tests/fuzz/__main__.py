"""Run the fuzzer: a bounded number of seeded cases, counted by kind; every fault is printed with what repeats it.

    make fuzz                                  2100 cases or 10 minutes, on 2 cores
    make fuzz FUZZ_OPTIONS="--seed 7"          other ones
    make fuzz FUZZ_OPTIONS="--only networks:1000003 --keep build/fuzz"      one again, its files kept

Exit code 1: there were faults, or fewer cases than `--least` in the time.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import List, Optional, Tuple

os.environ.setdefault("TOPHUB_LOCATION", "NONE")
REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "tools"), str(REPO / "tests")]
# The kernels with sanitizers are compiled once, for all programs.
os.environ.setdefault("ESP_TVM_OBJECTS", str(REPO / "build/objects"))

from fuzz.cases import KINDS  # noqa: E402
from fuzz.pool import Pool  # noqa: E402


def chosen(count: int, seed: int, kinds: List[str]) -> List[Tuple[str, int]]:
    """(kind, seed of the case) of `count` cases, the kinds mixed evenly so that a shorter run has all of them."""
    shares = {kind: KINDS[kind][1] for kind in kinds}
    total = sum(shares.values())
    made = []
    for kind, share in shares.items():
        of_kind = max(1, round(count * share / total))
        made += [((number + 0.5) / of_kind, kind, seed * 1_000_000 + number) for number in range(of_kind)]
    return [(kind, number) for _, kind, number in sorted(made)]


def _one(text: str) -> Tuple[str, int]:
    kind, _, seed = text.partition(":")
    if kind not in KINDS or not seed.isdigit():
        raise argparse.ArgumentTypeError(f"{text}: write KIND:SEED, a kind of {', '.join(KINDS)}")
    return kind, int(seed)


def main(arguments: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser("fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=2100, help="how many (default: 2100)")
    parser.add_argument("--least", type=int, default=2000, help="fewer than these in the time is a failure")
    parser.add_argument("--seconds", type=float, default=600, help="no case begins after this time (default: 600)")
    parser.add_argument("--seed", type=int, default=1, help="other seeds make other cases (default: 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), help="only these")
    parser.add_argument("--only", type=_one, nargs="+", metavar="KIND:SEED", help="only these cases")
    parser.add_argument("--keep", type=Path, help="a folder in which the files of cases with faults stay")
    options = parser.parse_args(arguments)
    # Ended from outside it cleans up as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cases = options.only or chosen(options.cases, options.seed, options.kinds)
    least = min(options.least, len(cases)) if not options.only else len(cases)
    with tempfile.TemporaryDirectory(prefix="esp_tvm_fuzz_") as scratch:
        pool = Pool(Path(scratch), options.jobs, options.keep and options.keep.resolve())
        for result in pool.run(cases, options.seconds):
            for kind, text in result.faults:
                print(f"{result.kind}:{result.seed}: {kind}: {text}", flush=True)
    print(pool.summary())
    if pool.done < least:
        print(f"only {pool.done} of {least} cases in {options.seconds:.0f} seconds")
    return 1 if pool.faults or pool.done < least else 0


if __name__ == "__main__":
    sys.exit(main())
