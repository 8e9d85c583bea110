/* What is storable but wrong is kept as it came; what is not even that is refused. */
#include "unit/archive/archive_fixture.h"

#include "access/access.h"
#include "archive/archive_priv.h"
#include "base/limits.h"
#include "ingest/quarantine.h"
#include "unit/dicom/stream.h"

enum {
	BULK = 150000, /* more than one segment of the parser's and of the blob's buffers */
	SMALL_PIXELS = 3000
};

static const char CT[] = "1.2.840.10008.5.1.4.1.1.2";
static const char SOP[] = "1.2.3.4.5";

static const struct nx_principal admin = {.kind = NX_PRINCIPAL_TOKEN,
	.name = "tester",
	.role = "admin",
	.peer = "127.0.0.1",
	.session = "s1"};

struct site { /* the fixture with services */
	struct fixture *fx;
	struct nx_ingest *in;
};

static int setup(void **state)
{
	struct site *s = calloc(1, sizeof(*s));
	void *fx = NULL;

	(void)fx_setup(&fx);
	s->fx = fx;
	s->in = nx_ingest_new(s->fx->archive);
	assert_non_null(s->in);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct site *s = *state;
	void *fx = s->fx;

	nx_ingest_free(s->in);
	(void)fx_teardown(&fx);
	free(s);
	return 0;
}

static void reopen(struct site *s, bool rebuild)
{
	s->in = nx_ingest_free(s->in);
	fx_close(s->fx);
	if (rebuild)
		assert_int_equal(unlink(s->fx->cat_path), 0);
	fx_open(s->fx, rebuild);
	s->in = nx_ingest_new(s->fx->archive);
}

/* ---- data sets ---- */

static void put_uid(struct nx_buf *out, nx_tag tag, const char *uid)
{
	size_t n = strlen(uid);

	put_head(out, tag, "UI", (int64_t)(n + n % 2));
	nx_buf_put(out, uid, n + n % 2);
}

struct form {
	const char *meta_instance; /* NULL: no meta group */
	const char *ts;
	const char *sop; /* NULL: none */
	const char *study;
	const char *patient;
};

static const struct form good = {SOP, NX_UID_EXPLICIT_VR_LITTLE_ENDIAN, SOP, "1.2.3.4", "PATIENT1"};

static void put_form(struct nx_buf *out, const struct form *f)
{
	if (f->meta_instance) {
		nx_buf_put_zero(out, 128);
		nx_buf_put_str(out, "DICM");
		put_uid(out, NX_TAG_MEDIA_STORAGE_SOP_CLASS_UID, CT);
		put_uid(out, NX_TAG_MEDIA_STORAGE_SOP_INSTANCE_UID, f->meta_instance);
		put_uid(out, NX_TAG_TRANSFER_SYNTAX_UID, f->ts);
	}
	put_uid(out, NX_TAG_SOP_CLASS_UID, CT);
	if (f->sop)
		put_uid(out, NX_TAG_SOP_INSTANCE_UID, f->sop);
	put_elem(out, NX_TAG_MODALITY, "CS", "CT");
	put_elem(out, NX_TAG_PATIENT_ID, "LO", f->patient);
	if (f->study)
		put_uid(out, NX_TAG_STUDY_INSTANCE_UID, f->study);
	put_uid(out, NX_TAG_SERIES_INSTANCE_UID, "1.2.3.4.1");
}

static void put_pixels(struct nx_buf *out, size_t n)
{
	put_head(out, NX_TAG_PIXEL_DATA, "OW", (int64_t)n);
	put_fill(out, n);
}

static void put_fragments(struct nx_buf *out, size_t n)
{
	put_head(out, NX_TAG_PIXEL_DATA, "OB", UNDEFINED);
	put_implicit(out, NX_TAG_ITEM, 0);
	for (int i = 0; i < 2; i++) {
		put_implicit(out, NX_TAG_ITEM, (int64_t)n);
		put_fill(out, n);
	}
	put_implicit(out, NX_TAG_SEQUENCE_DELIMITATION_ITEM, 0);
}

