/* What is not taken in, nor into quarantine, which is off here: it leaves an entry in the ledger,
 * no item, and no harm to the next. */
#include "unit/archive/archive_fixture.h"

#include "access/access.h"
#include "dicom/dicom.h"
#include "ingest/ingest.h"
#include "nx_torture.h"
#include "retrieve/retrieve.h"
#include "store/pool_drv.h"

#define CT_CLASS "1.2.840.10008.5.1.4.1.1.2"
#define EXPLICIT NX_UID_EXPLICIT_VR_LITTLE_ENDIAN

enum {
	PIXELS = 100000,
};

static const struct nx_principal admin = {
	.kind = NX_PRINCIPAL_TOKEN, .name = "tester", .role = "admin", .session = "s1"};
static const struct nx_principal stranger = {
	.kind = NX_PRINCIPAL_AE, .name = "AE:X", .role = "modality", .collection = "elsewhere"};

static struct nx_ingest *ingest_new(struct fixture *fx)
{
	const struct nx_quarantine_opts off = {.off = true};
	struct nx_ingest *in = nx_ingest_new(fx->archive);

	assert_non_null(in);
	nx_ingest_set_quarantine(in, &off);
	return in;
}

/* The attributes of an instance; NULL: not there. */
struct uids {
	const char *sop_class, *sop, *study, *series;
};

static void element_head(
	struct nx_buf *out, uint16_t group, uint16_t element, const char *vr, size_t n)
{
	bool wide = strcmp(vr, "OW") == 0;

	nx_buf_put_u16le(out, group);
	nx_buf_put_u16le(out, element);
	nx_buf_put(out, vr, 2);
	if (wide)
		nx_buf_put_zero(out, 2);
	if (wide)
		nx_buf_put_u32le(out, (uint32_t)n);
	else
		nx_buf_put_u16le(out, (uint16_t)n);
}

static void element(struct nx_buf *out, uint16_t group, uint16_t number, const char *vr,
	const char *text, char pad)
{
	size_t n = text ? strlen(text) : 0;

	if (!text)
		return;
	element_head(out, group, number, vr, n + n % 2);
	nx_buf_put(out, text, n);
	if (n % 2)
		nx_buf_put_u8(out, (uint8_t)pad);
}

/* A bare data set with bulk pixels. */
static void dataset(struct nx_buf *out, const struct uids *u)
{
	nx_buf_init(out, 1u << 20, 0);
	element(out, 0x0008, 0x0016, "UI", u->sop_class, 0);
	element(out, 0x0008, 0x0018, "UI", u->sop, 0);
	element(out, 0x0010, 0x0010, "PN", "TEST^REFUSED", ' ');
	element(out, 0x0010, 0x0020, "LO", "P-1", ' ');
	element(out, 0x0020, 0x000d, "UI", u->study, 0);
	element(out, 0x0020, 0x000e, "UI", u->series, 0);
	element_head(out, 0x7fe0, 0x0010, "OW", PIXELS);
	nx_buf_put_zero(out, PIXELS);
}

static struct nx_ingest_opts opts_for(const char *sop)
{
	return (struct nx_ingest_opts){.who = &admin,
		.collection = "clinical",
		.door = "c-store",
		.ts_uid = EXPLICIT,
		.sop_class = CT_CLASS,
		.sop_instance = sop};
}

static nx_rc send(struct nx_ingest *in, const struct nx_ingest_opts *opts, const struct uids *u,
	struct nx_ingest_result *ret, struct nx_err *err)
{
	NX_AUTO(nx_ingest_job) *job = NULL;
	NX_AUTO_DONE(nx_buf) bytes;
	nx_rc rc;

	dataset(&bytes, u);
	rc = nx_buf_check(&bytes, err);
	if (!rc)
		rc = nx_ingest_begin(in, opts, &job, err);
	if (!rc)
		rc = nx_ingest_feed(job, bytes.data, bytes.len, err);
	if (!rc)
		rc = nx_ingest_submit(job, err);
	return rc ? rc : nx_ingest_wait(job, ret, err);
}

static uint64_t entries(struct fixture *fx)
{
	return nx_ledger_size(nx_archive_ledger(fx->archive));
}

/* Is there an instance of this study that can be opened? */
static bool is_there(struct fixture *fx, const char *study, const char *sop)
{
	const struct nx_selection sel = {
		.collection = "clinical", .study = study, .series = "1.2.9", .instance = sop};
	NX_AUTO(nx_retrieve) *out = nx_retrieve_new(fx->archive);
	NX_AUTO(nx_instances) *x = NULL;
	nx_rc rc = nx_retrieve_open(out, &admin, &sel, &x, &fx->err);

	assert_true(rc == NX_OK || rc == NX_E_NOENT);
	return rc == NX_OK;
}

