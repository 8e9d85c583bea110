#include "site_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "lifecycle/backup.h"
#include "lifecycle/erase.h"
#include "lifecycle/fsck.h"

/* ---- helpers ---- */

static void path_of(struct fixture *fx, const char *name, char ret[96])
{
	(void)snprintf(ret, 96, "%s/%s", fx->dir, name);
}

static void tree_remove(const char *path)
{
	(void)nftw(path, fx_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static nx_rc backup(struct fixture *fx, const char *name, struct nx_backup_result *ret)
{
	char dir[96];
	struct nx_backup_opts opts = {.dir = dir, .site = "test", .cat_key = &fx->cat_key};

	path_of(fx, name, dir);
	return nx_backup_run(fx->archive, &site_admin, &opts, ret, &fx->err);
}

/* Everything is gone but what is named in `place`, a key place. */
static void site_lose(struct fixture *fx, unsigned lost_place)
{
	char path[96];

	fx_close(fx);
	fx->pool = nx_pool_free(fx->pool);
	path_of(fx, "pool", path);
	tree_remove(path);
	path_of(fx, "ledger", path);
	tree_remove(path);
	path_of(fx, "catalog.db", path);
	assert_int_equal(unlink(path), 0);
	tree_remove(fx->keys_dir[lost_place]);
}

/* From the key place that is left; the lost one is made again. */
static nx_rc restore(
	struct fixture *fx, const char *name, unsigned left, struct nx_restore_result *ret)
{
	struct nx_keys_opts keys = fx->key_opts;
	const char *lost = fx->places[1 - left];
	char dir[96];
	struct nx_restore_opts opts = {.backup = dir,
		.keys = &keys,
		.new_places = &lost,
		.n_new_places = 1,
		.cat_path = fx->cat_path,
		.cat_key = &fx->cat_key,
		.pool_uri = fx->pool_uri,
		.ledger_dir = fx->ledger_dir,
		.origin = "example.org/test"};

	keys.places = &fx->places[left];
	keys.n_places = 1;
	path_of(fx, name, dir);
	return nx_restore_run(&opts, ret, &fx->err);
}

static void file_copy(const char *from, const char *to)
{
	NX_AUTO_DONE(nx_buf) buf;
	NX_AUTO_FD fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	struct nx_err err;

	nx_buf_init(&buf, 1u << 20, 0);
	assert_true(fd >= 0);
	assert_ok(nx_file_read(AT_FDCWD, from, &buf, &err), &err);
	assert_ok(nx_pwrite_full(fd, buf.data, buf.len, 0, &err), &err);
}

static void erase(struct fixture *fx, uint64_t subject)
{
	struct nx_erasure_spec spec = {.subject = subject, .reason = "request", .site = "test"};
	struct nx_erasure_result result;
	NX_AUTO_DONE(nx_buf) certificate;

	nx_buf_init(&certificate, 1u << 20, 0);
	assert_ok(nx_lifecycle_erase(
			  fx->archive, &site_admin, &spec, &result, &certificate, &fx->err),
		&fx->err);
}

static nx_rc first_pack(void *payload, const char *path)
{
	if (!*(char *)payload)
		(void)snprintf(payload, 128, "%s", path);
	return NX_OK;
}

static char found_path[128];

static int find_pack(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_F && strstr(path, "/packs/"))
		(void)first_pack(found_path, path);
	return 0;
}

/* ---- tests ---- */

static void test_only_the_erased_stays_unreadable(void **state)
{
	struct fixture *fx = *state;
	struct nx_backup_result saved;
	struct nx_restore_result restored;
	struct nx_fsck_report report;
	struct nx_put gone, kept, late;
	struct nx_item item;
	uint64_t found = 0, entries = 0;

	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 70000, 1, &gone), &fx->err);
	assert_ok(fx_put(fx, "P2", "1.3", "1.3.1", 900, 3000000, 5, &kept), &fx->err);
	fx_item(fx, gone.ret_subject, "1.2.1", &item);
	assert_ok(backup(fx, "backup", &saved), &fx->err);
	assert_true(saved.packs_copied > 0);
	erase(fx, gone.ret_subject);
	assert_ok(fx_put(fx, "P3", "1.4", "1.4.1", 900, 0, 9, &late), &fx->err);
	site_lose(fx, 0);
	assert_ok(restore(fx, "backup", 1, &restored), &fx->err);
	assert_string_equal(restored.id, saved.id);
	assert_u64(restored.erased, 1);
	fx_open(fx, false);
	/* the erased: no key, no rows */
	assert_rc(nx_archive_open_item(fx->archive, &item, &(struct nx_reader *){NULL}, &fx->err),
		NX_E_ERASED);
	assert_rc(nx_cat_item_by_id(fx->cat, item.id, fx->arena, &item, &fx->err), NX_E_NOENT);
	assert_rc(nx_cat_subject_find(fx->cat, fx->collection.domain, "", "P1", &found, &fx->err),
		NX_E_NOENT);
	assert_rc(nx_cat_study(fx->cat, fx->collection.id, "1.2", fx->arena, &(struct nx_study){0},
			  &fx->err),
		NX_E_NOENT);
	/* the other: byte for byte */
	fx_item(fx, kept.ret_subject, "1.3.1", &item);
	fx_expect(fx, &item, 900, 3000000, 5);
	/* what came after the backup is lost, and the site goes on */
	assert_rc(nx_cat_subject_find(fx->cat, fx->collection.domain, "", "P3", &found, &fx->err),
		NX_E_NOENT);
	assert_ok(fx_put(fx, "P3", "1.4", "1.4.1", 900, 0, 9, &late), &fx->err);
	/* the ledger is whole, tells of the restore, and of the erasure that it replayed */
	assert_ok(nx_ledger_flush(nx_archive_ledger(fx->archive), &fx->err), &fx->err);
	assert_ok(nx_ledger_verify(nx_archive_ledger(fx->archive), &entries, &fx->err), &fx->err);
	assert_int_equal(site_entries(fx, NX_ACTION_RESTORE), 1);
	assert_int_equal(site_entries(fx, NX_ACTION_ERASE), 1);
	/* the space of the erased is found: without its key only as blobs that nothing names */
	assert_ok(nx_fsck(fx->archive, &site_admin, true, NULL, &report, NULL, &fx->err), &fx->err);
	assert_true(nx_fsck_sound(&report));
	assert_u64(report.orphans, 2);
	assert_u64(report.repaired, 2);
	/* and after one more start nothing has changed */
	fx_close(fx);
	fx_open(fx, false);
	fx_item(fx, late.ret_subject, "1.4.1", &item);
	fx_expect(fx, &item, 900, 0, 9);
	fx_item(fx, kept.ret_subject, "1.3.1", &item);
	fx_expect(fx, &item, 900, 3000000, 5);
}

