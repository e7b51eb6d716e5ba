"""``python -m simulators.city``: write a day of a synthetic city to files."""

from __future__ import annotations

import argparse
from pathlib import Path

from simulators.city import City
from simulators.city.files import write_folder, write_json_lines


def main(arguments: list[str] | None = None) -> int:
    """Entry of the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m simulators.city", description="Write a day of events of a synthetic, fictitious city.")
    parser.add_argument("out", type=Path, help="a file ending in .jsonl (CloudEvents), or a folder (XML)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--population", type=int, default=400_000)
    parser.add_argument("--day", type=int, default=1, help="working day, from 1; day 1 is a peak day")
    parser.add_argument("--events", type=int, default=None, help="how many events; by default as many as such a day has")
    options = parser.parse_args(arguments)
    events = City(options.seed, options.population).day(options.day, options.events)
    writer = write_json_lines if options.out.suffix == ".jsonl" else write_folder
    count = writer(events, options.out)
    print(f"{count} events (fictitious) written to {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
