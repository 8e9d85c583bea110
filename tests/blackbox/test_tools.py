"""The tools that judge the rest must see what they are there to see."""
import importlib.machinery
import importlib.util
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from checks import core, evidence, phases  # noqa: E402


def load(path):
    loader = importlib.machinery.SourceFileLoader(path.name.replace(".", "_"), str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


check = load(ROOT / "tools/check")
style = load(ROOT / "tools/check_style.py")


def test_tap_is_counted_line_by_line():
    tally = core.Tally()
    failed = tally.add_tap("p", "1..4\nok 1 - a\nnot ok 2 - b\n# why\nok 3 # SKIP c\nok 4 - d\n# not ok - tests\n")
    assert (tally.passed, failed, len(tally.failed), len(tally.skipped)) == (2, 1, 1, 1)
    assert tally.failed[0][0] == "p: b"


def test_the_last_line_is_the_count_and_failures_give_status_1(capsys):
    tally = core.Tally()
    tally.passed = 3
    assert check.report(tally) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 0 failed"
    tally.fail("x", "why")
    assert check.report(tally) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 1 failed"


def test_a_command_past_its_limit_is_killed_with_its_children():
    status, output = core.run(["sh", "-c", "echo started; sleep 60 & wait"], 0.5)
    assert status == 124
    assert "started" in output and "over its limit" in output


@pytest.fixture(name="log_folder")
def _log_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "FOLDER", tmp_path)
    return tmp_path


PHASE = phases.Phase("cuts", "cuts", None, ("gcc",))


def test_rounds_done_in_parts_add_up_and_a_finding_ends_what_was_added_up(log_folder):
    for amount, findings, state in ((40, 0, "not complete: 40 of 100 rounds"), (30, 1, "failed: 0 of 100 rounds"),
                                    (60, 0, "not complete: 60 of 100 rounds"), (40, 0, "complete: 100 of 100 rounds")):
        evidence.Series(PHASE, "rounds", 100, ("what",)).add(amount, ("x",), findings, 1.0)
        assert state in (log_folder / "cuts.log").read_text()
    assert evidence.Series(PHASE, "rounds", 100, ("what",)).done() == 100


def test_a_log_tells_what_failed_and_names_no_folder_of_this_machine(log_folder):
    tally = core.Tally()
    tally.fail(f"{ROOT}/src/base/x.c")
    evidence.write(PHASE, tally, 1.0, ["a note"])
    log = (log_folder / "cuts.log").read_text()
    assert "result      failed" in log and "failed: src/base/x.c" in log and "a note" in log
    assert str(ROOT) not in log


def test_an_unknown_phase_is_refused_and_fuzz_means_every_target():
    with pytest.raises(SystemExit):
        phases.chosen(["nonsense"])
    assert [phase.name for phase in phases.chosen(["tsan"])] == ["tsan"]
    assert len(phases.chosen(["fuzz"])) == len(phases.FUZZ_TARGETS) > 10
    assert {t.stem.removeprefix("fuzz_") for t in (ROOT / "tests/fuzz").glob("fuzz_*.c")} == set(phases.FUZZ_TARGETS)


def test_the_analyzer_is_believed_but_for_what_is_known_to_be_wrong():
    lines = ["../../src/a/b.c:10:2: warning: leak of 'x' [CWE-401] [-Wanalyzer-malloc-leak]", "all is well"]
    assert phases.analyzer_findings("\n".join(lines)) == ["src/a/b.c:10:2: leak of 'x' [-Wanalyzer-malloc-leak]"]
    path, kind = next(iter(phases.ANALYZER_WRONG))
    known = f"../../{path}:1:1: warning: w [CWE-1] [-Wanalyzer-{kind}]"
    assert phases.analyzer_findings(known) == []


def header(guard="NX_BASE_X_H", layer=" * Layer:   0 (base).\n"):
    return f"/*\n * x.h - x.\n *\n{layer} */\n#ifndef {guard}\n#define {guard}\n\n#endif\n"


@pytest.mark.parametrize("name, text, complaint", [
    ("src/base/x.h", header(), None),
    ("src/base/x.h", header(guard="NX_X_H"), "the guard is"),
    ("src/base/x.h", header(layer=""), "Layer:"),
    ("src/base/x.h", "int x;\n", "no include guard"),
    ("src/base/x.c", "int f(void)\n{\n" + "\tg();\n" * 100 + "}\n", None),
    ("src/base/x.c", "int f(void)\n{\n" + "\tg();\n" * 101 + "}\n", "function of 101 lines"),
    ("src/base/x.c", "\n" * 1001, "1001 lines"),
    ("src/base/x.c", "int x; \n", "white space"),
    ("src/base/x.c", "int x;", "no newline"),
    ("src/base/x.c", "/* TO" "DO later */\n", "issue number"),
    ("src/base/x.c", "/* TO" "DO(#12): later */\n", None),
    ("src/base/x.c", "/* FIX" "ME */\n", "fix it"),
    ("docs/x.md", "get it from https://py" "pi.org/\n", "not the host"),
    ("tests/x.py", "def f(:\n", "invalid syntax"),
    ("tests/x.py", "x = '" + "x" * 128 + "'\n", "columns"),
])
def test_style_sees(tmp_path, name, text, complaint):
    found = list(style.check_file(tmp_path, tmp_path / name, text))
    assert (complaint is None and not found) or any(complaint in line for line in found), found


def test_layers_see_an_upward_include(tmp_path):
    (tmp_path / "src/base").mkdir(parents=True)
    source = tmp_path / "src/base/x.c"
    command = ["/usr/bin/python3", ROOT / "tools/check_layers.py", tmp_path]
    source.write_text('#include "base/err.h"\n')
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    source.write_text('#include "store/store.h"\n')
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1


def test_unused_sees_what_nothing_calls(tmp_path):
    (tmp_path / "src/base").mkdir(parents=True)
    unused = load(ROOT / "tools/check_unused.py")
    source = tmp_path / "src/base/x.c"
    source.write_text("int nx_x(void)\n{\n\treturn 1;\n}\n\n/* nx_x() */\nint nx_y(void)\n{\n\treturn 1;\n}\n")
    assert [name for _, name in unused.unused(tmp_path)] == ["nx_x", "nx_y"]
    (tmp_path / "src/base/x.h").write_text("int nx_x(void);\nstatic inline int z(void)\n{\n\treturn nx_y();\n}\n")
    assert [name for _, name in unused.unused(tmp_path)] == ["nx_x"]