/* ---- sending, and looking ---- */

static nx_rc send(struct site *s, const struct nx_ingest_opts *opts, struct nx_slice file,
	size_t piece, struct nx_ingest_result *ret)
{
	NX_AUTO(nx_ingest_job) *job = NULL;
	nx_rc rc = nx_ingest_begin(s->in, opts, &job, &s->fx->err);

	for (size_t at = 0; at < file.n && !rc; at += piece)
		rc = nx_ingest_feed(
			job, file.p + at, file.n - at < piece ? file.n - at : piece, &s->fx->err);
	if (!rc)
		rc = nx_ingest_submit(job, &s->fx->err);
	return rc ? rc : nx_ingest_wait(job, ret, &s->fx->err);
}

static const struct nx_ingest_opts import = {
	.who = &admin, .collection = "clinical", .door = "import"};
static const struct nx_ingest_opts store = {.who = &admin,
	.collection = "clinical",
	.door = "c-store",
	.ts_uid = NX_UID_EXPLICIT_VR_LITTLE_ENDIAN,
	.sop_class = CT,
	.sop_instance = SOP};

static void expect_kept(struct site *s, int64_t number, struct nx_slice file)
{
	NX_AUTO(nx_kept) *kept = NULL;
	uint8_t *got = malloc(file.n + 1);
	size_t at = 0, n = 1;

	assert_non_null(got);
	assert_ok(nx_quarantine_open(s->in, &admin, number, &kept, &s->fx->err), &s->fx->err);
	assert_u64(nx_kept_size(kept), file.n);
	while (n && at <= file.n) {
		assert_ok(nx_kept_read(kept, at, got + at, file.n + 1 - at, &n, &s->fx->err),
			&s->fx->err);
		at += n;
	}
	assert_u64(at, file.n);
	assert_memory_equal(got, file.p, file.n);
	free(got);
}

static void expect_quarantined(struct site *s, const struct nx_ingest_opts *opts,
	struct nx_slice file, size_t piece, enum nx_reason reason, struct nx_ingest_result *r)
{
	assert_ok(send(s, opts, file, piece, r), &s->fx->err);
	assert_int_equal(r->outcome, NX_INGEST_QUARANTINED);
	assert_int_equal(r->reason, reason);
	assert_u64(r->size, file.n);
	expect_kept(s, r->quarantine, file);
}

static void expect_gone(struct site *s, int64_t number)
{
	struct nx_kept *kept = NULL;

	assert_rc(nx_quarantine_open(s->in, &admin, number, &kept, &s->fx->err), NX_E_NOENT);
}

static void counts_expect(struct site *s, uint64_t items, uint64_t quarantined)
{
	struct nx_cat_counts counts;

	nx_archive_barrier(s->fx->archive);
	assert_ok(nx_cat_counts(s->fx->cat, &counts, &s->fx->err), &s->fx->err);
	assert_u64(counts.items, items);
	assert_u64(counts.quarantined, quarantined);
}

/* ---- which input ---- */

/* In the middle of a bulk value, of fragments that are and are not bulk, of a header, of a tag. */
static void test_a_stream_that_ends_early_is_kept_to_the_byte(void **state)
{
	static const size_t pieces[] = {1 << 20, 4099, 131};
	struct site *s = *state;
	struct nx_ingest_result r;

	for (int kind = 0; kind < 3; kind++) {
		NX_AUTO_DONE(nx_buf) file;
		struct form form = good;
		size_t cuts[6];

		nx_buf_init(&file, 1 << 20, 0);
		if (kind)
			form.ts = "1.2.840.10008.1.2.4.90";
		put_form(&file, &form);
		cuts[0] = 141; /* in the first tag of the meta group */
		cuts[1] = file.len - 3;
		cuts[2] = file.len + 5;
		if (kind == 0)
			put_pixels(&file, BULK);
		else
			put_fragments(&file, kind == 1 ? BULK : SMALL_PIXELS);
		cuts[3] = file.len - 1;
		cuts[4] = file.len - 1000;
		cuts[5] = file.len - 2600;
		for (size_t i = 0; i < NX_ARRAY_LEN(cuts); i++)
			expect_quarantined(s, &import, nx_slice(file.data, cuts[i]),
				pieces[i % NX_ARRAY_LEN(pieces)], NX_REASON_TRUNCATED, &r);
	}
	counts_expect(s, 0, 18);
}

