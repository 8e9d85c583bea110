#!/usr/bin/python3
"""Fail where a page names what the tree does not have: tools/check_docs.py ROOT.

Links, files, functions, commands and options in README.md, CONTRIBUTING.md and docs/ are looked up in the sources;
pages that sources name, modules that the map of docs/ARCHITECTURE.md must have, and routes that docs/API.md must have,
the other way round.
"""
import pathlib
import re
import sys

LINK = re.compile(r"\]\(([^)#\s]+)?(?:#([^)\s]+))?\)")
FILE = re.compile(r"`((?:[A-Za-z_.]+/)+[A-Za-z0-9_-]+\.(?:c|h|def|py|md|build|service\.in))`")
FUNCTION = re.compile(r"`(\w+)\(\)`")
CODE = re.compile(r"(?ms)^```sh\n(.*?)^```|`(narthex [^`]*)`")
COMMAND = re.compile(r"(?<![\w/-])narthex ([a-z][a-z-]*)(?: ([a-z]+))?([^|;\n]*)")
PAGE = re.compile(r"\bdocs/[\w/-]+\.md\b")
ROW = re.compile(r'^\t\{"([a-z-]+)", (?:NULL|"([a-z]+)"),', re.M)
OPTION = re.compile(r'^\t\{+"([a-z-]+)", (?:NULL|"[^"a-z]*"),', re.M)
ROUTE = re.compile(r'^\t\{"([A-Z]+)",\s*(COLLECTION\s+)?"([^"]*)",\s*NX_PERM_([A-Z]+),', re.M)
ROUTE_TOLD = re.compile(r"(?m)^\| `([A-Z]+) (/[^`]*)` \| ([a-z]+) \|")
PLACES = ("", "src", "docs")  # where a path on a page may begin


def anchors(text):
    """The names that headings get (GitHub's rule, as far as we use it)."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"(?m)^#+ (.*)$", text)}


class Tree:
    def __init__(self, root):
        self.root = root
        self.source = "\n".join(path.read_text() for folder in ("src", "verify", "tests")
                                for path in sorted((root / folder).rglob("*.[ch]")) if "dict_table" not in path.name)
        commands = "\n".join(path.read_text() for path in sorted((root / "src/cli").glob("*.c")))
        self.commands = {(noun, verb or None) for noun, verb in ROW.findall(commands)}
        self.options = set(OPTION.findall(commands)) | {"help"}

    def has_file(self, name):
        return any((self.root / place / name).exists() for place in PLACES)

    def has_function(self, name):
        return re.search(rf"(?:^|[ *\t]){name}\(", self.source, re.M)


def links(tree, page, text):
    for target, anchor in LINK.findall(text):
        if "://" in target:
            continue
        to = (page.parent / target) if target else page
        if not to.exists():
            yield f"no {target} to link to"
        elif anchor and anchor not in anchors(to.read_text()):
            yield f"no heading #{anchor} in {to.name}"


def names(tree, _, text):
    for name in FILE.findall(text):
        if not tree.has_file(name):
            yield f"no file {name}"
    for name in FUNCTION.findall(text):
        if not tree.has_function(name):
            yield f"no function {name}()"


def commands(tree, page, text):
    if page.parent.name == "formats":  # where "narthex key wrap" is a label
        return
    nouns = {noun for noun, _ in tree.commands}
    code = "\n".join(block or inline for block, inline in CODE.findall(text))
    for noun, verb, rest in COMMAND.findall(code):
        if noun in nouns and ((noun, None) in tree.commands or (noun, verb) in tree.commands):
            for option in re.findall(r"\s--([a-z-]+)", rest):
                if option not in tree.options:
                    yield f"no option --{option} (narthex {noun})"
        elif verb or noun not in nouns:
            yield f"no command narthex {noun} {verb}".rstrip()


def pages_named(root):
    for folder in ("src", "include", "verify", "tools", "python", "packaging"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".c", ".h", ".py", ".in") and path.is_file():
                for page in PAGE.findall(path.read_text()):
                    if not (root / page).exists():
                        yield f"{path.relative_to(root)}: no page {page}"


def modules_mapped(root):
    architecture = (root / "docs/ARCHITECTURE.md").read_text()
    for folder in sorted(path for path in (root / "src").iterdir() if path.is_dir()):
        if not re.search(rf"(?m)^\|[^|]*\| `{folder.name}` \|", architecture):
            yield f"docs/ARCHITECTURE.md: no module {folder.name} in the map"


def routes_told(root):
    routes = {(method, ("/collections/{collection}" if within else "") + path, perm.lower())
              for method, within, path, perm in ROUTE.findall((root / "src/api/routes.c").read_text())}
    told = set(ROUTE_TOLD.findall((root / "docs/API.md").read_text()))
    for what, some in (("no row of", routes - told), ("no such route:", told - routes)):
        for method, path, perm in sorted(some):
            yield f"docs/API.md: {what} {method} {path} (may: {perm})"


def main(root):
    tree = Tree(root)
    pages = [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]
    bad = [f"{page.relative_to(root)}: {what}" for page in pages for check in (links, names, commands)
           for what in check(tree, page, page.read_text())]
    bad += [*pages_named(root), *modules_mapped(root), *routes_told(root)]
    print("\n".join(bad))
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
