#include "keys_fixture.h"

#include <pthread.h>

static void test_create_refuses_a_store_that_is_there(void **state)
{
	struct fixture fx;

	(void)state;
	fx_init(&fx, "file");
	assert_rc(nx_keys_create(&fx.opts, &fx.err), NX_E_EXISTS);
	fx.opts.driver = "none";
	assert_rc(nx_keys_create(&fx.opts, &fx.err), NX_E_CONFIG);
	fx_done(&fx);
}

static void test_a_place_that_is_open_is_not_opened_again(void **state)
{
	struct nx_keys *second = NULL;
	struct fixture fx;

	(void)state;
	fx_init(&fx, "file");
	fx.opts.n_places = 1;
	assert_rc(nx_keys_open(&fx.opts, &second, &fx.err), NX_E_BUSY);
	assert_null(second);
	fx.opts.n_places = 2;
	assert_ok(fx_reopen(&fx), &fx.err);
	fx_done(&fx);
}

static void test_wrong_passphrase_is_e_key(void **state)
{
	struct nx_keys *keys = NULL;
	struct fixture fx;

	(void)state;
	fx_init(&fx, "file");
	fx.keys = nx_keys_free(fx.keys);
	fx.opts.passphrase = nx_slice_str("correct horst");
	assert_rc(nx_keys_open(&fx.opts, &keys, &fx.err), NX_E_KEY);
	assert_null(keys);
	fx_done(&fx);
}

static void test_names_keep_their_keys(void **state)
{
	struct nx_key site, handle, again;
	struct fixture fx;
	uint32_t prod, test, id;
	char name[64];
	uint32_t version;

	(void)state;
	fx_init(&fx, "file");
	assert_ok(nx_keys_site(fx.keys, "catalog", &site, &fx.err), &fx.err);
	prod = fx_domain(&fx, "prod/phi");
	test = fx_domain(&fx, "test/phi");
	assert_int_not_equal(prod, test);
	assert_int_equal(fx_domain(&fx, "prod/phi"), prod);
	assert_ok(nx_keys_domain_purpose(fx.keys, prod, "handle", &handle, &fx.err), &fx.err);
	assert_false(nx_keys_pending(fx.keys)); /* names are durable at once */
	assert_ok(fx_reopen(&fx), &fx.err);
	assert_ok(nx_keys_site(fx.keys, "catalog", &again, &fx.err), &fx.err);
	assert_key(site, again);
	assert_ok(nx_keys_domain_purpose(fx.keys, prod, "handle", &again, &fx.err), &fx.err);
	assert_key(handle, again);
	assert_ok(nx_keys_domain_purpose(fx.keys, test, "handle", &again, &fx.err), &fx.err);
	assert_memory_not_equal(handle.b, again.b, 32);
	assert_ok(nx_keys_domain_at(fx.keys, 1, &id, name, &version, &fx.err), &fx.err);
	assert_int_equal(id, test);
	assert_string_equal(name, "test/phi");
	assert_rc(nx_keys_domain_at(fx.keys, 2, &id, name, &version, &fx.err), NX_E_NOENT);
	assert_rc(nx_keys_domain(fx.keys, "none", false, &id, &fx.err), NX_E_NOENT);
	assert_rc(nx_keys_domain(fx.keys, "", true, &id, &fx.err), NX_E_INVAL);
	assert_rc(nx_keys_domain_purpose(fx.keys, 9, "x", &again, &fx.err), NX_E_NOENT);
	fx_done(&fx);
}

