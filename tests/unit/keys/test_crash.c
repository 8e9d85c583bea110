#include "keys_fixture.h"

/*
 * A kill after N steps of file work, for every N; then torn, damaged and lagging files.  A store
 * must open afterwards with what was synced, or say which place is damaged.
 */

struct before {
	uint32_t prod;
	struct nx_key gone, stays, site;
};

static void prepare(struct fixture *fx, struct before *ret)
{
	fx_init(fx, "file");
	ret->prod = fx_domain(fx, "prod/phi");
	ret->gone = fx_subject_new(fx, ret->prod, 1);
	ret->stays = fx_subject_new(fx, ret->prod, 2);
	assert_ok(nx_keys_site(fx->keys, "log", &ret->site, &fx->err), &fx->err);
	assert_ok(nx_keys_sync(fx->keys, &fx->err), &fx->err);
}

/* Either as before or erased, never between; and what was confirmed stays. */
static void check(struct fixture *fx, struct nx_keys *keys, const struct before *b, bool confirmed)
{
	struct nx_key key;
	nx_rc rc = nx_keys_subject(keys, b->prod, 1, &key, &fx->err);

	if (rc == NX_OK) {
		assert_false(confirmed);
		assert_key(key, b->gone);
		assert_false(nx_keys_erased(keys, 1));
	} else {
		assert_rc(rc, NX_E_ERASED);
	}
	assert_ok(nx_keys_subject(keys, b->prod, 2, &key, &fx->err), &fx->err);
	assert_key(key, b->stays);
	assert_ok(nx_keys_site(keys, "log", &key, &fx->err), &fx->err);
	assert_key(key, b->site);
}

/* Each place alone, from a copy of it. */
static void check_each_place(struct fixture *fx, const struct before *b, bool confirmed)
{
	const char *place = fx->dir[2];
	struct nx_keys_opts opts = fx->opts;

	opts.places = &place;
	opts.n_places = 1;
	for (int i = 0; i < 2; i++) {
		struct nx_keys *keys = NULL;

		fx_copy(fx, i, 2, NX_KEYS_LOG);
		fx_copy(fx, i, 2, NX_KEYS_ROOT);
		assert_ok(nx_keys_open(&opts, &keys, &fx->err), &fx->err);
		check(fx, keys, b, confirmed);
		keys = nx_keys_free(keys);
	}
}

static void test_kill_at_every_step_of_an_erase(void **state)
{
	bool confirmed = false;
	int n;

	(void)state;
	for (n = 0; !confirmed; n++) {
		struct fixture fx;
		struct before b;
		struct nx_key key;
		size_t places;
		nx_rc rc;

		prepare(&fx, &b);
		nx_keys_steps_left = n;
		rc = nx_keys_erase(fx.keys, 1, &places, &fx.err);
		/* It stopped working within the call, whatever became of the files. */
		assert_rc(nx_keys_subject(fx.keys, b.prod, 1, &key, &fx.err), NX_E_ERASED);
		fx.keys = nx_keys_free(fx.keys);
		nx_keys_steps_left = -1;
		confirmed = rc == NX_OK;
		check_each_place(&fx, &b, confirmed);
		assert_ok(fx_reopen(&fx), &fx.err);
		check(&fx, fx.keys, &b, confirmed);
		assert_ok(nx_keys_erase(fx.keys, 1, &places, &fx.err), &fx.err);
		assert_ok(fx_reopen(&fx), &fx.err);
		check(&fx, fx.keys, &b, true);
		fx_done(&fx);
	}
	/* Mark and sync, two roots, log and root again: each in two places. */
	assert_int_equal(n - 1, 10);
}

static void test_kill_at_every_step_of_the_repair(void **state)
{
	(void)state;
	for (int n = 1; n < 10; n++) {
		bool opened = false;

		for (int m = 0; !opened; m++) {
			struct fixture fx;
			struct before b;
			size_t places;

			prepare(&fx, &b);
			nx_keys_steps_left = n;
			assert_rc(nx_keys_erase(fx.keys, 1, &places, &fx.err), NX_E_IO);
			nx_keys_steps_left = m;
			opened = fx_reopen(&fx) == NX_OK;
			nx_keys_steps_left = -1;
			check_each_place(&fx, &b, opened);
			assert_ok(fx_reopen(&fx), &fx.err);
			check(&fx, fx.keys, &b, true);
			fx_done(&fx);
			assert_true(m < 20);
		}
	}
}

