#include "ledger/ledger_priv.h"

#include <stdio.h>

#include "base/file.h"

/*
 * A flush writes, in this order: bundles and tiles, synced; `state` (group sequence and
 * checkpoint), replaced; `checkpoint`, replaced.  `state` is the authority: what is in tiles beyond
 * it is written again, and a `checkpoint` that differs is replaced at the next start.
 */

struct flush {
	struct nx_ledger *ledger;
	struct nx_fileset files;
	struct nx_edge *edge; /* grows from the durable one */
	struct nx_map_change *changes;
	size_t n_changes;
	struct nx_checkpoint checkpoint;
};

/* ---- tag map ---- */

static nx_rc hash_heads(
	const struct nx_bucket *bucket, bool now, uint8_t ret[NX_SHA256_LEN], struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) scratch;

	nx_buf_init(&scratch, 0, 0);
	nx_bucket_hash_begin(&scratch);
	for (size_t i = 0; i < bucket->n; i++) {
		struct nx_head head = now ? bucket->heads[i].now : bucket->heads[i].flushed;

		if (head.count)
			nx_bucket_hash_add(&scratch, bucket->heads[i].tag, head);
	}
	return nx_bucket_hash_end(&scratch, ret, err);
}

struct build {
	struct nx_tagmap *map;
	struct nx_buf scratch;
	unsigned bucket;
	bool any;
	nx_rc rc;
};

static nx_rc build_end(struct build *build)
{
	nx_rc rc = NX_OK;

	if (build->any)
		rc = nx_bucket_hash_end(
			&build->scratch, build->map->node[MAP_BUCKETS + build->bucket], NULL);
	build->any = false;
	return rc;
}

static nx_rc build_head(void *arg, const uint8_t tag[NX_TAG_LEN], uint64_t count, uint64_t last)
{
	struct build *build = arg;
	nx_rc rc = NX_OK;

	if (build->any && build->bucket != nx_bucket_of(tag))
		rc = build_end(build);
	if (rc)
		return rc;
	if (!build->any)
		nx_bucket_hash_begin(&build->scratch);
	build->any = true;
	build->bucket = nx_bucket_of(tag);
	nx_bucket_hash_add(&build->scratch, tag, (struct nx_head){count, last});
	return NX_OK;
}

/* Buckets as the catalog has them now. */
static nx_rc build_stored(struct nx_ledger *ledger, struct nx_err *err)
{
	struct build build = {.map = &ledger->map};
	nx_rc rc = NX_OK;

	nx_buf_init(&build.scratch, 0, 0);
	if (ledger->tags.all)
		rc = ledger->tags.all(ledger->tags.payload, build_head, &build, err);
	for (unsigned b = 0; !ledger->tags.all && b < MAP_BUCKETS && !rc; b++)
		rc = ledger->tags.bucket(
			ledger->tags.payload, (uint16_t)b, build_head, &build, err);
	if (!rc)
		rc = build_end(&build);
	nx_buf_done(&build.scratch);
	return rc;
}

static void bucket_mark(struct nx_slice key, void *value, void *payload)
{
	uint16_t b = nx_bucket_of(key.p);

	(void)value;
	((uint8_t *)payload)[b / 8] |= (uint8_t)(1u << (b % 8));
}

static bool bucket_marked(const uint8_t *bits, unsigned b)
{
	return bits[b / 8] >> (b % 8) & 1;
}

/* Where heads are in memory, the catalog's may be of another time than the checkpoint. */
static nx_rc build_touched(
	struct nx_ledger *ledger, const struct nx_snapshot *snap, struct nx_err *err)
{
	NX_AUTO_DONE(nx_bucket) bucket = {0};
	uint8_t touched[MAP_BUCKETS / 8] = {0};
	nx_rc rc = NX_OK;

