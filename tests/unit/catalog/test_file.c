#include "cat_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "catalog/catalog_priv.h"

#define NAME "Featherstonehaugh^Zebulon"

static void fill(struct fixture *fx, int64_t from, int n)
{
	for (int i = 0; i < n; i++) {
		char uid[32];
		struct nx_study row;

		(void)snprintf(uid, sizeof(uid), "1.2.826.%lld", (long long)from + i);
		row = fx_study(from + i, uid);
		row.patient_name = NAME;
		row.name_key = "FEATHERSTONEHAUGH^ZEBULON";
		fx_put_study(fx, &row);
	}
}

static void slurp(const char *path, struct nx_buf *buf)
{
	struct nx_err err;

	nx_buf_init(buf, 64u << 20, 0);
	assert_ok(nx_file_read(AT_FDCWD, path, buf, &err), &err);
}

static void assert_no_plaintext(const char *path)
{
	static const char *const words[] = {
		"eatherstone", "EATHERSTONE", "1.2.826", "CREATE TABLE", "SQLite", "House^Greg"};
	NX_AUTO_DONE(nx_buf) buf;

	slurp(path, &buf);
	assert_true(buf.len > 0);
	for (size_t i = 0; i < NX_ARRAY_LEN(words); i++)
		assert_null(memmem(buf.data, buf.len, words[i], strlen(words[i])));
}

static void test_no_plaintext_in_any_file(void **state)
{
	struct fixture *fx = *state;
	char wal[128];

	fill(fx, 1, 200);
	(void)snprintf(wal, sizeof(wal), "%s-wal", fx->path);
	assert_no_plaintext(wal);
	fx->cat = nx_cat_free(fx->cat);
	assert_int_equal(access(wal, F_OK), -1); /* closing leaves one file */
	assert_no_plaintext(fx->path);
}

static void test_rows_are_there_after_reopening(void **state)
{
	struct fixture *fx = *state;
	struct nx_study got;

	fill(fx, 1, 100);
	fx->cat = nx_cat_free(fx->cat);
	fx_open(fx);
	assert_ok(nx_cat_study(fx->cat, 1, "1.2.826.100", fx->arena, &got, &fx->err), &fx->err);
	assert_string_equal(got.patient_name, NAME);
}

static void test_a_wrong_key_is_told_from_damage(void **state)
{
	struct fixture *fx = *state;
	struct nx_key other = fx->key;
	struct nx_cat_opts opts = {.path = fx->path, .key = &other};
	struct nx_cat *cat = NULL;

	fx->cat = nx_cat_free(fx->cat);
	other.b[31] ^= 1;
	assert_rc(nx_cat_open(&opts, &cat, &fx->err), NX_E_KEY);
	assert_null(cat);
}

static void flip(const char *path, int64_t at, uint8_t mask)
{
	int fd = open(path, O_RDWR);
	uint8_t b;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &b, 1, at), 1);
	b ^= mask;
	assert_int_equal(pwrite(fd, &b, 1, at), 1);
	close(fd);
}

/* Every row that can be read is right; returns the failure met, if any. */
static nx_rc read_everything(struct fixture *fx)
{
	struct nx_cat_opts opts = {.path = fx->path, .key = &fx->key};
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_cat_open(&opts, &fx->cat, &fx->err);

	if (rc)
		return rc;
	rc = nx_cat_rows(
		fx->cat, &(struct nx_rows_of){.table = NX_T_STUDY}, fx->arena, &rows, &n, &fx->err);
	if (!rc) {
		assert_int_equal(n, 100);
		for (size_t i = 0; i < n; i++)
			assert_memory_equal(rows[i].vals[6].s.p, NAME, sizeof(NAME) - 1);
	}
	fx->cat = nx_cat_free(fx->cat);
	nx_arena_reset(fx->arena);
	return rc;
}

static void test_a_flipped_bit_is_corrupt_never_wrong_rows(void **state)
{
	struct fixture *fx = *state;
	struct stat st;
	unsigned caught = 0;

	fill(fx, 1, 100);
	fx->cat = nx_cat_free(fx->cat);
	assert_int_equal(stat(fx->path, &st), 0);
	assert_int_equal(st.st_size % CAT_PAGE, 0);
	/* one place in each part of every page: body, nonce, tag, epoch */
	for (int64_t page = 0; page < st.st_size; page += CAT_PAGE) {
		static const int at[] = {
			100, CAT_PAGE - 33, CAT_PAGE - 32, CAT_PAGE - 20, CAT_PAGE - 1};

		for (size_t i = 0; i < NX_ARRAY_LEN(at); i++) {
			nx_rc rc;

			flip(fx->path, page + at[i], 0x10);
			rc = read_everything(fx);
			assert_true(rc == NX_OK || rc == NX_E_CORRUPT); /* OK: not of this table */
			caught += rc == NX_E_CORRUPT;
			flip(fx->path, page + at[i], 0x10);
		}
	}
	assert_true(caught >= 5 * 3);
	assert_rc(read_everything(fx), NX_OK);
}

