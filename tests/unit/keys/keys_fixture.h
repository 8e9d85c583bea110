/* A key store in two temporary directories, and what tests do to its files. */
#ifndef NX_TEST_KEYS_FIXTURE_H
#define NX_TEST_KEYS_FIXTURE_H

#include "nx_test.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/file.h"
#include "keys/keys_priv.h"

struct fixture {
	char base[32];
	char dir[4][48]; /* 0, 1: the store; 2, 3: scratch */
	const char *places[2];
	struct nx_keys_opts opts;
	struct nx_keys *keys;
	struct nx_err err;
};

static inline void fx_init(struct fixture *fx, const char *driver)
{
	/* In memory where there is such a place: these tests sync thousands of times. */
	bool shm = access("/dev/shm", W_OK) == 0;

	*fx = (struct fixture){0};
	(void)snprintf(fx->base, sizeof(fx->base), "%s/nx-keys-XXXXXX", shm ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(fx->base));
	for (int i = 0; i < 4; i++)
		(void)snprintf(fx->dir[i], sizeof(fx->dir[i]), "%s/%d", fx->base, i);
	fx->places[0] = fx->dir[0];
	fx->places[1] = fx->dir[1];
	fx->opts = (struct nx_keys_opts){.driver = driver,
		.places = fx->places,
		.n_places = 2,
		.passphrase = nx_slice_str("correct horse"),
		.argon2_kib = 8};
	assert_ok(nx_keys_create(&fx->opts, &fx->err), &fx->err);
	assert_ok(nx_keys_open(&fx->opts, &fx->keys, &fx->err), &fx->err);
}

static inline void fx_done(struct fixture *fx)
{
	static const char *const names[] = {NX_KEYS_LOG, NX_KEYS_ROOT, "lock"};
	char path[96];

	fx->keys = nx_keys_free(fx->keys);
	for (int i = 0; i < 4; i++) {
		for (size_t k = 0; k < NX_ARRAY_LEN(names); k++) {
			(void)snprintf(path, sizeof(path), "%s/%s", fx->dir[i], names[k]);
			(void)unlink(path);
		}
		(void)rmdir(fx->dir[i]);
	}
	assert_int_equal(rmdir(fx->base), 0); /* no temporary file is left either */
}

static inline nx_rc fx_reopen(struct fixture *fx)
{
	fx->keys = nx_keys_free(fx->keys);
	return nx_keys_open(&fx->opts, &fx->keys, &fx->err);
}

static inline void fx_read(struct fixture *fx, int dir, const char *name, struct nx_buf *buf)
{
	NX_AUTO_FD fd = open(fx->dir[dir], O_RDONLY | O_DIRECTORY);

	nx_buf_init(buf, 1u << 30, 0);
	assert_ok(nx_file_read(fd, name, buf, &fx->err), &fx->err);
}

static inline void fx_write(struct fixture *fx, int dir, const char *name, struct nx_slice data)
{
	NX_AUTO_FD fd = -1;

	assert_ok(nx_mkdirs(fx->dir[dir], &fx->err), &fx->err);
	fd = open(fx->dir[dir], O_RDONLY | O_DIRECTORY);
	assert_ok(nx_file_replace(fd, name, data, 0600, &fx->err), &fx->err);
}

static inline void fx_copy(struct fixture *fx, int from, int to, const char *name)
{
	NX_AUTO_DONE(nx_buf) buf;

	fx_read(fx, from, name, &buf);
	fx_write(fx, to, name, nx_buf_slice(&buf));
}

static inline struct nx_key fx_subject_new(struct fixture *fx, uint32_t domain, nx_subject subject)
{
	struct nx_key key = {{0}};

	assert_ok(nx_keys_subject_new(fx->keys, domain, subject, &key, &fx->err), &fx->err);
	return key;
}

static inline struct nx_key fx_subject(struct fixture *fx, uint32_t domain, nx_subject subject)
{
	struct nx_key key = {{0}};

	assert_ok(nx_keys_subject(fx->keys, domain, subject, &key, &fx->err), &fx->err);
	return key;
}

static inline uint32_t fx_domain(struct fixture *fx, const char *name)
{
	uint32_t id = 0;

	assert_ok(nx_keys_domain(fx->keys, name, true, &id, &fx->err), &fx->err);
	return id;
}

#define assert_key(got, want)                                     \
	do {                                                      \
		struct nx_key got_ = (got), want_ = (want);       \
		assert_memory_equal(got_.b, want_.b, NX_KEY_LEN); \
	} while (0)

#endif
