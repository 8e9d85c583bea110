#include <assert.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/map.h"
#include "store/dir_priv.h"

void nx_dir_name(nx_pack_id pack, char ret[DIR_NAME_LEN + 1])
{
	(void)snprintf(ret, DIR_NAME_LEN + 1, "%02x/%016llx.nxp", (unsigned)(pack >> 56),
		(unsigned long long)pack);
}

static struct nx_slice key_of(const nx_pack_id *pack)
{
	return nx_slice(pack, sizeof(*pack));
}

static struct dir_file *file_free(struct dir_file *file)
{
	if (!file)
		return NULL;
	nx_fd_auto_(&file->fd);
	nx_fd_auto_(&file->direct_fd);
	(void)pthread_mutex_destroy(&file->sync_lock);
	free(file);
	return NULL;
}

static nx_rc file_open(
	struct dir_pool *dir, nx_pack_id pack, struct dir_file **ret, struct nx_err *err)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
	struct dir_file *file = calloc(1, sizeof(*file));
	char name[DIR_NAME_LEN + 1];
	nx_rc rc;

	if (!file)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an open pack");
	nx_dir_name(pack, name);
	file->id = pack;
	(void)pthread_mutex_init(&file->sync_lock, NULL);
	file->fd = openat(dir->root_fd, name, flags);
	file->direct_fd =
		dir->direct && file->fd >= 0 ? openat(dir->root_fd, name, flags | O_DIRECT) : -1;
	if (file->fd < 0 || (dir->direct && file->direct_fd < 0)) {
		rc = nx_err_errno(err, "open pack %016llx", (unsigned long long)pack);
		file_free(file);
		return rc;
	}
	*ret = file;
	return NX_OK;
}

/* Caller holds dir->lock, for these three. */
static void lru_unlink(struct dir_file *file)
{
	file->prev->next = file->next;
	file->next->prev = file->prev;
}

static void lru_append(struct dir_pool *dir, struct dir_file *file)
{
	file->prev = dir->lru.prev;
	file->next = &dir->lru;
	file->prev->next = file;
	dir->lru.prev = file;
}

static void file_drop(struct dir_pool *dir, struct dir_file *file)
{
	(void)nx_map_del(dir->files, key_of(&file->id));
	lru_unlink(file);
	dir->n_files--;
}

/* Caller holds dir->lock. */
static void evict(struct dir_pool *dir)
{
	struct dir_file *next;

	for (struct dir_file *f = dir->lru.next; f != &dir->lru; f = next) {
		next = f->next;
		if (dir->n_files <= NX_LIMIT_OPEN_PACKS)
			return;
		if (f->refs > 0 || f->dirty || f->failed)
			continue;
		file_drop(dir, f);
		file_free(f);
	}
}

/* Caller holds dir->lock. */
static nx_rc file_add(
	struct dir_pool *dir, nx_pack_id pack, struct dir_file **ret, struct nx_err *err)
{
	struct dir_file *file = NULL;
	nx_rc rc = file_open(dir, pack, &file, err);

	if (rc)
		return rc;
	assert(file);
	if (!nx_map_put(dir->files, key_of(&pack), file, NULL)) {
		file_free(file);
		return nx_err_set(err, NX_E_NOMEM, "no memory for an open pack");
	}
	dir->n_files++;
	lru_append(dir, file);
	*ret = file;
	return NX_OK;
}

nx_rc nx_dir_file_get(
	struct dir_pool *dir, nx_pack_id pack, struct dir_file **ret, struct nx_err *err)
{
	struct dir_file *file;
	nx_rc rc = NX_OK;

	(void)pthread_mutex_lock(&dir->lock);
	file = nx_map_get(dir->files, key_of(&pack));
	if (!file)
		rc = file_add(dir, pack, &file, err);
	if (!rc) {
		file->refs++;
		lru_unlink(file);
		lru_append(dir, file);
		evict(dir);
		*ret = file;
	}
	(void)pthread_mutex_unlock(&dir->lock);
	return rc;
}

void nx_dir_file_put(struct dir_pool *dir, struct dir_file *file)
{
	bool last;

	(void)pthread_mutex_lock(&dir->lock);
	assert(file->refs > 0);
	last = --file->refs == 0 && file->gone;
	(void)pthread_mutex_unlock(&dir->lock);
	if (last)
		file_free(file);
}

void nx_dir_file_forget(struct dir_pool *dir, nx_pack_id pack)
{
	struct dir_file *file;

	(void)pthread_mutex_lock(&dir->lock);
	file = nx_map_get(dir->files, key_of(&pack));
	if (file) {
		file_drop(dir, file);
		file->gone = true;
		if (file->refs == 0)
			file_free(file);
	}
	(void)pthread_mutex_unlock(&dir->lock);
}

void nx_dir_files_done(struct dir_pool *dir)
{
	while (dir->lru.next != &dir->lru) {
		struct dir_file *file = dir->lru.next;

		assert(file->refs == 0);
		file_drop(dir, file);
		file_free(file);
	}
}
