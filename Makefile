# Short names for the commands of CONTRIBUTING.md.  The build itself is Meson's.
SHELL := /bin/bash
JOBS ?= $(shell nproc)
RELEASE := build/release

.PHONY: all build demo check check-long bench install format clean help
all: build

help:
	@printf '%s\n' \
	  'make                    release build in $(RELEASE)' \
	  'make demo               install packages, build, run a site end to end' \
	  'make check              install packages, build with sanitizers, run every test (25 minutes at most)' \
	  'make check-long         the same with both compilers, all linters, coverage, kills, fuzzing: a day (tools/check --help)' \
	  'make bench BENCH=name   measure against a peer: $(patsubst tests/bench/bench_%.py,%,$(wildcard tests/bench/bench_*.py))' \
	  'make install            install the release build (DESTDIR is honoured)' \
	  'make format             clang-format every C file' \
	  'make clean              remove build/'

$(RELEASE)/build.ninja:
	@meson setup --buildtype=release -Db_lto=true -Db_pie=true -Dtests=false $(RELEASE) >/dev/null

build: $(RELEASE)/build.ninja
	@ninja -C $(RELEASE) -j $(JOBS) --quiet

# What only the demo needs is installed while the build runs.
demo:
	@tools/install-deps build
	@tools/install-deps demo & built=0; $(MAKE) --no-print-directory build || built=$$?; wait $$! && exit $$built
	@tools/demo

check:
	@tools/install-deps test
	@tools/check --jobs $(JOBS)

check-long:
	@tools/install-deps long
	@tools/check --long --jobs $(JOBS)

bench:
	@tools/install-deps bench
	@$(MAKE) --no-print-directory build
	@tools/bench $(BENCH)

install: build
	meson install -C $(RELEASE) --no-rebuild

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf build