static void test_uids_that_are_missing_or_wrong_are_refused(void **state)
{
	static const struct uids bad[] = {
		{CT_CLASS, NULL, "1.2.1", "1.2.9"},
		{CT_CLASS, "1.2.x", "1.2.1", "1.2.9"},
		{NULL, "1.2.3", "1.2.1", "1.2.9"},
		{CT_CLASS, "1.2.3", NULL, "1.2.9"},
		{CT_CLASS, "1.2.3", "1..2", "1.2.9"},
		{CT_CLASS, "1.2.3", "1.2.1", NULL},
		{CT_CLASS, "1.2.3", "1.2.1", ""},
	};
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *in = ingest_new(fx);
	struct nx_ingest_stats stats;

	for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
		struct nx_ingest_opts opts = opts_for("1.2.3");
		uint64_t before = entries(fx);
		struct nx_ingest_result r;

		assert_rc(send(in, &opts, &bad[i], &r, &fx->err), NX_E_MALFORMED);
		assert_non_null(strstr(nx_err_text(&fx->err), "UID at ("));
		assert_u64(entries(fx), before + 1);
	}
	nx_ingest_stats(in, &stats);
	assert_u64(stats.refused, NX_ARRAY_LEN(bad));
	assert_u64(stats.stored, 0);
	assert_false(is_there(fx, "1.2.1", "1.2.3"));
}

static void test_uids_of_the_command_must_be_those_of_the_data_set(void **state)
{
	static const struct uids u = {CT_CLASS, "1.2.3", "1.2.1", "1.2.9"};
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *in = ingest_new(fx);
	struct nx_ingest_opts opts = opts_for("1.2.4");
	struct nx_ingest_result r;

	assert_rc(send(in, &opts, &u, &r, &fx->err), NX_E_MALFORMED);
	opts = opts_for("1.2.3");
	opts.sop_class = "1.2.840.10008.5.1.4.1.1.4";
	assert_rc(send(in, &opts, &u, &r, &fx->err), NX_E_MALFORMED);
	opts = opts_for("1.2.3");
	opts.expect_study = "1.2.77";
	assert_rc(send(in, &opts, &u, &r, &fx->err), NX_E_CONFLICT);
	assert_false(is_there(fx, "1.2.1", "1.2.3"));
	opts.expect_study = "1.2.1";
	assert_ok(send(in, &opts, &u, &r, &fx->err), &fx->err);
	assert_true(is_there(fx, "1.2.1", "1.2.3"));
}

static void test_a_failed_job_stays_failed_and_tells_what_it_knew(void **state)
{
	static const struct uids u = {CT_CLASS, "1.2.3", "1.2.1", "1.2.9"};
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *in = ingest_new(fx);
	struct nx_ingest_opts opts = opts_for("1.2.3");
	NX_AUTO(nx_ingest_job) *job = NULL;
	NX_AUTO_DONE(nx_buf) bytes;
	struct nx_ingest_result r;
	uint64_t before = entries(fx);

	dataset(&bytes, &u);
	assert_ok(nx_ingest_begin(in, &opts, &job, &fx->err), &fx->err);
	assert_ok(nx_ingest_feed(job, bytes.data, 200, &fx->err), &fx->err);
	assert_rc(nx_ingest_submit(job, &fx->err), NX_E_SHORT);
	assert_rc(nx_ingest_feed(job, bytes.data, 1, &fx->err), NX_E_SHORT);
	assert_rc(nx_ingest_submit(job, NULL), NX_E_SHORT);
	assert_rc(nx_ingest_wait(job, &r, &fx->err), NX_E_SHORT);
	nx_ingest_peek(job, &r);
	assert_string_equal(r.sop_instance, "1.2.3");
	assert_string_equal(r.study, "1.2.1");
	job = nx_ingest_job_free(job);
	assert_u64(entries(fx), before + 1);
}

static void test_an_abandoned_job_leaves_no_trace(void **state)
{
	static const struct uids u = {CT_CLASS, "1.2.3", "1.2.1", "1.2.9"};
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *in = ingest_new(fx);
	struct nx_ingest_opts opts = opts_for("1.2.3");
	struct nx_ingest_job *job = NULL;
	NX_AUTO_DONE(nx_buf) bytes;
	uint64_t before = entries(fx);

	dataset(&bytes, &u);
	assert_ok(nx_ingest_begin(in, &opts, &job, &fx->err), &fx->err);
	assert_ok(nx_ingest_feed(job, bytes.data, bytes.len, &fx->err), &fx->err);
	job = nx_ingest_job_free(job);
	assert_u64(entries(fx), before);
	assert_false(is_there(fx, "1.2.1", "1.2.3"));
}

