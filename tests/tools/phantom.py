#!/usr/bin/python3
"""Write synthetic DICOM files: tests/tools/phantom.py ct|small OUT N [--seed S] [--patients P] ..."""
import argparse
import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "blackbox"))
from testenv import phantom  # noqa: E402


def main():
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("kind", choices=("ct", "small"))
    parse.add_argument("out", type=pathlib.Path)
    parse.add_argument("instances", type=int)
    for name in ("seed", "patients", "series", "slices", "rows", "columns"):
        parse.add_argument(f"--{name}", type=int)
    args = vars(parse.parse_args())
    out, kind = args.pop("out"), args.pop("kind")
    plan = dataclasses.replace(phantom.CT if kind == "ct" else phantom.SMALL,
                               **{name: value for name, value in args.items() if value is not None})
    written = phantom.write(plan, out)
    print(f"{len(written)} files of {plan.studies} studies in {out}")


if __name__ == "__main__":
    main()
