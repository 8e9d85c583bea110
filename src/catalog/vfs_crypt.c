#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>

#include "base/file.h"
#include "catalog/catalog_priv.h"
#include "catalog/vfs_pass.h"
#include "crypto/crypto.h"

/*
 * An SQLite VFS that keeps every page of the database and of its write-ahead log as AES-256-GCM
 * ciphertext, and refuses to open any other kind of file.  docs/formats/CATALOG-FILE.md.
 *
 * Page, in the file and behind a frame header of the log:
 *
 *   0            ciphertext          CAT_PAGE - CAT_RESERVE bytes
 *   CAT_PAGE-32  nonce               12, random
 *   CAT_PAGE-20  tag                 16
 *   CAT_PAGE-4   epoch               u32le: names the page key
 *
 * Bytes 0 to 15 of page 1 of the file are in clear: SQLite's are constant, and ours say what the
 * file is and whether a key is the right one.
 */
enum {
	BODY = CAT_PAGE - CAT_RESERVE,
	NONCE_AT = BODY,
	TAG_AT = NONCE_AT + NX_GCM_NONCE_LEN,
	EPOCH_AT = TAG_AT + NX_GCM_TAG_LEN,

	HEADER = 16, /* of page 1: magic 6, version 1, flags 1, key check 8 */
	MAGIC_LEN = 6,
	VERSION_AT = 6,
	INCOMPAT_AT = 7,
	CHECK_AT = 8,
	CHECK_LEN = 8,
	VERSION = 1,

	SQLITE_HEADER = 100, /* of the file: what is read of it before the log is known */

	WAL_HEADER = 32,
	FRAME_HEADER = 24,
	FRAME = FRAME_HEADER + CAT_PAGE,
	FRAME_BOUND = 16, /* page number, commit size, salts: authenticated with the page */

	RANDOM_NONCES = 64,
	EPOCH_KEYS = 8,         /* keys at hand per open file */
	EPOCH_PAGES = 1u << 24, /* written under one key, far below 2^32 (SP 800-38D 8.3) */
};

_Static_assert(EPOCH_AT + 4 == CAT_PAGE, "the reserved bytes are used up");

static const uint8_t magic[MAGIC_LEN] = {'N', 'X', 'C', 'A', 'T', 0};
static const uint8_t sqlite_header[HEADER] = "SQLite format 3";

struct cat_vfs {
	struct pass_vfs pass; /* first: SQLite hands it back */
	sqlite3_io_methods methods;
	struct nx_secret *key;
	uint8_t header[HEADER];
	char name[32];
};

struct epoch_key {
	uint32_t epoch;
	struct nx_gcm *gcm;
};

/* The file below follows in the same memory. */
struct file {
	struct pass_file pass; /* first: SQLite hands it back */
	struct cat_vfs *vfs;
	bool wal;

	struct epoch_key keys[EPOCH_KEYS];
	uint32_t epoch; /* pages are written under */
	uint32_t epoch_left;
	uint8_t nonces[RANDOM_NONCES][NX_GCM_NONCE_LEN];
	unsigned nonces_left;

	int64_t frame_at; /* offset of the frame header kept below; -1: none */
	uint8_t frame[FRAME_BOUND];
	uint8_t page[FRAME]; /* one page or frame on its way */
};

/* ---- page keys ---- */

static struct nx_gcm *gcm_of(struct file *f, uint32_t epoch)
{
	struct epoch_key *slot = &f->keys[epoch % EPOCH_KEYS];
	NX_AUTO_DONE(nx_key) master;
	NX_AUTO_DONE(nx_key) key;
	uint32_t le = htole32(epoch);

	if (slot->gcm && slot->epoch == epoch)
		return slot->gcm;
	memcpy(master.b, f->vfs->key->data, NX_KEY_LEN);
	nx_hkdf(&master, "narthex catalog page v1", nx_slice(&le, sizeof(le)), &key);
	slot->gcm = nx_gcm_free(slot->gcm);
	slot->gcm = nx_gcm_new(&key);
	slot->epoch = epoch;
	return slot->gcm;
}

static void next_nonce(struct file *f, uint8_t *ret)
{
	if (!f->nonces_left) {
		nx_random(f->nonces, sizeof(f->nonces));
		f->nonces_left = RANDOM_NONCES;
	}
	memcpy(ret, f->nonces[--f->nonces_left], NX_GCM_NONCE_LEN);
}

static struct nx_gcm *gcm_for_writing(struct file *f)
{
	if (!f->epoch_left) {
		nx_random(&f->epoch, sizeof(f->epoch));
		f->epoch_left = EPOCH_PAGES;
	}
	f->epoch_left--;
	return gcm_of(f, f->epoch);
}