static void test_old_key_log_opens_nothing_under_the_present_root(void **state)
{
	struct fixture *fx = *state;
	struct nx_backup_result saved;
	struct nx_restore_result restored;
	struct nx_put gone;
	char log[96], old[96], present[96];

	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 0, 1, &gone), &fx->err);
	assert_ok(backup(fx, "backup", &saved), &fx->err);
	(void)snprintf(log, sizeof(log), "%s/keys.nxk", fx->keys_dir[1]);
	path_of(fx, "old.nxk", old);
	path_of(fx, "present.nxk", present);
	file_copy(log, old);
	erase(fx, gone.ret_subject);
	site_lose(fx, 0);
	/* somebody kept the log from before the erasure */
	file_copy(log, present);
	file_copy(old, log);
	assert_rc(restore(fx, "backup", 1, &restored), NX_E_KEY);
	/* nothing was written: with the right log it works */
	file_copy(present, log);
	assert_ok(restore(fx, "backup", 1, &restored), &fx->err);
	fx_open(fx, false);
}

static void test_second_backup_copies_only_what_is_new(void **state)
{
	struct fixture *fx = *state;
	struct nx_backup_result first, second, third;
	struct nx_restore_result restored;
	struct nx_put a, b;
	struct nx_item item;

	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 500000, 1, &a), &fx->err);
	assert_ok(backup(fx, "backup", &first), &fx->err);
	assert_u64(first.packs_copied, first.packs);
	fx_close(fx); /* the packs are never appended to again */
	fx_open(fx, false);
	assert_ok(fx_put(fx, "P2", "1.3", "1.3.1", 900, 500000, 5, &b), &fx->err);
	assert_ok(backup(fx, "backup", &second), &fx->err);
	assert_true(second.packs > first.packs);
	assert_true(second.packs_copied <= second.packs - first.packs + 1);
	assert_true(second.bytes_copied < second.bytes);
	/* only the pack with the ledger entries of the backups themselves has grown */
	assert_ok(backup(fx, "backup", &third), &fx->err);
	assert_true(third.packs_copied <= 1);
	site_lose(fx, 0);
	assert_ok(restore(fx, "backup", 1, &restored), &fx->err);
	fx_open(fx, false);
	fx_item(fx, a.ret_subject, "1.2.1", &item);
	fx_expect(fx, &item, 900, 500000, 1);
	fx_item(fx, b.ret_subject, "1.3.1", &item);
	fx_expect(fx, &item, 900, 500000, 5);
}

