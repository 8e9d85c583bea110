"""The phases of `make check-long`, a row each: what is too slow for every push."""
import dataclasses
import json
import os
import re
import time

from checks import core
from checks.core import CRASH_SUITE, LIMIT_LONG, ROOT, build, meson_tests, part, pytest
from checks.evidence import Series, write

SLICE_S = 60  # of fuzzing at a time, so that what `--under` waits for gets its turn
FUZZ_WANT_S = 3600
ROUNDS_WANT, ROUNDS_AT_ONCE = 1000, 100
CLANG = ["-Dwerror=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"]
FUZZER = ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dc_args=-fsanitize=fuzzer-no-link"]
TSAN = {"TSAN_OPTIONS": f"exitcode=66:halt_on_error=1:second_deadlock_stack=1:suppressions={ROOT}/tests/tsan.supp"}
C99 = ["-std=c99", "-x", "c", "-pedantic"]
CPP = ["-x", "c++"]
LEAST_COVERED = 10


@dataclasses.dataclass(frozen=True)
class Phase:
    name: str
    what: str
    fn: object
    tools: tuple = ("gcc", "meson")


def built(tally, args, name, cc, options, **more):
    folder = ROOT / "build" / name
    return folder if part(tally, f"build {name}", build, folder, args.jobs, cc, options, LIMIT_LONG, **more) else None


def run_check(phase, tally, args):
    core.short(tally, args)


def run_gcc(phase, tally, args):
    folder = built(tally, args, "long-gcc", "gcc", ["-Dwerror=true", "-Dbuildtype=release"])
    if folder:
        part(tally, "unit, style, fuzz replay", meson_tests, folder, args.jobs, LIMIT_LONG)


def run_clang(phase, tally, args):
    folder = built(tally, args, "long-clang", "clang", CLANG)
    if folder:
        part(tally, "unit, style, fuzz replay", meson_tests, folder, args.jobs, LIMIT_LONG)


def run_tsan(phase, tally, args):
    folder = built(tally, args, "long-tsan", "gcc", ["-Db_sanitize=thread"])
    if not folder:
        return
    part(tally, "unit", meson_tests, folder, args.jobs, LIMIT_LONG, ("--suite", "unit"), TSAN)
    part(tally, "power cuts, faults, damage", meson_tests, folder, args.jobs, LIMIT_LONG, CRASH_SUITE, TSAN)
    part(tally, "black box", pytest, folder, ROOT / "tests/blackbox", LIMIT_LONG, TSAN)
    part(tally, "kills", pytest, folder, ROOT / "tests/crash", LIMIT_LONG, TSAN)


def run_analyzer(phase, tally, args):
    if built(tally, args, "long-analyzer", "gcc", ["-Dwerror=true", "-Dbuildtype=debug", "-Dc_args=-fanalyzer"]):
        tally.passed += 1


def run_tidy(phase, tally, args):
    """One process a file: version 14 carries state from one file to the next and sees ghosts."""
    folder = built(tally, args, "long-clang", "clang", CLANG)
    if not folder:
        return
    commands = json.loads((folder / "compile_commands.json").read_text())
    compiled = {(folder / entry["file"]).resolve() for entry in commands}
    sources = sorted(str(path) for path in compiled if ROOT / "src" in path.parents)
    part(tally, "clang-tidy", core.each, args.jobs, sources,
         lambda name: ["clang-tidy", "-quiet", "-p", folder, name], "clang-tidy")


