#include "nx_test.h"

#include "unit/ledger/ledger_fixture.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/file.h"
#include "ledger/ledger_priv.h"

/*
 * What an attacker with the files can do, and who notices: nx_ledger_verify() on the ledger's own
 * directory, narthex-verify on an export of it.
 */

enum {
	ENTRIES = 700,
	VICTIM = 300 /* in bundle 1, a full one */
};

struct site {
	struct fixture *fx;
	char export[80];
	char key[1024];
	char said[4096]; /* by narthex-verify */
};

static int setup(void **state)
{
	struct site *site = calloc(1, sizeof(*site));
	struct nx_buf key;

	site->fx = fixture_new();
	*state = site;
	assert_ok(fixture_open(site->fx), &site->fx->err);
	assert_ok(fixture_fill(site->fx, ENTRIES, 10), &site->fx->err);
	(void)snprintf(site->export, sizeof(site->export), "%s/export", site->fx->dir);
	assert_ok(nx_ledger_export(site->fx->ledger, site->export, &site->fx->err), &site->fx->err);
	nx_buf_init(&key, sizeof(site->key), 0);
	nx_ledger_verifier_key(site->fx->ledger, &key);
	(void)snprintf(site->key, sizeof(site->key), "%s", nx_buf_cstr(&key));
	nx_buf_done(&key);
	return 0;
}

static int teardown(void **state)
{
	struct site *site = *state;

	fixture_free(site->fx);
	free(site);
	return 0;
}

/* narthex-verify's exit status; what it printed is in site->said. */
static int run_verifier(struct site *site, const char *what, const char *path, const char *key)
{
	const char *exe = getenv("NARTHEX_VERIFY");
	char *const argv[] = {(char *)(uintptr_t)exe, (char *)(uintptr_t)what,
		(char *)(uintptr_t)path, (char *)(uintptr_t) "--key", (char *)(uintptr_t)key, NULL};
	posix_spawn_file_actions_t actions;
	char out[96];
	ssize_t n;
	pid_t pid;
	int status, fd;

	assert_non_null(exe);
	(void)snprintf(out, sizeof(out), "%s/said", site->fx->dir);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(
		&actions, STDOUT_FILENO, out, O_WRONLY | O_CREAT | O_TRUNC, (mode_t)0600);
	assert_int_equal(posix_spawn(&pid, exe, &actions, NULL, argv, environ), 0);
	(void)posix_spawn_file_actions_destroy(&actions);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	fd = open(out, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, site->said, sizeof(site->said) - 1);
	(void)close(fd);
	site->said[n > 0 ? n : 0] = 0;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void file_load(const char *dir, const char *name, struct nx_buf *buf)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	nx_buf_clear(buf);
	assert_ok(nx_file_read(AT_FDCWD, path, buf, NULL), NULL);
}

static void file_store(const char *dir, const char *name, const struct nx_buf *buf)
{
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_CREAT, (mode_t)0600);
	assert_true(fd >= 0);
	assert_ok(nx_pwrite_full(fd, buf->data, buf->len, 0, NULL), NULL);
	(void)close(fd);
}

enum tamper {
	FLIP,
	SWAP,
	DROP,
	FLIP_TILE,
	FLIP_BOTH, /* the entry, and its hash in the tile */
	CUT
};

static void bundle_tamper(struct nx_slice bundle, enum tamper how, struct nx_buf *out)
{
	struct nx_slice entries[TILE_WIDTH], kept;
	unsigned n = 0, victim = VICTIM % TILE_WIDTH;

	while (nx_bundle_next(&bundle, &entries[n]))
		n++;
	assert_int_equal(n, TILE_WIDTH);
	if (how == SWAP) {
		kept = entries[victim];
		entries[victim] = entries[victim + 7];
		entries[victim + 7] = kept;
	}
	for (unsigned i = 0; i < n; i++) {
		if ((how == DROP && i == victim) || (how == CUT && i >= victim))
			continue;
		nx_buf_put_u16be(out, (uint16_t)entries[i].n);
		nx_buf_put_slice(out, entries[i]);
		if ((how == FLIP || how == FLIP_BOTH) && i == victim)
			out->data[out->len - 5] ^= 1;
	}
}

static void dir_tamper(const char *dir, enum tamper how)
{
	NX_AUTO_DONE(nx_buf) in;
	NX_AUTO_DONE(nx_buf) out;
	struct nx_slice rest, entry;
	unsigned victim = VICTIM % TILE_WIDTH;

	nx_buf_init(&in, BUNDLE_MAX, 0);
	nx_buf_init(&out, BUNDLE_MAX, 0);
	if (how != FLIP_TILE) {
		file_load(dir, "tile/entries/001", &in);
		bundle_tamper(nx_buf_slice(&in), how, &out);
		file_store(dir, "tile/entries/001", &out);
	}
	if (how != FLIP_TILE && how != FLIP_BOTH)
		return;
	file_load(dir, "tile/0/001", &in);
	rest = nx_buf_slice(&out);
	for (unsigned i = 0; how == FLIP_BOTH && i <= victim; i++)
		assert_true(nx_bundle_next(&rest, &entry));
	if (how == FLIP_BOTH)
		nx_merkle_leaf(entry.p, entry.n, in.data + (size_t)victim * 32);
	else
		in.data[(size_t)victim * 32] ^= 1;
	file_store(dir, "tile/0/001", &in);
}