static void test_subjects_survive_a_reopen(void **state)
{
	enum {
		N = 2000
	};
	static struct nx_key want[N];
	struct nx_keys_status status;
	struct nx_key key;
	struct fixture fx;
	uint32_t prod;

	(void)state;
	fx_init(&fx, "file");
	prod = fx_domain(&fx, "prod/phi");
	for (uint64_t i = 0; i < N; i++)
		want[i] = fx_subject_new(&fx, prod, i * 0x9e3779b97f4a7c15u);
	assert_true(nx_keys_pending(fx.keys));
	assert_ok(nx_keys_sync(fx.keys, &fx.err), &fx.err);
	assert_false(nx_keys_pending(fx.keys));
	assert_rc(nx_keys_subject_new(fx.keys, prod, 0, &key, &fx.err), NX_E_EXISTS);
	assert_ok(fx_reopen(&fx), &fx.err);
	for (uint64_t i = 0; i < N; i++)
		assert_key(fx_subject(&fx, prod, i * 0x9e3779b97f4a7c15u), want[i]);
	assert_rc(nx_keys_subject(fx.keys, prod, 7, &key, &fx.err), NX_E_NOENT);
	assert_rc(nx_keys_subject(fx.keys, prod + 1, 0, &key, &fx.err), NX_E_NOENT);
	nx_keys_status(fx.keys, &status);
	assert_u64(status.n_subjects, N);
	assert_u64(status.root_version, 1);
	assert_u64(status.n_places, 2);
	fx_done(&fx);
}

static void test_rotation_keeps_subject_and_purpose_keys(void **state)
{
	struct nx_key a[300], handle, again;
	struct fixture fx;
	uint32_t prod, id, version;
	char name[64];

	(void)state;
	fx_init(&fx, "file");
	prod = fx_domain(&fx, "prod/phi");
	assert_ok(nx_keys_domain_purpose(fx.keys, prod, "handle", &handle, &fx.err), &fx.err);
	for (uint64_t i = 0; i < NX_ARRAY_LEN(a); i++)
		a[i] = fx_subject_new(&fx, prod, i);
	assert_ok(nx_keys_rotate_domain(fx.keys, prod, &fx.err), &fx.err);
	assert_false(nx_keys_pending(fx.keys));
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < NX_ARRAY_LEN(a); i++)
			assert_key(fx_subject(&fx, prod, i), a[i]);
		assert_ok(
			nx_keys_domain_purpose(fx.keys, prod, "handle", &again, &fx.err), &fx.err);
		assert_key(handle, again);
		assert_ok(nx_keys_domain_at(fx.keys, 0, &id, name, &version, &fx.err), &fx.err);
		assert_int_equal(version, 2);
		assert_ok(fx_reopen(&fx), &fx.err);
	}
	assert_rc(nx_keys_rotate_domain(fx.keys, 9, &fx.err), NX_E_NOENT);
	fx_done(&fx);
}

static void erase_and_check(struct fixture *fx)
{
	uint32_t prod = fx_domain(fx, "prod/phi"), test = fx_domain(fx, "test/phi");
	struct nx_key keep[600], site, key;
	struct nx_keys_status status;
	size_t places = 0;

	assert_ok(nx_keys_site(fx->keys, "log", &site, &fx->err), &fx->err);
	for (uint64_t i = 0; i < NX_ARRAY_LEN(keep); i++)
		keep[i] = fx_subject_new(fx, prod, i);
	fx_subject_new(fx, test, 300);
	assert_rc(nx_keys_erase(fx->keys, 999, &places, &fx->err), NX_E_NOENT);
	assert_rc(nx_keys_erase(fx->keys, 0, &places, &fx->err), NX_E_INVAL);
	assert_ok(nx_keys_erase(fx->keys, 300, &places, &fx->err), &fx->err);
	assert_int_equal(places, 2);
	assert_ok(nx_keys_erase(fx->keys, 300, &places, &fx->err), &fx->err);
	for (int round = 0; round < 2; round++) {
		assert_true(nx_keys_erased(fx->keys, 300));
		assert_false(nx_keys_erased(fx->keys, 301));
		assert_rc(nx_keys_subject(fx->keys, prod, 300, &key, &fx->err), NX_E_ERASED);
		assert_rc(nx_keys_subject(fx->keys, test, 300, &key, &fx->err), NX_E_ERASED);
		assert_rc(nx_keys_subject_new(fx->keys, prod, 300, &key, &fx->err), NX_E_ERASED);
		for (uint64_t i = 0; i < NX_ARRAY_LEN(keep); i++)
			if (i != 300)
				assert_key(fx_subject(fx, prod, i), keep[i]);
		assert_ok(nx_keys_site(fx->keys, "log", &key, &fx->err), &fx->err);
		assert_key(site, key);
		nx_keys_status(fx->keys, &status);
		assert_u64(status.n_subjects, NX_ARRAY_LEN(keep) - 1);
		assert_u64(status.n_erased, 1);
		assert_u64(status.root_version, 2);
		assert_ok(fx_reopen(fx), &fx->err);
	}
	/* The store goes on as any other. */
	keep[0] = fx_subject_new(fx, prod, 5000);
	assert_ok(nx_keys_erase(fx->keys, 1, &places, &fx->err), &fx->err);
	assert_ok(fx_reopen(fx), &fx->err);
	assert_key(fx_subject(fx, prod, 5000), keep[0]);
	assert_true(nx_keys_erased(fx->keys, 1) && nx_keys_erased(fx->keys, 300));
}