/* ---- pages ---- */

/* What a page is bound to: kind and place, and in clear bytes what stands beside it. */
struct binding {
	uint8_t b[1 + 8 + HEADER];
	size_t n;
};

static struct binding bind_page(uint64_t page_no, const uint8_t *header)
{
	struct binding aad = {.b = {'D'}, .n = 9};
	uint64_t le = htole64(page_no);

	memcpy(aad.b + 1, &le, 8);
	if (page_no == 1) {
		memcpy(aad.b + 9, header, HEADER);
		aad.n += HEADER;
	}
	return aad;
}

static struct binding bind_frame(int64_t offset, const uint8_t *frame_header)
{
	struct binding aad = {.b = {'W'}, .n = sizeof(aad.b)};
	uint64_t le = htole64((uint64_t)offset);

	_Static_assert(FRAME_BOUND == HEADER, "one size of binding");
	memcpy(aad.b + 1, &le, 8);
	memcpy(aad.b + 9, frame_header, FRAME_BOUND);
	return aad;
}

/* The CAT_PAGE bytes at `plain` to `out`; the first `clear` bytes are left to the caller. */
static bool page_seal(
	struct file *f, const struct binding *aad, const uint8_t *plain, size_t clear, uint8_t *out)
{
	struct nx_gcm *gcm = gcm_for_writing(f);
	uint32_t le = htole32(f->epoch);

	if (!gcm)
		return false;
	next_nonce(f, out + NONCE_AT);
	memcpy(out + EPOCH_AT, &le, sizeof(le));
	nx_gcm_seal(gcm, out + NONCE_AT, nx_slice(aad->b, aad->n), plain + clear, BODY - clear,
		out + clear, out + TAG_AT);
	return true;
}

/* In place; the reserved bytes become what SQLite had there, zeros. */
static int page_open(struct file *f, const struct binding *aad, size_t clear, uint8_t *page)
{
	struct nx_gcm *gcm;
	uint32_t le;

	memcpy(&le, page + EPOCH_AT, sizeof(le));
	gcm = gcm_of(f, le32toh(le));
	if (!gcm)
		return SQLITE_IOERR_NOMEM;
	if (!nx_gcm_open(gcm, page + NONCE_AT, nx_slice(aad->b, aad->n), page + clear, BODY - clear,
		    page + TAG_AT, page + clear))
		return SQLITE_IOERR_DATA;
	memset(page + BODY, 0, CAT_RESERVE);
	return SQLITE_OK;
}

/* ---- the database file ---- */

static int db_read_page(struct file *f, int64_t page_no)
{
	size_t clear = page_no == 1 ? HEADER : 0;
	struct binding aad;
	int rc = f->pass.under->pMethods->xRead(
		f->pass.under, f->page, CAT_PAGE, (page_no - 1) * CAT_PAGE);

	if (rc == SQLITE_IOERR_SHORT_READ) /* past the end, or a torn last page */
		return rc;
	if (rc)
		return rc;
	aad = bind_page((uint64_t)page_no, f->page);
	rc = page_open(f, &aad, clear, f->page);
	if (!rc && clear)
		memcpy(f->page, sqlite_header, HEADER);
	return rc;
}

/*
 * A power cut may tear page 1 while it is copied from the log.  The log still has it; but before
 * SQLite looks there, it reads the header of the file for the size of a page: it is told that there
 * is none yet, takes the one it has, and finds the true one in page 1 of the log.  Where no log has
 * the page, it does not open a moment later.
 */
static bool may_be_torn(int n, int64_t at, int rc)
{
	return rc == SQLITE_IOERR_DATA && at == 0 && n == SQLITE_HEADER;
}

static int db_read(struct file *f, uint8_t *p, int n, int64_t at)
{
	while (n > 0) {
		int64_t in_page = at % CAT_PAGE;
		int part = (int)(CAT_PAGE - in_page < n ? CAT_PAGE - in_page : n);
		int rc = db_read_page(f, at / CAT_PAGE + 1);

		if (may_be_torn(n, at, rc))
			rc = SQLITE_IOERR_SHORT_READ;
		if (rc) {
			memset(p, 0, (size_t)n); /* as xRead promises for a short read */
			return rc;
		}
		memcpy(p, f->page + in_page, (size_t)part);
		p += part;
		at += part;
		n -= part;
	}
	return SQLITE_OK;
}

