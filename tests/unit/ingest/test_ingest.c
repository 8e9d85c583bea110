#include "unit/archive/archive_fixture.h"

#include <dirent.h>
#include <fcntl.h>

#include "access/access.h"
#include "ingest/quarantine.h"
#include "retrieve/retrieve.h"

/* Real files that Debian's python3-pydicom carries. */
static const char corpus[] = "/usr/lib/python3/dist-packages/pydicom/data/test_files";

static const struct nx_principal admin = {.kind = NX_PRINCIPAL_TOKEN,
	.name = "tester",
	.role = "admin",
	.peer = "127.0.0.1",
	.session = "s1"};

static nx_rc ingest(struct fixture *fx, struct nx_ingest *in, struct nx_slice file,
	const char *ts_uid, size_t piece, struct nx_ingest_result *ret)
{
	const struct nx_ingest_opts opts = {
		.who = &admin, .collection = "clinical", .door = "import", .ts_uid = ts_uid};
	NX_AUTO(nx_ingest_job) *job = NULL;
	nx_rc rc = nx_ingest_begin(in, &opts, &job, &fx->err);

	for (size_t at = 0; at < file.n && !rc; at += piece)
		rc = nx_ingest_feed(
			job, file.p + at, file.n - at < piece ? file.n - at : piece, &fx->err);
	if (!rc)
		rc = nx_ingest_submit(job, &fx->err);
	return rc ? rc : nx_ingest_wait(job, ret, &fx->err);
}

static void expect_same(struct fixture *fx, struct nx_retrieve *out,
	const struct nx_ingest_result *r, struct nx_slice file)
{
	const struct nx_selection sel = {.collection = "clinical",
		.study = r->study,
		.series = r->series,
		.instance = r->sop_instance};
	NX_AUTO(nx_instances) *x = NULL;
	const struct nx_item *item;
	uint8_t *got = malloc(file.n + 1);
	size_t at = 0, n = 1;

	assert_non_null(got);
	assert_ok(nx_retrieve_open(out, &admin, &sel, &x, &fx->err), &fx->err);
	assert_ok(nx_instances_at(x, 0, &item, &fx->err), &fx->err);
	assert_i64(item->size, (int64_t)file.n);
	while (n && at <= file.n) {
		assert_ok(nx_instances_read(x, at, got + at, file.n + 1 - at, &n, &fx->err),
			&fx->err);
		at += n;
	}
	assert_u64(at, file.n);
	assert_memory_equal(got, file.p, file.n);
	free(got);
}

/* What is in quarantine is the file. */
static void expect_kept(
	struct fixture *fx, struct nx_ingest *in, int64_t number, struct nx_slice file)
{
	NX_AUTO(nx_kept) *kept = NULL;
	uint8_t *got = malloc(file.n + 1);
	size_t at = 0, n = 1;

	assert_non_null(got);
	assert_ok(nx_quarantine_open(in, &admin, number, &kept, &fx->err), &fx->err);
	assert_u64(nx_kept_size(kept), file.n);
	while (n && at <= file.n) {
		assert_ok(
			nx_kept_read(kept, at, got + at, file.n + 1 - at, &n, &fx->err), &fx->err);
		at += n;
	}
	assert_u64(at, file.n);
	assert_memory_equal(got, file.p, file.n);
	free(got);
}

static void expect_metadata(
	struct fixture *fx, struct nx_retrieve *out, const struct nx_ingest_result *r)
{
	const struct nx_selection sel = {.collection = "clinical",
		.study = r->study,
		.series = r->series,
		.instance = r->sop_instance};
	NX_AUTO_DONE(nx_buf) json;

	nx_buf_init(&json, 64u << 20, 0);
	assert_ok(nx_retrieve_metadata(out, &admin, &sel, "http://x", &json, &fx->err), &fx->err);
	assert_non_null(strstr(nx_buf_cstr(&json), r->sop_instance));
}

