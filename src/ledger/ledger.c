#include "ledger/ledger_priv.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/enc.h"
#include "base/file.h"

static nx_rc opts_check(const struct nx_ledger_opts *opts, struct nx_err *err)
{
	/* signed-note: a key name has no white space and no plus sign. */
	if (!opts->origin[0] || strpbrk(opts->origin, " \t\r\n\v\f+") ||
		strlen(opts->origin) > ORIGIN_MAX)
		return nx_err_set(err, NX_E_CONFIG, "ledger origin cannot be a key name");
	return NX_OK;
}

static void locks_init(struct nx_ledger *ledger)
{
	(void)pthread_mutex_init(&ledger->flush_lock, NULL);
	(void)pthread_mutex_init(&ledger->lock, NULL);
	(void)pthread_mutex_init(&ledger->cache_lock, NULL);
}

static nx_rc parts_init(
	struct nx_ledger *ledger, const struct nx_ledger_opts *opts, struct nx_err *err)
{
	ledger->audit_key = *opts->audit_key;
	ledger->tag_key = *opts->tag_key;
	ledger->sign_seed = *opts->sign_seed;
	ledger->tags = opts->tags;
	nx_ed25519_public(&ledger->sign_seed, ledger->pub);
	nx_buf_init(&ledger->body, ENTRY_MAX, NX_BUF_WIPE);
	nx_buf_init(&ledger->head, ENTRY_AAD_MAX, 0);
	for (unsigned i = 0; i < BUNDLE_CACHE; i++)
		nx_buf_init(&ledger->bundles[i].data, BUNDLE_MAX, 0);
	ledger->origin = strdup(opts->origin);
	ledger->ids = calloc(ID_CACHE, sizeof(*ledger->ids));
	ledger->tiles = calloc(TILE_CACHE, sizeof(*ledger->tiles));
	ledger->edge = calloc(1, sizeof(*ledger->edge));
	ledger->gcm = nx_gcm_new(&ledger->audit_key);
	if (!ledger->origin || !ledger->ids || !ledger->tiles || !ledger->edge || !ledger->gcm)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the ledger");
	return nx_tagmap_init(&ledger->map, err);
}

/* ---- what the files hold ---- */

static bool state_group_parse(struct nx_slice *state, uint64_t *ret_group)
{
	size_t n = strlen(STATE_LINE);
	uint64_t v = 0;

	if (state->n < n || memcmp(state->p, STATE_LINE, n) != 0)
		return false;
	for (; n < state->n && state->p[n] != '\n'; n++) {
		if (state->p[n] < '0' || state->p[n] > '9' || __builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(state->p[n] - '0'), &v))
			return false;
	}
	if (n == state->n)
		return false;
	*state = nx_slice(state->p + n + 1, state->n - n - 1);
	*ret_group = v;
	return true;
}

static nx_rc state_load(struct nx_ledger *ledger, struct nx_slice state, struct nx_err *err)
{
	nx_rc rc;

	if (!state_group_parse(&state, &ledger->group_seq) || state.n > CHECKPOINT_MAX)
		return nx_err_set(err, NX_E_CORRUPT, "ledger state does not parse");
	rc = nx_note_parse(state, ledger->origin, ledger->pub, &ledger->checkpoint, err);
	if (rc)
		return nx_err_prefix(err, rc, "ledger state");
	memcpy(ledger->note, state.p, state.n);
	ledger->note_len = state.n;
	ledger->size = ledger->durable = ledger->checkpoint.size;
	ledger->durable_group = ledger->group_seq;
	return NX_OK;
}