	(void)pthread_mutex_lock(&ledger->lock);
	nx_map_each(ledger->heads.recs, bucket_mark, touched);
	(void)pthread_mutex_unlock(&ledger->lock);
	for (unsigned b = 0; b < MAP_BUCKETS && !rc; b++) {
		if (!bucket_marked(touched, b))
			continue;
		rc = nx_bucket_read(ledger, snap, (uint16_t)b, &bucket, err);
		if (!rc)
			rc = hash_heads(&bucket, false, ledger->map.node[MAP_BUCKETS + b], err);
	}
	return rc;
}

nx_rc nx_flush_build_map(
	struct nx_ledger *ledger, const struct nx_snapshot *snap, struct nx_err *err)
{
	nx_rc rc;

	if (ledger->map.built)
		return NX_OK;
	nx_tagmap_clear(&ledger->map);
	rc = build_stored(ledger, err);
	if (!rc)
		rc = build_touched(ledger, snap, err);
	if (rc)
		return nx_err_prefix(err, rc, "tag map");
	nx_tagmap_rebuild(&ledger->map);
	if (ledger->note_len &&
		memcmp(ledger->map.node[1], ledger->checkpoint.map_root, NX_SHA256_LEN) != 0)
		return nx_err_set(err, NX_E_CORRUPT,
			"chain heads in the catalog are not those of the checkpoint at %llu entries",
			(unsigned long long)ledger->checkpoint.size);
	ledger->map.built = true;
	return NX_OK;
}

static void changed_mark(struct nx_ledger *ledger, const struct nx_snapshot *snap)
{
	for (size_t i = 0; i < snap->n; i++) {
		const struct nx_head_rec *rec = snap->recs[i];

		/* Both belong to the flush. */
		if (rec->snap.count != rec->flushed.count || rec->snap.last != rec->flushed.last)
			bucket_mark(nx_slice(rec->tag, NX_TAG_LEN), NULL, ledger->pending);
	}
}

/* The new hash of one bucket; what was there must still be what the last checkpoint has. */
static nx_rc bucket_change(struct flush *flush, const struct nx_snapshot *snap, uint16_t number,
	struct nx_bucket *bucket, struct nx_err *err)
{
	struct nx_ledger *ledger = flush->ledger;
	uint8_t before[NX_SHA256_LEN];
	nx_rc rc = nx_bucket_read(ledger, snap, number, bucket, err);

	if (!rc)
		rc = hash_heads(bucket, false, before, err);
	if (rc)
		return rc;
	if (memcmp(before, ledger->map.node[MAP_BUCKETS + number], NX_SHA256_LEN) != 0)
		return nx_err_set(err, NX_E_CORRUPT,
			"tag map bucket %04x: chain heads in the catalog have changed by themselves",
			number);
	flush->changes[flush->n_changes].bucket = number;
	rc = hash_heads(bucket, true, flush->changes[flush->n_changes].hash, err);
	if (!rc)
		flush->n_changes++;
	return rc;
}

static nx_rc map_update(struct flush *flush, const struct nx_snapshot *snap, struct nx_err *err)
{
	struct nx_ledger *ledger = flush->ledger;
	NX_AUTO_DONE(nx_bucket) bucket = {0};
	size_t n = 0;
	nx_rc rc = nx_flush_build_map(ledger, snap, err);

	if (rc)
		return rc;
	changed_mark(ledger, snap);
	for (unsigned b = 0; b < MAP_BUCKETS; b++)
		n += bucket_marked(ledger->pending, b);
	flush->changes = calloc(n + 1, sizeof(*flush->changes));
	if (!flush->changes)
		return nx_err_set(err, NX_E_NOMEM, "no memory for %zu tag map buckets", n);
	for (unsigned b = 0; b < MAP_BUCKETS && !rc; b++)
		if (bucket_marked(ledger->pending, b))
			rc = bucket_change(flush, snap, (uint16_t)b, &bucket, err);
	if (rc) {
		flush->n_changes = 0;
		return rc;
	}
	nx_tagmap_swap(&ledger->map, flush->changes, flush->n_changes);
	memcpy(flush->checkpoint.map_root, ledger->map.node[1], NX_SHA256_LEN);
	return NX_OK;
}

