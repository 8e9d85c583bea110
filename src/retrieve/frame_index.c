/*
 * Where the frames of a long encapsulated value begin, kept as a derived item of its subject when
 * it was found once by looking at every fragment: the next reader reads the frame it wants and
 * nothing else.
 *
 * Format: "NXFI", version (1 byte), number of frames and bytes of the value (varints); then for
 * each frame how far its first item is from that of the frame before, or from the value's start
 * (varint).
 */
#include "base/log.h"
#include "base/rd.h"
#include "retrieve/frames_priv.h"
#include "retrieve/instances_priv.h"

enum {
	VERSION = 1,
	NAME_MAX_LEN = 48
};

#define INDEX_MAX (16ull * NX_LIMIT_PIXEL_FRAMES)

static const char magic[] = "NXFI";
static const char media_type[] = "application/x-narthex-frame-index";

/* An item's bytes never change, so the index is true as long as the item is there. */
static void name_of(const struct nx_item *item, char ret[NAME_MAX_LEN])
{
	/* No object of others has a name with a control character. */
	(void)snprintf(ret, NAME_MAX_LEN, "\x01frames:%lld", (long long)item->id);
}

static nx_rc format(const struct frame_starts *s, struct nx_buf *out, struct nx_err *err)
{
	uint64_t before = 0;

	nx_buf_put(out, magic, sizeof(magic) - 1);
	nx_buf_put_u8(out, VERSION);
	nx_buf_put_varint(out, s->n);
	nx_buf_put_varint(out, s->len);
	for (uint32_t i = 0; i < s->n; i++) {
		nx_buf_put_varint(out, s->starts[i] - before);
		before = s->starts[i];
	}
	return nx_buf_check(out, err);
}

static bool parse(struct nx_slice index, struct frame_starts *s)
{
	struct nx_rd rd = nx_rd(index);
	uint64_t n, len, step, at = 0;
	struct nx_slice head;
	uint8_t version;

	if (!nx_rd_bytes(&rd, sizeof(magic) - 1, &head) || !nx_rd_u8(&rd, &version) ||
		memcmp(head.p, magic, head.n) != 0 || version != VERSION ||
		!nx_rd_varint(&rd, &n) || !nx_rd_varint(&rd, &len) || n != s->n || len != s->len)
		return false;
	for (uint32_t i = 0; i < s->n; i++) {
		if (!nx_rd_varint(&rd, &step) || !step || step >= s->len - at)
			return false;
		at += step;
		s->starts[i] = at;
	}
	return !rd.n;
}

static nx_rc read_index(struct nx_instances *x, const struct nx_item *item, struct frame_starts *s,
	struct nx_err *err)
{
	struct nx_slice bytes = {0};
	struct nx_recipe *recipe = NULL;
	char name[NAME_MAX_LEN];
	struct nx_item found;
	nx_rc rc;

	name_of(item, name);
	rc = nx_cat_item_latest(
		x->cat, item->collection, (uint64_t)item->subject, name, x->arena, &found, err);
	if (!rc)
		rc = nx_archive_recipe(x->archive, &found, x->arena, &recipe, err);
	if (!rc)
		rc = nx_archive_read_blob(
			x->archive, &found, &recipe->blobs[0], INDEX_MAX, x->arena, &bytes, err);
	if (!rc && !parse(bytes, s))
		rc = nx_err_set(err, NX_E_CORRUPT, "a frame index is not well formed");
	return rc;
}

bool frame_index_find(struct nx_instances *x, struct frame_starts *starts)
{
	const struct nx_item *item = &x->items[x->at];
	struct nx_err err;
	nx_rc rc;

	if (starts->n < FRAME_INDEX_MIN)
		return false;
	rc = read_index(x, item, starts, &err);
	/* The fragments are looked at instead; damage is for the operator to know. */
	if (rc && rc != NX_E_NOENT)
		nx_log_err(NX_LOG_WARN, "retrieve", "frame.index", &err);
	return !rc;
}

static nx_rc store(struct nx_instances *x, const struct nx_item *item, struct nx_slice index,
	struct nx_err *err)
{
	struct nx_collection collection;
	nx_rc rc = nx_cat_collection_by_id(x->cat, item->collection, x->arena, &collection, err);
	char name[NAME_MAX_LEN];

	name_of(item, name);
	return rc ? rc
		  : derived_store(x->retrieve, &collection, (uint64_t)item->subject,
			    &(struct nx_item){.name = name,
				    .type = media_type,
				    .ts_uid = "",
				    .size = (int64_t)index.n},
			    index, err);
}

void frame_index_keep(struct nx_instances *x, const struct frame_starts *starts)
{
	NX_AUTO_DONE(nx_buf) index;
	struct nx_err err;
	nx_rc rc;

	nx_buf_init(&index, INDEX_MAX, NX_BUF_WIPE);
	if (starts->n < FRAME_INDEX_MIN || !x->items[x->at].subject)
		return;
	rc = format(starts, &index, &err);
	if (!rc)
		rc = store(x, &x->items[x->at], nx_buf_slice(&index), &err);
	if (rc) /* it is made again by who reads next */
		nx_log_err(NX_LOG_WARN, "retrieve", "frame.index", &err);
}
