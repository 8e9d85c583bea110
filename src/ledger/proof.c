#include "ledger/ledger_priv.h"

#include "base/arena.h"
#include "base/json.h"

/* What the newest checkpoint says about one tag; copied, so that no lock is held while writing. */
struct proof {
	struct nx_ledger *ledger;
	struct nx_edge *edge;
	struct nx_bucket bucket;
	uint8_t map_path[MAP_DEPTH][NX_SHA256_LEN];
	struct nx_head head;
	char note[CHECKPOINT_MAX + 1];
	struct nx_json json;
	bool open_bodies;
	struct nx_arena *arena; /* reset per entry */
};

/* Caller holds flush_lock. */
static nx_rc proof_take(struct proof *proof, const uint8_t tag[NX_TAG_LEN], struct nx_err *err)
{
	struct nx_ledger *ledger = proof->ledger;
	uint16_t number = nx_bucket_of(tag);
	NX_AUTO_DONE(nx_snapshot) snap = {0};
	nx_rc rc = nx_flush_locked(ledger, err);

	if (!rc)
		rc = nx_heads_snapshot(ledger, &snap, err);
	if (!rc)
		rc = nx_flush_build_map(ledger, &snap, err);
	if (!rc)
		rc = nx_bucket_read(ledger, &snap, number, &proof->bucket, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < proof->bucket.n; i++)
		if (memcmp(proof->bucket.heads[i].tag, tag, NX_TAG_LEN) == 0)
			proof->head = proof->bucket.heads[i].flushed;
	if (!proof->head.count)
		return nx_err_set(err, NX_E_NOENT, "no ledger entry names this tag");
	nx_tagmap_path(&ledger->map, number, proof->map_path);
	memcpy(proof->edge, ledger->edge, sizeof(*proof->edge));
	memcpy(proof->note, ledger->note, ledger->note_len);
	return NX_OK;
}

static void map_write(struct proof *proof)
{
	struct nx_json *json = &proof->json;

	nx_json_key(json, "map");
	nx_json_object_begin(json);
	nx_json_key(json, "heads");
	nx_json_array_begin(json);
	for (size_t i = 0; i < proof->bucket.n; i++) {
		const struct nx_bucket_head *head = &proof->bucket.heads[i];

		if (!head->flushed.count)
			continue;
		nx_json_array_begin(json);
		nx_json_hex(json, head->tag, NX_TAG_LEN);
		nx_json_uint(json, head->flushed.count);
		nx_json_uint(json, head->flushed.last);
		nx_json_array_end(json);
	}
	nx_json_array_end(json);
	nx_json_key(json, "path");
	nx_json_array_begin(json);
	for (unsigned i = 0; i < MAP_DEPTH; i++)
		nx_json_hex(json, proof->map_path[i], NX_SHA256_LEN);
	nx_json_array_end(json);
	nx_json_object_end(json);
}

static nx_rc entry_write(void *payload, const struct nx_entry *entry, struct nx_err *err)
{
	struct proof *proof = payload;
	struct nx_json *json = &proof->json;
	uint8_t(*path)[NX_SHA256_LEN] = NULL;
	NX_AUTO_DONE(nx_buf) bytes;
	struct nx_slice body = {NULL, 0};
	size_t n = 0;
	nx_rc rc;

	nx_arena_reset(proof->arena);
	nx_buf_init(&bytes, ENTRY_MAX, 0);
	nx_entry_format_head(entry, entry->body.n, &bytes);
	nx_buf_put_slice(&bytes, entry->body);
	rc = nx_buf_check(&bytes, err);
	if (!rc)
		rc = nx_prove_in(
			proof->ledger, proof->edge, entry->index, proof->arena, &path, &n, err);
	if (!rc && proof->open_bodies)
		rc = nx_ledger_body(proof->ledger, entry, proof->arena, &body, err);
	if (rc)
		return rc;
	nx_json_object_begin(json);
	nx_json_kv_uint(json, "index", entry->index);
	nx_json_key(json, "entry");
	nx_json_base64(json, bytes.data, bytes.len);
	nx_json_key(json, "path");
	nx_json_array_begin(json);
	for (size_t i = 0; i < n; i++)
		nx_json_hex(json, path[i], NX_SHA256_LEN);
	nx_json_array_end(json);
	if (proof->open_bodies) {
		nx_json_key(json, "body");
		nx_json_raw(json, body);
	}
	nx_json_object_end(json);
	return NX_OK;
}

static nx_rc proof_write(
	struct proof *proof, const uint8_t tag[NX_TAG_LEN], struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) key;
	nx_rc rc;

	nx_buf_init(&key, CHECKPOINT_MAX, 0);
	nx_ledger_verifier_key(proof->ledger, &key);
	nx_json_init(&proof->json, out);
	nx_json_object_begin(&proof->json);
	nx_json_kv_str(&proof->json, "format", "narthex-proof/1");
	nx_json_kv_str(&proof->json, "verifier_key", nx_buf_cstr(&key));
	nx_json_kv_str(&proof->json, "checkpoint", proof->note);
	nx_json_kv_hex(&proof->json, "tag", tag, NX_TAG_LEN);
	nx_json_kv_uint(&proof->json, "count", proof->head.count);
	nx_json_kv_uint(&proof->json, "last", proof->head.last);
	map_write(proof);
	nx_json_key(&proof->json, "entries");
	nx_json_array_begin(&proof->json);
	rc = nx_chain_walk(proof->ledger, tag, proof->head, entry_write, proof, err);
	if (rc)
		return rc;
	nx_json_array_end(&proof->json);
	nx_json_object_end(&proof->json);
	return nx_buf_check(out, err);
}

nx_rc nx_ledger_proof_bundle(struct nx_ledger *ledger, const uint8_t tag[NX_TAG_LEN],
	bool open_bodies, struct nx_buf *out, struct nx_err *err)
{
	struct proof proof = {.ledger = ledger, .open_bodies = open_bodies};
	nx_rc rc;

	proof.edge = malloc(sizeof(*proof.edge));
	proof.arena = nx_arena_new(4 * (size_t)ENTRY_MAX, NX_ARENA_WIPE);
	if (!proof.edge || !proof.arena) {
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for a proof");
	} else {
		(void)pthread_mutex_lock(&ledger->flush_lock);
		rc = proof_take(&proof, tag, err);
		(void)pthread_mutex_unlock(&ledger->flush_lock);
		if (!rc)
			rc = proof_write(&proof, tag, out, err);
	}
	nx_bucket_done(&proof.bucket);
	proof.arena = nx_arena_free(proof.arena);
	free(proof.edge);
	return rc ? nx_err_prefix(err, rc, "ledger proof") : NX_OK;
}