static void test_erase_leaves_all_others(void **state)
{
	static const char *const drivers[] = {"file", "mem"};
	struct fixture fx;

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(drivers); i++) {
		fx_init(&fx, drivers[i]);
		erase_and_check(&fx);
		fx_done(&fx);
	}
}

/* The promise of the design: an older copy of the log opens nothing under the present root. */
static void test_old_log_under_present_root_opens_nothing(void **state)
{
	struct nx_keylog_header header;
	struct nx_keylog log;
	NX_AUTO_DONE(nx_buf) buf;
	struct nx_buf forged;
	struct fixture fx;
	uint32_t prod;
	size_t places;

	(void)state;
	fx_init(&fx, "file");
	prod = fx_domain(&fx, "prod/phi");
	fx_subject_new(&fx, prod, 1);
	fx_subject_new(&fx, prod, 2);
	assert_ok(nx_keys_sync(fx.keys, &fx.err), &fx.err);
	fx_copy(&fx, 0, 2, NX_KEYS_LOG);
	assert_ok(nx_keys_erase(fx.keys, 1, &places, &fx.err), &fx.err);
	for (int i = 0; i < 2; i++)
		fx_copy(&fx, 2, i, NX_KEYS_LOG);
	assert_rc(fx_reopen(&fx), NX_E_KEY);

	/* Not even when its header is made to name the present root version. */
	fx_read(&fx, 2, NX_KEYS_LOG, &buf);
	assert_ok(nx_keylog_check(nx_buf_slice(&buf), &log, &fx.err), &fx.err);
	header = log.header;
	header.root_version = 2;
	header.generation = 99;
	nx_buf_init(&forged, 1u << 20, 0);
	nx_keylog_header_put(&forged, &header);
	memcpy(buf.data, forged.data, NX_KEYLOG_HEADER_LEN);
	nx_buf_done(&forged);
	for (int i = 0; i < 2; i++)
		fx_write(&fx, i, NX_KEYS_LOG, nx_buf_slice(&buf));
	assert_rc(fx_reopen(&fx), NX_E_KEY);
	fx_done(&fx);
}

/* In one place only, the old log is found out by its generation and replaced. */
static void test_old_log_in_one_place_is_brought_up_to_date(void **state)
{
	NX_AUTO_DONE(nx_buf) a = {0}, b = {0};
	struct fixture fx;
	struct nx_key key;
	uint32_t prod;
	size_t places;

	(void)state;
	fx_init(&fx, "file");
	prod = fx_domain(&fx, "prod/phi");
	fx_subject_new(&fx, prod, 1);
	assert_ok(nx_keys_sync(fx.keys, &fx.err), &fx.err);
	fx_copy(&fx, 0, 2, NX_KEYS_LOG);
	assert_ok(nx_keys_erase(fx.keys, 1, &places, &fx.err), &fx.err);
	fx_copy(&fx, 2, 0, NX_KEYS_LOG);
	assert_ok(fx_reopen(&fx), &fx.err);
	assert_rc(nx_keys_subject(fx.keys, prod, 1, &key, &fx.err), NX_E_ERASED);
	fx_read(&fx, 0, NX_KEYS_LOG, &a);
	fx_read(&fx, 1, NX_KEYS_LOG, &b);
	assert_true(nx_slice_eq(nx_buf_slice(&a), nx_buf_slice(&b)));
	fx_done(&fx);
}

