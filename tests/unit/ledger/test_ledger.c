#include "nx_test.h"

#include "unit/ledger/ledger_fixture.h"

#include <sched.h>
#include <stdatomic.h>

#include "base/enc.h"
#include "ledger/ledger_priv.h"
#include "nx_torture.h"

enum {
	RACE_FLUSHES = 6
};

static int setup(void **state)
{
	struct fixture *fx = fixture_new();

	*state = fx;
	assert_ok(fixture_open(fx), &fx->err);
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static void reopen(struct fixture *fx)
{
	fx->ledger = nx_ledger_free(fx->ledger);
	assert_ok(fixture_open(fx), &fx->err);
}

/* ---- RFC 6962 by its text, slowly ---- */

static void slow_root(uint8_t (*leaves)[32], size_t n, uint8_t ret[32])
{
	uint8_t left[32], right[32];
	size_t k = 1;

	if (n == 1) {
		memcpy(ret, leaves[0], 32);
		return;
	}
	while (2 * k < n)
		k *= 2;
	slow_root(leaves, k, left);
	slow_root(leaves + k, n - k, right);
	nx_merkle_node(left, right, ret);
}

static size_t slow_path(uint8_t (*leaves)[32], size_t n, size_t m, uint8_t (*ret)[32])
{
	size_t k = 1, len;

	if (n == 1)
		return 0;
	while (2 * k < n)
		k *= 2;
	if (m < k) {
		len = slow_path(leaves, k, m, ret);
		slow_root(leaves + k, n - k, ret[len]);
	} else {
		len = slow_path(leaves + k, n - k, m - k, ret);
		slow_root(leaves, k, ret[len]);
	}
	return len + 1;
}

static uint8_t (*leaves_of(struct fixture *fx, uint64_t n))[32]
{
	uint8_t(*leaves)[32] = calloc(n, 32);
	struct nx_slice bytes;

	for (uint64_t i = 0; i < n; i++) {
		nx_arena_reset(fx->arena);
		assert_ok(nx_entry_bytes(fx->ledger, i, fx->arena, &bytes, &fx->err), &fx->err);
		nx_merkle_leaf(bytes.p, bytes.n, leaves[i]);
	}
	return leaves;
}

/* The tree over the eight leaves that Certificate Transparency's implementations test with. */
static void test_tree_roots_are_those_of_rfc6962(void **state)
{
	static const char *const inputs[] = {"", "00", "10", "2021", "3031", "40414243",
		"5051525354555657", "606162636465666768696a6b6c6d6e6f"};
	static const char *const roots[] = {
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
	struct nx_edge *edge = calloc(1, sizeof(*edge));
	uint8_t bytes[16], leaf[32], root[32], want[32];

	(void)state;
	nx_edge_root(edge, root);
	assert_true(nx_hex_parse(
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", want, 32));
	assert_memory_equal(root, want, 32);
	for (size_t i = 0; i < NX_ARRAY_LEN(inputs); i++) {
		assert_true(nx_hex_parse(inputs[i], bytes, strlen(inputs[i]) / 2));
		nx_merkle_leaf(bytes, strlen(inputs[i]) / 2, leaf);
		assert_ok(nx_edge_append(edge, leaf, NULL, NULL, NULL), NULL);
		nx_edge_root(edge, root);
		assert_true(nx_hex_parse(roots[i], want, 32));
		assert_memory_equal(root, want, 32);
	}
	free(edge);
}

static void check_all_proofs(struct fixture *fx, uint64_t size, uint64_t step)
{
	uint8_t(*leaves)[32] = leaves_of(fx, size);
	uint8_t want[64][32], (*path)[32], root[32];
	size_t n;

	slow_root(leaves, size, root);
	assert_memory_equal(root, fx->ledger->checkpoint.root, 32);
	for (uint64_t i = 0; i < size; i += step) {
		nx_arena_reset(fx->arena);
		assert_ok(nx_ledger_prove(fx->ledger, i, fx->arena, &path, &n, &fx->err), &fx->err);
		assert_u64(n, slow_path(leaves, size, i, want));
		assert_memory_equal(path, want, n * 32);
	}
	free(leaves);
}

static void test_roots_and_proofs_agree_with_slow_tree(void **state)
{
	static const uint64_t sizes[] = {1, 2, 3, 255, 256, 257, 511, 512, 700};
	struct fixture *fx = *state;

	for (size_t i = 0; i < NX_ARRAY_LEN(sizes); i++) {
		assert_ok(fixture_fill(fx, sizes[i], 50), &fx->err);
		assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
		check_all_proofs(fx, sizes[i], 1);
	}
	reopen(fx);
	check_all_proofs(fx, 700, 13);
}

/* ---- entries ---- */

static void test_entry_says_what_the_draft_said(void **state)
{
	struct fixture *fx = *state;
	struct nx_entry entry;
	struct nx_slice json;
	uint8_t tag[NX_TAG_LEN];

	assert_ok(fixture_fill(fx, 20, 3), &fx->err);
	nx_arena_reset(fx->arena);
	assert_ok(nx_ledger_entry(fx->ledger, 9, fx->arena, &entry, &fx->err), &fx->err);
	assert_u64(entry.index, 9);
	assert_int_equal(entry.action, NX_ACTION_INSTANCE_STORE);
	assert_i64(entry.time_us, 1700000000009000);
	assert_int_equal(entry.chains[0].kind, NX_CHAIN_SUBJECT);
	assert_int_equal(entry.chains[2].kind, NX_CHAIN_PRINCIPAL);
	nx_ledger_tag_subject(fx->ledger, 2, tag);
	assert_memory_equal(entry.chains[0].tag, tag, NX_TAG_LEN);
	assert_u64(entry.chains[0].count, 2);
	assert_u64(entry.chains[0].prev, 7);
	assert_ok(nx_ledger_body(fx->ledger, &entry, fx->arena, &json, &fx->err), &fx->err);
	assert_string_equal(nx_arena_str(fx->arena, (const char *)json.p, json.n),
		"{\"principal\":\"user-0\",\"subject\":\"0000000000000002\","
		"\"study\":\"1.2.826.0.1.1\",\"detail\":{\"door\":\"dimse\"}}");
	entry.index = 8; /* a body does not open in another place */
	assert_rc(nx_ledger_body(fx->ledger, &entry, fx->arena, &json, NULL), NX_E_CORRUPT);
	assert_rc(nx_ledger_entry(fx->ledger, 20, fx->arena, &entry, NULL), NX_E_NOENT);
}

static void test_time_never_goes_back(void **state)
{
	struct fixture *fx = *state;
	struct nx_entry_draft draft = {.action = NX_ACTION_SCRUB, .principal = "", .time_us = 500};
	struct nx_entry entry;
	uint64_t index;

	assert_ok(nx_ledger_stage(fx->ledger, &draft, &fx->out, &index, &fx->err), &fx->err);
	draft.time_us = 400;
	assert_ok(nx_ledger_stage(fx->ledger, &draft, &fx->out, &index, &fx->err), &fx->err);
	nx_ledger_commit(fx->ledger, 1);
	assert_ok(nx_ledger_entry(fx->ledger, 1, fx->arena, &entry, &fx->err), &fx->err);
	assert_i64(entry.time_us, 500);
}

static void test_bad_drafts_are_refused_and_leave_no_trace(void **state)
{
	struct fixture *fx = *state;
	char *big = calloc(1, 20000);
	struct nx_entry_draft draft = {.action = 999, .principal = ""};
	uint64_t index;

	assert_rc(nx_ledger_stage(fx->ledger, &draft, &fx->out, &index, NULL), NX_E_INVAL);
	draft.action = NX_ACTION_READ;
	draft.detail = nx_slice(big, 20000);
	assert_rc(nx_ledger_stage(fx->ledger, &draft, &fx->out, &index, NULL), NX_E_LIMIT);
	draft.detail = nx_slice_str("[]");
	assert_rc(nx_ledger_stage(fx->ledger, &draft, &fx->out, &index, NULL), NX_E_INVAL);
	memset(big, 'x', 19999);
	draft.detail = nx_slice_str("");
	draft.study = big;
	assert_rc(nx_ledger_stage(fx->ledger, &draft, &fx->out, &index, NULL), NX_E_INVAL);
	nx_ledger_commit(fx->ledger, 1);
	assert_u64(nx_ledger_size(fx->ledger), 0);
	assert_u64(fx->out.len, 0);
	free(big);
}

static void test_parse_refuses_every_truncation(void **state)
{
	struct fixture *fx = *state;
	struct nx_entry entry;
	struct nx_slice bytes;

	assert_ok(fixture_fill(fx, 10, 10), &fx->err);
	assert_ok(nx_entry_bytes(fx->ledger, 9, fx->arena, &bytes, &fx->err), &fx->err);
	for (size_t n = 0; n < bytes.n; n++)
		assert_rc(nx_entry_parse(9, nx_slice(bytes.p, n), &entry, NULL), NX_E_CORRUPT);
	assert_rc(nx_entry_parse(9, bytes, &entry, NULL), NX_OK);
	/* a link to itself or later */
	assert_rc(nx_entry_parse(3, bytes, &entry, NULL), NX_E_CORRUPT);
}

/* ---- groups ---- */

/* What was staged before the mark goes on as if nothing had come after it. */
static void test_unstage_goes_back_to_the_mark(void **state)
{
	struct fixture *fx = *state;
	uint64_t mark, entries;
	struct nx_entry_draft late = {.action = NX_ACTION_READ,
		.time_us = 1900000000000000,
		.principal = "user-0",
		.subject = 4711,
		.study = "1.2.3.4711"};
	struct nx_entry entry;
	uint64_t index;

	assert_ok(fixture_fill(fx, 20, 10), &fx->err);
	for (uint64_t n = 20; n < 300; n++)
		assert_ok(fixture_stage(fx, n), &fx->err);
	mark = nx_ledger_mark(fx->ledger);
	assert_u64(mark, 300);
	for (uint64_t n = 300; n < 700; n++)
		assert_ok(fixture_stage(fx, n % 290), &fx->err);
	assert_ok(nx_ledger_stage(fx->ledger, &late, &fx->out, &index, &fx->err), &fx->err);
	nx_ledger_unstage(fx->ledger, mark);
	assert_u64(nx_ledger_mark(fx->ledger), mark);
	for (uint64_t n = 300; n < 320; n++)
		assert_ok(fixture_stage(fx, n), &fx->err);
	assert_ok(fixture_commit(fx), &fx->err);
	assert_u64(nx_ledger_size(fx->ledger), 320);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	assert_ok(nx_ledger_verify(fx->ledger, &entries, &fx->err), &fx->err);
	assert_u64(entries, 320);
	/* nor do times go forward to what never happened */
	assert_ok(nx_ledger_entry(fx->ledger, 319, fx->arena, &entry, &fx->err), &fx->err);
	assert_true(entry.time_us < late.time_us);
}

/* The head of a chain that only an undone entry had is no row of the catalog. */
static void test_unstage_of_all_leaves_no_heads(void **state)
{
	struct fixture *fx = *state;
	struct nx_tag_head *heads;
	uint64_t mark = nx_ledger_mark(fx->ledger);
	size_t n;

	for (uint64_t i = 0; i < 50; i++)
		assert_ok(fixture_stage(fx, i), &fx->err);
	nx_ledger_unstage(fx->ledger, mark);
	assert_ok(nx_ledger_heads(fx->ledger, fx->arena, &heads, &n, &fx->err), &fx->err);
	assert_u64(n, 0);
	assert_ok(fixture_fill(fx, 30, 7), &fx->err);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	assert_ok(nx_ledger_verify(fx->ledger, &mark, &fx->err), &fx->err);
	assert_u64(mark, 30);
}

static void test_rollback_undoes_entries_and_chains(void **state)
{
	struct fixture *fx = *state;
	struct nx_tag_head *heads;
	struct nx_entry entry;
	size_t n;

	assert_ok(fixture_fill(fx, 250, 10), &fx->err);
	for (uint64_t i = 250; i < 900; i++)
		assert_ok(fixture_stage(fx, i), &fx->err);
	assert_u64(nx_ledger_size(fx->ledger), 250);
	nx_ledger_rollback(fx->ledger);
	assert_ok(nx_ledger_heads(fx->ledger, fx->arena, &heads, &n, &fx->err), &fx->err);
	assert_u64(n, 0);
	assert_ok(fixture_fill(fx, 251, 1), &fx->err);
	assert_ok(nx_ledger_entry(fx->ledger, 250, fx->arena, &entry, &fx->err), &fx->err);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	check_all_proofs(fx, 251, 7);
}

static nx_rc count_entry(void *payload, const struct nx_entry *entry, struct nx_err *err)
{
	(void)entry;
	(void)err;
	++*(uint64_t *)payload;
	return NX_OK;
}

static uint64_t chain_length(struct fixture *fx, uint64_t subject)
{
	uint8_t tag[NX_TAG_LEN];
	uint64_t n = 0;

	nx_ledger_tag_subject(fx->ledger, subject, tag);
	assert_ok(nx_ledger_chain(fx->ledger, tag, count_entry, &n, &fx->err), &fx->err);
	return n;
}

static void test_chain_walks_all_entries_of_a_subject(void **state)
{
	struct fixture *fx = *state;
	char study[65], principal[65];
	uint8_t tag[NX_TAG_LEN];
	uint64_t want = 0;

	assert_ok(fixture_fill(fx, 3000, 100), &fx->err);
	for (uint64_t i = 0; i < 3000; i++)
		want += draft_make(i, study, principal).subject == 5;
	assert_u64(chain_length(fx, 5), want);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	assert_u64(chain_length(fx, 5), want);
	reopen(fx);
	assert_u64(chain_length(fx, 5), want);
	nx_ledger_tag_subject(fx->ledger, 12345, tag);
	assert_rc(nx_ledger_chain(fx->ledger, tag, count_entry, &want, NULL), NX_E_NOENT);
}

/* Files hold 300 of 700 entries, the catalog has all, some or none of the later heads. */
static void replay_after_crash(struct fixture *fx, unsigned catalog)
{
	struct nx_slice bytes[700];
	struct nx_ledger *lost;
	struct nx_arena *arena = nx_arena_new(16u << 20, 0);
	uint64_t size, group, n;

	assert_ok(fixture_fill(fx, 300, 10), &fx->err);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	if (catalog < 2)
		fx->tags.lag = true;
	assert_ok(fixture_fill(fx, 700, 10), &fx->err);
	for (uint64_t i = 0; i < 700; i++)
		assert_ok(nx_entry_bytes(fx->ledger, i, arena, &bytes[i], &fx->err), &fx->err);
	fx->tags.lag = false;
	lost = NX_STEAL(fx->ledger); /* no flush: the machine is gone */
	assert_ok(fixture_open(fx), &fx->err);
	nx_ledger_durable(fx->ledger, &size, &group);
	assert_u64(size, 300);
	assert_u64(group, 30);
	assert_rc(nx_ledger_replay(fx->ledger, 31, 301, bytes[301], NULL), NX_E_CORRUPT);
	for (uint64_t i = 250; i < 700; i++)
		assert_ok(
			nx_ledger_replay(fx->ledger, 1 + i / 10, i, bytes[i], &fx->err), &fx->err);
	if (catalog == 1)
		mem_catch_up(&fx->tags);
	assert_ok(fixture_fill(fx, 710, 10), &fx->err);
	if (catalog == 0)
		mem_catch_up(&fx->tags);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	check_all_proofs(fx, 710, 31);
	assert_ok(nx_ledger_verify(fx->ledger, &n, &fx->err), &fx->err);
	assert_u64(n, 710);
	(void)nx_arena_free(arena);
	nx_ledger_abandon(lost);
}

static void test_replay_with_catalog_behind(void **state)
{
	replay_after_crash(*state, 0);
}

static void test_replay_with_catalog_caught_up(void **state)
{
	replay_after_crash(*state, 1);
}

static void test_replay_with_catalog_ahead(void **state)
{
	replay_after_crash(*state, 2);
}

/* ---- search ---- */

static void test_search_by_time_action_outcome(void **state)
{
	struct fixture *fx = *state;
	struct nx_ledger_query query = {
		.from_us = 1700000000100000, .to_us = 1700000000900000, .outcome = -1};
	uint64_t n = 0;

	assert_ok(fixture_fill(fx, 2000, 100), &fx->err);
	assert_ok(nx_ledger_search(fx->ledger, &query, count_entry, &n, &fx->err), &fx->err);
	assert_u64(n, 800);
	query.action = NX_ACTION_READ;
	n = 0;
	assert_ok(nx_ledger_search(fx->ledger, &query, count_entry, &n, &fx->err), &fx->err);
	assert_u64(n, 160);
	query.outcome = NX_OUTCOME_SERIOUS;
	n = 0;
	assert_ok(nx_ledger_search(fx->ledger, &query, count_entry, &n, &fx->err), &fx->err);
	assert_u64(n, 15);
	query = (struct nx_ledger_query){.from_us = INT64_MAX, .outcome = -1};
	n = 0;
	assert_ok(nx_ledger_search(fx->ledger, &query, count_entry, &n, &fx->err), &fx->err);
	assert_u64(n, 0);
}

/* ---- flushes beside commits ---- */

struct racer {
	struct fixture *fx;
	atomic_bool stop;
	atomic_uint flushes;
	nx_rc rc;
	struct nx_err err;
};

/* Flush and verify what was flushed, while the other thread goes on. */
static void *race_flush(void *arg)
{
	struct racer *racer = arg;
	uint64_t n;

	while (!racer->stop && !racer->rc) {
		racer->rc = nx_ledger_flush(racer->fx->ledger, &racer->err);
		if (!racer->rc)
			racer->rc = nx_ledger_verify(racer->fx->ledger, &n, &racer->err);
		racer->flushes++;
	}
	racer->flushes = RACE_FLUSHES;
	return NULL;
}

/* Every checkpoint's map root must be that of its own size, whatever the catalog had then. */
static void race(struct fixture *fx, bool lag)
{
	struct racer racer = {.fx = fx};
	pthread_t thread;
	uint64_t n;

	assert_int_equal(pthread_create(&thread, NULL, race_flush, &racer), 0);
	for (unsigned i = 1; i <= 4000 && racer.flushes < RACE_FLUSHES; i++) {
		fx->tags.lag = lag && i % 3;
		if (!fx->tags.lag)
			mem_catch_up(&fx->tags);
		assert_ok(fixture_fill(fx, i * 50, 25), &fx->err);
		(void)sched_yield();
	}
	mem_catch_up(&fx->tags);
	fx->tags.lag = false;
	racer.stop = true;
	(void)pthread_join(thread, NULL);
	assert_ok(racer.rc, &racer.err);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	assert_ok(nx_ledger_verify(fx->ledger, &n, &fx->err), &fx->err);
	assert_u64(n, nx_ledger_size(fx->ledger));
	reopen(fx);
	assert_ok(nx_ledger_verify(fx->ledger, &n, &fx->err), &fx->err);
}

static void test_flush_beside_commits(void **state)
{
	race(*state, false);
}

static void test_flush_beside_commits_with_late_catalog(void **state)
{
	race(*state, true);
}

static void test_heads_are_forgotten_once_the_catalog_has_them(void **state)
{
	struct fixture *fx = *state;

	fx->tags.lag = true;
	assert_ok(fixture_fill(fx, 500, 10), &fx->err);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	assert_true(nx_map_len(fx->ledger->heads.recs) > 50);
	mem_catch_up(&fx->tags);
	fx->tags.lag = false;
	assert_ok(fixture_fill(fx, 501, 1), &fx->err);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	assert_u64(nx_map_len(fx->ledger->heads.recs), 0);
}

static void test_flush_refuses_heads_that_changed_by_themselves(void **state)
{
	struct fixture *fx = *state;

	assert_ok(fixture_fill(fx, 500, 10), &fx->err);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	reopen(fx);
	fx->tags.heads[17].count++;
	assert_ok(fixture_fill(fx, 501, 1), &fx->err);
	assert_rc(nx_ledger_flush(fx->ledger, &fx->err), NX_E_CORRUPT);
	fx->tags.heads[17].count--;
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
}

/* ---- files ---- */

static bool exists(struct fixture *fx, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", fx->dir, name);
	return access(path, F_OK) == 0;
}

static void test_files_are_laid_out_as_tlog_tiles_says(void **state)
{
	struct fixture *fx = *state;
	char path[PATH_LEN];

	assert_ok(fixture_fill(fx, 100, 100), &fx->err);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	assert_true(exists(fx, "tile/0/000.p/100"));
	assert_true(exists(fx, "tile/entries/000.p/100"));
	assert_ok(fixture_fill(fx, 300, 100), &fx->err);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	assert_true(exists(fx, "tile/0/000"));
	assert_true(exists(fx, "tile/entries/000"));
	assert_true(exists(fx, "tile/0/001.p/44"));
	assert_true(exists(fx, "tile/1/000.p/1"));
	assert_false(exists(fx, "tile/0/000.p"));
	assert_false(exists(fx, "tile/entries/000.p"));
	nx_tile_path(3, 1234067, 0, path);
	assert_string_equal(path, "tile/3/x001/x234/067");
	nx_tile_path(LEVEL_ENTRIES, 1000, 7, path);
	assert_string_equal(path, "tile/entries/x001/000.p/7");
}

static void test_checkpoint_is_a_signed_note(void **state)
{
	struct fixture *fx = *state;
	struct nx_checkpoint checkpoint;
	uint8_t pub[32] = {9};

	assert_rc(nx_ledger_checkpoint(fx->ledger, &fx->out, NULL), NX_E_NOENT);
	assert_ok(fixture_fill(fx, 10, 10), &fx->err);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	nx_buf_clear(&fx->out);
	assert_ok(nx_ledger_checkpoint(fx->ledger, &fx->out, &fx->err), &fx->err);
	assert_memory_equal(fx->out.data, "narthex.example.org/test\n10\n", 28);
	assert_ok(nx_note_parse(nx_buf_slice(&fx->out), "narthex.example.org/test", fx->ledger->pub,
			  &checkpoint, &fx->err),
		&fx->err);
	assert_u64(checkpoint.size, 10);
	assert_rc(nx_note_parse(nx_buf_slice(&fx->out), "narthex.example.org/test", pub,
			  &checkpoint, NULL),
		NX_E_CORRUPT);
	fx->out.data[25] = '2';
	assert_rc(nx_note_parse(nx_buf_slice(&fx->out), "narthex.example.org/test", fx->ledger->pub,
			  &checkpoint, NULL),
		NX_E_CORRUPT);
}

static void test_hundred_thousand_entries_in_few_flushes(void **state)
{
	struct fixture *fx = *state;
	uint64_t n;

	assert_ok(fixture_fill(fx, 70000, 5000), &fx->err); /* the commit flushes by itself */
	assert_ok(fixture_fill(fx, 100000, 5000), &fx->err);
	assert_ok(nx_ledger_flush(fx->ledger, &fx->err), &fx->err);
	assert_true(exists(fx, "tile/1/000"));
	assert_true(exists(fx, "tile/2/000.p/1"));
	reopen(fx);
	assert_ok(nx_ledger_verify(fx->ledger, &n, &fx->err), &fx->err);
	assert_u64(n, 100000);
	check_all_proofs(fx, 100000, 9973);
}

/* ---- without memory ---- */

static nx_rc use_all(struct fixture *fx)
{
	uint8_t tag[NX_TAG_LEN];
	uint64_t n;
	nx_rc rc = fixture_open(fx);

	if (!rc)
		rc = fixture_fill(fx, 300, 30);
	if (!rc)
		rc = nx_ledger_flush(fx->ledger, &fx->err);
	if (!rc)
		rc = nx_ledger_verify(fx->ledger, &n, &fx->err);
	if (rc)
		return rc;
	nx_buf_clear(&fx->out);
	nx_ledger_tag_subject(fx->ledger, 3, tag);
	return nx_ledger_proof_bundle(fx->ledger, tag, true, &fx->out, &fx->err);
}

/* Each try in a new directory: what a failed one left is another history. */
static nx_rc use_and_clean(void *payload)
{
	struct fixture *fx = payload;
	nx_rc rc;

	fx->tags.n = 0;
	(void)snprintf(fx->dir, sizeof(fx->dir), "/tmp/nx-ledger-XXXXXX");
	if (!mkdtemp(fx->dir))
		return NX_E_IO;
	rc = use_all(fx);
	if (fx->ledger)
		fx->ledger = nx_ledger_abandon(fx->ledger);
	remove_tree(fx->dir);
	return rc;
}

static void test_every_failed_allocation_is_reported(void **state)
{
	struct fixture *fx = *state;
	char dir[sizeof(fx->dir)];

	fx->ledger = nx_ledger_free(fx->ledger);
	memcpy(dir, fx->dir, sizeof(dir));
	assert_true(nx_torture(use_and_clean, fx) > 20);
	memcpy(fx->dir, dir, sizeof(dir));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree_roots_are_those_of_rfc6962),
#define LEDGER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		LEDGER_TEST(test_roots_and_proofs_agree_with_slow_tree),
		LEDGER_TEST(test_entry_says_what_the_draft_said),
		LEDGER_TEST(test_time_never_goes_back),
		LEDGER_TEST(test_bad_drafts_are_refused_and_leave_no_trace),
		LEDGER_TEST(test_parse_refuses_every_truncation),
		LEDGER_TEST(test_unstage_goes_back_to_the_mark),
		LEDGER_TEST(test_unstage_of_all_leaves_no_heads),
		LEDGER_TEST(test_rollback_undoes_entries_and_chains),
		LEDGER_TEST(test_chain_walks_all_entries_of_a_subject),
		LEDGER_TEST(test_replay_with_catalog_behind),
		LEDGER_TEST(test_replay_with_catalog_caught_up),
		LEDGER_TEST(test_replay_with_catalog_ahead),
		LEDGER_TEST(test_search_by_time_action_outcome),
		LEDGER_TEST(test_flush_beside_commits),
		LEDGER_TEST(test_flush_beside_commits_with_late_catalog),
		LEDGER_TEST(test_heads_are_forgotten_once_the_catalog_has_them),
		LEDGER_TEST(test_flush_refuses_heads_that_changed_by_themselves),
		LEDGER_TEST(test_files_are_laid_out_as_tlog_tiles_says),
		LEDGER_TEST(test_checkpoint_is_a_signed_note),
		LEDGER_TEST(test_hundred_thousand_entries_in_few_flushes),
		LEDGER_TEST(test_every_failed_allocation_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
