/*
 * What is storable but wrong: which input that is, and how it is kept.  The bytes are those that
 * were received; what was understood of them goes with them, sealed.
 */
#include <stdio.h>

#include "base/json.h"
#include "ingest/ingest_priv.h"

enum {
	ASIDE_DETAIL_MAX = 16 * 1024
};

static const struct {
	enum nx_reason number;
	unsigned status;
	const char *wire;
	const char *text;
} reasons[] = {
#define NX_REASON(code, number, wire, status, text) {code, status, wire, text},
#include "ingest/reasons.def"
#undef NX_REASON
};

static size_t reason_at(int64_t reason)
{
	size_t i = 0;

	while (i < NX_ARRAY_LEN(reasons) && reasons[i].number != reason)
		i++;
	return i;
}

const char *nx_reason_wire(int64_t reason)
{
	size_t i = reason_at(reason);

	return i < NX_ARRAY_LEN(reasons) ? reasons[i].wire : NULL;
}

const char *nx_reason_text(int64_t reason)
{
	size_t i = reason_at(reason);

	return i < NX_ARRAY_LEN(reasons) ? reasons[i].text : NULL;
}

unsigned nx_reason_dimse(int64_t reason)
{
	size_t i = reason_at(reason);

	return i < NX_ARRAY_LEN(reasons) ? reasons[i].status : nx_rc_dimse(NX_E_MALFORMED);
}

int64_t nx_reason_parse(const char *wire)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(reasons); i++)
		if (strcmp(reasons[i].wire, wire) == 0)
			return reasons[i].number;
	return 0;
}

/* ---- which input ---- */

/* PS3.10 8.6: a DICOMDIR lists a medium.  It is no instance, and of many patients: no erasure would
 * reach what is kept of it, so nothing is. */
nx_rc aside_never(struct nx_ingest_job *job, struct nx_err *err)
{
	const struct attrs *attrs = &job->split.attrs;
	const char *const classes[] = {job->sop_class, attrs_text(attrs, A_META_CLASS, job->arena),
		attrs_text(attrs, A_SOP_CLASS, job->arena)};

	for (size_t i = 0; i < NX_ARRAY_LEN(classes); i++)
		if (classes[i] && strcmp(classes[i], NX_UID_MEDIA_STORAGE_DIRECTORY_STORAGE) == 0)
			return nx_err_set(err, NX_E_UNSUPPORTED,
				"the directory of a medium (DICOMDIR) is no instance: send the "
				"instances that it lists");
	return NX_OK;
}

/* A failure of ours (memory, disk), a limit of size and what never looked like DICOM are none. */
static enum nx_reason parse_reason(
	const struct nx_ingest_job *job, nx_rc rc, struct nx_dicom_failure *ret_failure)
{
	if (!nx_dicom_failure(job->split.parser, ret_failure))
		return NX_REASON_NONE_;
	if (rc == NX_E_SHORT)
		return NX_REASON_TRUNCATED;
	if (rc == NX_E_MALFORMED)
		return NX_REASON_MALFORMED;
	return rc == NX_E_LIMIT && ret_failure->too_deep ? NX_REASON_TOO_DEEP : NX_REASON_NONE_;
}

static bool aside_taken(const struct nx_ingest_job *job)
{
	return !job->ingest->quarantine.off && !job->refuse_only && job->split.fed;
}

static void aside_mark(struct nx_ingest_job *job, enum nx_reason reason, nx_tag tag,
	uint64_t tag_at, nx_rc rc, const struct nx_err *err)
{
	job->reason = reason;
	job->tag = tag;
	job->tag_at = tag_at;
	if (err)
		job->why = *err;
	job->why.rc = rc;
}

nx_rc aside_parse_failed(
	struct nx_ingest_job *job, nx_rc rc, const void *p, size_t n, struct nx_err *err)
{
	struct nx_dicom_failure failure = {0};
	enum nx_reason reason = parse_reason(job, rc, &failure);
	nx_rc never = aside_never(job, err);

	if (never)
		return never;
	if (!reason || !aside_taken(job))
		return rc;
	aside_mark(job, reason, failure.tag, failure.offset, rc, err);
	job->spilled = true;
	return split_spill_begin(&job->split, p, n, err);
}

nx_rc aside_content_failed(
	struct nx_ingest_job *job, nx_rc rc, enum nx_reason reason, nx_tag tag, struct nx_err *err)
{
	if (!aside_taken(job))
		return rc;
	aside_mark(job, reason, tag, 0, rc, err);
	return NX_OK;
}

/* ---- how it is kept ---- */

static void text_put(struct nx_ingest_job *job, struct nx_json *json, const char *key, enum attr a)
{
	const char *text = attrs_text(&job->split.attrs, a, job->arena);

	if (text && text[0])
		nx_json_kv_str(json, key, text);
}

