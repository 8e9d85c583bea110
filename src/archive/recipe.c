/*
 * An item's recipe, as it is sealed in its row (docs/PACK-FORMAT.md, "Recipes"):
 *   varint version 1, content digest (32)
 *   varint number of blobs; each: varint id, key (32), root (32), varint length, varint stored
 * length, u8 codec varint number of parts; each: u8 kind; 0: varint blob index, varint offset,
 * varint length; 1: literal (varint length, bytes) Sealed with AES-256-GCM under the subject's key,
 * associated data "nxitem" and the item's id (u64le).
 */
#include "archive/archive_priv.h"

#include "base/rd.h"

enum {
	RECIPE_VERSION = 1,
	RECIPE_MAX = 64 * 1024 * 1024
};

static struct nx_slice recipe_aad(uint64_t item, uint8_t aad[14])
{
	memcpy(aad, "nxitem", sizeof("nxitem")); /* its end is written over */
	for (int i = 0; i < 8; i++)
		aad[6 + i] = (uint8_t)(item >> (8 * i));
	return nx_slice(aad, 14);
}

static void part_format(const struct nx_recipe_part *part, struct nx_buf *out)
{
	nx_buf_put_u8(out, (uint8_t)part->kind);
	if (part->kind == NX_PART_LITERAL) {
		nx_buf_put_blob(out, part->literal);
		return;
	}
	nx_buf_put_varint(out, part->blob);
	nx_buf_put_varint(out, part->off);
	nx_buf_put_varint(out, part->len);
}

void recipe_digest(const struct nx_recipe *recipe, uint8_t ret[32])
{
	NX_AUTO_DONE(nx_buf) buf;

	nx_buf_init(&buf, RECIPE_MAX, NX_BUF_WIPE);
	nx_buf_put_varint(&buf, recipe->n_blobs);
	for (size_t i = 0; i < recipe->n_blobs; i++) {
		nx_buf_put_varint(&buf, recipe->blobs[i].len);
		nx_buf_put(&buf, recipe->blobs[i].root, 32);
	}
	for (size_t i = 0; i < recipe->n_parts; i++)
		part_format(&recipe->parts[i], &buf);
	nx_sha256(buf.data, buf.len, ret);
}

static void recipe_format(const struct nx_recipe *recipe, struct nx_buf *out)
{
	nx_buf_put_varint(out, RECIPE_VERSION);
	nx_buf_put(out, recipe->content, 32);
	nx_buf_put_varint(out, recipe->n_blobs);
	for (size_t i = 0; i < recipe->n_blobs; i++) {
		const struct nx_recipe_blob *b = &recipe->blobs[i];

		nx_buf_put_varint(out, b->id);
		nx_buf_put(out, b->key.b, NX_KEY_LEN);
		nx_buf_put(out, b->root, 32);
		nx_buf_put_varint(out, b->len);
		nx_buf_put_varint(out, b->stored);
		nx_buf_put_u8(out, b->codec);
	}
	nx_buf_put_varint(out, recipe->n_parts);
	for (size_t i = 0; i < recipe->n_parts; i++)
		part_format(&recipe->parts[i], out);
}

nx_rc recipe_seal(const struct nx_recipe *recipe, const struct nx_key *key, uint64_t item,
	struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) plain;
	uint8_t aad[14];
	uint8_t *to;
	nx_rc rc;

	nx_buf_init(&plain, RECIPE_MAX, NX_BUF_WIPE);
	recipe_format(recipe, &plain);
	rc = nx_buf_check(&plain, err);
	to = rc ? NULL : nx_buf_reserve(out, plain.len + NX_SEAL_OVERHEAD);
	if (!to)
		return rc ? rc : nx_buf_check(out, err);
	rc = nx_seal(key, recipe_aad(item, aad), plain.data, plain.len, to, err);
	if (!rc)
		out->len += plain.len + NX_SEAL_OVERHEAD;
	return rc;
}

static bool blob_parse(struct nx_rd *rd, struct nx_recipe_blob *b)
{
	return nx_rd_varint(rd, &b->id) && nx_rd_copy(rd, b->key.b, NX_KEY_LEN) &&
		nx_rd_copy(rd, b->root, 32) && nx_rd_varint(rd, &b->len) &&
		nx_rd_varint(rd, &b->stored) && nx_rd_u8(rd, &b->codec) && b->codec <= 1;
}

static bool part_parse(struct nx_rd *rd, const struct nx_recipe *r, struct nx_recipe_part *p)
{
	uint64_t blob, end;
	uint8_t kind;

	if (!nx_rd_u8(rd, &kind) || kind > NX_PART_LITERAL)
		return false;
	p->kind = kind;
	if (kind == NX_PART_LITERAL) {
		if (!nx_rd_blob(rd, &p->literal))
			return false;
		p->len = p->literal.n;
		return true;
	}
	if (!nx_rd_varint(rd, &blob) || blob >= r->n_blobs || !nx_rd_varint(rd, &p->off) ||
		!nx_rd_varint(rd, &p->len) || __builtin_add_overflow(p->off, p->len, &end))
		return false;
	p->blob = (uint32_t)blob;
	return end <= r->blobs[blob].len;
}