/* ---- tiles ---- */

static nx_rc tile_full(void *payload, unsigned level, uint64_t number,
	const uint8_t hashes[TILE_WIDTH][NX_SHA256_LEN], struct nx_err *err)
{
	struct flush *flush = payload;
	char path[PATH_LEN];

	nx_tile_path(level, number, 0, path);
	return nx_fileset_write(&flush->files, path, nx_slice(hashes, TILE_LEN), err);
}

/* Write bundle `number` with its first `n` entries; the tree takes those it does not have. */
static nx_rc bundle_write(
	struct flush *flush, uint64_t number, unsigned n, struct nx_buf *buf, struct nx_err *err)
{
	uint64_t index = number * TILE_WIDTH;
	uint8_t leaf[NX_SHA256_LEN];
	struct nx_slice rest, entry;
	char path[PATH_LEN];
	nx_rc rc;

	nx_buf_clear(buf);
	rc = nx_bundle_load(flush->ledger, number, n, buf, err);
	if (rc)
		return rc;
	nx_tile_path(LEVEL_ENTRIES, number, n % TILE_WIDTH, path);
	rc = nx_fileset_write(&flush->files, path, nx_buf_slice(buf), err);
	rest = nx_buf_slice(buf);
	for (; !rc && nx_bundle_next(&rest, &entry); index++) {
		if (index < flush->edge->size)
			continue;
		nx_merkle_leaf(entry.p, entry.n, leaf);
		rc = nx_edge_append(flush->edge, (const uint8_t *)leaf, tile_full, flush, err);
	}
	return rc;
}

static nx_rc partial_tiles_write(struct flush *flush, uint64_t before, struct nx_err *err)
{
	uint64_t size = flush->edge->size;
	nx_rc rc = NX_OK;

	for (unsigned level = 0; level < TILE_LEVELS && !rc; level++) {
		unsigned width = nx_edge_width(size, level);
		char path[PATH_LEN];

		if (!width || size >> (8 * level) == before >> (8 * level))
			continue;
		nx_tile_path(level, nx_edge_number(size, level), width, path);
		rc = nx_fileset_write(&flush->files, path,
			nx_slice(flush->edge->hash[level], (size_t)width * NX_SHA256_LEN), err);
	}
	return rc;
}

static nx_rc tiles_write(struct flush *flush, uint64_t size, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	uint64_t before = flush->edge->size;
	nx_rc rc = NX_OK;

	nx_buf_init(&buf, BUNDLE_MAX, 0);
	for (uint64_t b = before / TILE_WIDTH; b * TILE_WIDTH < size && !rc; b++) {
		uint64_t n = size - b * TILE_WIDTH;

		rc = bundle_write(flush, b, n < TILE_WIDTH ? (unsigned)n : TILE_WIDTH, &buf, err);
	}
	if (!rc)
		rc = partial_tiles_write(flush, before, err);
	if (!rc)
		rc = nx_fileset_sync(&flush->files, err);
	nx_edge_root(flush->edge, flush->checkpoint.root);
	flush->checkpoint.size = size;
	return rc;
}

static void partials_drop(struct nx_ledger *ledger, uint64_t before, uint64_t size)
{
	for (unsigned level = 0; level < TILE_LEVELS; level++) {
		if (nx_edge_number(before, level) == nx_edge_number(size, level))
			break;
		if (!nx_edge_width(before, level))
			continue;
		nx_tile_drop_partial(ledger->dir_fd, level, nx_edge_number(before, level));
		if (level == 0)
			nx_tile_drop_partial(
				ledger->dir_fd, LEVEL_ENTRIES, nx_edge_number(before, level));
	}
}

/* ---- checkpoint ---- */

static nx_rc checkpoint_write(
	struct flush *flush, uint64_t group_seq, struct nx_buf *note, struct nx_err *err)
{
	struct nx_ledger *ledger = flush->ledger;
	NX_AUTO_DONE(nx_buf) state;
	nx_rc rc;

