/* A lease and its answers as JSON (docs/formats/LEASE.md). */
#include <stdio.h>

#include "base/clock.h"
#include "dataset/dataset_priv.h"
#include "dataset/lease.h"
#include "store/extent.h"
#include "store/pool.h"

enum {
	ANSWER_ARENA_MAX = 256 * 1024 * 1024,
	PATH_LEN_MAX = 4096
};

static void info_members(const struct nx_lease_info *info, struct nx_json *json)
{
	char when[NX_TIME_TEXT];

	nx_time_format(info->expires_us, when);
	nx_json_kv_str(json, "lease", info->id);
	nx_json_kv_str(json, "release", info->release);
	nx_json_kv_hex(json, "root", info->root, sizeof(info->root));
	nx_json_kv_uint(json, "items", info->n_items);
	nx_json_kv_str(json, "expires", when);
}

void nx_lease_info_json(const struct nx_lease_info *info, struct nx_buf *out)
{
	struct nx_json json;

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	info_members(info, &json);
	nx_json_object_end(&json);
}

static void part_json(const struct nx_recipe_part *part, struct nx_json *json)
{
	if (part->kind == NX_PART_LITERAL) {
		nx_json_base64(json, part->literal.p, part->literal.n);
		return;
	}
	nx_json_array_begin(json);
	nx_json_uint(json, part->blob);
	nx_json_uint(json, part->off);
	nx_json_uint(json, part->len);
	nx_json_array_end(json);
}

static void blob_json(const struct nx_recipe_blob *blob, const struct nx_extent *extents, size_t n,
	struct nx_json *json)
{
	nx_json_object_begin(json);
	nx_json_key(json, "key");
	nx_json_base64(json, blob->key.b, sizeof(blob->key.b));
	nx_json_kv_uint(json, "codec", blob->codec);
	nx_json_kv_uint(json, "len", blob->len);
	nx_json_kv_uint(json, "stored", blob->stored);
	nx_json_kv_hex(json, "root", blob->root, sizeof(blob->root));
	nx_json_key(json, "extents");
	nx_json_array_begin(json);
	for (size_t i = 0; i < n; i++) {
		nx_json_array_begin(json);
		nx_json_uint(json, extents[i].pack);
		nx_json_uint(json, extents[i].off);
		nx_json_uint(json, extents[i].len);
		nx_json_uint(json, extents[i].data_off);
		nx_json_array_end(json);
	}
	nx_json_array_end(json);
	nx_json_object_end(json);
}

static void sample_json(const struct nx_lease_sample *s, struct nx_json *json)
{
	nx_json_object_begin(json);
	nx_json_kv_uint(json, "position", s->position);
	if (s->erased) {
		nx_json_kv_bool(json, "erased", true);
		nx_json_object_end(json);
		return;
	}
	nx_json_kv_str(json, "instance", s->instance);
	nx_json_kv_uint(json, "size", s->recipe->size);
	nx_json_key(json, "parts");
	nx_json_array_begin(json);
	for (size_t i = 0; i < s->recipe->n_parts; i++)
		part_json(&s->recipe->parts[i], json);
	nx_json_array_end(json);
	nx_json_key(json, "blobs");
	nx_json_array_begin(json);
	for (size_t i = 0; i < s->recipe->n_blobs; i++)
		blob_json(&s->recipe->blobs[i], s->extents[i], s->n_extents[i], json);
	nx_json_array_end(json);
	nx_json_object_end(json);
}

/* The files of all packs named, each once. */
struct packs {
	struct nx_pool *pool;
	struct nx_json *json;
	uint64_t *seen;
	size_t n;
	size_t cap;
};

static nx_rc pack_json(struct packs *p, uint64_t pack, struct nx_err *err)
{
	char path[PATH_LEN_MAX], id[24];
	nx_rc rc;

	for (size_t i = 0; i < p->n; i++)
		if (p->seen[i] == pack)
			return NX_OK;
	rc = nx_pool_path(p->pool, pack, path, sizeof(path), err);
	if (rc)
		return rc;
	p->seen[p->n++] = pack;
	(void)snprintf(id, sizeof(id), "%llu", (unsigned long long)pack);
	nx_json_kv_str(p->json, id, path);
	return NX_OK;
}

static nx_rc sample_packs(struct packs *p, const struct nx_lease_sample *s, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t b = 0; !s->erased && b < s->recipe->n_blobs; b++)
		for (size_t i = 0; i < s->n_extents[b] && !rc; i++)
			rc = pack_json(p, s->extents[b][i].pack, err);
	return rc;
}

static nx_rc packs_json(struct nx_releases *r, const struct nx_lease_answer *answer,
	struct nx_arena *arena, struct nx_json *json, struct nx_err *err)
{
	struct packs p = {.pool = nx_archive_pool(r->archive), .json = json};
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < answer->n_samples; i++)
		for (size_t b = 0;
			!answer->samples[i].erased && b < answer->samples[i].recipe->n_blobs; b++)
			p.cap += answer->samples[i].n_extents[b];
	p.seen = nx_arena_alloc_array(arena, p.cap, sizeof(*p.seen));
	if (!p.seen)
		return nx_err_set(err, NX_E_NOMEM, "no memory for pack names");
	nx_json_key(json, "packs");
	nx_json_object_begin(json);
	if (nx_pool_caps(p.pool) & NX_POOL_LOCAL)
		for (size_t i = 0; i < answer->n_samples && !rc; i++)
			rc = sample_packs(&p, &answer->samples[i], err);
	nx_json_object_end(json);
	return rc;
}

nx_rc nx_lease_read_json(struct nx_releases *releases, const struct nx_principal *who,
	const struct nx_lease_span *span, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ANSWER_ARENA_MAX, NX_ARENA_WIPE);
	struct nx_lease_answer answer;
	struct nx_json json;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a read");
	rc = nx_lease_read(releases, who, span, arena, &answer, err);
	if (rc)
		return rc;
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	info_members(&answer.lease, &json);
	nx_json_kv_uint(&json, "first", span->first);
	nx_json_kv_uint(&json, "next", answer.next);
	rc = packs_json(releases, &answer, arena, &json, err);
	nx_json_key(&json, "samples");
	nx_json_array_begin(&json);
	for (size_t i = 0; i < answer.n_samples; i++)
		sample_json(&answer.samples[i], &json);
	nx_json_array_end(&json);
	nx_json_object_end(&json);
	return rc ? rc : nx_buf_check(out, err);
}