struct load {
	struct fixture *fx;
	atomic_bool stop;
	atomic_uint done;
	uint64_t subjects[2000];
};

static void load_name(unsigned i, char patient[24], char study[24], char sop[24])
{
	(void)snprintf(patient, 24, "L%u", i % 20);
	(void)snprintf(study, 24, "1.5.%u", i % 20);
	(void)snprintf(sop, 24, "1.5.9.%u", i);
}

static void *load_main(void *arg)
{
	const struct nx_entry_draft draft = {.action = NX_ACTION_QUERY, .principal = "loader"};
	struct load *l = arg;

	for (unsigned i = 0; i < 2000 && !l->stop; i++) {
		char patient[24], study[24], sop[24];
		struct nx_put put;

		load_name(i, patient, study, sop);
		assert_ok(fx_put(l->fx, patient, study, sop, 700, i % 8 ? 0 : 80000, i + 100, &put),
			&l->fx->err);
		/* a group without data goes to another pack than one with */
		assert_ok(nx_archive_record(l->fx->archive, &draft, &l->fx->err), &l->fx->err);
		l->subjects[i] = put.ret_subject;
		l->done = i + 1;
	}
	return NULL;
}

/* Groups go on in several packs while they are copied one after the other: what was answered before
 * the backup began is in it, whatever else is, and the site goes on from there. */
static void test_backup_under_load_is_whole(void **state)
{
	struct fixture *fx = *state;
	struct nx_backup_opts opts = {.site = "test", .cat_key = &fx->cat_key};
	struct load load = {.fx = fx};
	struct nx_restore_result restored;
	struct nx_backup_result saved;
	unsigned before = 0, had = 0;
	struct nx_put put;
	pthread_t thread;
	struct nx_err err;
	char dir[96];

	path_of(fx, "backup", dir);
	opts.dir = dir;
	assert_int_equal(pthread_create(&thread, NULL, load_main, &load), 0);
	for (unsigned round = 0; round < 6; round++) {
		while (load.done < (round + 1) * 20)
			(void)sched_yield();
		before = load.done;
		assert_ok(nx_backup_run(fx->archive, &site_admin, &opts, &saved, &err), &err);
	}
	load.stop = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	site_lose(fx, 1);
	assert_ok(restore(fx, "backup", 0, &restored), &fx->err);
	fx_open(fx, false);
	for (unsigned i = 0; i < load.done; i++) {
		char patient[24], study[24], sop[24];
		struct nx_item item;
		nx_rc rc;

		load_name(i, patient, study, sop);
		nx_arena_reset(fx->arena);
		rc = nx_cat_item_latest(fx->cat, fx->collection.id, load.subjects[i], sop,
			fx->arena, &item, &fx->err);
		assert_true(rc == NX_OK || (i >= before && rc == NX_E_NOENT));
		if (rc)
			continue;
		assert_int_equal(i, had); /* no gap: a beginning of what was sent */
		had++;
		fx_expect(fx, &item, 700, i % 8 ? 0 : 80000, i + 100);
	}
	for (unsigned i = 0; i < 40; i++) {
		char sop[24];

		(void)snprintf(sop, sizeof(sop), "1.6.%u", i);
		assert_ok(fx_put(fx, "P9", "1.6", sop, 700, 0, i, &put), &fx->err);
	}
	fx_close(fx);
	fx_open(fx, false);
	assert_ok(nx_ledger_flush(nx_archive_ledger(fx->archive), &fx->err), &fx->err);
	assert_ok(nx_ledger_verify(nx_archive_ledger(fx->archive), &restored.entries, &fx->err),
		&fx->err);
}