/* The rest of the stream is received to its end, however much that is. */
static void test_what_follows_the_error_is_kept_too(void **state)
{
	static const size_t pieces[] = {1 << 22, 65536, 997};
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result r;

	nx_buf_init(&file, 1 << 23, 0);
	put_form(&file, &good);
	put_head(&file, NX_TAG(0x0028, 0x0010), "SQ", UNDEFINED);
	put_elem(&file, NX_TAG(0x0028, 0x0011), "LO", "no item");
	put_pixels(&file, 3000000);
	for (size_t i = 0; i < NX_ARRAY_LEN(pieces); i++) {
		expect_quarantined(
			s, &import, nx_buf_slice(&file), pieces[i], NX_REASON_MALFORMED, &r);
		assert_non_null(strstr(r.note, "malformed at (0028,0011), byte "));
		assert_true(strlen(r.note) <= 64);
	}
	/* fragments that turn out to be none, while their bulk value is being written */
	nx_buf_clear(&file);
	put_form(&file, &(struct form){SOP, "1.2.840.10008.1.2.4.90", SOP, "1.2.3.4", "P"});
	put_head(&file, NX_TAG_PIXEL_DATA, "OB", UNDEFINED);
	put_implicit(&file, NX_TAG_ITEM, BULK);
	put_fill(&file, 2 * BULK);
	for (size_t i = 0; i < NX_ARRAY_LEN(pieces); i++)
		expect_quarantined(
			s, &import, nx_buf_slice(&file), pieces[i], NX_REASON_MALFORMED, &r);
}

static void test_nesting_past_the_limit_is_kept(void **state)
{
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result r;

	nx_buf_init(&file, 1 << 20, 0);
	put_form(&file, &good);
	for (unsigned i = 0; i <= NX_LIMIT_DICOM_DEPTH; i++) {
		put_head(&file, NX_TAG_CONTENT_SEQUENCE, "SQ", UNDEFINED);
		put_implicit(&file, NX_TAG_ITEM, UNDEFINED);
	}
	expect_quarantined(s, &import, nx_buf_slice(&file), 1000, NX_REASON_TOO_DEEP, &r);
}

static void test_wrong_uids_are_kept(void **state)
{
	static const struct {
		struct form form;
		enum nx_reason reason;
	} cases[] = {
		{{SOP, "1.2.840.10008.1.2.1", NULL, "1.2.3.4", "P"}, NX_REASON_BAD_UID},
		{{SOP, "1.2.840.10008.1.2.1", SOP, NULL, "P"}, NX_REASON_BAD_UID},
		{{SOP, "1.2.840.10008.1.2.1", SOP, "1.2.x", "P"}, NX_REASON_BAD_UID},
		{{"1.9", "1.2.840.10008.1.2.1", SOP, "1.2.3.4", "P"}, NX_REASON_OTHER_INSTANCE},
	};
	const struct nx_quarantine_opts strict = {
		.check_meta = true, .max_items = 100, .max_bytes = 1 << 30};
	struct site *s = *state;
	struct nx_ingest_opts other = store;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result r;

	nx_buf_init(&file, 1 << 20, 0);
	nx_ingest_set_quarantine(s->in, &strict);
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		nx_buf_clear(&file);
		put_form(&file, &cases[i].form);
		put_pixels(&file, i % 2 ? BULK : SMALL_PIXELS);
		expect_quarantined(s, &import, nx_buf_slice(&file), 5000, cases[i].reason, &r);
	}
	/* a bare data set is kept without the meta group that an instance would get */
	nx_buf_clear(&file);
	put_form(&file, &(struct form){NULL, NULL, SOP, "1.2.3.4", "P"});
	put_pixels(&file, BULK);
	other.sop_instance = "1.2.3.4.6";
	expect_quarantined(s, &other, nx_buf_slice(&file), 5000, NX_REASON_OTHER_INSTANCE, &r);
	assert_int_equal(nx_reason_dimse(r.reason), 0xa900);
	other = store;
	other.sop_class = "1.2.840.10008.5.1.4.1.1.4";
	expect_quarantined(s, &other, nx_buf_slice(&file), 5000, NX_REASON_OTHER_CLASS, &r);
	expect_quarantined(
		s, &store, nx_slice(file.data, file.len - 7), 5000, NX_REASON_TRUNCATED, &r);
	expect_quarantined(s, &store, nx_slice(file.data, 5), 5000, NX_REASON_TRUNCATED, &r);
	counts_expect(s, 0, NX_ARRAY_LEN(cases) + 4);
}