static int db_write(struct file *f, const uint8_t *p, int n, int64_t at)
{
	int64_t page_no = at / CAT_PAGE + 1;
	struct binding aad;
	size_t clear = 0;

	if (n != CAT_PAGE || at % CAT_PAGE)
		return SQLITE_IOERR_WRITE;
	if (page_no == 1) {
		if (memcmp(p, sqlite_header, HEADER) != 0)
			return SQLITE_IOERR_WRITE;
		clear = HEADER;
		memcpy(f->page, f->vfs->header, HEADER);
	}
	aad = bind_page((uint64_t)page_no, f->vfs->header);
	if (!page_seal(f, &aad, p, clear, f->page))
		return SQLITE_IOERR_NOMEM;
	return f->pass.under->pMethods->xWrite(f->pass.under, f->page, CAT_PAGE, at);
}

/* ---- the log ---- */

static int64_t frame_start(int64_t at)
{
	return at - (at - WAL_HEADER) % FRAME;
}

/* A whole frame, opened, in f->page. */
static int wal_read_frame(struct file *f, int64_t start)
{
	int rc = f->pass.under->pMethods->xRead(f->pass.under, f->page, FRAME, start);
	struct binding aad;

	if (rc)
		return rc;
	aad = bind_frame(start, f->page);
	return page_open(f, &aad, 0, f->page + FRAME_HEADER);
}

/*
 * SQLite reads pages it knows to be committed, where a page that does not open is an error; and in
 * recovery whole frames from the start, where the log ends at the first frame that is not whole:
 * there a frame of zeros says so, as its salts are wrong.
 */
static int wal_read(struct file *f, uint8_t *p, int n, int64_t at)
{
	int64_t start;
	int rc;

	if (at < WAL_HEADER || (at == frame_start(at) && n <= FRAME_HEADER))
		return f->pass.under->pMethods->xRead(f->pass.under, p, n, at);
	start = frame_start(at);
	if (at + n > start + FRAME)
		return SQLITE_IOERR_READ;
	rc = wal_read_frame(f, start);
	if (rc == SQLITE_IOERR_DATA && at == start) {
		memset(p, 0, (size_t)n);
		return SQLITE_OK;
	}
	if (rc) {
		memset(p, 0, (size_t)n);
		return rc;
	}
	memcpy(p, f->page + (at - start), (size_t)n);
	return SQLITE_OK;
}

/* The clear header of the frame at `start`: SQLite writes it just before the page. */
static int wal_frame_header(struct file *f, int64_t start)
{
	int rc = SQLITE_OK;

	if (f->frame_at != start)
		rc = f->pass.under->pMethods->xRead(f->pass.under, f->frame, FRAME_BOUND, start);
	f->frame_at = rc ? -1 : start;
	return rc;
}

static int wal_write(struct file *f, const uint8_t *p, int n, int64_t at)
{
	int64_t start = at < WAL_HEADER ? 0 : frame_start(at);
	struct binding aad;
	int rc;

	if (at < WAL_HEADER) {
		f->frame_at = -1;
		return n <= WAL_HEADER - at
			? f->pass.under->pMethods->xWrite(f->pass.under, p, n, at)
			: SQLITE_IOERR_WRITE;
	}
	if (at == start && n == FRAME_HEADER) {
		memcpy(f->frame, p, FRAME_BOUND);
		f->frame_at = start;
		return f->pass.under->pMethods->xWrite(f->pass.under, p, n, at);
	}
	if (at != start + FRAME_HEADER || n != CAT_PAGE)
		return SQLITE_IOERR_WRITE;
	rc = wal_frame_header(f, start);
	if (rc)
		return rc;
	aad = bind_frame(start, f->frame);
	if (!page_seal(f, &aad, p, 0, f->page))
		return SQLITE_IOERR_NOMEM;
	return f->pass.under->pMethods->xWrite(f->pass.under, f->page, CAT_PAGE, at);
}

/* ---- sqlite3_io_methods ---- */

static const uint8_t no_reserve[CAT_RESERVE];

static int io_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	struct file *f = (struct file *)file;

	return f->wal ? wal_read(f, p, n, at) : db_read(f, p, n, at);
}

static int io_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	struct file *f = (struct file *)file;

	/* SQLite has summed these bytes; they come back as zeros. */
	if (n == CAT_PAGE && memcmp((const uint8_t *)p + BODY, no_reserve, CAT_RESERVE) != 0)
		return SQLITE_IOERR_WRITE;
	return f->wal ? wal_write(f, p, n, at) : db_write(f, p, n, at);
}

static int io_close(sqlite3_file *file)
{
	struct file *f = (struct file *)file;

	for (unsigned i = 0; i < EPOCH_KEYS; i++)
		f->keys[i].gcm = nx_gcm_free(f->keys[i].gcm);
	explicit_bzero(f->page, sizeof(f->page));
	return f->pass.under->pMethods->xClose(f->pass.under);
}

/* ---- sqlite3_vfs ---- */