static void test_kill_at_every_step_of_a_rotation_and_passphrase(void **state)
{
	(void)state;
	for (int n = 0; n <= 2; n++) {
		struct fixture fx;
		struct before b;

		prepare(&fx, &b);
		nx_keys_steps_left = n;
		assert_rc(nx_keys_rotate_domain(fx.keys, b.prod, &fx.err), n < 2 ? NX_E_IO : NX_OK);
		nx_keys_steps_left = -1;
		check(&fx, fx.keys, &b, false);
		check_each_place(&fx, &b, false);
		assert_ok(fx_reopen(&fx), &fx.err);
		check(&fx, fx.keys, &b, false);

		nx_keys_steps_left = n;
		assert_rc(nx_keys_set_passphrase(fx.keys, nx_slice_str("new"), &fx.err),
			n < 2 ? NX_E_IO : NX_OK);
		nx_keys_steps_left = -1;
		if (n == 2)
			fx.opts.passphrase = nx_slice_str("new");
		assert_ok(fx_reopen(&fx), &fx.err);
		check(&fx, fx.keys, &b, false);
		fx_done(&fx);
	}
}

static void test_failed_sync_stops_writing_and_not_reading(void **state)
{
	struct nx_key key;
	struct fixture fx;
	struct before b;

	(void)state;
	for (int n = 0; n < 4; n++) {
		prepare(&fx, &b);
		fx_subject_new(&fx, b.prod, 3);
		nx_keys_steps_left = n;
		assert_rc(nx_keys_sync(fx.keys, &fx.err), NX_E_IO);
		nx_keys_steps_left = -1;
		assert_rc(nx_keys_sync(fx.keys, &fx.err), NX_E_IO); /* never retried */
		assert_true(nx_keys_pending(fx.keys));
		assert_rc(nx_keys_subject_new(fx.keys, b.prod, 4, &key, &fx.err), NX_E_IO);
		check(&fx, fx.keys, &b, false);
		assert_ok(fx_reopen(&fx), &fx.err);
		check(&fx, fx.keys, &b, false);
		fx_done(&fx);
	}
}

static void test_torn_tail_is_cut(void **state)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_keys_status status;
	struct fixture fx;
	struct before b;
	size_t whole;

	(void)state;
	prepare(&fx, &b);
	fx_read(&fx, 0, NX_KEYS_LOG, &buf);
	fx_subject_new(&fx, b.prod, 3);
	assert_ok(nx_keys_sync(fx.keys, &fx.err), &fx.err);
	whole = buf.len;
	nx_buf_done(&buf);
	fx_read(&fx, 0, NX_KEYS_LOG, &buf);
	for (size_t n = whole; n < buf.len; n++) {
		for (int i = 0; i < 2; i++)
			fx_write(&fx, i, NX_KEYS_LOG, nx_slice(buf.data, n));
		assert_ok(fx_reopen(&fx), &fx.err);
		check(&fx, fx.keys, &b, false);
		nx_keys_status(fx.keys, &status);
		assert_u64(status.log_bytes, whole);
	}
	/* A size that reached the disk before the data. */
	nx_buf_put_zero(&buf, 2000);
	for (int i = 0; i < 2; i++)
		fx_write(&fx, i, NX_KEYS_LOG, nx_buf_slice(&buf));
	assert_ok(fx_reopen(&fx), &fx.err);
	fx_subject(&fx, b.prod, 3);
	fx_done(&fx);
}

/* Every bit of the log, in every place: it does not open.  In one place: the other heals it. */
static void test_flipped_bit_is_found(void **state)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_keys *keys = NULL;
	struct nx_keys_opts opts;
	struct fixture fx;
	struct before b;
	const char *place;

	(void)state;
	prepare(&fx, &b);
	fx_read(&fx, 0, NX_KEYS_LOG, &buf);
	fx_copy(&fx, 0, 2, NX_KEYS_ROOT);
	place = fx.dir[2];
	opts = fx.opts;
	opts.places = &place;
	opts.n_places = 1;
	for (size_t bit = 0; bit < buf.len * 8; bit += 5) {
		buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		fx_write(&fx, 2, NX_KEYS_LOG, nx_buf_slice(&buf));
		assert_true(nx_keys_open(&opts, &keys, &fx.err) != NX_OK);
		assert_null(keys);
		buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	buf.data[NX_KEYLOG_HEADER_LEN + 20] ^= 4;
	fx_write(&fx, 1, NX_KEYS_LOG, nx_buf_slice(&buf));
	assert_ok(fx_reopen(&fx), &fx.err);
	check(&fx, fx.keys, &b, false);
	check_each_place(&fx, &b, false);
	fx_done(&fx);
}

static void test_lagging_place_is_brought_up_to_date(void **state)
{
	struct nx_key third;
	struct fixture fx;
	struct before b;

	(void)state;
	for (int lag = 0; lag < 2; lag++) {
		prepare(&fx, &b);
		fx_copy(&fx, lag, 2, NX_KEYS_LOG);
		third = fx_subject_new(&fx, b.prod, 3);
		assert_ok(nx_keys_sync(fx.keys, &fx.err), &fx.err);
		fx_copy(&fx, 2, lag, NX_KEYS_LOG);
		assert_ok(fx_reopen(&fx), &fx.err);
		assert_key(fx_subject(&fx, b.prod, 3), third);
		fx_copy(&fx, lag, 1 - lag, NX_KEYS_LOG); /* it has all of it now */
		assert_ok(fx_reopen(&fx), &fx.err);
		assert_key(fx_subject(&fx, b.prod, 3), third);
		fx_done(&fx);
	}
}

