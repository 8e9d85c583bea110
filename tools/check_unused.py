#!/usr/bin/python3
"""Fail on a function of src/ that is not static and that nothing in src/ uses.

What exists for tests alone is named below, with its reason.
"""
import collections
import pathlib
import re
import sys

NO_CODE = re.compile(r"/\*.*?\*/|\"(?:\\.|[^\"\\])*\"", re.S)
# A definition begins at the left margin, and its body with a brace there.
DEFINITION = re.compile(r"^(?!static|typedef|extern|#)[A-Za-z_][^;{}#]*?\b(\w+)\([^;{}]*\)\n\{", re.M)
DECLARATION = re.compile(r"^(?!static|#|\s)[A-Za-z_][^;{}#]*\([^;{}]*\)\s*;", re.M)
WORD = re.compile(r"[A-Za-z_]\w*")
ENDS = re.compile(r"_(?:free|done)$")  # NX_AUTO(nx_x) calls nx_x_free()

TESTS_ONLY = {
    "main": "of the programs",
    "nx_cat_study_by_id": "looks at single rows",
    "nx_conn_open": "a peer without a certificate",
    "nx_conn_read": "a peer that is not ours", "nx_conn_write": "a peer that is not ours",
    "nx_dimse_scu_store": "the requester", "nx_dimse_scu_ts": "the requester",
    "nx_dimse_scu_window": "the requester",
    "dw_stream_length": "compares what was announced with what came",
    "nx_http_peer_cn": "client certificates over HTTPS", "nx_http_query_string": "the request as it came",
    "nx_pool_fault_count": "the faulty pool", "nx_pool_fault_nosync": "the faulty pool",
    "nx_pool_fault_powercut": "the faulty pool",
    "nx_retrieve_metadata": "all of it at once",
    "nx_tls_make_client": "certificates of peers",
}


def unused(root):
    """(path, name) of every function that is defined and nowhere named again."""
    defined, words = {}, collections.Counter()
    for path in sorted((root / "src").rglob("*.[ch]")) + sorted((root / "src").rglob("*.def")):
        text = NO_CODE.sub(" ", path.read_text())
        if path.suffix == ".c":
            defined.update((found[1], path.relative_to(root)) for found in DEFINITION.finditer(text))
        elif path.suffix == ".h":
            text = DECLARATION.sub("", text)
        words.update(WORD.findall(text))
    # The library's map lists what leaves it, with wildcards.
    exported = tuple(name for path in (root / "src").rglob("*.map")
                     for name in re.findall(r"(\w+)\*", path.read_text()))
    for name, path in sorted(defined.items()):
        called = words[name] > 1 or (ENDS.search(name) and words[ENDS.sub("", name)] > 0)
        if not called and not (exported and name.startswith(exported)):
            yield path, name


def main(root):
    bad = [f"{path}: nothing uses {name}()" for path, name in unused(root) if name not in TESTS_ONLY]
    print("\n".join(bad), file=sys.stderr, end="\n" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