static void test_swapped_pages_are_corrupt(void **state)
{
	struct fixture *fx = *state;
	uint8_t a[CAT_PAGE];
	uint8_t b[CAT_PAGE];
	struct stat st;
	int fd;

	fill(fx, 1, 100);
	fx->cat = nx_cat_free(fx->cat);
	assert_int_equal(stat(fx->path, &st), 0);
	fd = open(fx->path, O_RDWR);
	for (int page = 1; page < st.st_size / CAT_PAGE - 1; page++) {
		assert_int_equal(pread(fd, a, CAT_PAGE, page * CAT_PAGE), CAT_PAGE);
		assert_int_equal(pread(fd, b, CAT_PAGE, (page + 1) * CAT_PAGE), CAT_PAGE);
		assert_int_equal(pwrite(fd, b, CAT_PAGE, page * CAT_PAGE), CAT_PAGE);
		assert_int_equal(pwrite(fd, a, CAT_PAGE, (page + 1) * CAT_PAGE), CAT_PAGE);
	}
	close(fd);
	assert_rc(read_everything(fx), NX_E_CORRUPT);
}

static void test_foreign_and_future_files_are_refused(void **state)
{
	struct fixture *fx = *state;
	struct nx_cat_opts opts = {.path = fx->path, .key = &fx->key};
	struct nx_cat *cat = NULL;

	fx->cat = nx_cat_free(fx->cat);
	flip(fx->path, 6, 0x40); /* version */
	assert_rc(nx_cat_open(&opts, &cat, &fx->err), NX_E_VERSION);
	flip(fx->path, 6, 0x40);
	flip(fx->path, 7, 0x01); /* an incompatible feature */
	assert_rc(nx_cat_open(&opts, &cat, &fx->err), NX_E_VERSION);
	flip(fx->path, 7, 0x01);
	flip(fx->path, 0, 0x01); /* magic */
	assert_rc(nx_cat_open(&opts, &cat, &fx->err), NX_E_CORRUPT);
	assert_int_equal(truncate(fx->path, 10), 0);
	assert_rc(nx_cat_open(&opts, &cat, &fx->err), NX_E_CORRUPT);
	assert_null(cat);
}

static void test_a_newer_schema_is_refused(void **state)
{
	struct fixture *fx = *state;
	struct nx_cat_opts opts = {.path = fx->path, .key = &fx->key};
	struct nx_cat *cat = NULL;
	char sql[64];

	(void)snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", CAT_SCHEMA + 1);
	assert_ok(nx_sql_exec(fx->cat->writer->db, sql, &fx->err), &fx->err);
	fx->cat = nx_cat_free(fx->cat);
	assert_rc(nx_cat_open(&opts, &cat, &fx->err), NX_E_VERSION);
}

static nx_rc quarantine_look(void *payload, const void *row, struct nx_err *err)
{
	(void)err;
	*(struct nx_quarantine_row *)payload = *(const struct nx_quarantine_row *)row;
	return NX_OK;
}