def run_headers(phase, tally, args):
    """Every header alone under both compilers; the public ones also as C99 and as C++."""
    mine = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-Isrc", "-include", "src/base/banned.h"]
    gnutls = core.run(["pkg-config", "--cflags", "gnutls", "libmicrohttpd", "sqlite3"], 60)[1].split()
    public = sorted(str(path) for path in (ROOT / "include").rglob("*.h"))
    heads = sorted(str(path) for path in (ROOT / "src").rglob("*.h") if path.name != "banned.h")
    for cc in ("gcc", "clang"):
        part(tally, f"{cc}: headers alone", core.each, args.jobs, heads,
             lambda name, cc=cc: [cc, "-std=gnu17", "-x", "c", *mine, *gnutls, name], cc)
        for label, how in (("C99", C99), ("C++", CPP)):
            part(tally, f"{cc}: public headers as {label}", core.each, args.jobs, public,
                 lambda name, cc=cc, how=how: [cc, *how, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", name],
                 f"{cc} {label}")


def coverage_table(files):
    """Lines per module and the least covered files, from gcovr's summary."""
    modules = {}
    for entry in files:
        module = entry["filename"].split("/")[1]
        covered, total = modules.get(module, (0, 0))
        modules[module] = covered + entry["line_covered"], total + entry["line_total"]
    yield "module        lines  covered"
    for module, (covered, total) in sorted(modules.items()):
        yield f"{module:<12} {total:6} {100 * covered / total if total else 100:7.1f}%"
    covered, total = (sum(pair[i] for pair in modules.values()) for i in (0, 1))
    yield f"{'all':<12} {total:6} {100 * covered / total:7.1f}%"
    yield ""
    least = sorted((e for e in files if e["line_total"] >= 20), key=lambda e: e["line_percent"])[:LEAST_COVERED]
    yield from (f"least: {e['line_percent']:5.1f}% of {e['line_total']:4} lines  {e['filename']}" for e in least)


def run_coverage(phase, tally, args):
    folder = built(tally, args, "long-cov", "gcc", ["-Db_coverage=true", "-Dbuildtype=debug"])
    if not folder:
        return None
    for old in folder.rglob("*.gcda"):
        old.unlink()
    part(tally, "unit, fuzz replay", meson_tests, folder, args.jobs, LIMIT_LONG)
    part(tally, "power cuts, faults, damage", meson_tests, folder, args.jobs, LIMIT_LONG, CRASH_SUITE)
    part(tally, "black box", pytest, folder, ROOT / "tests/blackbox", LIMIT_LONG)
    report = ROOT / "build/coverage.json"
    part(tally, "gcovr", core.command, "gcovr",
         ["gcovr", "-r", ROOT, "-f", f"{ROOT}/src/", "--json-summary", report, folder], LIMIT_LONG)
    return list(coverage_table(json.loads(report.read_text())["files"])) if report.exists() else None


def run_torture(phase, tally, args):
    folder = built(tally, args, "check", "gcc", ["-Db_sanitize=address,undefined", "-Dwerror=true"])
    if folder:
        part(tally, "every allocation fails once", meson_tests, folder, args.jobs, LIMIT_LONG, ("--suite", "unit"),
             {"NX_TORTURE": "all"})


def rounds(phase, tally, args, one):
    """Rounds of `one` until what is wanted, or asked for, is done; rows are added as they end."""
    series = Series(phase, "rounds", ROUNDS_WANT, ("seed", "seconds", "what"))
    left = min(args.rounds, ROUNDS_WANT - series.done())
    folder = built(tally, args, "long-gcc", "gcc", ["-Dwerror=true", "-Dbuildtype=release"])
    while folder and left > 0 and not tally.failed:
        n, seed, start = min(left, ROUNDS_AT_ONCE), 1 + sum(int(row[2]) for row in series.rows), time.monotonic()
        what = part(tally, f"{n} rounds, seed {seed}", one, folder, n, seed)
        took = time.monotonic() - start
        series.add(n, (seed, f"{took:.0f}", what), len(tally.failed), took)
        left -= n


def kill_rounds(tally, folder, n, seed):
    pytest(tally, folder, ROOT / "tests/crash", LIMIT_LONG, {"NX_CRASH_ROUNDS": str(n), "NX_CRASH_SEED": str(seed)})
    return f"kills={n}"


def cut_rounds(tally, folder, n, seed):
    """The test prints what its rounds were: cuts, kills, starts that were cut too."""
    test = folder / "tests/crash/test_crash_powercut"
    rc, output = core.run([test], LIMIT_LONG, {"NX_CRASH_ROUNDS": str(n), "NX_CRASH_SEED": str(seed),
                                              "CMOCKA_MESSAGE_OUTPUT": "TAP"})
    before = len(tally.failed)
    tally.add_tap("powercut", output)
    if rc and len(tally.failed) == before:
        tally.fail(f"powercut (status {rc})", output[-6000:])
    return ",".join(re.findall(r"^# (\S+=\d+)$", output, re.M)) or "nothing"


def run_kills(phase, tally, args):
    rounds(phase, tally, args, kill_rounds)


def run_powercuts(phase, tally, args):
    rounds(phase, tally, args, cut_rounds)


def fuzz_slice(folder, target, seconds):
    """Status, output and (executions, edges, features, corpus) of one run of libFuzzer."""
    seeds, words = ROOT / "tests/fuzz/corpus" / target, ROOT / "tests/fuzz/dict" / target
    corpus, found = ROOT / "build/fuzz-corpus" / target, ROOT / "build/fuzz-found" / target
    for path in (corpus, found):
        path.mkdir(parents=True, exist_ok=True)
    argv = [folder / f"tests/fuzz/libfuzzer_{target}", f"-max_total_time={seconds}", "-timeout=20",
            "-rss_limit_mb=2048", "-print_final_stats=1", "-max_len=16384", f"-artifact_prefix={found}/"]
    argv += [f"-dict={words}"] if words.exists() else []
    rc, output = core.run([*argv, corpus, seeds], seconds + 3 * SLICE_S + LIMIT_LONG)
    last = (re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", output) or [("0", "0", "0")])[-1]
    runs = re.search(r"stat::number_of_executed_units:\s+(\d+)", output)
    ran = re.search(r"Done \d+ runs in (\d+) second", output)
    return rc, output, int(runs[1]) if runs else 0, int(ran[1]) if ran else 0, last


def fuzz_run(tally, target, folder, seconds):
    """Slices until `seconds` have really been run; what they were, for the log."""
    total, executions, last = 0, 0, ("0", "0", "0")
    while total < seconds and not tally.failed:
        rc, output, runs, ran, last = fuzz_slice(folder, target, min(SLICE_S, seconds - total))
        total, executions = total + ran, executions + runs
        if rc:
            tally.fail(f"fuzz {target} (status {rc}); build/fuzz-found/{target} has the input", output[-8000:])
        elif not ran:
            tally.fail(f"fuzz {target}: it did not run", output[-2000:])
    if not tally.failed:
        tally.passed += 1
    return total, executions, last


def run_fuzz(phase, tally, args):
    target = phase.name.removeprefix("fuzz-")
    series = Series(phase, "seconds", FUZZ_WANT_S, ("executions", "exec/s", "edges", "features", "corpus"))
    left = min(args.fuzz_seconds, FUZZ_WANT_S - series.done())
    if left <= 0:
        return
    folder = built(tally, args, "long-fuzz", "clang", FUZZER,
                   targets=(f"tests/fuzz/libfuzzer_{target}",))
    if not folder:
        return
    start = time.monotonic()
    seconds, executions, (edges, features, corpus) = part(tally, f"fuzz {target}, {left} s", fuzz_run, target, folder,
                                                          left)
    series.add(seconds, (executions, executions // max(seconds, 1), edges, features, corpus), len(tally.failed),
               time.monotonic() - start)


FUZZ_TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in (ROOT / "tests/fuzz").glob("fuzz_*.c"))
SERIES = (run_kills, run_powercuts, run_fuzz)
PHASES = (
    Phase("check", "gcc with ASan and UBSan, every test (make check)", run_check),
    Phase("gcc", "release build without a warning, its unit tests", run_gcc),
    Phase("clang", "the same with clang, ASan and UBSan", run_clang, ("clang", "meson")),
    Phase("tsan", "ThreadSanitizer: unit, crash and black-box tests", run_tsan),
    Phase("analyzer", "gcc -fanalyzer over everything", run_analyzer),
    Phase("tidy", "clang-tidy over src/", run_tidy, ("clang-tidy",)),
    Phase("headers", "each header alone; public ones as C99 and C++", run_headers, ("gcc", "clang")),
    Phase("coverage", "lines that unit, crash and black-box tests reach", run_coverage, ("gcc", "gcovr")),
    Phase("torture", "unit tests with every allocation failing once, ASan and UBSan", run_torture),
    Phase("kills", "kill -9 at random moments of a mixed load", run_kills),
    Phase("powercuts", "power cuts at random steps of a mixed load", run_powercuts),
    *(Phase(f"fuzz-{target}", "libFuzzer with ASan and UBSan", run_fuzz, ("clang",)) for target in FUZZ_TARGETS),
)


def chosen(names):
    """Rows of the table that `names` mean: whole names, or "fuzz" for all of them."""
    if not names:
        return PHASES
    unknown = [name for name in names if not any(matches(phase, name) for phase in PHASES)]
    if unknown:
        raise SystemExit(f"no phase {unknown[0]}; tools/check --list names them")
    return [phase for phase in PHASES if any(matches(phase, name) for name in names)]


def matches(phase, name):
    return phase.name == name or (name == "fuzz" and phase.name.startswith("fuzz-"))


def run(tally, args):
    """Each phase has a tally and a log of its own: one that fails does not end the others."""
    for phase in chosen(args.only):
        mine, start = core.Tally(), time.monotonic()
        print(f"= {phase.name}: {phase.what}", flush=True)
        notes = phase.fn(phase, mine, args)
        if phase.fn not in SERIES:
            write(phase, mine, time.monotonic() - start, notes)
        tally.add(mine)