static int vfs_open(
	sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct cat_vfs *v = (struct cat_vfs *)vfs;
	struct file *f = (struct file *)file;

	memset(f, 0, sizeof(*f));
	/* Temporary tables are in memory and rollback journals are not used (conn.c). */
	if (!name || !(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
		return SQLITE_CANTOPEN;
	f->vfs = v;
	f->wal = flags & SQLITE_OPEN_WAL;
	f->frame_at = -1;
	return nx_cat_pass_open(vfs, name, file, sizeof(*f), &v->methods, flags, ret_flags);
}

static int vfs_random(sqlite3_vfs *vfs, int n, char *ret)
{
	(void)vfs;
	nx_random(ret, (size_t)n);
	return n;
}

static void header_fill(struct cat_vfs *v, const struct nx_key *key)
{
	NX_AUTO_DONE(nx_key) check;

	nx_hkdf(key, "narthex catalog check v1", nx_slice(NULL, 0), &check);
	memcpy(v->header, magic, MAGIC_LEN);
	v->header[VERSION_AT] = VERSION;
	v->header[INCOMPAT_AT] = 0;
	memcpy(v->header + CHECK_AT, check.b, CHECK_LEN);
}

static void methods_fill(struct cat_vfs *v, sqlite3_vfs *under)
{
	nx_cat_pass_init(&v->pass, under, v->name, sizeof(struct file));
	v->pass.base.xOpen = vfs_open;
	v->pass.base.xRandomness = vfs_random;
	v->methods = nx_cat_pass_methods;
	v->methods.xClose = io_close;
	v->methods.xRead = io_read;
	v->methods.xWrite = io_write;
}

nx_rc nx_cat_vfs_new(
	const struct nx_key *key, const char *under, struct cat_vfs **ret_vfs, struct nx_err *err)
{
	static _Atomic unsigned counter;
	struct cat_vfs *v = calloc(1, sizeof(*v));
	sqlite3_vfs *below;
	nx_rc rc = NX_OK;
	int sq;

	if (!v)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the catalog's files");
	below = sqlite3_vfs_find(under);
	v->key = nx_secret_new(NX_KEY_LEN);
	if (!v->key)
		rc = nx_err_set(err, NX_E_NOMEM, "no locked memory for the catalog key");
	else if (!below)
		rc = nx_err_set(err, NX_E_CONFIG, "no such SQLite VFS");
	if (rc) {
		(void)nx_secret_free(v->key);
		free(v);
		return rc;
	}
	memcpy(v->key->data, key->b, NX_KEY_LEN);
	header_fill(v, key);
	(void)snprintf(v->name, sizeof(v->name), "nxcrypt-%u", atomic_fetch_add(&counter, 1u));
	methods_fill(v, below);
	sq = sqlite3_vfs_register(&v->pass.base, 0);
	assert(sq == SQLITE_OK);
	*ret_vfs = v;
	return NX_OK;
}

struct cat_vfs *nx_cat_vfs_free(struct cat_vfs *vfs)
{
	if (!vfs)
		return NULL;
	(void)sqlite3_vfs_unregister(&vfs->pass.base);
	vfs->key = nx_secret_free(vfs->key);
	free(vfs);
	return NULL;
}

const char *nx_cat_vfs_name(const struct cat_vfs *vfs)
{
	return vfs->name;
}

nx_rc nx_cat_vfs_probe(
	const struct cat_vfs *vfs, const char *path, bool *ret_fresh, struct nx_err *err)
{
	NX_AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t header[HEADER];
	nx_rc rc;

	if (fd < 0 && errno == ENOENT) {
		*ret_fresh = true;
		return NX_OK;
	}
	if (fd < 0)
		return nx_err_errno(err, "open the catalog");
	if (lseek(fd, 0, SEEK_END) == 0) {
		*ret_fresh = true;
		return NX_OK;
	}
	rc = nx_pread_full(fd, header, HEADER, 0, err);
	if (rc == NX_E_SHORT || (!rc && memcmp(header, magic, MAGIC_LEN) != 0))
		return nx_err_set(err, NX_E_CORRUPT, "not a catalog file");
	if (rc)
		return rc;
	if (header[VERSION_AT] != VERSION || header[INCOMPAT_AT])
		return nx_err_set(err, NX_E_VERSION, "catalog file version %u, flags %u",
			header[VERSION_AT], header[INCOMPAT_AT]);
	if (!nx_secret_eq(header + CHECK_AT, vfs->header + CHECK_AT, CHECK_LEN))
		return nx_err_set(err, NX_E_KEY, "the catalog is sealed under another key");
	*ret_fresh = false;
	return NX_OK;
}