/* Until somebody changes his mind: then what is there is taken in again. */
static void test_the_meta_group_counts_where_the_site_says_so(void **state)
{
	struct nx_quarantine_opts opts = {
		.check_meta = true, .max_items = 100, .max_bytes = 1 << 30};
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result r, again;

	nx_buf_init(&file, 1 << 20, 0);
	put_form(&file, &(struct form){"1.9", "1.2.840.10008.1.2.1", SOP, "1.2.3.4", "P"});
	nx_ingest_set_quarantine(s->in, &opts);
	expect_quarantined(s, &import, nx_buf_slice(&file), 5000, NX_REASON_OTHER_INSTANCE, &r);
	opts.check_meta = false;
	nx_ingest_set_quarantine(s->in, &opts);
	assert_ok(
		nx_quarantine_retry(s->in, &admin, r.quarantine, &again, &s->fx->err), &s->fx->err);
	assert_int_equal(again.outcome, NX_INGEST_STORED);
	counts_expect(s, 1, 0);
}

static void test_what_never_looked_like_dicom_is_refused(void **state)
{
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result r;

	nx_buf_init(&file, 1 << 20, 0);
	for (int i = 0; i < 100; i++)
		nx_buf_put_str(&file, "this is a text, line after line\n");
	assert_rc(send(s, &import, nx_buf_slice(&file), 1000, &r), NX_E_MALFORMED);
	assert_rc(send(s, &import, nx_slice(file.data, 0), 1000, &r), NX_E_SHORT);
	counts_expect(s, 0, 0);
}

static void test_it_can_be_switched_off(void **state)
{
	const struct nx_quarantine_opts off = {.off = true};
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result r;

	nx_buf_init(&file, 1 << 20, 0);
	put_form(&file, &good);
	put_pixels(&file, BULK);
	nx_ingest_set_quarantine(s->in, &off);
	assert_rc(send(s, &import, nx_slice(file.data, file.len - 9), 1000, &r), NX_E_SHORT);
	counts_expect(s, 0, 0);
}

static void test_it_is_bounded(void **state)
{
	struct nx_quarantine_opts opts = {.max_items = 2, .max_bytes = 1 << 20};
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result r;

	nx_buf_init(&file, 1 << 20, 0);
	put_form(&file, &good);
	put_pixels(&file, SMALL_PIXELS);
	nx_ingest_set_quarantine(s->in, &opts);
	for (int i = 0; i < 2; i++)
		assert_ok(
			send(s, &import, nx_slice(file.data, file.len - 9), 1000, &r), &s->fx->err);
	assert_rc(send(s, &import, nx_slice(file.data, file.len - 9), 1000, &r), NX_E_NOSPACE);
	assert_non_null(strstr(nx_err_text(&s->fx->err), "2 of 2 items"));
	/* what is good is taken all the same */
	assert_ok(send(s, &import, nx_buf_slice(&file), 1000, &r), &s->fx->err);
	assert_int_equal(r.outcome, NX_INGEST_STORED);
	opts = (struct nx_quarantine_opts){.max_items = 9, .max_bytes = 3 * file.len - 30};
	nx_ingest_set_quarantine(s->in, &opts);
	assert_rc(send(s, &import, nx_slice(file.data, file.len - 1), 1000, &r), NX_E_NOSPACE);
	counts_expect(s, 1, 2);
}