static void test_real_files_come_back_byte_for_byte(void **state)
{
	struct fixture *fx = *state;
	struct nx_ingest *in = nx_ingest_new(fx->archive);
	struct nx_retrieve *out = nx_retrieve_new(fx->archive);
	DIR *dir = opendir(corpus);
	unsigned stored = 0, refused = 0, kept = 0;
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		NX_AUTO_DONE(nx_buf) file;
		struct nx_ingest_result r;
		nx_rc rc;

		nx_buf_init(&file, 64u << 20, 0);
		if (!strstr(entry->d_name, ".dcm"))
			continue;
		assert_ok(nx_file_read(dirfd(dir), entry->d_name, &file, &fx->err), &fx->err);
		rc = ingest(fx, in, nx_buf_slice(&file), NULL, 4099, &r);
		if (rc) {
			print_error("%s refused: %s\n", entry->d_name, nx_err_text(&fx->err));
			refused++;
			continue;
		}
		if (r.outcome == NX_INGEST_QUARANTINED) {
			print_error("%s: %s\n", entry->d_name, r.note);
			expect_kept(fx, in, r.quarantine, nx_buf_slice(&file));
			kept++;
			continue;
		}
		/* some of these files are one instance in several encodings: the newest version is
		 * the live one */
		expect_same(fx, out, &r, nx_buf_slice(&file));
		expect_metadata(fx, out, &r);
		stored++;
	}
	(void)closedir(dir);
	assert_true(stored >= 50);
	/* cut short, or without the UIDs that make an instance; one is no DICOM without its head */
	assert_true(kept >= 1 && kept <= 9);
	assert_true(refused <= 1);
	nx_retrieve_free(out);
	nx_ingest_free(in);
}

static void read_ct(struct fixture *fx, struct nx_buf *file)
{
	NX_AUTO_FD fd = open(corpus, O_RDONLY | O_DIRECTORY);

	assert_true(fd >= 0);
	nx_buf_init(file, 64u << 20, 0);
	assert_ok(nx_file_read(fd, "CT_small.dcm", file, &fx->err), &fx->err);
}

static void test_the_same_instance_by_another_door_stores_nothing(void **state)
{
	struct fixture *fx = *state;
	struct nx_ingest *in = nx_ingest_new(fx->archive);
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result a, b, c;
	struct nx_slice dataset;

	read_ct(fx, &file);
	/* CT_small.dcm: preamble and meta group are 132 + 12 + 192 bytes */
	dataset = nx_slice(file.data + 336, file.len - 336);
	assert_ok(ingest(fx, in, nx_buf_slice(&file), NULL, 1000, &a), &fx->err);
	assert_int_equal(a.outcome, NX_INGEST_STORED);
	assert_ok(ingest(fx, in, nx_buf_slice(&file), NULL, 77, &b), &fx->err);
	assert_int_equal(b.outcome, NX_INGEST_DUPLICATE);
	assert_i64(b.item, a.item);
	{
		const struct nx_ingest_opts opts = {.who = &admin,
			.collection = "clinical",
			.door = "c-store",
			.ts_uid = "1.2.840.10008.1.2.1",
			.sop_class = a.sop_class,
			.sop_instance = a.sop_instance};
		NX_AUTO(nx_ingest_job) *job = NULL;

		assert_ok(nx_ingest_begin(in, &opts, &job, &fx->err), &fx->err);
		assert_ok(nx_ingest_feed(job, dataset.p, dataset.n, &fx->err), &fx->err);
		assert_ok(nx_ingest_submit(job, &fx->err), &fx->err);
		assert_ok(nx_ingest_wait(job, &c, &fx->err), &fx->err);
	}
	assert_int_equal(c.outcome, NX_INGEST_DUPLICATE);
	nx_ingest_free(in);
}

static void test_a_cut_file_is_kept_and_recorded(void **state)
{
	struct fixture *fx = *state;
	struct nx_ingest *in = nx_ingest_new(fx->archive);
	uint64_t before = nx_ledger_size(nx_archive_ledger(fx->archive));
	NX_AUTO_DONE(nx_buf) file;
	struct nx_ingest_result r;

	read_ct(fx, &file);
	assert_ok(ingest(fx, in, nx_slice(file.data, file.len - 5000), NULL, 1000, &r), &fx->err);
	assert_int_equal(r.outcome, NX_INGEST_QUARANTINED);
	assert_int_equal(r.reason, NX_REASON_TRUNCATED);
	assert_u64(nx_ledger_size(nx_archive_ledger(fx->archive)), before + 1);
	expect_kept(fx, in, r.quarantine, nx_slice(file.data, file.len - 5000));
	nx_ingest_free(in);
}