static void test_an_unknown_collection_is_not_found(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *in = ingest_new(fx);
	struct nx_ingest_opts opts = opts_for("1.2.3");
	struct nx_ingest_job *job = NULL;

	opts.collection = "nowhere";
	assert_rc(nx_ingest_begin(in, &opts, &job, &fx->err), NX_E_NOENT);
	assert_null(job);
}

static void test_a_stranger_reads_nothing_and_that_is_recorded(void **state)
{
	static const struct uids u = {CT_CLASS, "1.2.3", "1.2.1", "1.2.9"};
	const struct nx_selection sel = {.collection = "clinical", .study = "1.2.1"};
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *in = ingest_new(fx);
	NX_AUTO(nx_retrieve) *out = nx_retrieve_new(fx->archive);
	struct nx_ingest_opts opts = opts_for("1.2.3");
	struct nx_instances *x = NULL;
	struct nx_object *object = NULL;
	struct nx_ingest_result r;
	NX_AUTO_DONE(nx_buf) json;
	uint64_t before;

	nx_buf_init(&json, 1u << 20, 0);
	assert_ok(send(in, &opts, &u, &r, &fx->err), &fx->err);
	before = entries(fx);
	assert_rc(nx_retrieve_open(out, &stranger, &sel, &x, &fx->err), NX_E_DENIED);
	assert_rc(nx_retrieve_metadata(out, &stranger, &sel, "", &json, &fx->err), NX_E_DENIED);
	assert_rc(nx_retrieve_object(out, &stranger, "clinical", "k", true, &object, &fx->err),
		NX_E_DENIED);
	assert_rc(nx_retrieve_object_delete(out, &stranger, "clinical", "k", NULL, &fx->err),
		NX_E_DENIED);
	assert_rc(nx_retrieve_object_list(out, &stranger, "clinical",
			  &(struct nx_object_page){.prefix = "", .after = "", .limit = 10}, &json,
			  &fx->err),
		NX_E_DENIED);
	assert_null(x);
	assert_null(object);
	assert_u64(json.len, 0);
	assert_u64(entries(fx), before + 5);
}

static void test_what_is_not_there_is_not_found(void **state)
{
	static const struct uids u = {CT_CLASS, "1.2.3", "1.2.1", "1.2.9"};
	static const struct nx_selection sels[] = {
		{"clinical", "1.2.2", NULL, NULL},
		{"clinical", "1.2.1", "1.2.8", NULL},
		{"clinical", "1.2.1", "1.2.9", "1.2.4"},
		{"nowhere", "1.2.1", NULL, NULL},
	};
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *in = ingest_new(fx);
	NX_AUTO(nx_retrieve) *out = nx_retrieve_new(fx->archive);
	struct nx_ingest_opts opts = opts_for("1.2.3");
	struct nx_object *object = NULL;
	struct nx_ingest_result r;

	assert_ok(send(in, &opts, &u, &r, &fx->err), &fx->err);
	for (size_t i = 0; i < NX_ARRAY_LEN(sels); i++) {
		struct nx_instances *x = NULL;

		assert_rc(nx_retrieve_open(out, &admin, &sels[i], &x, &fx->err), NX_E_NOENT);
		assert_null(x);
	}
	assert_rc(nx_retrieve_object(out, &admin, "clinical", "none", true, &object, &fx->err),
		NX_E_NOENT);
	assert_rc(nx_retrieve_object_delete(out, &admin, "clinical", "none", NULL, &fx->err),
		NX_E_NOENT);
}

static nx_rc put_object(struct fixture *fx, struct nx_ingest *in, const char *key,
	const char *if_match, struct nx_ingest_result *ret)
{
	const struct nx_object_opts opts = {.who = &admin,
		.collection = "clinical",
		.key = key,
		.size = 3,
		.if_match = if_match};
	NX_AUTO(nx_ingest_job) *job = NULL;
	nx_rc rc = nx_ingest_object(in, &opts, &job, &fx->err);

	if (!rc)
		rc = nx_ingest_feed(job, key, 3, &fx->err);
	if (!rc)
		rc = nx_ingest_submit(job, &fx->err);
	return rc ? rc : nx_ingest_wait(job, ret, &fx->err);
}

