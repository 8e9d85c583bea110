#!/usr/bin/python3
"""The tables of docs/CONFORMANCE.md are those of the program: tools/conformance.py NARTHEX ROOT [--write].

A table of the page stands between a line "<!-- NAME -->" and "<!-- end -->"; `narthex help --tables` prints all of them.
Fails where one is stale, missing or not on the page; with --write the page is brought up to date.
"""
import pathlib
import re
import subprocess
import sys

TABLE = re.compile(r"(?m)^<!-- (?!end)([a-z-]+) -->\n(.*?)^<!-- end -->$", re.S)


def printed(narthex):
    text = subprocess.run([narthex, "help", "--tables"], capture_output=True, check=True, text=True).stdout
    pieces = re.split(r"(?m)^<!-- ([a-z-]+) -->\n", text)
    return dict(zip(pieces[1::2], pieces[2::2]))


def main():
    narthex, root = sys.argv[1], pathlib.Path(sys.argv[2])
    page = root / "docs/CONFORMANCE.md"
    tables, text = printed(narthex), page.read_text()
    there = dict(TABLE.findall(text))
    wrong = sorted(set(tables) ^ set(there)) + sorted(name for name in set(tables) & set(there)
                                                     if tables[name] != there[name])
    if "--write" in sys.argv and set(tables) == set(there):
        page.write_text(TABLE.sub(lambda m: f"<!-- {m[1]} -->\n{tables[m[1]]}<!-- end -->", text))
    elif wrong:
        print(f"{page.name} is stale: {', '.join(wrong)}; tools/conformance.py NARTHEX ROOT --write")
        sys.exit(1)


if __name__ == "__main__":
    main()