static void test_a_stranger_is_refused_and_recorded(void **state)
{
	struct fixture *fx = *state;
	struct nx_ingest *in = nx_ingest_new(fx->archive);
	struct nx_principal stranger = {
		.kind = NX_PRINCIPAL_AE, .name = "AE:X", .role = "modality"};
	const struct nx_ingest_opts opts = {
		.who = &stranger, .collection = "clinical", .door = "c-store"};
	uint64_t before = nx_ledger_size(nx_archive_ledger(fx->archive));
	struct nx_ingest_job *job = NULL;

	(void)snprintf(stranger.collection, sizeof(stranger.collection), "elsewhere");
	assert_rc(nx_ingest_begin(in, &opts, &job, &fx->err), NX_E_DENIED);
	assert_null(job);
	assert_u64(nx_ledger_size(nx_archive_ledger(fx->archive)), before + 1);
	nx_ingest_free(in);
}

static void test_objects_keep_bytes_and_preconditions(void **state)
{
	struct fixture *fx = *state;
	struct nx_ingest *in = nx_ingest_new(fx->archive);
	struct nx_retrieve *out = nx_retrieve_new(fx->archive);
	struct nx_object_opts opts = {.who = &admin,
		.collection = "clinical",
		.key = "notes/a.txt",
		.media_type = "text/plain",
		.size = UINT64_MAX};
	uint8_t *bytes = fx_bytes(fx, 3000000, 3), *got = malloc(3000001);
	struct nx_ingest_job *job = NULL;
	struct nx_object *object = NULL;
	struct nx_ingest_result r;
	size_t at = 0, n = 1;

	assert_ok(nx_ingest_object(in, &opts, &job, &fx->err), &fx->err);
	assert_ok(nx_ingest_feed(job, bytes, 3000000, &fx->err), &fx->err);
	assert_ok(nx_ingest_submit(job, &fx->err), &fx->err);
	assert_ok(nx_ingest_wait(job, &r, &fx->err), &fx->err);
	job = nx_ingest_job_free(job);
	assert_ok(
		nx_retrieve_object(out, &admin, "clinical", "notes/a.txt", true, &object, &fx->err),
		&fx->err);
	while (n) {
		assert_ok(
			nx_object_read(object, at, got + at, 3000001 - at, &n, &fx->err), &fx->err);
		at += n;
	}
	assert_u64(at, 3000000);
	assert_memory_equal(got, bytes, at);
	object = nx_object_free(object);
	opts.if_none_match_any = true;
	assert_ok(nx_ingest_object(in, &opts, &job, &fx->err), &fx->err);
	assert_ok(nx_ingest_feed(job, "x", 1, &fx->err), &fx->err);
	assert_ok(nx_ingest_submit(job, &fx->err), &fx->err);
	assert_rc(nx_ingest_wait(job, &r, &fx->err), NX_E_PRECONDITION);
	job = nx_ingest_job_free(job);
	assert_ok(nx_retrieve_object_delete(out, &admin, "clinical", "notes/a.txt", NULL, &fx->err),
		&fx->err);
	assert_rc(
		nx_retrieve_object(out, &admin, "clinical", "notes/a.txt", true, &object, &fx->err),
		NX_E_NOENT);
	free(got);
	nx_retrieve_free(out);
	nx_ingest_free(in);
}

static nx_rc put(struct fixture *fx, struct nx_ingest *in, const char *patient, const char *bytes,
	struct nx_ingest_result *ret)
{
	const struct nx_object_opts opts = {.who = &admin,
		.collection = "clinical",
		.key = "report.pdf",
		.patient_id = patient,
		.size = UINT64_MAX};
	NX_AUTO(nx_ingest_job) *job = NULL;
	nx_rc rc = nx_ingest_object(in, &opts, &job, &fx->err);

	if (!rc)
		rc = nx_ingest_feed(job, bytes, strlen(bytes), &fx->err);
	if (!rc)
		rc = nx_ingest_submit(job, &fx->err);
	return rc ? rc : nx_ingest_wait(job, ret, &fx->err);
}