static nx_rc edge_load(struct nx_ledger *ledger, struct nx_err *err)
{
	uint8_t root[NX_SHA256_LEN];
	NX_AUTO_DONE(nx_buf) buf;
	nx_rc rc;

	nx_buf_init(&buf, TILE_LEN, 0);
	ledger->edge->size = ledger->durable;
	for (unsigned level = 0; level < TILE_LEVELS; level++) {
		unsigned width = nx_edge_width(ledger->durable, level);
		size_t n = (size_t)width * NX_SHA256_LEN;

		if (!width)
			continue;
		nx_buf_clear(&buf);
		rc = nx_tile_read(ledger->dir_fd, level, nx_edge_number(ledger->durable, level),
			width, &buf, err);
		if (rc)
			return rc;
		if (buf.len < n)
			return nx_err_set(err, NX_E_CORRUPT, "tile of level %u is short", level);
		memcpy(ledger->edge->hash[level], buf.data, n);
	}
	nx_edge_root(ledger->edge, root);
	if (memcmp(root, ledger->checkpoint.root, NX_SHA256_LEN) != 0)
		return nx_err_set(err, NX_E_CORRUPT,
			"ledger tiles are not those of the checkpoint at %llu entries",
			(unsigned long long)ledger->durable);
	return NX_OK;
}

/* The partial bundle goes to memory: the next flush writes it again, longer. */
static nx_rc tail_load(struct nx_ledger *ledger, struct nx_err *err)
{
	unsigned n = nx_edge_width(ledger->durable, 0);
	uint64_t index = ledger->durable - n;
	NX_AUTO_DONE(nx_buf) buf;
	struct nx_slice rest, bytes;
	nx_rc rc;

	nx_buf_init(&buf, BUNDLE_MAX, 0);
	ledger->tail.size = index;
	if (!n)
		return NX_OK;
	rc = nx_tile_read(ledger->dir_fd, LEVEL_ENTRIES, index / TILE_WIDTH, n, &buf, err);
	rest = nx_buf_slice(&buf);
	for (; !rc && index < ledger->durable; index++) {
		if (!nx_bundle_next(&rest, &bytes))
			return nx_err_set(err, NX_E_CORRUPT, "ledger entry %llu is missing",
				(unsigned long long)index);
		rc = nx_tail_append(&ledger->tail, bytes, err);
	}
	return rc;
}

static nx_rc last_time_load(struct nx_ledger *ledger, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(4 * (size_t)ENTRY_MAX, 0);
	struct nx_entry entry;
	nx_rc rc;

	if (!ledger->durable)
		return NX_OK;
	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a ledger entry");
	rc = nx_ledger_entry(ledger, ledger->durable - 1, arena, &entry, err);
	if (!rc)
		ledger->staged_time_us = ledger->committed_time_us = entry.time_us;
	return rc;
}

/* A crash may have come between the two files. */
static nx_rc checkpoint_repair(struct nx_ledger *ledger, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	nx_rc rc;

	nx_buf_init(&buf, CHECKPOINT_MAX, 0);
	rc = nx_file_read(ledger->dir_fd, "checkpoint", &buf, err);
	if (!rc && nx_slice_eq(nx_buf_slice(&buf), nx_slice(ledger->note, ledger->note_len)))
		return NX_OK;
	return nx_file_replace(
		ledger->dir_fd, "checkpoint", nx_slice(ledger->note, ledger->note_len), 0600, err);
}

static nx_rc files_load(struct nx_ledger *ledger, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) state;
	nx_rc rc;

	nx_buf_init(&state, CHECKPOINT_MAX + 64, 0);
	rc = nx_file_read(ledger->dir_fd, "state", &state, err);
	if (rc == NX_E_NOENT)
		return NX_OK; /* a new ledger */
	if (!rc)
		rc = state_load(ledger, nx_buf_slice(&state), err);
	if (!rc)
		rc = edge_load(ledger, err);
	if (!rc)
		rc = tail_load(ledger, err);
	if (!rc)
		rc = last_time_load(ledger, err);
	if (!rc)
		rc = checkpoint_repair(ledger, err);
	return rc;
}

/* ---- open and free ---- */

