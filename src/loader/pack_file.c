/*
 * Packs as local files, read only: header, segments and tags as docs/PACK-FORMAT.md has them.  No
 * pool driver: those may write, and belong to the site's one process.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "crypto/crypto.h"
#include "loader/loader_priv.h"

enum {
	OPEN_MAX_FILES = 64,
	RUN_SEGMENTS = 4,
	TAGS_MAX = NX_EXTENT_MAX / NX_SEGMENT_LEN * NX_GCM_TAG_LEN
};

struct pack_files {
	struct {
		uint64_t pack;
		int fd;
	} open[OPEN_MAX_FILES];
	size_t n;
	uint8_t tags[TAGS_MAX];
	uint8_t run[RUN_SEGMENTS * NX_SEGMENT_LEN]; /* ciphertext */
};

struct pack_files *pack_files_new(void)
{
	return calloc(1, sizeof(struct pack_files));
}

static void close_all(struct pack_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		(void)close(f->open[i].fd);
	f->n = 0;
}

struct pack_files *pack_files_free(struct pack_files *files)
{
	if (!files)
		return NULL;
	close_all(files);
	free(files);
	return NULL;
}

/* The site names the path: what is no file is not waited for, and not read. */
static nx_rc file_open(const char *path, uint64_t pack, int *ret, struct nx_err *err)
{
	NX_AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return nx_err_errno(err, "open pack %llu", (unsigned long long)pack);
	if (!S_ISREG(st.st_mode))
		return nx_err_set(err, NX_E_UNSUPPORTED, "pack %llu is not a file on this host",
			(unsigned long long)pack);
	*ret = NX_STEAL_FD(fd);
	return NX_OK;
}

static nx_rc pack_fd(struct pack_files *f, const struct grant *grant, uint64_t pack, int *ret,
	struct nx_err *err)
{
	const char *path = NULL;
	int fd = -1;
	nx_rc rc;

	for (size_t i = 0; i < f->n; i++) {
		if (f->open[i].pack == pack) {
			*ret = f->open[i].fd;
			return NX_OK;
		}
	}
	for (size_t i = 0; i < grant->n_packs && !path; i++)
		if (grant->packs[i].id == pack)
			path = grant->packs[i].path;
	if (!path)
		return nx_err_set(err, NX_E_UNSUPPORTED, "pack %llu is not a file on this host",
			(unsigned long long)pack);
	rc = file_open(path, pack, &fd, err);
	if (rc)
		return rc;
	if (f->n == OPEN_MAX_FILES)
		close_all(f);
	f->open[f->n].pack = pack;
	f->open[f->n++].fd = fd;
	*ret = fd;
	return NX_OK;
}

static nx_rc header_read(
	int fd, const struct nx_extent *e, uint8_t record_id[NX_RECORD_ID_LEN], struct nx_err *err)
{
	uint8_t hdr[NX_EXTENT_HEADER_LEN];
	uint16_t data_off = 0;
	nx_rc rc = nx_pread_full(fd, hdr, sizeof(hdr), e->off, err);

	if (!rc)
		rc = nx_extent_header_parse(hdr, record_id, &data_off, err);
	if (!rc && data_off != e->data_off)
		rc = nx_err_set(err, NX_E_CORRUPT, "extent data at %u", data_off);
	return rc;
}

/* Segments [seg, seg + n) whose ciphertext is in f->run. */
static bool run_open(struct pack_files *f, struct nx_gcm *gcm,
	const uint8_t record_id[NX_RECORD_ID_LEN], const struct nx_extent *e, uint32_t seg,
	size_t n, uint8_t *p)
{
	for (size_t at = 0; at < n; at += NX_SEGMENT_LEN, seg++) {
		size_t take = n - at < NX_SEGMENT_LEN ? n - at : NX_SEGMENT_LEN;
		bool last = seg + 1 == nx_extent_segments(e->len);

		if (!nx_segment_open(gcm,
			    &(struct nx_segment){.record_id = record_id,
				    .number = seg,
				    .total = last ? e->len : 0},
			    f->run + at, take, f->tags + (size_t)seg * NX_GCM_TAG_LEN, p + at))
			return false;
	}
	return true;
}

nx_rc pack_files_extent(struct pack_files *files, const struct grant *grant,
	const struct nx_extent *e, const struct nx_key *blob_key, uint32_t index, uint8_t *p,
	struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	NX_AUTO(nx_gcm) *gcm = NULL;
	uint8_t record_id[NX_RECORD_ID_LEN];
	uint64_t data = e->off + e->data_off;
	int fd = -1;
	nx_rc rc = pack_fd(files, grant, e->pack, &fd, err);

	if (!rc)
		rc = header_read(fd, e, record_id, err);
	if (!rc)
		rc = nx_pread_full(fd, files->tags,
			(size_t)nx_extent_segments(e->len) * NX_GCM_TAG_LEN, data + e->len, err);
	nx_extent_key(&(struct nx_extent_seal){.blob_key = blob_key, .index = index}, &key);
	gcm = rc ? NULL : nx_gcm_new(&key);
	if (!rc && !gcm)
		rc = nx_err_set(err, NX_E_NOMEM, "no memory to open an extent");
	for (uint32_t at = 0; at < e->len && !rc; at += sizeof(files->run)) {
		size_t n = e->len - at < sizeof(files->run) ? e->len - at : sizeof(files->run);

		rc = nx_pread_full(fd, files->run, n, data + at, err);
		if (!rc && !run_open(files, gcm, record_id, e, at / NX_SEGMENT_LEN, n, p + at))
			rc = nx_err_set(err, NX_E_CORRUPT,
				"pack %llu: a segment does not authenticate",
				(unsigned long long)e->pack);
	}
	return rc;
}
