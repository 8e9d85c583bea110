"""The phases of `make check-long`, a row each: what is too slow for every push."""
import dataclasses
import json
import os
import re
import resource
import time

from checks import core
from checks.core import CRASH_SUITE, LIMIT_LONG, ROOT, build, meson_tests, part, pytest
from checks.evidence import Series, write

SLOW = ("--timeout-multiplier", "10")
INTERRUPTED = 72  # the status of a fuzzer that a signal ended
HANG_S = 120  # of wall time: fuzzers may run at idle priority beside a build
SLICE_S = 60  # of fuzzing at a time, so that what `--under` waits for gets its turn
FUZZ_WANT_S = 3600
ROUNDS_WANT, ROUNDS_AT_ONCE = 1000, 100
CLANG = ["-Dwerror=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"]
FUZZER = ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dc_args=-fsanitize=fuzzer-no-link -fno-sanitize-recover=all"]
TSAN = {"TSAN_OPTIONS": "exitcode=66:second_deadlock_stack=1"}
LEAST_COVERED = 10
ANALYZER_WARNING = re.compile(r"^(?:\.\./)*(\S+?):(\d+:\d+): warning: (.*?) (?:\[CWE-\d+\] )?\[-Wanalyzer-([\w-]+)\]",
                              re.M)
# What gcc 12 gets wrong: (file, warning) and why it is no finding.
ANALYZER_WRONG = {
    ("src/archive/blob.c", "malloc-leak"): "the blob owns its arrays; it is lost sight of behind the writer",
    ("src/cli/cli.c", "malloc-leak"): "kept in an array under an index that it does not follow",
    ("src/lifecycle/forward.c", "malloc-leak"): "kept in a list that it does not follow",
    ("src/keys/drv_mem.c", "malloc-leak"): "returned as the address of its first member",
    ("src/keys/drv_file.c", "malloc-leak"): "freed through the address of its first member",
}


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
    part(tally, "unit", meson_tests, folder, args.jobs, LIMIT_LONG, ("--suite", "unit", *SLOW), TSAN)
    part(tally, "power cuts, faults, damage", meson_tests, folder, args.jobs, LIMIT_LONG, CRASH_SUITE, TSAN)
    part(tally, "black box", pytest, folder, ROOT / "tests/blackbox", LIMIT_LONG, TSAN, at_once=args.jobs)
    part(tally, "kills", pytest, folder, ROOT / "tests/crash", LIMIT_LONG, TSAN)


def analyzer_findings(output):
    """The warnings in a compiler's output, each once, without those of ANALYZER_WRONG."""
    found = {(path, place, what, kind) for path, place, what, kind in ANALYZER_WARNING.findall(output)
             if (path, kind) not in ANALYZER_WRONG}
    return [f"{path}:{place}: {what} [-Wanalyzer-{kind}]" for path, place, what, kind in sorted(found)]


def analyze(tally, folder, jobs):
    """Everything is compiled anew, so that every warning is seen again."""
    core.run(["ninja", "-C", folder, "clean"], LIMIT_LONG)
    rc, output = core.run(["ninja", "-C", folder, "-k", "0", "-j", jobs], LIMIT_LONG)
    findings = analyzer_findings(output)
    for finding in findings:
        tally.fail(finding)
    if rc and not findings:
        tally.fail(f"analyzer build (status {rc})", output[-6000:])
    tally.passed += output.count("Compiling C object")


def run_analyzer(phase, tally, args):
    folder = ROOT / "build/long-analyzer"
    options = ["-Dtests=false", "-Dbuildtype=debug", "-Db_colorout=never", "-Dc_args=-fanalyzer"]
    if part(tally, "configure", build, folder, args.jobs, "gcc", options, LIMIT_LONG, targets=("clean",)):
        part(tally, "analyze", analyze, folder, args.jobs)
    return [f"not believed: {path}, {kind}: {why}" for (path, kind), why in ANALYZER_WRONG.items()]


def run_tidy(phase, tally, args):
    """One process a file: version 14 carries state from one file to the next and sees ghosts."""
    folder = built(tally, args, "long-clang", "clang", CLANG, targets=("build.ninja",))
    if not folder:
        return
    commands = json.loads((folder / "compile_commands.json").read_text())
    compiled = {(folder / entry["file"]).resolve() for entry in commands}
    sources = sorted(str(path) for path in compiled if ROOT / "src" in path.parents)
    part(tally, "clang-tidy", core.each, args.jobs, sources,
         lambda name: ["clang-tidy", "-quiet", "-p", folder, name], "clang-tidy")


def alone(language, name):
    """The header is all that there is to compile."""
    return ["-include", name, "-x", language, "/dev/null"]