static void check_tamper(struct site *site, enum tamper how, const char *text)
{
	uint64_t n;

	dir_tamper(site->fx->dir, how);
	dir_tamper(site->export, how);
	assert_rc(nx_ledger_verify(site->fx->ledger, &n, &site->fx->err), NX_E_CORRUPT);
	if (!strstr(site->fx->err.text, text))
		fail_msg("server: %s", site->fx->err.text);
	assert_int_equal(run_verifier(site, "export", site->export, site->key), 1);
	if (!strstr(site->said, text))
		fail_msg("verifier: %s", site->said);
}

static void test_untouched_verifies(void **state)
{
	struct site *site = *state;
	uint64_t n;

	assert_ok(nx_ledger_verify(site->fx->ledger, &n, &site->fx->err), &site->fx->err);
	assert_u64(n, ENTRIES);
	assert_int_equal(run_verifier(site, "export", site->export, site->key), 0);
	assert_non_null(strstr(site->said, "OK: 700 entries"));
}

static void test_flipped_byte_is_named(void **state)
{
	check_tamper(*state, FLIP, "entry 300 is altered");
}

static void test_swapped_entries_are_named(void **state)
{
	check_tamper(*state, SWAP, "entry 300 is out of order: entry 307 is in its place");
}

static void test_dropped_entry_is_named(void **state)
{
	check_tamper(*state, DROP, "entry 300 is missing");
}

static void test_cut_bundle_is_named(void **state)
{
	check_tamper(*state, CUT, "entry 300 is missing");
}

static void test_altered_tile_is_named(void **state)
{
	check_tamper(*state, FLIP_TILE, "entry 300");
}

static void test_entry_and_tile_altered_together_are_noticed(void **state)
{
	check_tamper(*state, FLIP_BOTH, "tile 1/0 is not over its entries: entry 256");
}

static void test_edited_checkpoint_is_noticed(void **state)
{
	struct site *site = *state;
	NX_AUTO_DONE(nx_buf) buf;
	uint64_t n;

	nx_buf_init(&buf, 4096, 0);
	file_load(site->fx->dir, "checkpoint", &buf);
	buf.data[25] = '6'; /* 600 entries */
	file_store(site->fx->dir, "checkpoint", &buf);
	file_store(site->export, "checkpoint", &buf);
	assert_rc(nx_ledger_verify(site->fx->ledger, &n, &site->fx->err), NX_E_CORRUPT);
	assert_non_null(strstr(site->fx->err.text, "signature"));
	assert_int_equal(run_verifier(site, "export", site->export, site->key), 1);
	assert_non_null(strstr(site->said, "signature"));
}

static void test_older_checkpoint_is_noticed(void **state)
{
	struct site *site = *state;
	NX_AUTO_DONE(nx_buf) buf;
	uint64_t n;

	nx_buf_init(&buf, 4096, 0);
	file_load(site->fx->dir, "checkpoint", &buf);
	assert_ok(fixture_fill(site->fx, 800, 10), &site->fx->err);
	assert_ok(nx_ledger_flush(site->fx->ledger, &site->fx->err), &site->fx->err);
	file_store(site->fx->dir, "checkpoint", &buf);
	assert_rc(nx_ledger_verify(site->fx->ledger, &n, &site->fx->err), NX_E_CORRUPT);
	assert_non_null(strstr(site->fx->err.text, "entry 700 on"));
}

static void test_changed_head_is_noticed(void **state)
{
	struct site *site = *state;
	struct nx_tag_head *head = &site->fx->tags.heads[40];
	NX_AUTO_DONE(nx_buf) buf;
	char want[64];
	uint64_t n;
	char *line;

	head->last--;
	(void)snprintf(want, sizeof(want), "entry %llu", (unsigned long long)head->last);
	assert_rc(nx_ledger_verify(site->fx->ledger, &n, &site->fx->err), NX_E_CORRUPT);
	assert_non_null(strstr(site->fx->err.text, want));
	head->last++;
	nx_buf_init(&buf, 1u << 20, 0);
	file_load(site->export, "map", &buf);
	line = strchr((char *)(uintptr_t)nx_buf_cstr(&buf), ' ') + 1;
	*line = *line == '9' ? '8' : (char)(*line + 1);
	file_store(site->export, "map", &buf);
	assert_int_equal(run_verifier(site, "export", site->export, site->key), 1);
	assert_non_null(strstr(site->said, "the map says that entry"));
}