/* ---- what becomes of it ---- */

static void keep_one(
	struct site *s, const char *patient, struct nx_buf *file, struct nx_ingest_result *r)
{
	struct form form = good;

	form.patient = patient;
	nx_buf_init(file, 1 << 20, 0);
	put_form(file, &form);
	put_pixels(file, BULK);
	file->len -= 9;
	expect_quarantined(s, &import, nx_buf_slice(file), 4000, NX_REASON_TRUNCATED, r);
}

static void test_it_survives_and_is_rebuilt(void **state)
{
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_scrub_result scrub;
	struct nx_ingest_result r;

	keep_one(s, "PATIENT1", &file, &r);
	reopen(s, false);
	expect_kept(s, r.quarantine, nx_buf_slice(&file));
	reopen(s, true);
	expect_kept(s, r.quarantine, nx_buf_slice(&file));
	counts_expect(s, 0, 1);
	assert_ok(nx_archive_scrub(s->fx->archive, NULL, NULL, NULL, &scrub, &s->fx->err),
		&s->fx->err);
	assert_u64(scrub.items, 1);
	assert_u64(scrub.bad, 0);
}

static void test_it_is_listed_without_phi_and_shown_with(void **state)
{
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) file;
	NX_AUTO_DONE(nx_buf) out;
	struct nx_quarantine_find find = {.collection = "clinical"};
	struct nx_ingest_result r;

	nx_buf_init(&out, 1 << 20, 0);
	keep_one(s, "PATIENT1", &file, &r);
	assert_ok(nx_quarantine_list(s->in, &admin, &find, &out, &s->fx->err), &s->fx->err);
	assert_non_null(strstr(nx_buf_cstr(&out), "\"reason\":\"truncated\""));
	assert_non_null(strstr(nx_buf_cstr(&out), "\"patient_known\":true"));
	assert_null(strstr(nx_buf_cstr(&out), "PATIENT1"));
	assert_null(strstr(nx_buf_cstr(&out), SOP));
	nx_buf_clear(&out);
	find.reason = NX_REASON_BAD_UID;
	assert_ok(nx_quarantine_list(s->in, &admin, &find, &out, &s->fx->err), &s->fx->err);
	assert_string_equal(nx_buf_cstr(&out), "{\"quarantine\":[],\"next\":null}");
	nx_buf_clear(&out);
	assert_ok(nx_quarantine_show(s->in, &admin, r.quarantine, &out, &s->fx->err), &s->fx->err);
	assert_non_null(strstr(nx_buf_cstr(&out), "\"patient_id\":\"PATIENT1\""));
	assert_non_null(strstr(nx_buf_cstr(&out), "\"tag\":\"7fe00010\""));
}

static void test_only_who_may_looks(void **state)
{
	struct nx_principal reader = admin;
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_quarantine_find find = {.collection = NULL};
	struct nx_kept *kept = NULL;
	struct nx_ingest_result r, again;
	uint64_t before;

	(void)snprintf(reader.role, sizeof(reader.role), "reader");
	keep_one(s, "PATIENT1", &file, &r);
	before = nx_ledger_size(nx_archive_ledger(s->fx->archive));
	assert_rc(nx_quarantine_list(s->in, &reader, &find, NULL, &s->fx->err), NX_E_DENIED);
	assert_rc(nx_quarantine_show(s->in, &reader, r.quarantine, NULL, &s->fx->err), NX_E_DENIED);
	assert_rc(
		nx_quarantine_open(s->in, &reader, r.quarantine, &kept, &s->fx->err), NX_E_DENIED);
	assert_rc(nx_quarantine_retry(s->in, &reader, r.quarantine, &again, &s->fx->err),
		NX_E_DENIED);
	assert_rc(nx_quarantine_discard(s->in, &reader, r.quarantine, &s->fx->err), NX_E_DENIED);
	assert_rc(nx_quarantine_open(s->in, &reader, 4711, &kept, &s->fx->err), NX_E_DENIED);
	assert_u64(nx_ledger_size(nx_archive_ledger(s->fx->archive)), before + 6);
}