/* A catalog as version 1 of the schema made it is brought up to date, with what is in it. */
static void test_an_older_schema_is_brought_up_to_date(void **state)
{
	struct fixture *fx = *state;
	struct nx_cat_opts opts = {.path = fx->path, .key = &fx->key};
	struct nx_quarantine_row row = {.id = 7, .source = "s", .size = 5, .item = 3, .subject = 4};
	struct nx_quarantine_row got;
	struct nx_study study;
	uint64_t n, bytes;
	int64_t replaced;
	struct nx_op op;

	fill(fx, 1, 100);
	assert_ok(nx_sql_exec(fx->cat->writer->db,
			  "DROP TABLE step;"
			  "DROP TABLE worklist;"
			  "DROP TABLE edit;"
			  "DROP TABLE rejection;"
			  "DROP INDEX conflict_subject;"
			  "ALTER TABLE conflict DROP COLUMN known;"
			  "ALTER TABLE conflict DROP COLUMN mark;"
			  "ALTER TABLE conflict DROP COLUMN subject;"
			  "ALTER TABLE conflict DROP COLUMN study;"
			  "ALTER TABLE conflict DROP COLUMN kind;"
			  "ALTER TABLE subject DROP COLUMN marks;"
			  "DROP TABLE feed;"
			  "DROP TABLE commitment;"
			  "DROP TABLE destination;"
			  "DROP TABLE forward;"
			  "DROP TABLE delivery;"
			  "ALTER TABLE ae DROP COLUMN role;"
			  "DROP INDEX quarantine_subject;"
			  "ALTER TABLE quarantine DROP COLUMN patient;"
			  "ALTER TABLE quarantine DROP COLUMN subject;"
			  "ALTER TABLE quarantine DROP COLUMN item;"
			  "INSERT INTO quarantine(id, source, size) VALUES (6, 'old', 4);"
			  "ALTER TABLE study DROP COLUMN complete_us;"
			  "DROP INDEX study_date_modalities;"
			  "CREATE INDEX study_date ON study(date);"
			  "PRAGMA user_version = 1",
			  &fx->err),
		&fx->err);
	fx->cat = nx_cat_free(fx->cat);
	assert_ok(nx_cat_open(&opts, &fx->cat, &fx->err), &fx->err);
	assert_ok(nx_cat_study(fx->cat, 1, "1.2.826.100", fx->arena, &study, &fx->err), &fx->err);
	assert_i64(study.complete_us, 0);
	assert_ok(nx_cat_quarantine(fx->cat, &(struct nx_quarantine_of){.limit = 1},
			  quarantine_look, &got, &fx->err),
		&fx->err);
	assert_i64(got.id, 6);
	assert_i64(got.subject, 0);
	assert_rc(nx_op_put_quarantine(&row, fx->arena, &op), NX_OK);
	assert_ok(nx_cat_apply(fx->cat, nx_cat_watermark(fx->cat) + 1, &op, 1, &fx->err), &fx->err);
	assert_ok(nx_cat_quarantine(fx->cat, &(struct nx_quarantine_of){.after_id = 6, .limit = 1},
			  quarantine_look, &got, &fx->err),
		&fx->err);
	assert_i64(got.subject, 4);
	assert_ok(nx_cat_quarantine_totals(fx->cat, 0, &n, &bytes, &fx->err), &fx->err);
	assert_u64(n, 2);
	assert_u64(bytes, 9);
	assert_ok(nx_sql_int(fx->cat->writer->db,
			  "SELECT group_concat(name) = 'study_date_modalities' FROM sqlite_schema "
			  "WHERE substr(name, 1, 10) = 'study_date'",
			  &replaced, &fx->err),
		&fx->err);
	assert_i64(replaced, 1);
}

static void test_backup_under_another_key(void **state)
{
	struct fixture *fx = *state;
	char copy[128];
	struct nx_key key;
	struct nx_cat_opts opts = {.path = copy, .key = &key};
	struct nx_cat *cat;
	struct nx_study got;

	nx_random(key.b, sizeof(key.b));
	(void)snprintf(copy, sizeof(copy), "%s/copy.db", fx->dir);
	fill(fx, 1, 100);
	assert_ok(nx_cat_backup(fx->cat, copy, &key, &fx->err), &fx->err);
	fill(fx, 101, 1); /* in use, and not in the copy */
	assert_rc(nx_cat_backup(fx->cat, copy, &key, &fx->err), NX_E_EXISTS);
	assert_no_plaintext(copy);
	assert_ok(nx_cat_open(&opts, &cat, &fx->err), &fx->err);
	assert_u64(nx_cat_watermark(cat), 100);
	assert_ok(nx_cat_study(cat, 1, "1.2.826.100", fx->arena, &got, &fx->err), &fx->err);
	assert_rc(nx_cat_study(cat, 1, "1.2.826.101", fx->arena, &got, NULL), NX_E_NOENT);
	nx_cat_free(cat);
}

/* ---- crashes ---- */

/* Of eight items each; and never closes what it opened. */
static void apply_and_exit(struct fixture *fx, uint64_t groups)
{
	struct nx_cat_opts opts = {.path = fx->path, .key = &fx->key};
	uint64_t seq;

	if (nx_cat_open(&opts, &fx->cat, NULL))
		_exit(1);
	seq = nx_cat_watermark(fx->cat);
	for (; groups; groups--) {
		struct nx_op ops[8];

		seq++;
		nx_arena_reset(fx->arena);
		for (int i = 0; i < 8; i++) {
			char *name = nx_arena_printf(
				fx->arena, "1.2.%llu.%d", (unsigned long long)seq, i);
			struct nx_item item = fx_item((int64_t)(seq * 8) + i, 7, name);

			item.subject = (int64_t)(seq * 0x9e3779b97f4a7c15u);
			if (nx_op_put_item(&item, fx->arena, &ops[i]))
				_exit(1);
		}
		if (nx_cat_apply(fx->cat, seq, ops, 8, NULL))
			_exit(1);
	}
	_exit(0);
}