static void test_missing_or_foreign_place_is_named(void **state)
{
	struct fixture fx, other;
	struct before b;
	char path[96];

	(void)state;
	prepare(&fx, &b);
	prepare(&other, &b);
	(void)snprintf(path, sizeof(path), "%s/%s", fx.dir[1], NX_KEYS_LOG);
	assert_int_equal(unlink(path), 0);
	assert_rc(fx_reopen(&fx), NX_E_NOENT);
	assert_non_null(strstr(fx.err.text, "place 2"));
	fx_copy(&other, 0, 2, NX_KEYS_LOG);
	(void)snprintf(other.dir[3], sizeof(other.dir[3]), "%s", fx.dir[1]);
	fx_copy(&other, 2, 3, NX_KEYS_LOG);
	assert_rc(fx_reopen(&fx), NX_E_CONFLICT);
	assert_non_null(strstr(fx.err.text, "place 2"));
	(void)snprintf(other.dir[3], sizeof(other.dir[3]), "%s/3", other.base);
	fx_done(&fx);
	fx_done(&other);
}

static void test_damaged_root_key_is_named(void **state)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct fixture fx;
	struct before b;

	(void)state;
	prepare(&fx, &b);
	fx_read(&fx, 1, NX_KEYS_ROOT, &buf);
	for (size_t i = 0; i < buf.len; i++) {
		buf.data[i] ^= 0x10;
		fx_write(&fx, 1, NX_KEYS_ROOT, nx_buf_slice(&buf));
		assert_rc(fx_reopen(&fx), NX_E_CORRUPT);
		assert_non_null(strstr(fx.err.text, "place 2"));
		buf.data[i] ^= 0x10;
	}
	fx_write(&fx, 1, NX_KEYS_ROOT, nx_slice(buf.data, buf.len - 1));
	assert_rc(fx_reopen(&fx), NX_E_CORRUPT);
	fx_write(&fx, 1, NX_KEYS_ROOT, nx_buf_slice(&buf));
	assert_ok(fx_reopen(&fx), &fx.err);
	fx_done(&fx);
}

/* A compat flag from the future: everything reads, nothing is written, not even repairs. */
static void test_unknown_flags(void **state)
{
	NX_AUTO_DONE(nx_buf) buf = {0}, head = {0};
	struct nx_keylog log;
	struct fixture fx;
	struct nx_key key;
	struct before b;

	(void)state;
	prepare(&fx, &b);
	fx_read(&fx, 0, NX_KEYS_LOG, &buf);
	assert_ok(nx_keylog_check(nx_buf_slice(&buf), &log, &fx.err), &fx.err);
	for (int incompat = 0; incompat < 2; incompat++) {
		log.header.compat = !incompat;
		log.header.incompat = incompat;
		nx_buf_init(&head, 64, 0);
		nx_keylog_header_put(&head, &log.header);
		memcpy(buf.data, head.data, NX_KEYLOG_HEADER_LEN);
		nx_buf_done(&head);
		for (int i = 0; i < 2; i++)
			fx_write(&fx, i, NX_KEYS_LOG, nx_buf_slice(&buf));
		if (incompat)
			break;
		assert_ok(fx_reopen(&fx), &fx.err);
		check(&fx, fx.keys, &b, false);
		assert_rc(nx_keys_subject_new(fx.keys, b.prod, 3, &key, &fx.err), NX_E_READONLY);
		assert_rc(nx_keys_rotate_domain(fx.keys, b.prod, &fx.err), NX_E_READONLY);
	}
	assert_rc(fx_reopen(&fx), NX_E_VERSION);
	fx_done(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill_at_every_step_of_an_erase),
		cmocka_unit_test(test_kill_at_every_step_of_the_repair),
		cmocka_unit_test(test_kill_at_every_step_of_a_rotation_and_passphrase),
		cmocka_unit_test(test_failed_sync_stops_writing_and_not_reading),
		cmocka_unit_test(test_torn_tail_is_cut),
		cmocka_unit_test(test_flipped_bit_is_found),
		cmocka_unit_test(test_lagging_place_is_brought_up_to_date),
		cmocka_unit_test(test_missing_or_foreign_place_is_named),
		cmocka_unit_test(test_damaged_root_key_is_named),
		cmocka_unit_test(test_unknown_flags),
	};

	return nx_crypto_init(NULL) || cmocka_run_group_tests(tests, NULL, NULL);
}
