#!/usr/bin/env python3
"""Fail where docs/IHE-INTEGRATION-STATEMENT.md claims more than its own rows, or names a test that is not there."""
import pathlib
import re
import sys

ROW = re.compile(r"^\| (.*) \|$", re.M)
TEST = re.compile(r"tests/[\w/]+\.py")


def rows(text, title):
    """Cells of the rows of a section's table, without its head."""
    section = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in row.split("|")] for row in ROW.findall(section)][1:]


def main(root):
    text = (root / "docs/IHE-INTEGRATION-STATEMENT.md").read_text()
    transactions = [row for row in rows(text, "Transactions") if row[0] != "---"]
    bad = [f"{test} is not there" for test in sorted(set(TEST.findall(text))) if not (root / test).exists()]
    for profile, actor, claimed in rows(text, "Claimed"):
        mine = [row for row in transactions if row[:2] == [profile, actor]]
        missing = [row[2] for row in mine if row[3] == "yes" and row[4] != "yes"]
        if not mine or (claimed == "yes") != (not missing):
            bad.append(f"{profile} {actor}: claimed {claimed}, missing: {', '.join(missing) or 'nothing'}")
    for profile, actor, transaction, required, holds, _, shown in transactions:
        if required not in ("yes", "no") or holds not in ("yes", "part", "no"):
            bad.append(f"{profile} {actor} {transaction}: a word that is none")
        elif holds != "no" and not shown:
            bad.append(f"{profile} {actor} {transaction}: nothing shows it")
    print("\n".join(bad))
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
