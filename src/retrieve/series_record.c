/*
 * Series records: what the metadata of a long series is made of, made once it is quiet and kept
 * compressed, sealed under its subject's key as a derived item.  An answer is then an unpacking:
 * a tenth of the time of opening and printing hundreds of headers.
 *
 * Format: "NXSR", version (1 byte), instances_digest() (32 bytes); then pieces to the end: number
 * of instances (varint), length of their JSON (varint), length (varint) and bytes of a zstd frame.
 * The JSON is objects with commas between; a BulkDataURI has U+0001 where the base URL goes.
 */
#include <zstd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/rd.h"
#include "retrieve/instances_priv.h"

enum {
	RECORD_MAX = 32 * NX_MIB, /* bytes of one; a longer series has none */
	PIECE_LEN = 512 * NX_KIB, /* JSON of one, about */
	PIECE_MAX = 512 * NX_MIB, /* of one instance and the pieces it came in */
	QUIET_US = 2 * 1000000,   /* nothing new for so long */
	VERSION = 1,
	LEVEL = 3, /* of zstd */
	NAME_MAX_LEN = 48,
};

static const char magic[] = "NXSR";
static const char placeholder[] = "\x01";
static const char marker[] = "\"BulkDataURI\":\"\\u0001";
static const char media_type[] = "application/x-narthex-series-record";

static void name_of(int64_t series, char ret[NAME_MAX_LEN])
{
	/* No object of others has a name with a control character. */
	(void)snprintf(ret, NAME_MAX_LEN, "\x01series:%lld", (long long)series);
}

/* ---- making one ---- */

static nx_rc piece_put(struct nx_buf *out, size_t n, struct nx_slice json, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) packed;
	size_t bound = ZSTD_compressBound(json.n);
	uint8_t *to;
	size_t len;

	nx_buf_init(&packed, bound, NX_BUF_WIPE);
	to = nx_buf_reserve(&packed, bound);
	if (!to)
		return nx_buf_check(&packed, err);
	len = ZSTD_compress(to, bound, json.p, json.n, LEVEL);
	if (ZSTD_isError(len))
		return nx_err_set(err, NX_E_NOMEM, "zstd: %s", ZSTD_getErrorName(len));
	nx_buf_put_varint(out, n);
	nx_buf_put_varint(out, json.n);
	nx_buf_put_blob(out, nx_slice(to, len));
	return nx_buf_check(out, err);
}

static nx_rc record_format(struct nx_instances *x, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) json;
	uint8_t digest[32];
	nx_rc rc = instances_digest(x, "", digest, err);

	nx_buf_init(&json, PIECE_MAX, NX_BUF_WIPE);
	nx_buf_put(out, magic, sizeof(magic) - 1);
	nx_buf_put_u8(out, VERSION);
	nx_buf_put(out, digest, sizeof(digest));
	for (size_t i = 0, next; i < x->n && !rc; i = next) {
		nx_buf_clear(&json);
		rc = nx_instances_metadata(x, i, PIECE_LEN, placeholder, &json, &next, err);
		if (!rc)
			rc = piece_put(out, next - i, nx_buf_slice(&json), err);
	}
	return rc;
}

static nx_rc record_store(struct nx_retrieve *r, const struct nx_collection *collection,
	const struct nx_instances *x, struct nx_slice record, struct nx_err *err)
{
	char name[NAME_MAX_LEN];

	name_of(x->series_id, name);
	return derived_store(r, collection, instances_subject(x),
		&(struct nx_item){
			.name = name, .type = media_type, .ts_uid = "", .size = (int64_t)record.n},
		record, err);
}

/* How long the series must still be left alone; 0: it may be made now. */
static int64_t quiet_in(const struct nx_instances *x)
{
	int64_t newest = 0;
	int64_t left;

	for (size_t i = 0; i < x->n; i++)
		if (x->items[i].received_us > newest)
			newest = x->items[i].received_us;
	left = newest + QUIET_US - nx_now_us();
	return left < 0 ? 0 : left > QUIET_US ? QUIET_US : left;
}

nx_rc series_record_make(struct nx_retrieve *r, const char *in, int64_t series, bool *ret_made,
	int64_t *ret_wait_us, struct nx_err *err)
{
	NX_AUTO(nx_instances) *x = NULL;
	NX_AUTO_DONE(nx_buf) record;
	struct nx_collection collection;
	nx_rc rc = instances_of_series(r, series, &x, err);

	nx_buf_init(&record, RECORD_MAX, NX_BUF_WIPE);
	if (!rc)
		rc = nx_cat_collection(x->cat, in, x->arena, &collection, err);
	if (rc || x->n < NX_SERIES_RECORD_MIN || !instances_subject(x))
		return rc;
	*ret_wait_us = quiet_in(x);
	if (*ret_wait_us)
		return NX_OK;
	rc = record_format(x, &record, err);
	if (!rc)
		rc = record_store(r, &collection, x, nx_buf_slice(&record), err);
	*ret_made = !rc;
	return rc;
}

/* ---- using one ---- */