struct nx_ledger *nx_ledger_abandon(struct nx_ledger *ledger)
{
	nx_tail_done(&ledger->tail);
	nx_heads_done(&ledger->heads);
	nx_tagmap_done(&ledger->map);
	nx_buf_done(&ledger->body);
	nx_buf_done(&ledger->head);
	for (unsigned i = 0; i < BUNDLE_CACHE; i++)
		nx_buf_done(&ledger->bundles[i].data);
	ledger->gcm = nx_gcm_free(ledger->gcm);
	if (ledger->ids)
		explicit_bzero(ledger->ids, ID_CACHE * sizeof(*ledger->ids));
	free(ledger->ids);
	free(ledger->tiles);
	free(ledger->edge);
	free(ledger->origin);
	nx_key_done(&ledger->audit_key);
	nx_key_done(&ledger->tag_key);
	nx_key_done(&ledger->sign_seed);
	if (ledger->dir_fd >= 0)
		(void)close(ledger->dir_fd);
	(void)pthread_mutex_destroy(&ledger->flush_lock);
	(void)pthread_mutex_destroy(&ledger->lock);
	(void)pthread_mutex_destroy(&ledger->cache_lock);
	free(ledger);
	return NULL;
}

static nx_rc ledger_init(
	struct nx_ledger *ledger, const struct nx_ledger_opts *opts, struct nx_err *err)
{
	nx_rc rc = parts_init(ledger, opts, err);

	if (!rc)
		rc = nx_heads_init(&ledger->heads, err);
	if (!rc)
		rc = nx_mkdirs(opts->dir, err);
	if (rc)
		return rc;
	ledger->dir_fd = open(opts->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ledger->dir_fd < 0)
		return nx_err_errno(err, "open ledger directory");
	return files_load(ledger, err);
}

nx_rc nx_ledger_open(
	const struct nx_ledger_opts *opts, struct nx_ledger **ret_ledger, struct nx_err *err)
{
	struct nx_ledger *ledger;
	nx_rc rc = opts_check(opts, err);

	if (rc)
		return rc;
	ledger = calloc(1, sizeof(*ledger));
	if (!ledger)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the ledger");
	ledger->dir_fd = -1;
	locks_init(ledger);
	rc = ledger_init(ledger, opts, err);
	if (rc) {
		(void)nx_ledger_abandon(ledger);
		return nx_err_prefix(err, rc, "open ledger");
	}
	*ret_ledger = ledger;
	return NX_OK;
}

struct nx_ledger *nx_ledger_free(struct nx_ledger *ledger)
{
	if (!ledger)
		return NULL;
	if (nx_ledger_flush(ledger, NULL))
		return nx_ledger_abandon(
			ledger); /* what the files lack is replayed from group records */
	return nx_ledger_abandon(ledger);
}

/* ---- small questions ---- */

uint64_t nx_ledger_size(struct nx_ledger *ledger)
{
	uint64_t size;

	(void)pthread_mutex_lock(&ledger->lock);
	size = ledger->size;
	(void)pthread_mutex_unlock(&ledger->lock);
	return size;
}

void nx_ledger_durable(struct nx_ledger *ledger, uint64_t *ret_size, uint64_t *ret_group_seq)
{
	(void)pthread_mutex_lock(&ledger->lock);
	*ret_size = ledger->durable;
	*ret_group_seq = ledger->durable_group;
	(void)pthread_mutex_unlock(&ledger->lock);
}

nx_rc nx_ledger_checkpoint(struct nx_ledger *ledger, struct nx_buf *out, struct nx_err *err)
{
	bool any;

	(void)pthread_mutex_lock(&ledger->lock);
	any = ledger->note_len > 0;
	nx_buf_put(out, ledger->note, ledger->note_len);
	(void)pthread_mutex_unlock(&ledger->lock);
	return any ? nx_buf_check(out, err)
		   : nx_err_set(err, NX_E_NOENT, "the ledger has no checkpoint yet");
}

void nx_ledger_verifier_key(struct nx_ledger *ledger, struct nx_buf *out)
{
	uint8_t typed[1 + NX_ED25519_PUBLIC_LEN] = {1}; /* signed-note: Ed25519 */
	char base64[NX_BASE64_LEN(sizeof(typed)) + 1];
	uint8_t hash[4];
	char hex[9];

	memcpy(typed + 1, ledger->pub, NX_ED25519_PUBLIC_LEN);
	nx_note_key_hash(ledger->origin, ledger->pub, hash);
	nx_hex_format(hash, sizeof(hash), hex);
	nx_base64_format(typed, sizeof(typed), base64);
	nx_buf_printf(out, "%s+%s+%s", ledger->origin, hex, base64);
}