static void test_passphrase_changes(void **state)
{
	struct nx_key key, again;
	struct fixture fx;
	size_t places;

	(void)state;
	fx_init(&fx, "file");
	assert_ok(nx_keys_site(fx.keys, "log", &key, &fx.err), &fx.err);
	fx_subject_new(&fx, fx_domain(&fx, "prod/phi"), 1);
	assert_ok(nx_keys_set_passphrase(fx.keys, nx_slice_str("battery"), &fx.err), &fx.err);
	assert_ok(nx_keys_erase(fx.keys, 1, &places, &fx.err), &fx.err);
	assert_rc(fx_reopen(&fx), NX_E_KEY);
	fx.opts.passphrase = nx_slice_str("battery");
	assert_ok(fx_reopen(&fx), &fx.err);
	assert_ok(nx_keys_site(fx.keys, "log", &again, &fx.err), &fx.err);
	assert_key(key, again);
	fx_done(&fx);
}

static void *make_subjects(void *arg)
{
	struct fixture *fx = arg;
	static _Atomic uint64_t next = 1000;
	struct nx_err err;
	struct nx_key key, again;

	for (int i = 0; i < 200; i++) {
		uint64_t subject = next++;

		if (nx_keys_subject_new(fx->keys, 1, subject, &key, &err) ||
			(i % 16 == 0 && nx_keys_sync(fx->keys, &err)) ||
			nx_keys_subject(fx->keys, 1, subject, &again, &err) ||
			memcmp(key.b, again.b, NX_KEY_LEN) != 0)
			return arg;
	}
	return NULL;
}

static void test_threads_work_while_subjects_are_erased(void **state)
{
	struct nx_keys_status status;
	pthread_t threads[3];
	struct fixture fx;
	size_t places;

	(void)state;
	fx_init(&fx, "file");
	assert_int_equal(fx_domain(&fx, "prod/phi"), 1);
	for (uint64_t i = 1; i <= 5; i++)
		fx_subject_new(&fx, 1, i);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_subjects, &fx), 0);
	for (uint64_t i = 1; i <= 5; i++)
		assert_ok(nx_keys_erase(fx.keys, i, &places, &fx.err), &fx.err);
	for (int i = 0; i < 3; i++) {
		void *failed;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_ok(nx_keys_sync(fx.keys, &fx.err), &fx.err);
	assert_ok(fx_reopen(&fx), &fx.err);
	nx_keys_status(fx.keys, &status);
	assert_u64(status.n_subjects, 600);
	assert_u64(status.n_erased, 5);
	fx_done(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_refuses_a_store_that_is_there),
		cmocka_unit_test(test_a_place_that_is_open_is_not_opened_again),
		cmocka_unit_test(test_wrong_passphrase_is_e_key),
		cmocka_unit_test(test_names_keep_their_keys),
		cmocka_unit_test(test_subjects_survive_a_reopen),
		cmocka_unit_test(test_rotation_keeps_subject_and_purpose_keys),
		cmocka_unit_test(test_erase_leaves_all_others),
		cmocka_unit_test(test_old_log_under_present_root_opens_nothing),
		cmocka_unit_test(test_old_log_in_one_place_is_brought_up_to_date),
		cmocka_unit_test(test_passphrase_changes),
		cmocka_unit_test(test_threads_work_while_subjects_are_erased),
	};

	return nx_crypto_init(NULL) || cmocka_run_group_tests(tests, NULL, NULL);
}