	nx_buf_init(&state, CHECKPOINT_MAX + 64, 0);
	rc = nx_note_format(ledger->origin, &ledger->sign_seed, &flush->checkpoint, note, err);
	if (rc)
		return rc;
	nx_buf_printf(&state, STATE_LINE "%llu\n", (unsigned long long)group_seq);
	nx_buf_put_slice(&state, nx_buf_slice(note));
	rc = nx_buf_check(&state, err);
	if (!rc)
		rc = nx_file_replace(ledger->dir_fd, "state", nx_buf_slice(&state), 0600, err);
	if (!rc)
		rc = nx_file_replace(ledger->dir_fd, "checkpoint", nx_buf_slice(note), 0600, err);
	return rc;
}

/* The new checkpoint counts from here on. */
static void flush_install(
	struct flush *flush, const struct nx_snapshot *snap, const struct nx_buf *note)
{
	struct nx_ledger *ledger = flush->ledger;

	(void)pthread_mutex_lock(&ledger->lock);
	free(ledger->edge);
	ledger->edge = NX_STEAL(flush->edge);
	ledger->durable = snap->size;
	ledger->durable_group = snap->group_seq;
	ledger->checkpoint = flush->checkpoint;
	memcpy(ledger->note, note->data, note->len);
	ledger->note_len = note->len;
	nx_tail_drop(&ledger->tail, snap->size);
	(void)pthread_mutex_unlock(&ledger->lock);
	memset(ledger->pending, 0, sizeof(ledger->pending));
}

static nx_rc flush_run(struct flush *flush, struct nx_snapshot *snap, struct nx_err *err)
{
	struct nx_ledger *ledger = flush->ledger;
	uint64_t before = flush->edge->size;
	NX_AUTO_DONE(nx_buf) note;
	nx_rc rc;

	nx_buf_init(&note, CHECKPOINT_MAX, 0);
	rc = tiles_write(flush, snap->size, err);
	if (!rc)
		rc = map_update(flush, snap, err);
	if (rc)
		return rc;
	rc = checkpoint_write(flush, snap->group_seq, &note, err);
	if (rc) {
		nx_tagmap_swap(&ledger->map, flush->changes, flush->n_changes); /* undo */
		return rc;
	}
	flush_install(flush, snap, &note);
	nx_heads_retire(ledger, snap);
	partials_drop(ledger, before, snap->size);
	return NX_OK;
}

/* Nothing new, and a checkpoint is there. */
static bool flush_idle(struct nx_ledger *ledger)
{
	bool idle;

	(void)pthread_mutex_lock(&ledger->lock);
	idle = ledger->note_len && ledger->size == ledger->durable;
	if (idle)
		ledger->durable_group = ledger->group_seq;
	(void)pthread_mutex_unlock(&ledger->lock);
	return idle;
}

nx_rc nx_flush_locked(struct nx_ledger *ledger, struct nx_err *err)
{
	struct flush flush = {.ledger = ledger};
	NX_AUTO_DONE(nx_snapshot) snap = {0};
	nx_rc rc;

	if (flush_idle(ledger))
		return NX_OK;
	flush.edge = malloc(sizeof(*flush.edge));
	if (!flush.edge)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the ledger's edge");
	memcpy(flush.edge, ledger->edge, sizeof(*flush.edge)); /* changed by flushes only */
	nx_fileset_init(&flush.files, ledger->dir_fd);
	rc = nx_heads_snapshot(ledger, &snap, err);
	if (!rc)
		rc = flush_run(&flush, &snap, err);
	nx_fileset_done(&flush.files);
	free(flush.changes);
	free(flush.edge);
	return rc ? nx_err_prefix(err, rc, "flush ledger") : NX_OK;
}

nx_rc nx_ledger_flush(struct nx_ledger *ledger, struct nx_err *err)
{
	nx_rc rc;

	(void)pthread_mutex_lock(&ledger->flush_lock);
	rc = nx_flush_locked(ledger, err);
	(void)pthread_mutex_unlock(&ledger->flush_lock);
	return rc;
}
