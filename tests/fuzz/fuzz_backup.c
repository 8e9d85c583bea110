#include "fuzz.h"

#include <string.h>

#include "lifecycle/backup_priv.h"

/*
 * A backup's statement and its list of files, as somebody else may have written them.  What parses
 * is written again and parses to the same, and no path leads out of the directory.
 */

static void line_try(const struct sums_line *line)
{
	struct sums_line again;
	NX_AUTO_DONE(nx_buf) out;
	struct nx_slice rest;

	FUZZ_CHECK(line->path[0] && line->path[0] != '/' && !strstr(line->path, ".."));
	nx_buf_init(&out, 4096, 0);
	sums_put(&out, line->sha, line->path);
	rest = nx_buf_slice(&out);
	FUZZ_CHECK(sums_next(&rest, &again, NULL) == NX_OK && !rest.n);
	FUZZ_CHECK(strcmp(line->path, again.path) == 0);
	FUZZ_CHECK(memcmp(line->sha, again.sha, sizeof(again.sha)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t pub[NX_ED25519_PUBLIC_LEN], sig[NX_ED25519_SIG_LEN];
	struct nx_slice text = nx_slice(data, size), statement;
	struct sums_line line;

	if (statement_split(text, &statement, pub, sig))
		FUZZ_CHECK(statement.p >= data && statement.p + statement.n <= data + size);
	while (!sums_next(&text, &line, NULL))
		line_try(&line);
	return 0;
}