static nx_rc recipe_parse(
	struct nx_slice plain, struct nx_arena *arena, struct nx_recipe *r, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(plain);
	uint64_t version, n;

	if (!nx_rd_varint(&rd, &version) || version != RECIPE_VERSION)
		return nx_err_set(err, NX_E_VERSION, "recipe version");
	if (!nx_rd_copy(&rd, r->content, 32))
		return nx_err_set(err, NX_E_CORRUPT, "recipe: content digest");
	if (!nx_rd_varint(&rd, &n) || n > NX_LIMIT_RECIPE_PARTS)
		return nx_err_set(err, NX_E_CORRUPT, "recipe: number of blobs");
	r->n_blobs = (size_t)n;
	r->blobs = nx_arena_alloc_array(arena, r->n_blobs, sizeof(*r->blobs));
	for (size_t i = 0; r->blobs && i < r->n_blobs; i++)
		if (!blob_parse(&rd, &r->blobs[i]))
			return nx_err_set(err, NX_E_CORRUPT, "recipe: blob %zu", i);
	if (!nx_rd_varint(&rd, &n) || n > NX_LIMIT_RECIPE_PARTS)
		return nx_err_set(err, NX_E_CORRUPT, "recipe: number of parts");
	r->n_parts = (size_t)n;
	r->parts = nx_arena_alloc_array(arena, r->n_parts, sizeof(*r->parts));
	if (!r->blobs || !r->parts)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a recipe");
	for (size_t i = 0; i < r->n_parts; i++) {
		if (!part_parse(&rd, r, &r->parts[i]) ||
			__builtin_add_overflow(r->size, r->parts[i].len, &r->size))
			return nx_err_set(err, NX_E_CORRUPT, "recipe: part %zu", i);
	}
	return rd.n ? nx_err_set(err, NX_E_CORRUPT, "recipe: %zu bytes too many", rd.n) : NX_OK;
}

nx_rc recipe_open(const struct nx_item *item, const struct nx_key *key, struct nx_arena *arena,
	struct nx_recipe **ret, struct nx_err *err)
{
	struct nx_recipe *r = nx_arena_alloc(arena, sizeof(*r));
	uint8_t aad[14];
	uint8_t *plain;
	size_t n;
	nx_rc rc;

	if (item->sealed.n < NX_SEAL_OVERHEAD)
		return nx_err_set(
			err, NX_E_CORRUPT, "item %lld: recipe too short", (long long)item->id);
	n = item->sealed.n - NX_SEAL_OVERHEAD;
	plain = nx_arena_alloc(arena, n);
	if (!r || !plain)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a recipe");
	rc = nx_seal_open(key, recipe_aad((uint64_t)item->id, aad), item->sealed.p, item->sealed.n,
		plain, err);
	if (!rc)
		rc = recipe_parse(nx_slice(plain, n), arena, r, err);
	if (rc)
		return nx_err_prefix(err, rc, "item %lld", (long long)item->id);
	recipe_digest(r, r->digest);
	*ret = r;
	return NX_OK;
}

nx_rc nx_archive_recipe(struct nx_archive *archive, const struct nx_item *item,
	struct nx_arena *arena, struct nx_recipe **ret, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	nx_rc rc = nx_keys_subject(
		archive->keys, (uint32_t)item->domain, (uint64_t)item->subject, &key, err);

	if (rc)
		return nx_err_prefix(err, rc, "item %lld", (long long)item->id);
	return recipe_open(item, &key, arena, ret, err);
}

/* Packed: per extent varint pack, varint offset, varint length, u8 (0: small header, 1: bulk
 * header). */
void extents_format(const struct nx_extent *e, size_t n, struct nx_buf *out)
{
	for (size_t i = 0; i < n; i++) {
		nx_buf_put_varint(out, e[i].pack);
		nx_buf_put_varint(out, e[i].off);
		nx_buf_put_varint(out, e[i].len);
		nx_buf_put_u8(out, e[i].data_off == NX_PACK_ALIGN);
	}
}

static bool extent_parse(struct nx_rd *rd, struct nx_extent *e)
{
	uint64_t len;
	uint8_t bulk;

	if (!nx_rd_varint(rd, &e->pack) || !nx_rd_varint(rd, &e->off) || !nx_rd_varint(rd, &len) ||
		!nx_rd_u8(rd, &bulk) || len > NX_EXTENT_MAX || len == 0 || bulk > 1)
		return false;
	e->len = (uint32_t)len;
	e->data_off = bulk ? NX_PACK_ALIGN : NX_EXTENT_HEADER_LEN;
	return true;
}

nx_rc extents_parse(struct nx_slice packed, struct nx_arena *arena, struct nx_extent **ret,
	size_t *ret_n, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(packed);
	size_t n = 0;
	struct nx_extent *e = nx_arena_alloc_array(
		arena, packed.n / 4 + 1, sizeof(*e)); /* 4 bytes each at least */

	if (!e)
		return nx_err_set(err, NX_E_NOMEM, "no memory for extents");
	for (; rd.n; n++)
		if (!extent_parse(&rd, &e[n]))
			return nx_err_set(err, NX_E_CORRUPT, "extent list: entry %zu", n);
	*ret = e;
	*ret_n = n;
	return NX_OK;
}