static void test_other_key_is_refused(void **state)
{
	struct site *site = *state;
	char other[sizeof(site->key)];

	memcpy(other, site->key, sizeof(other));
	other[strlen(other) - 5] ^= 1;
	assert_int_equal(run_verifier(site, "export", site->export, other), 2);
	assert_int_equal(run_verifier(site, "export", "/nonexistent", site->key), 2);
}

/* ---- proofs ---- */

static const char *proof_make(struct site *site, struct nx_buf *buf)
{
	uint8_t tag[NX_TAG_LEN];

	nx_ledger_tag_subject(site->fx->ledger, 30, tag);
	nx_buf_clear(buf);
	assert_ok(nx_ledger_proof_bundle(site->fx->ledger, tag, true, buf, &site->fx->err),
		&site->fx->err);
	return nx_buf_cstr(buf);
}

static int proof_verify(struct site *site, const struct nx_buf *buf)
{
	char path[96];

	file_store(site->fx->dir, "proof.json", buf);
	(void)snprintf(path, sizeof(path), "%s/proof.json", site->fx->dir);
	return run_verifier(site, "proof", path, site->key);
}

static void test_proof_of_one_subject_verifies(void **state)
{
	struct site *site = *state;
	NX_AUTO_DONE(nx_buf) buf;

	nx_buf_init(&buf, 16u << 20, 0);
	assert_non_null(strstr(proof_make(site, &buf), "\"subject\":\"000000000000001e\""));
	assert_int_equal(proof_verify(site, &buf), 0);
	assert_non_null(strstr(site->said, "complete as of 700 entries"));
}

/* Every entry of every chain of the log proves itself. */
static void test_proofs_of_all_chains_verify(void **state)
{
	struct site *site = *state;
	NX_AUTO_DONE(nx_buf) buf;

	nx_buf_init(&buf, 16u << 20, 0);
	for (size_t i = 0; i < site->fx->tags.n; i += 10) {
		nx_buf_clear(&buf);
		assert_ok(nx_ledger_proof_bundle(site->fx->ledger, site->fx->tags.heads[i].tag,
				  false, &buf, &site->fx->err),
			&site->fx->err);
		assert_int_equal(proof_verify(site, &buf), 0);
	}
}

static void test_proof_without_an_entry_names_it(void **state)
{
	struct site *site = *state;
	NX_AUTO_DONE(nx_buf) buf;
	char *first, *second, *third, want[64];

	nx_buf_init(&buf, 16u << 20, 0);
	first = strstr(proof_make(site, &buf), "{\"index\":");
	second = strstr(first + 1, "{\"index\":");
	third = strstr(second + 1, "{\"index\":");
	assert_non_null(third);
	(void)snprintf(want, sizeof(want), "entry %ld is missing", strtol(second + 9, NULL, 10));
	memmove(second, third, strlen(third));
	buf.len -= (size_t)(third - second);
	assert_int_equal(proof_verify(site, &buf), 1);
	if (!strstr(site->said, want))
		fail_msg("%s", site->said);
}

static void test_altered_proofs_fail(void **state)
{
	static const struct {
		const char *at;
		size_t skip;
		const char *says;
	} cases[] = {
		{"\"entry\":\"", 60, "is altered"},
		{"\"path\":[\"", 9, "are not those of the checkpoint"},
		{"\"heads\":[[\"", 45, ""},
		{"\"count\":", 8, "the proof ends at entry"},
		{"\"checkpoint\":\"", 40, "signature"},
	};
	struct site *site = *state;
	NX_AUTO_DONE(nx_buf) buf;

	nx_buf_init(&buf, 16u << 20, 0);
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		char *at = strstr(proof_make(site, &buf), cases[i].at);

		assert_non_null(at);
		at += cases[i].skip;
		*at = *at == '1' ? '2' : '1';
		assert_int_equal(proof_verify(site, &buf), 1);
		if (!strstr(site->said, cases[i].says))
			fail_msg("%s: %s", cases[i].at, site->said);
	}
}

int main(void)
{
#define TAMPER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TAMPER_TEST(test_untouched_verifies),
		TAMPER_TEST(test_flipped_byte_is_named),
		TAMPER_TEST(test_swapped_entries_are_named),
		TAMPER_TEST(test_dropped_entry_is_named),
		TAMPER_TEST(test_cut_bundle_is_named),
		TAMPER_TEST(test_altered_tile_is_named),
		TAMPER_TEST(test_entry_and_tile_altered_together_are_noticed),
		TAMPER_TEST(test_edited_checkpoint_is_noticed),
		TAMPER_TEST(test_older_checkpoint_is_noticed),
		TAMPER_TEST(test_changed_head_is_noticed),
		TAMPER_TEST(test_other_key_is_refused),
		TAMPER_TEST(test_proof_of_one_subject_verifies),
		TAMPER_TEST(test_proofs_of_all_chains_verify),
		TAMPER_TEST(test_proof_without_an_entry_names_it),
		TAMPER_TEST(test_altered_proofs_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