def run_headers(phase, tally, args):
    """Every header alone under both compilers; the public ones also as C99 and as C++."""
    mine = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-Isrc", "-include", "src/base/banned.h"]
    gnutls = core.run(["pkg-config", "--cflags", "gnutls", "libmicrohttpd", "sqlite3"], 60)[1].split()
    public = sorted(str(path) for path in (ROOT / "include").rglob("*.h"))
    heads = sorted(str(path) for path in (ROOT / "src").rglob("*.h") if path.name != "banned.h")
    for cc in ("gcc", "clang"):
        part(tally, f"{cc}: headers alone", core.each, args.jobs, heads,
             lambda name, cc=cc: [cc, "-std=gnu17", *mine, *gnutls, *alone("c", name)], cc)
        for label, how in (("C99", lambda name: ["-std=c99", "-pedantic", *alone("c", name)]),
                           ("C++", lambda name: alone("c++", name))):
            part(tally, f"{cc}: public headers as {label}", core.each, args.jobs, public,
                 lambda name, cc=cc, how=how: [cc, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *how(name)],
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


def run_heavy(phase, tally, args):
    """Twenty gigabytes through every door, a thousand connections: the tests marked long, with their release build."""
    folder = built(tally, args, "long-gcc", "gcc", ["-Dwerror=true", "-Dbuildtype=release"])
    if folder:
        part(tally, "black box", pytest, folder, ROOT / "tests/blackbox", LIMIT_LONG,
             {"NX_LONG": "1", "NX_RELEASE": str(folder)})


def run_coverage(phase, tally, args):
    folder = built(tally, args, "long-cov", "gcc", ["-Db_coverage=true", "-Dbuildtype=debug"])
    if not folder:
        return None
    for old in folder.rglob("*.gcda"):
        old.unlink()
    part(tally, "unit, fuzz replay", meson_tests, folder, args.jobs, LIMIT_LONG)
    part(tally, "power cuts, faults, damage", meson_tests, folder, args.jobs, LIMIT_LONG, CRASH_SUITE)
    part(tally, "black box", pytest, folder, ROOT / "tests/blackbox", LIMIT_LONG, at_once=args.jobs)
    report = ROOT / "build/coverage.json"
    part(tally, "gcovr", core.command, "gcovr",
         ["gcovr", "-r", ROOT, "-f", f"{ROOT}/src/", "--json-summary", report, folder], LIMIT_LONG)
    return list(coverage_table(json.loads(report.read_text())["files"])) if report.exists() else None


def run_torture(phase, tally, args):
    folder = built(tally, args, "check", "gcc", ["-Db_sanitize=address,undefined", "-Dwerror=true"])
    if folder:
        part(tally, "every allocation fails once", meson_tests, folder, args.jobs, LIMIT_LONG, ("--suite", "unit", *SLOW),
             {"NX_TORTURE": "all"})


def rounds(phase, tally, args, one):
    """Rounds of `one` until what is wanted, or asked for, is done; rows are added as they end."""
    series = Series(phase, "rounds", ROUNDS_WANT, ("seed", "seconds", "what"))
    left = min(args.rounds, ROUNDS_WANT - series.done())
    folder = built(tally, args, "long-gcc", "gcc", ["-Dwerror=true", "-Dbuildtype=release"],
                   targets=("tests/crash/test_crash_powercut", "tests/crash/crash_worker"))
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
    told = [line for line in output.splitlines() if not line.startswith('{"time"')]  # what the site logged
    before = len(tally.failed)
    tally.add_tap("powercut", output)
    if rc:
        del tally.failed[before:]
        tally.fail(f"powercut (status {rc})", "\n".join(told)[-6000:])
    return ",".join(re.findall(r"^# (\S+=\d+)$", output, re.M)) or "nothing"


def run_kills(phase, tally, args):
    rounds(phase, tally, args, kill_rounds)


def run_powercuts(phase, tally, args):
    rounds(phase, tally, args, cut_rounds)


def cpu_seconds():
    """Of the children that have ended: what a fuzzer really ran, whatever ran beside it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fuzz_slice(folder, target, seconds):
    """Status, output, executions, seconds and (edges, features, corpus) of one run of libFuzzer."""
    seeds, words = ROOT / "tests/fuzz/corpus" / target, ROOT / "tests/fuzz/dict" / target
    corpus, found = ROOT / "build/fuzz-corpus" / target, ROOT / "build/fuzz-found" / target
    for path in (corpus, found):
        path.mkdir(parents=True, exist_ok=True)
    argv = [folder / f"tests/fuzz/libfuzzer_{target}", f"-max_total_time={seconds}", f"-timeout={HANG_S}",
            "-rss_limit_mb=2048", "-print_final_stats=1", "-max_len=16384", f"-artifact_prefix={found}/"]
    argv += [f"-dict={words}"] if words.exists() else []
    before = cpu_seconds()
    rc, output = core.run([*argv, corpus, seeds], LIMIT_LONG)
    last = (re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", output) or [("0", "0", "0")])[-1]
    runs = re.search(r"stat::number_of_executed_units:\s+(\d+)", output)
    return rc, output, int(runs[1]) if runs else 0, cpu_seconds() - before, last


def fuzz_run(tally, target, folder, seconds):
    """Slices until `seconds` of processor time have been run; what they were, for the log."""
    total, executions, last = 0.0, 0, ("0", "0", "0")
    while total < seconds and not tally.failed:
        rc, output, runs, ran, last = fuzz_slice(folder, target, min(SLICE_S, max(1, int(seconds - total))))
        total, executions = total + ran, executions + runs
        if rc == INTERRUPTED:
            raise KeyboardInterrupt  # by whoever ended it, and no finding
        if rc:
            tally.fail(f"fuzz {target} (status {rc}); build/fuzz-found/{target} has the input", output[-8000:])
        elif not runs:
            tally.fail(f"fuzz {target}: it did not run", output[-2000:])
    if not tally.failed:
        tally.passed += 1
    return int(total), executions, last


def run_fuzz(phase, tally, args):
    target = phase.name.removeprefix("fuzz-")
    series = Series(phase, "CPU-seconds", FUZZ_WANT_S, ("executions", "exec/s", "edges", "features", "corpus"))
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
    Phase("heavy", "black-box tests marked long: gigabytes, thousands of connections", run_heavy),
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