/* All that a person needs to see what it is, and a retry to take it in as it came. */
static void detail_make(struct nx_ingest_job *job, struct nx_buf *out)
{
	struct nx_json json;
	char tag[16];

	(void)snprintf(tag, sizeof(tag), "%08x", (unsigned)job->tag);
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "message", nx_err_text(&job->why));
	nx_json_kv_str(&json, "tag", job->tag ? tag : NULL);
	if (job->spilled)
		nx_json_kv_uint(&json, "offset", job->tag_at);
	nx_json_kv_str(&json, "door", job->door);
	nx_json_kv_str(&json, "peer", job->who.peer);
	if (job->ts_uid) {
		nx_json_kv_str(&json, "ts_uid", job->ts_uid);
		nx_json_kv_str(&json, "command_class", job->sop_class);
		nx_json_kv_str(&json, "command_instance", job->sop_instance);
	}
	text_put(job, &json, "sop_class", A_SOP_CLASS);
	text_put(job, &json, "sop_instance", A_SOP_INSTANCE);
	text_put(job, &json, "study", A_STUDY);
	text_put(job, &json, "series", A_SERIES);
	text_put(job, &json, "patient_id", A_PATIENT_ID);
	text_put(job, &json, "issuer", A_ISSUER);
	text_put(job, &json, "modality", A_MODALITY);
	nx_json_object_end(&json);
}

/* For the sender: "quarantine 12: malformed at (0008,0060), byte 1234".  At most 64 characters. */
static void note_make(struct nx_ingest_job *job)
{
	struct nx_ingest_result *r = &job->result;
	int n = snprintf(r->note, sizeof(r->note), "quarantine %lld: %s", (long long)r->quarantine,
		nx_reason_wire(job->reason));

	if (job->tag && n > 0 && (size_t)n < sizeof(r->note))
		n += snprintf(r->note + n, sizeof(r->note) - (size_t)n, " at (%04x,%04x)",
			job->tag >> 16, job->tag & 0xffff);
	if (job->spilled && n > 0 && (size_t)n < sizeof(r->note))
		(void)snprintf(r->note + n, sizeof(r->note) - (size_t)n, ", byte %llu",
			(unsigned long long)job->tag_at);
}

/* Whose it seems to be, where it was read so far. */
static nx_rc patient_fill(struct nx_ingest_job *job, struct nx_err *err)
{
	const char *id = attrs_text(&job->split.attrs, A_PATIENT_ID, job->arena);
	const char *issuer = attrs_text(&job->split.attrs, A_ISSUER, job->arena);

	if (!id || !issuer)
		return nx_err_set(err, NX_E_NOMEM, "no memory for attributes");
	job->study = (struct nx_study){.patient_id = id, .issuer = issuer};
	job->put.study = id[0] ? &job->study : NULL;
	return NX_OK;
}

static nx_rc item_fill(struct nx_ingest_job *job, struct nx_err *err)
{
	const char *ts = nx_dicom_ts_uid(job->split.parser);

	job->item = (struct nx_item){.type = "application/dicom",
		.size = (int64_t)job->split.size,
		.name = nx_arena_printf(
			job->arena, "quarantine/%lld", (long long)job->aside.number),
		.ts_uid = nx_arena_str(job->arena, ts, strlen(ts))};
	return job->item.name && job->item.ts_uid
		? NX_OK
		: nx_err_set(err, NX_E_NOMEM, "no memory for an item");
}

static nx_rc put_fill(struct nx_ingest_job *job, struct nx_err *err)
{
	nx_rc rc;

	job->put = (struct nx_put){
		.collection = &job->collection,
		.item = &job->item,
		.aside = &job->aside,
		.blobs = job->split.blobs,
		.n_blobs = job->split.n_blobs,
		.parts = job->split.parts,
		.n_parts = job->split.n_parts,
	};
	rc = item_fill(job, err);
	return rc ? rc : patient_fill(job, err);
}

nx_rc aside_submit(struct nx_ingest_job *job, struct nx_err *err)
{
	const struct nx_quarantine_opts *opts = &job->ingest->quarantine;
	struct nx_ingest_result *r = &job->result;
	NX_AUTO_DONE(nx_buf) detail;
	nx_rc rc = job->spilled ? split_spill_finish(&job->split, err) : NX_OK;

	nx_buf_init(&detail, ASIDE_DETAIL_MAX, NX_BUF_WIPE);
	if (rc)
		return rc;
	split_as_received(&job->split);
	nx_ingest_peek(job, r);
	r->size = job->split.size;
	r->reason = job->reason;
	r->quarantine = (int64_t)nx_archive_next_id(job->ingest->archive, NX_T_QUARANTINE);
	note_make(job);
	detail_make(job, &detail);
	job->aside = (struct nx_aside){.number = r->quarantine,
		.source = job->who.name,
		.reason = job->reason,
		.max_items = opts->max_items,
		.max_bytes = opts->max_bytes};
	job->aside.detail.n = detail.len;
	job->aside.detail.p = nx_arena_copy(job->arena, detail.data, detail.len);
	rc = nx_buf_check(&detail, err);
	if (!rc && !job->aside.detail.p)
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for a detail");
	if (!rc)
		rc = put_fill(job, err);
	return rc ? rc : job_commit(job, NX_ACTION_QUARANTINE, err);
}
