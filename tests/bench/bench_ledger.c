#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "unit/ledger/ledger_fixture.h"

/* Entries per second: staged by one core, flushed, verified.  Argument: how many (200,000). */

static double rate(uint64_t n, int64_t start_us)
{
	return (double)n * 1e6 / (double)(nx_mono_us() - start_us + 1);
}

static void bench(struct fixture *fx, uint64_t n)
{
	int64_t start = nx_mono_us();
	uint64_t entries = 0;
	nx_rc rc = NX_OK;

	for (uint64_t i = 0; i < n && !rc; i++) {
		rc = fixture_stage(fx, i);
		if (!rc && i % 64 == 63)
			rc = fixture_commit(fx);
	}
	printf("stage and commit: %.0f entries/s (with the flushes that the backlog forces)\n",
		rate(n, start));
	start = nx_mono_us();
	if (!rc)
		rc = nx_ledger_flush(fx->ledger, &fx->err);
	printf("flush of the rest: %.3f s\n", (double)(nx_mono_us() - start) / 1e6);
	start = nx_mono_us();
	for (uint64_t i = 0; i < 20 && !rc; i++) {
		rc = fixture_stage(fx, n + i);
		if (!rc)
			rc = fixture_commit(fx);
		if (!rc)
			rc = nx_ledger_flush(fx->ledger, &fx->err);
	}
	printf("flush of one entry: %.3f ms\n", (double)(nx_mono_us() - start) / 2e4);
	start = nx_mono_us();
	if (!rc)
		rc = nx_ledger_verify(fx->ledger, &entries, &fx->err);
	printf("verify: %.0f entries/s\n", rate(entries, start));
	if (rc)
		printf("failed: %s\n", nx_err_text(&fx->err));
}

int main(int argc, char **argv)
{
	struct fixture *fx = fixture_new();
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;

	if (fixture_open(fx))
		printf("open: %s\n", nx_err_text(&fx->err));
	else
		bench(fx, n);
	fixture_free(fx);
	return 0;
}