static void test_an_object_stays_with_its_patient(void **state)
{
	struct fixture *fx = *state;
	struct nx_ingest *in = nx_ingest_new(fx->archive);
	struct nx_retrieve *out = nx_retrieve_new(fx->archive);
	struct nx_ingest_result first, r;

	assert_ok(put(fx, in, "P1", "one", &first), &fx->err);
	assert_true(first.subject != 0);
	assert_ok(put(fx, in, NULL, "two", &r), &fx->err);
	assert_u64(r.subject, first.subject);
	assert_i64(r.version, 2);
	assert_ok(put(fx, in, "P1", "two", &r), &fx->err);
	assert_int_equal(r.outcome, NX_INGEST_DUPLICATE);
	assert_rc(put(fx, in, "P2", "three", &r), NX_E_CONFLICT);
	assert_ok(nx_retrieve_object_delete(out, &admin, "clinical", "report.pdf", NULL, &fx->err),
		&fx->err);
	assert_ok(put(fx, in, NULL, "four", &r), &fx->err);
	assert_u64(r.subject, 0);
	assert_rc(put(fx, in, "P1", "five", &r), NX_E_CONFLICT);
	nx_retrieve_free(out);
	nx_ingest_free(in);
}

static void test_a_patient_id_that_no_dicom_could_have_is_refused(void **state)
{
	static const char *const bad[] = {"", " P1", "P1 ", "P\\1", "P\n1"};
	struct fixture *fx = *state;
	struct nx_ingest *in = nx_ingest_new(fx->archive);
	struct nx_ingest_result r;

	for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
		assert_rc(put(fx, in, bad[i], "x", &r), NX_E_INVAL);
	nx_ingest_free(in);
}

/* Values just short of bulk, as many as `n` bytes take: all of it is header. */
static nx_rc feed_header(struct fixture *fx, struct nx_ingest_job *job, size_t n)
{
	enum {
		LEN = 65000
	};
	static uint8_t element[12 + LEN] = {0x09, 0x00, 0x00, 0x10, 'O', 'B'};
	nx_rc rc = NX_OK;

	element[8] = LEN & 0xff;
	element[9] = LEN >> 8;
	for (size_t i = 0; i < n / LEN && !rc; i++) {
		element[2] = (uint8_t)i;
		element[3] = (uint8_t)(0x10 + (i >> 8));
		rc = nx_ingest_feed(job, element, sizeof(element), &fx->err);
	}
	return rc;
}

static void test_headers_being_received_have_one_bound(void **state)
{
	enum {
		EACH = 48 * 1024 * 1024,
		FIT = NX_LIMIT_DICOM_HEADERS / EACH
	};
	const struct nx_ingest_opts opts = {.who = &admin,
		.collection = "clinical",
		.door = "dimse",
		.sop_class = "1.2.840.10008.5.1.4.1.1.2",
		.sop_instance = "1.2.3",
		.ts_uid = "1.2.840.10008.1.2.1"};
	struct fixture *fx = *state;
	struct nx_ingest *in = nx_ingest_new(fx->archive);
	struct nx_ingest_job *jobs[FIT + 1] = {NULL};

	for (size_t i = 0; i <= FIT; i++)
		assert_ok(nx_ingest_begin(in, &opts, &jobs[i], &fx->err), &fx->err);
	for (size_t i = 0; i < FIT; i++)
		assert_ok(feed_header(fx, jobs[i], EACH), &fx->err);
	assert_rc(feed_header(fx, jobs[FIT], EACH), NX_E_BUSY);
	assert_non_null(strstr(nx_err_text(&fx->err), "256 MiB"));
	assert_rc(feed_header(fx, jobs[FIT], EACH), NX_E_BUSY); /* the job is lost */
	jobs[FIT] = nx_ingest_job_free(jobs[FIT]);
	jobs[0] = nx_ingest_job_free(jobs[0]);
	assert_ok(nx_ingest_begin(in, &opts, &jobs[0], &fx->err), &fx->err);
	assert_ok(feed_header(fx, jobs[0], EACH), &fx->err);
	for (size_t i = 0; i < FIT; i++)
		jobs[i] = nx_ingest_job_free(jobs[i]);
	nx_ingest_free(in);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_real_files_come_back_byte_for_byte),
		TEST(test_the_same_instance_by_another_door_stores_nothing),
		TEST(test_a_cut_file_is_kept_and_recorded),
		TEST(test_a_stranger_is_refused_and_recorded),
		TEST(test_objects_keep_bytes_and_preconditions),
		TEST(test_an_object_stays_with_its_patient),
		TEST(test_a_patient_id_that_no_dicom_could_have_is_refused),
		TEST(test_headers_being_received_have_one_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