static void test_altered_backup_is_refused(void **state)
{
	struct fixture *fx = *state;
	struct nx_restore_result restored;
	struct nx_backup_result saved;
	struct nx_put put;
	char dir[96], path[128];
	uint8_t byte = 0;

	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 70000, 1, &put), &fx->err);
	assert_ok(backup(fx, "backup", &saved), &fx->err);
	path_of(fx, "backup", dir);
	found_path[0] = 0;
	(void)nftw(dir, find_pack, 16, FTW_PHYS);
	{
		NX_AUTO_FD fd = open(found_path, O_RDWR);

		assert_true(fd >= 0);
		assert_ok(nx_pread_full(fd, &byte, 1, 4200, &fx->err), &fx->err);
		byte ^= 1;
		assert_ok(nx_pwrite_full(fd, &byte, 1, 4200, &fx->err), &fx->err);
	}
	site_lose(fx, 0);
	assert_rc(restore(fx, "backup", 1, &restored), NX_E_CORRUPT);
	/* no catalog was laid down: there is nothing that could be opened by mistake */
	assert_int_equal(access(fx->cat_path, F_OK), -1);
	/* nor is a statement believed that this site did not sign */
	(void)snprintf(path, sizeof(path), "%s/backup.json", dir);
	{
		NX_AUTO_FD fd = open(path, O_RDWR);

		assert_ok(nx_pread_full(fd, &byte, 1, 60, &fx->err), &fx->err);
		byte = byte == '9' ? '8' : '9';
		assert_ok(nx_pwrite_full(fd, &byte, 1, 60, &fx->err), &fx->err);
	}
	assert_rc(restore(fx, "backup", 1, &restored), NX_E_CORRUPT);
}

static void test_restore_overwrites_nothing(void **state)
{
	struct fixture *fx = *state;
	struct nx_restore_result restored;
	struct nx_backup_result saved;
	struct nx_put put;
	struct nx_item item;

	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 70000, 1, &put), &fx->err);
	assert_ok(backup(fx, "backup", &saved), &fx->err);
	fx_close(fx);
	fx->pool = nx_pool_free(fx->pool);
	assert_rc(restore(fx, "backup", 1, &restored), NX_E_EXISTS);
	fx_open(fx, false);
	fx_item(fx, put.ret_subject, "1.2.1", &item);
	fx_expect(fx, &item, 900, 70000, 1);
}

static void test_backup_of_another_past_is_left_alone(void **state)
{
	struct fixture *fx = *state;
	struct nx_restore_result restored;
	struct nx_backup_result saved;
	struct nx_put put;

	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 0, 1, &put), &fx->err);
	assert_ok(backup(fx, "early", &saved), &fx->err);
	assert_ok(fx_put(fx, "P1", "1.2", "1.2.2", 900, 0, 2, &put), &fx->err);
	assert_ok(backup(fx, "late", &saved), &fx->err);
	site_lose(fx, 0);
	assert_ok(restore(fx, "early", 1, &restored), &fx->err);
	fx_open(fx, false);
	assert_rc(backup(fx, "late", &saved), NX_E_CONFLICT);
	for (int i = 0; i < 5; i++) {
		char sop[24];

		(void)snprintf(sop, sizeof(sop), "1.2.9.%d", i);
		assert_ok(fx_put(fx, "P1", "1.2", sop, 900, 0, 2, &put), &fx->err);
	}
	assert_rc(backup(fx, "late", &saved), NX_E_CONFLICT);
	assert_ok(backup(fx, "early", &saved), &fx->err);
}

static void test_failed_backup_leaves_the_earlier_one_whole(void **state)
{
	struct fixture *fx = *state;
	struct nx_restore_result restored;
	struct nx_backup_result first, second;
	char dir[96];
	struct nx_backup_opts opts = {.dir = dir, .site = "test", .cat_key = &fx->cat_key};
	const char *missing = "/no/such/file";
	struct nx_put a, b;

	path_of(fx, "backup", dir);
	opts.files = &missing;
	opts.n_files = 1;
	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 70000, 1, &a), &fx->err);
	assert_ok(backup(fx, "backup", &first), &fx->err);
	assert_ok(fx_put(fx, "P2", "1.3", "1.3.1", 900, 70000, 5, &b), &fx->err);
	assert_rc(nx_backup_run(fx->archive, &site_admin, &opts, &second, &fx->err), NX_E_NOENT);
	site_lose(fx, 0);
	assert_ok(restore(fx, "backup", 1, &restored), &fx->err);
	assert_string_equal(restored.id, first.id);
	fx_open(fx, false);
}