static void test_discarding_destroys_the_key(void **state)
{
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result r, other;
	struct nx_quarantine_row row;
	struct nx_op *rows;
	struct nx_key key;
	size_t n;

	keep_one(s, "PATIENT1", &file, &r);
	nx_buf_done(&file);
	keep_one(s, "PATIENT1", &file, &other);
	assert_ok(nx_cat_rows(s->fx->cat,
			  &(struct nx_rows_of){.table = NX_T_QUARANTINE,
				  .where = (struct nx_val[]){nx_val_int(r.quarantine)},
				  .n_where = 1,
				  .limit = 1},
			  s->fx->arena, &rows, &n, &s->fx->err),
		&s->fx->err);
	assert_ok(nx_op_row(rows, s->fx->arena, &row, &s->fx->err), &s->fx->err);
	assert_ok(nx_quarantine_discard(s->in, &admin, r.quarantine, &s->fx->err), &s->fx->err);
	expect_gone(s, r.quarantine);
	assert_rc(nx_keys_subject(s->fx->keys, (uint32_t)s->fx->collection.domain,
			  (uint64_t)row.subject, &key, &s->fx->err),
		NX_E_ERASED);
	/* the other one of the same patient has a key of its own; nor is the patient erased */
	expect_kept(s, other.quarantine, nx_buf_slice(&file));
	assert_ok(nx_keys_subject(s->fx->keys, (uint32_t)s->fx->collection.domain,
			  (uint64_t)row.patient, &key, &s->fx->err),
		&s->fx->err);
	counts_expect(s, 0, 1);
	reopen(s, true);
	expect_gone(s, r.quarantine);
	expect_kept(s, other.quarantine, nx_buf_slice(&file));
}

static void test_erasing_the_patient_reaches_it(void **state)
{
	const struct nx_entry_draft draft = {.action = NX_ACTION_ERASE, .principal = "tester"};
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) gone;
	NX_AUTO_DONE(nx_buf) kept;
	struct nx_ingest_result r, other;
	uint64_t subject, items;

	keep_one(s, "PATIENT1", &gone, &r);
	keep_one(s, "PATIENT2", &kept, &other);
	assert_ok(nx_cat_subject_find(s->fx->cat, s->fx->collection.domain, "", "PATIENT1",
			  &subject, &s->fx->err),
		&s->fx->err);
	assert_ok(nx_archive_erase(s->fx->archive, subject, &draft, &items, &s->fx->err),
		&s->fx->err);
	expect_gone(s, r.quarantine);
	expect_kept(s, other.quarantine, nx_buf_slice(&kept));
	reopen(s, true);
	expect_gone(s, r.quarantine);
	expect_kept(s, other.quarantine, nx_buf_slice(&kept));
	counts_expect(s, 0, 1);
}

/* Keys gone, rows still there: as after a crash in the middle. */
static void test_an_erasure_cut_short_is_finished_at_start(void **state)
{
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result r;
	uint64_t subject;
	size_t places;

	keep_one(s, "PATIENT1", &file, &r);
	assert_ok(nx_cat_subject_find(s->fx->cat, s->fx->collection.domain, "", "PATIENT1",
			  &subject, &s->fx->err),
		&s->fx->err);
	assert_ok(nx_keys_erase(s->fx->keys, subject, &places, &s->fx->err), &s->fx->err);
	reopen(s, false);
	expect_gone(s, r.quarantine);
	counts_expect(s, 0, 0);
}

