#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "keys/keys_priv.h"

int nx_keys_steps_left = -1;

static nx_rc step(struct nx_err *err)
{
	if (nx_keys_steps_left < 0)
		return NX_OK;
	if (nx_keys_steps_left == 0)
		return nx_err_set(err, NX_E_IO, "stopped by a test");
	nx_keys_steps_left--;
	return NX_OK;
}

/* One folder under two names would be one copy of the keys. */
static nx_rc place_distinct(const struct nx_places *places, size_t i, struct nx_err *err)
{
	struct stat mine, other;

	if (fstat(places->at[i].dir_fd, &mine) < 0)
		return nx_err_errno(err, "look at the folder");
	for (size_t k = 0; k < i; k++)
		if (fstat(places->at[k].dir_fd, &other) == 0 && mine.st_dev == other.st_dev &&
			mine.st_ino == other.st_ino)
			return nx_err_set(
				err, NX_E_CONFIG, "is the same folder as key place %zu", k + 1);
	return NX_OK;
}

nx_rc nx_places_open(
	const struct nx_keys_opts *opts, bool make, struct nx_places *ret, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	ret->n = 0;
	if (opts->n_places == 0 || opts->n_places > NX_LIMIT_KEY_PLACES)
		return nx_err_set(err, NX_E_CONFIG, "%zu places for keys, want 1 to %u",
			opts->n_places, NX_LIMIT_KEY_PLACES);
	for (size_t i = 0; i < opts->n_places; i++) {
		if (make)
			rc = nx_mkdirs(opts->places[i], err);
		ret->at[i] = (struct nx_place){.dir_fd = -1, .lock_fd = -1, .log_fd = -1};
		ret->n = i + 1;
		if (!rc) {
			ret->at[i].dir_fd =
				open(opts->places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (ret->at[i].dir_fd < 0)
				rc = nx_err_errno(err, "open directory");
			else
				rc = place_distinct(ret, i, err);
		}
		if (rc)
			return nx_err_prefix(err, rc, "key place %zu", i + 1);
	}
	return NX_OK;
}

nx_rc nx_places_hold(struct nx_places *places, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < places->n && !rc; i++) {
		rc = nx_dir_hold(places->at[i].dir_fd, &places->at[i].lock_fd, err);
		if (rc)
			rc = nx_err_prefix(err, rc, "key place %zu", i + 1);
	}
	return rc;
}

static void fd_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void place_close(struct nx_place *place)
{
	fd_close(&place->log_fd);
	fd_close(&place->lock_fd);
	fd_close(&place->dir_fd);
}

void nx_places_done(struct nx_places *places)
{
	for (size_t i = 0; i < places->n; i++)
		place_close(&places->at[i]);
	places->n = 0;
}

nx_rc nx_places_add(struct nx_places *places, const char *dir, struct nx_err *err)
{
	struct nx_place *place = &places->at[places->n];
	nx_rc rc;

	if (places->n == NX_LIMIT_KEY_PLACES)
		return nx_err_set(err, NX_E_LIMIT, "there are %zu places for keys", places->n);
	rc = nx_mkdirs(dir, err);
	if (rc)
		return nx_err_prefix(err, rc, "new key place");
	*place = (struct nx_place){.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.lock_fd = -1,
		.log_fd = -1};
	if (place->dir_fd < 0)
		return nx_err_errno(err, "open new key place");
	if (faccessat(place->dir_fd, NX_KEYS_LOG, F_OK, 0) == 0 ||
		faccessat(place->dir_fd, NX_KEYS_ROOT, F_OK, 0) == 0)
		rc = nx_err_set(err, NX_E_EXISTS, "a key store is in the new key place");
	else
		rc = nx_dir_hold(place->dir_fd, &place->lock_fd, err);
	if (rc) {
		place_close(place);
		return nx_err_prefix(err, rc, "new key place");
	}
	places->n++;
	return NX_OK;
}

void nx_places_drop_last(struct nx_places *places)
{
	place_close(&places->at[--places->n]);
}

bool nx_places_any_has(const struct nx_places *places, const char *name)
{
	for (size_t i = 0; i < places->n; i++)
		if (faccessat(places->at[i].dir_fd, name, F_OK, 0) == 0)
			return true;
	return false;
}

nx_rc nx_place_read(const struct nx_places *places, size_t i, const char *name, struct nx_buf *ret,
	struct nx_err *err)
{
	nx_rc rc = nx_file_read(places->at[i].dir_fd, name, ret, err);

	return rc ? nx_err_prefix(err, rc, "key place %zu: %s", i + 1, name) : NX_OK;
}

/*
 * The blocks of a replaced file stay on the medium until they are used again; old root keys
 * should not.  Where the file system writes in place this destroys them; elsewhere it is no worse.
 */
static void overwrite(int fd)
{
	uint8_t noise[512];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return;
	for (off_t at = 0; at < st.st_size; at += (off_t)sizeof(noise)) {
		nx_random(noise, sizeof(noise));
		if (nx_pwrite_full(fd, noise, sizeof(noise), (uint64_t)at, NULL))
			return;
	}
	(void)fdatasync(fd);
}

nx_rc nx_place_replace(struct nx_places *places, size_t i, const char *name, struct nx_slice data,
	struct nx_err *err)
{
	int dir_fd = places->at[i].dir_fd;
	NX_AUTO_FD old = -1;
	nx_rc rc = step(err);

	if (!rc && strcmp(name, NX_KEYS_ROOT) == 0)
		old = openat(dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (!rc)
		rc = nx_file_replace(dir_fd, name, data, 0600, err);
	if (rc)
		return nx_err_prefix(err, rc, "key place %zu: %s", i + 1, name);
	if (old >= 0)
		overwrite(old);
	return NX_OK;
}

nx_rc nx_places_replace(
	struct nx_places *places, const char *name, struct nx_slice data, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < places->n && !rc; i++)
		rc = nx_place_replace(places, i, name, data, err);
	return rc;
}

nx_rc nx_places_log_open(struct nx_places *places, struct nx_err *err)
{
	for (size_t i = 0; i < places->n; i++) {
		struct nx_place *place = &places->at[i];

		fd_close(&place->log_fd);
		place->log_fd =
			openat(place->dir_fd, NX_KEYS_LOG, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
		if (place->log_fd < 0)
			return nx_err_errno(err, "key place %zu: open %s", i + 1, NX_KEYS_LOG);
	}
	return NX_OK;
}

nx_rc nx_places_append(
	struct nx_places *places, uint64_t off, struct nx_slice data, struct nx_err *err)
{
	nx_rc rc;

	for (size_t i = 0; i < places->n; i++) {
		rc = step(err);
		if (!rc)
			rc = nx_pwrite_full(places->at[i].log_fd, data.p, data.n, off, err);
		if (rc)
			return nx_err_prefix(err, rc, "key place %zu", i + 1);
		/* Only a start: the devices then work side by side while we wait below. */
		(void)sync_file_range(
			places->at[i].log_fd, (off_t)off, (off_t)data.n, SYNC_FILE_RANGE_WRITE);
	}
	for (size_t i = 0; i < places->n; i++) {
		rc = step(err);
		if (!rc && fdatasync(places->at[i].log_fd) < 0)
			rc = nx_err_errno(err, "sync");
		if (rc)
			return nx_err_prefix(err, rc, "key place %zu", i + 1);
	}
	return NX_OK;
}