static void test_configuration_travels_sealed(void **state)
{
	struct fixture *fx = *state;
	struct nx_keys_opts keys = fx->key_opts;
	char dir[96], file[96], files_dir[96], cat[96], pool[96], ledger[96];
	const char *files[] = {file};
	struct nx_backup_opts opts = {
		.dir = dir, .site = "test", .cat_key = &fx->cat_key, .files = files, .n_files = 1};
	struct nx_restore_opts back = {.backup = dir,
		.keys = &keys,
		.cat_path = cat,
		.cat_key = &fx->cat_key,
		.pool_uri = pool,
		.ledger_dir = ledger,
		.files_dir = files_dir,
		.origin = "example.org/test"};
	struct nx_backup_result saved;
	struct nx_restore_result restored;
	NX_AUTO_DONE(nx_buf) text;
	char got[128];

	nx_buf_init(&text, 4096, 0);
	path_of(fx, "backup", dir);
	path_of(fx, "narthex.conf", file);
	path_of(fx, "new/conf", files_dir);
	path_of(fx, "new.db", cat);
	path_of(fx, "new/ledger", ledger);
	(void)snprintf(pool, sizeof(pool), "dir:%s/new/pool", fx->dir);
	{
		NX_AUTO_FD fd = open(file, O_WRONLY | O_CREAT, 0600);

		assert_ok(nx_pwrite_full(fd, "secret = yes\n", 13, 0, &fx->err), &fx->err);
	}
	assert_ok(nx_backup_run(fx->archive, &site_admin, &opts, &saved, &fx->err), &fx->err);
	fx_close(fx);
	assert_ok(nx_restore_run(&back, &restored, &fx->err), &fx->err);
	(void)snprintf(got, sizeof(got), "%s/narthex.conf", files_dir);
	assert_ok(nx_file_read(AT_FDCWD, got, &text, &fx->err), &fx->err);
	assert_string_equal(nx_buf_cstr(&text), "secret = yes\n");
	fx_open(fx, false);
}

static void test_added_key_place_keeps_in_step(void **state)
{
	struct fixture *fx = *state;
	const char *third[1];
	struct nx_keys_opts keys = fx->key_opts;
	struct nx_keys *alone = NULL;
	struct nx_keys_status status;
	struct nx_put gone, kept;
	struct nx_key key;
	char dir[96];

	path_of(fx, "vault", dir);
	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 0, 1, &gone), &fx->err);
	assert_rc(nx_backup_keys(fx->archive, &site_modality, dir, &fx->err), NX_E_DENIED);
	assert_ok(nx_backup_keys(fx->archive, &site_admin, dir, &fx->err), &fx->err);
	assert_rc(nx_backup_keys(fx->archive, &site_admin, dir, &fx->err), NX_E_EXISTS);
	nx_keys_status(fx->keys, &status);
	assert_u64(status.n_places, 3);
	assert_ok(fx_put(fx, "P2", "1.3", "1.3.1", 900, 0, 5, &kept), &fx->err);
	erase(fx, gone.ret_subject);
	fx_close(fx);
	third[0] = dir;
	keys.places = third;
	keys.n_places = 1;
	assert_ok(nx_keys_open(&keys, &alone, &fx->err), &fx->err);
	assert_ok(nx_keys_subject(
			  alone, (uint32_t)fx->collection.domain, kept.ret_subject, &key, &fx->err),
		&fx->err);
	assert_true(nx_keys_erased(alone, gone.ret_subject));
	nx_keys_free(alone);
	fx_open(fx, false);
}

static void test_backup_needs_permission(void **state)
{
	struct fixture *fx = *state;
	char dir[96];
	struct nx_backup_opts opts = {.dir = dir, .site = "test", .cat_key = &fx->cat_key};
	struct nx_backup_result saved;

	path_of(fx, "backup", dir);
	assert_rc(nx_backup_run(fx->archive, &site_modality, &opts, &saved, &fx->err), NX_E_DENIED);
	assert_int_equal(access(dir, F_OK), -1);
	assert_int_equal(site_entries(fx, NX_ACTION_ACCESS_DENY), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_only_the_erased_stays_unreadable),
		T(test_old_key_log_opens_nothing_under_the_present_root),
		T(test_second_backup_copies_only_what_is_new),
		T(test_backup_under_load_is_whole),
		T(test_altered_backup_is_refused),
		T(test_restore_overwrites_nothing),
		T(test_backup_of_another_past_is_left_alone),
		T(test_failed_backup_leaves_the_earlier_one_whole),
		T(test_configuration_travels_sealed),
		T(test_added_key_place_keeps_in_step),
		T(test_backup_needs_permission),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