static void test_a_retry_that_fails_leaves_it(void **state)
{
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result r, again;

	keep_one(s, "PATIENT1", &file, &r);
	assert_rc(
		nx_quarantine_retry(s->in, &admin, r.quarantine, &again, &s->fx->err), NX_E_SHORT);
	expect_kept(s, r.quarantine, nx_buf_slice(&file));
	counts_expect(s, 0, 1);
}

/* As a former version left it that could not read what this one can. */
static int64_t keep_good(struct site *s, const struct nx_buf *file, const char *detail)
{
	struct fixture *fx = s->fx;
	struct nx_blob *blob = fx_blob(fx, &fx->collection, file->data, file->len, file->len);
	struct nx_recipe_part part = {.kind = NX_PART_BLOB, .len = file->len};
	struct nx_item item = {.name = "quarantine/x",
		.type = "application/dicom",
		.ts_uid = "",
		.size = (int64_t)file->len};
	struct nx_aside aside = {
		.number = (int64_t)nx_archive_next_id(fx->archive, NX_T_QUARANTINE),
		.source = "AE:CT01",
		.reason = NX_REASON_MALFORMED,
		.detail = nx_slice_str(detail),
		.max_items = 10,
		.max_bytes = 1 << 30};
	struct nx_put put = {.collection = &fx->collection,
		.aside = &aside,
		.item = &item,
		.blobs = &blob,
		.n_blobs = 1,
		.parts = &part,
		.n_parts = 1};
	NX_AUTO(nx_change) *change = nx_change_new(); /* it ends before what it names */

	assert_ok(nx_change_put(change, &put, &fx->err), &fx->err);
	assert_ok(nx_archive_commit(fx->archive, change, &fx->err), &fx->err);
	return aside.number;
}

static void test_a_retry_that_works_moves_it_into_the_archive(void **state)
{
	struct site *s = *state;
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result r;
	int64_t number;

	nx_buf_init(&file, 1 << 20, 0);
	put_form(&file, &good);
	put_pixels(&file, BULK);
	number = keep_good(s, &file, "{}");
	assert_ok(nx_quarantine_retry(s->in, &admin, number, &r, &s->fx->err), &s->fx->err);
	assert_int_equal(r.outcome, NX_INGEST_STORED);
	assert_string_equal(r.sop_instance, SOP);
	expect_gone(s, number);
	counts_expect(s, 1, 0);
	/* a bare data set is taken with its command: the same instance */
	nx_buf_clear(&file);
	put_form(&file, &(struct form){NULL, NULL, SOP, "1.2.3.4", "PATIENT1"});
	put_pixels(&file, BULK);
	number = keep_good(s, &file,
		"{\"ts_uid\":\"1.2.840.10008.1.2.1\",\"command_class\":\"1.2.840.10008.5.1.4.1.1.2\","
		"\"command_instance\":\"1.2.3.4.5\"}");
	assert_ok(nx_quarantine_retry(s->in, &admin, number, &r, &s->fx->err), &s->fx->err);
	assert_int_equal(r.outcome, NX_INGEST_DUPLICATE);
	expect_gone(s, number);
	counts_expect(s, 1, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_stream_that_ends_early_is_kept_to_the_byte),
		TEST(test_what_follows_the_error_is_kept_too),
		TEST(test_nesting_past_the_limit_is_kept),
		TEST(test_wrong_uids_are_kept),
		TEST(test_the_meta_group_counts_where_the_site_says_so),
		TEST(test_what_never_looked_like_dicom_is_refused),
		TEST(test_it_can_be_switched_off),
		TEST(test_it_is_bounded),
		TEST(test_it_survives_and_is_rebuilt),
		TEST(test_it_is_listed_without_phi_and_shown_with),
		TEST(test_only_who_may_looks),
		TEST(test_discarding_destroys_the_key),
		TEST(test_erasing_the_patient_reaches_it),
		TEST(test_an_erasure_cut_short_is_finished_at_start),
		TEST(test_a_retry_that_fails_leaves_it),
		TEST(test_a_retry_that_works_moves_it_into_the_archive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