/* Of just these instances?  *ret: the pieces. */
static bool record_fits(const struct nx_instances *x, struct nx_slice record, struct nx_slice *ret)
{
	struct nx_rd rd = nx_rd(record);
	struct nx_slice head, said;
	uint8_t version, digest[32];
	struct nx_err err;

	if (!nx_rd_bytes(&rd, sizeof(magic) - 1, &head) || !nx_rd_u8(&rd, &version) ||
		!nx_rd_bytes(&rd, sizeof(digest), &said))
		return false;
	if (memcmp(head.p, magic, head.n) != 0 || version != VERSION ||
		instances_digest(x, "", digest, &err) ||
		memcmp(said.p, digest, sizeof(digest)) != 0)
		return false;
	*ret = nx_slice(rd.p, rd.n);
	return true;
}

/* NX_E_NOENT: there is none, or it is of other instances. */
static nx_rc record_read(struct nx_retrieve *r, int64_t collection, const struct nx_instances *x,
	struct nx_slice *ret, struct nx_err *err)
{
	struct nx_slice record = {0};
	struct nx_recipe *recipe = NULL;
	struct nx_item item;
	char name[NAME_MAX_LEN];
	nx_rc rc;

	name_of(x->series_id, name);
	rc = nx_cat_item_latest(
		x->cat, collection, instances_subject(x), name, x->arena, &item, err);
	if (!rc)
		rc = nx_archive_recipe(r->archive, &item, x->arena, &recipe, err);
	if (!rc)
		rc = nx_archive_read_blob(
			r->archive, &item, &recipe->blobs[0], RECORD_MAX, x->arena, &record, err);
	if (!rc && !record_fits(x, record, ret))
		rc = nx_err_set(err, NX_E_NOENT, "the series record is of other instances");
	return rc;
}

void series_record_find(
	struct nx_retrieve *r, const struct nx_collection *collection, struct nx_instances *x)
{
	struct nx_err err;
	nx_rc rc;

	if (x->n < NX_SERIES_RECORD_MIN || !instances_subject(x))
		return;
	nx_buf_init(&x->unpacked, PIECE_MAX, NX_BUF_WIPE);
	rc = record_read(r, collection->id, x, &x->record, &err);
	if (!rc) {
		series_record_used(r);
		return;
	}
	/* The headers themselves are read instead; damage is for the operator to know. */
	if (rc != NX_E_NOENT)
		nx_log_err(NX_LOG_WARN, "retrieve", "series.record", &err);
	series_record_ask(r, collection->name, x->series_id);
}

static void json_put(struct nx_buf *out, struct nx_slice json, const char *base_url)
{
	const size_t uri = sizeof(marker) - sizeof("\\u0001");
	const uint8_t *at;

	while ((at = memmem(json.p, json.n, marker, sizeof(marker) - 1))) {
		size_t before = (size_t)(at - json.p);

		nx_buf_put(out, json.p, before + uri);
		nx_buf_put_str(out, base_url);
		before += sizeof(marker) - 1;
		json = nx_slice(json.p + before, json.n - before);
	}
	nx_buf_put_slice(out, json);
}

static nx_rc piece_open(struct nx_rd *rd, uint64_t *ret_n, struct nx_buf *json, struct nx_err *err)
{
	struct nx_slice packed;
	uint64_t len;
	uint8_t *to;

	if (!nx_rd_varint(rd, ret_n) || !nx_rd_varint(rd, &len) || !nx_rd_blob(rd, &packed) ||
		len > PIECE_MAX || *ret_n == 0)
		return nx_err_set(err, NX_E_CORRUPT, "a series record is not well formed");
	json->len = 0; /* what is there is written over, and wiped at the end */
	to = nx_buf_reserve(json, (size_t)len);
	if (!to)
		return nx_buf_check(json, err);
	if (ZSTD_decompress(to, (size_t)len, packed.p, packed.n) != len)
		return nx_err_set(err, NX_E_CORRUPT, "a series record does not unpack");
	json->len = (size_t)len;
	return NX_OK;
}

nx_rc series_record_next(struct nx_instances *x, size_t i, size_t enough, const char *base_url,
	struct nx_buf *out, size_t *ret_next, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(x->record);
	size_t from = out->len;
	nx_rc rc = NX_OK;

	/* At once what is likely to come: growing by and by copies and wipes it again and again. */
	if (enough <= (size_t)4 * PIECE_LEN && out->max - out->len >= enough + PIECE_LEN)
		(void)nx_buf_reserve(out, enough + PIECE_LEN);
	for (size_t first = i; rd.n && out->len - from < enough && !rc;) {
		uint64_t n = 0;

		rc = piece_open(&rd, &n, &x->unpacked, err);
		if (rc)
			break;
		if (i != first)
			nx_buf_put_u8(out, ',');
		json_put(out, nx_buf_slice(&x->unpacked), base_url);
		i += n;
	}
	if (!rc && (i > x->n || (!rd.n && i != x->n)))
		rc = nx_err_set(err, NX_E_CORRUPT, "a series record has other instances");
	x->record = nx_slice(rd.p, rd.n);
	*ret_next = i;
	return rc ? rc : nx_buf_check(out, err);
}