static void test_a_kill_leaves_whole_groups_and_their_watermark(void **state)
{
	struct fixture *fx = *state;
	uint64_t before = 0;

	fx->cat = nx_cat_free(fx->cat);
	for (int round = 0; round < 12; round++) {
		struct nx_cat_counts counts;
		uint64_t max_id;
		uint64_t seq;
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid)
			apply_and_exit(fx, UINT64_MAX);
		usleep(30000u + (unsigned)round * 17000u); /* the moment of the kill is the test */
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		fx_open(fx);
		seq = nx_cat_watermark(fx->cat);
		assert_true(seq >= before);
		assert_ok(nx_cat_counts(fx->cat, &counts, &fx->err), &fx->err);
		assert_u64(counts.items, seq * 8);
		assert_ok(nx_cat_max_id(fx->cat, NX_T_ITEM, &max_id, &fx->err), &fx->err);
		assert_u64(max_id, seq ? seq * 8 + 7 : 0);
		before = seq;
		fx->cat = nx_cat_free(fx->cat);
	}
	assert_true(before > 0);
}

static void copy_file(const char *from, const char *to)
{
	NX_AUTO_DONE(nx_buf) buf;
	int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	slurp(from, &buf);
	assert_true(fd >= 0);
	assert_rc(nx_pwrite_full(fd, buf.data, buf.len, 0, NULL), NX_OK);
	close(fd);
}

enum {
	LEFT_GROUPS = 40
};

/* A catalog and its log as a process left them that ended without a word, and copies of both. */
struct left {
	struct nx_cat_opts opts; /* of the copy */
	char log[128];
	char copy[128];
	char copy_log[140];
};

static void leave(struct fixture *fx, struct left *left)
{
	int status;
	pid_t pid;

	*left = (struct left){.opts = {.key = &fx->key}};
	(void)snprintf(left->log, sizeof(left->log), "%s-wal", fx->path);
	(void)snprintf(left->copy, sizeof(left->copy), "%s/copy.db", fx->dir);
	(void)snprintf(left->copy_log, sizeof(left->copy_log), "%s-wal", left->copy);
	left->opts.path = left->copy;
	fx->cat = nx_cat_free(fx->cat);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		apply_and_exit(fx, LEFT_GROUPS);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void copy_left(struct fixture *fx, const struct left *left)
{
	copy_file(fx->path, left->copy);
	copy_file(left->log, left->copy_log);
}

/* A power cut may leave any end of the log torn: what opens is a whole number of groups. */
static void test_a_torn_log_ends_at_its_last_whole_group(void **state)
{
	struct fixture *fx = *state;
	struct left left;
	struct stat st;

	leave(fx, &left);
	assert_int_equal(stat(left.log, &st), 0);
	for (int64_t at = st.st_size - 1; at > st.st_size - 30000; at -= 997) {
		struct nx_cat *cat;
		struct nx_cat_counts counts;

		copy_left(fx, &left);
		if (at % 2)
			assert_int_equal(truncate(left.copy_log, at), 0);
		else
			flip(left.copy_log, at, 0x01);
		assert_ok(nx_cat_open(&left.opts, &cat, &fx->err), &fx->err);
		assert_true(nx_cat_watermark(cat) < LEFT_GROUPS);
		assert_ok(nx_cat_counts(cat, &counts, &fx->err), &fx->err);
		assert_u64(counts.items, nx_cat_watermark(cat) * 8);
		nx_cat_free(cat);
	}
}

/* Frames of the log have the number of their page in front (32 bytes of header, 24 of a frame). */
static bool log_has_page_1(const char *path)
{
	NX_AUTO_DONE(nx_buf) buf;
	bool found = false;

	slurp(path, &buf);
	for (size_t at = 32; at + 24 + CAT_PAGE <= buf.len && !found; at += 24 + CAT_PAGE)
		found = memcmp(buf.data + at, "\0\0\0\1", 4) == 0;
	return found;
}

/* Any page may be torn while it is copied from the log, which has it still: the first one too,
 * which is looked at before there is a log. */
static void test_a_page_that_was_torn_under_way_from_the_log_is_read_from_it(void **state)
{
	struct fixture *fx = *state;
	struct nx_cat_counts counts;
	struct nx_cat *cat;
	struct left left;

	leave(fx, &left);
	assert_true(log_has_page_1(left.log));
	for (int64_t at = 0; at < CAT_PAGE; at += 512) {
		copy_left(fx, &left);
		flip(left.copy, at + 100, 0x40);
		assert_ok(nx_cat_open(&left.opts, &cat, &fx->err), &fx->err);
		assert_u64(nx_cat_watermark(cat), LEFT_GROUPS);
		assert_ok(nx_cat_counts(cat, &counts, &fx->err), &fx->err);
		assert_u64(counts.items, LEFT_GROUPS * 8);
		nx_cat_free(cat);
	}
	copy_left(fx, &left);
	flip(left.copy, 100, 0x40);
	assert_int_equal(unlink(left.copy_log), 0);
	assert_rc(nx_cat_open(&left.opts, &cat, &fx->err), NX_E_CORRUPT);
}

static void test_the_log_is_checkpointed_while_busy(void **state)
{
	struct fixture *fx = *state;
	static const uint8_t sealed[3000];
	struct stat st;
	char wal[128];

	(void)snprintf(wal, sizeof(wal), "%s-wal", fx->path);
	for (int i = 1; i <= 30; i++) {
		struct nx_op ops[500];

		nx_arena_reset(fx->arena);
		for (int k = 0; k < 500; k++) {
			struct nx_item item = fx_item(i * 500 + k, 0, "a");

			item.sealed = nx_slice(sealed, sizeof(sealed));
			assert_rc(nx_op_put_item(&item, fx->arena, &ops[k]), NX_OK);
		}
		fx_apply(fx, ops, 500);
	}
	assert_int_equal(stat(wal, &st), 0);
	assert_true(st.st_size < 50 * 1024 * 1024); /* of some 60 MB and more written */
	assert_int_equal(stat(fx->path, &st), 0);
	assert_true(st.st_size > 10 * 1024 * 1024);
}

/* ---- plans ---- */

static void expect_plan(struct fixture *fx, const char *sql, const char *index)
{
	NX_AUTO_DONE(nx_buf) text;
	sqlite3_stmt *stmt;
	bool found = false;

	nx_buf_init(&text, 4096, 0);
	nx_buf_printf(&text, "EXPLAIN QUERY PLAN %s", sql);
	assert_ok(nx_sql_prepare(fx->cat->writer->db, &text, false, &stmt, &fx->err), &fx->err);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(stmt, 3);

		if (!line)
			line = "";
		if (strstr(line, "SCAN"))
			fail_msg("%s: %s", sql, line);
		found |= strstr(line, index) != NULL;
	}
	sqlite3_finalize(stmt);
	if (!found)
		fail_msg("%s does not use %s", sql, index);
}