static void test_object_keys_and_conditions_are_checked(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *in = ingest_new(fx);
	struct nx_ingest_result first, r;
	char long_key[NX_LIMIT_OBJECT_KEY + 2];

	memset(long_key, 'k', sizeof(long_key));
	long_key[sizeof(long_key) - 1] = '\0';
	assert_rc(put_object(fx, in, "", NULL, &r), NX_E_INVAL);
	assert_rc(put_object(fx, in, long_key, NULL, &r), NX_E_INVAL);
	assert_rc(put_object(fx, in, "a\nb", NULL, &r), NX_E_INVAL);
	assert_rc(put_object(fx, in, "a\x7f\x62", NULL, &r), NX_E_INVAL);
	assert_rc(put_object(fx, in, "abc", "0000", &r), NX_E_PRECONDITION);
	assert_ok(put_object(fx, in, "abc", NULL, &first), &fx->err);
	assert_rc(put_object(fx, in, "abc", "0000", &r), NX_E_PRECONDITION);
	assert_ok(put_object(fx, in, "abc", first.key_digest, &r), &fx->err);
}

/* ---- storage and memory that fail ---- */

static void uids_of(unsigned n, char sop[32], char study[32])
{
	(void)snprintf(sop, 32, "1.2.3.%u", n);
	(void)snprintf(study, 32, "1.2.1.%u", n);
}

static void test_storage_that_fails_at_any_call_loses_and_shows_nothing(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *in = ingest_new(fx);
	const uint32_t kinds = NX_FAULT_CREATE | NX_FAULT_WRITE | NX_FAULT_SYNC;
	bool failed = true;
	char sop[32], study[32];

	for (unsigned nth = 1; failed; nth++) {
		const struct nx_fault fault = {.kinds = kinds, .nth = nth, .rc = NX_E_IO};
		const struct uids u = {CT_CLASS, sop, study, "1.2.9"};
		struct nx_ingest_opts opts = opts_for(sop);
		struct nx_ingest_result r;
		uint64_t calls = nx_pool_fault_count(fx->pool, kinds);
		nx_rc rc;

		assert_true(nth < 100);
		uids_of(nth, sop, study);
		nx_pool_fault_arm(fx->pool, &fault);
		rc = send(in, &opts, &u, &r, &fx->err);
		failed = nx_pool_fault_count(fx->pool, kinds) - calls >= nth;
		nx_pool_fault_arm(fx->pool, NULL);
		assert_int_equal(is_there(fx, study, sop), rc == NX_OK);
		if (rc)
			assert_ok(send(in, &opts, &u, &r, &fx->err), &fx->err);
		assert_true(is_there(fx, study, sop));
	}
}

struct whole {
	struct fixture *fx;
	struct nx_ingest *in;
	unsigned n;
};

/* An instance that is not of the study it was sent to: whatever fails, it is never stored. */
static nx_rc refuse_one(void *payload)
{
	struct whole *w = payload;
	char sop[32], study[32];
	const struct uids u = {CT_CLASS, sop, study, "1.2.9"};
	struct nx_ingest_opts opts = opts_for(sop);
	struct nx_ingest_result r;
	struct nx_err err;
	nx_rc rc;

	uids_of(++w->n, sop, study);
	opts.expect_study = "1.2.77";
	rc = send(w->in, &opts, &u, &r, &err);
	return rc == NX_E_CONFLICT ? NX_OK : rc ? rc : NX_E_INTERNAL;
}

static nx_rc put_on_condition(void *payload)
{
	struct whole *w = payload;
	struct nx_ingest_result r;
	nx_rc rc = put_object(w->fx, w->in, "abc", "0000", &r);

	return rc == NX_E_PRECONDITION ? NX_OK : rc ? rc : NX_E_INTERNAL;
}

static void test_without_memory_no_condition_is_forgotten(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *in = ingest_new(fx);
	struct whole w = {fx, in, 0};

	assert_true(nx_torture(refuse_one, &w) > 0);
	assert_true(nx_torture(put_on_condition, &w) > 0);
}

static int fx_setup_fault(void **state)
{
	return fx_setup_uri(state, "fault:mem:");
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
#define FAULT_TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup_fault, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_uids_that_are_missing_or_wrong_are_refused),
		TEST(test_uids_of_the_command_must_be_those_of_the_data_set),
		TEST(test_a_failed_job_stays_failed_and_tells_what_it_knew),
		TEST(test_an_abandoned_job_leaves_no_trace),
		TEST(test_an_unknown_collection_is_not_found),
		TEST(test_a_stranger_reads_nothing_and_that_is_recorded),
		TEST(test_what_is_not_there_is_not_found),
		TEST(test_object_keys_and_conditions_are_checked),
		FAULT_TEST(test_storage_that_fails_at_any_call_loses_and_shows_nothing),
		TEST(test_without_memory_no_condition_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