static void test_searches_use_their_indexes(void **state)
{
	static const struct {
		enum cat_stmt which;
		const char *index;
	} want[] = {{CAT_S_ITEM_LATEST, "item_subject"}, {CAT_S_ITEM_IN_SERIES, "item_series"},
		{CAT_S_ITEMS_OF, "item_series"}, {CAT_S_ITEMS_OF_SUBJECT, "item_subject"},
		{CAT_S_OBJECTS, "item_object"}, {CAT_S_STUDY, "study_uid"},
		{CAT_S_SERIES, "series_uid"}, {CAT_S_SERIES_OF, "series_study"},
		{CAT_S_PRINCIPAL, "principal_token"}};
	struct fixture *fx = *state;

	for (size_t i = 0; i < NX_ARRAY_LEN(want); i++) {
		sqlite3_stmt *stmt;

		assert_ok(nx_cat_stmt(fx->cat->writer, want[i].which, NULL, 0, &stmt, &fx->err),
			&fx->err);
		expect_plan(fx, sqlite3_sql(stmt), want[i].index);
	}
}

int main(void)
{
#define FX(t) cmocka_unit_test_setup_teardown(t, fx_setup, fx_teardown)
	const struct CMUnitTest tests[] = {
		FX(test_no_plaintext_in_any_file),
		FX(test_rows_are_there_after_reopening),
		FX(test_a_wrong_key_is_told_from_damage),
		FX(test_a_flipped_bit_is_corrupt_never_wrong_rows),
		FX(test_swapped_pages_are_corrupt),
		FX(test_foreign_and_future_files_are_refused),
		FX(test_a_newer_schema_is_refused),
		FX(test_an_older_schema_is_brought_up_to_date),
		FX(test_backup_under_another_key),
		FX(test_a_kill_leaves_whole_groups_and_their_watermark),
		FX(test_a_torn_log_ends_at_its_last_whole_group),
		FX(test_a_page_that_was_torn_under_way_from_the_log_is_read_from_it),
		FX(test_the_log_is_checkpointed_while_busy),
		FX(test_searches_use_their_indexes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
