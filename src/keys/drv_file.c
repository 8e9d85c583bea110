#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "keys/keys_priv.h"

/*
 * root.key, integers little-endian:
 *
 *    0  8  magic "NXROOT1\n"
 *    8  4  compat flags      unknown: ignored, the file is only ever written anew
 *   12  4  incompat flags    unknown: refuse
 *   16  4  Argon2id passes
 *   20  4  Argon2id memory, KiB
 *   24 16  Argon2id salt
 *   40  4  number of versions n, 1 or 2
 *   44  4  zero
 *   48  m  sealed (nonce, ciphertext, tag) under the passphrase's key, with bytes 0..47 as
 *          associated data: n times (version 8, key 32); m = 40 n + 28
 * 48+m  4  CRC-32C of everything before
 */
static const char magic[8] = "NXROOT1\n";

enum {
	HEADER_LEN = 48,
	SALT_LEN = 16,
	VERSION_LEN = 8 + NX_KEY_LEN,
	FILE_MAX = HEADER_LEN + NX_ROOTSET_MAX * VERSION_LEN + NX_SEAL_OVERHEAD + 4,
	PASSES = 3, /* RFC 9106 4, second recommended option, with one lane */
	KIB = 64 * 1024,
};

struct params {
	uint32_t passes;
	uint32_t kib;
	uint8_t salt[SALT_LEN];
};

struct file_root {
	struct nx_root base;
	struct nx_rootset set;
	struct nx_places *places;
	struct nx_secret *kek; /* of the passphrase */
	struct params params;
	bool dirty; /* a place holds something else than `set` under `kek` */
};

struct parsed {
	struct params params;
	uint32_t n;
	struct nx_slice head, sealed;
};

static struct file_root *self_of(struct nx_root *root)
{
	return NX_CONTAINER_OF(root, struct file_root, base);
}

static void file_close(struct nx_root *root)
{
	struct file_root *self = self_of(root);

	if (self->set.keys)
		nx_rootset_done(&self->set);
	self->kek = nx_secret_free(self->kek);
	free(self);
}

static nx_rc self_new(struct nx_places *places, struct file_root **ret, struct nx_err *err)
{
	struct file_root *self = calloc(1, sizeof(*self));
	nx_rc rc;

	if (!self)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the root");
	self->base.ops = &nx_root_drv_file;
	self->places = places;
	self->kek = nx_secret_new(NX_KEY_LEN);
	rc = self->kek ? nx_rootset_init(&self->set, err)
		       : nx_err_set(err, NX_E_NOMEM, "no locked memory for the root");
	if (rc) {
		file_close(&self->base);
		return rc;
	}
	*ret = self;
	return NX_OK;
}

static nx_rc kek_derive(struct nx_slice passphrase, const struct params *params,
	struct nx_secret *kek, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	nx_rc rc = nx_argon2id(passphrase, nx_slice(params->salt, SALT_LEN), params->passes,
		params->kib, &key, err);

	if (!rc)
		memcpy(kek->data, key.b, NX_KEY_LEN);
	return rc;
}

static void kek_copy(const struct nx_secret *kek, struct nx_key *ret)
{
	memcpy(ret->b, kek->data, NX_KEY_LEN);
}

static void head_put(struct nx_buf *buf, const struct file_root *self)
{
	nx_buf_put(buf, magic, sizeof(magic));
	nx_buf_put_zero(buf, 8);
	nx_buf_put_u32le(buf, self->params.passes);
	nx_buf_put_u32le(buf, self->params.kib);
	nx_buf_put(buf, self->params.salt, SALT_LEN);
	nx_buf_put_u32le(buf, (uint32_t)self->set.n);
	nx_buf_put_zero(buf, 4);
}

static nx_rc format(const struct file_root *self, struct nx_buf *buf, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) kek;
	NX_AUTO_DONE(nx_buf) plain;
	uint8_t *sealed;
	nx_rc rc;

	kek_copy(self->kek, &kek);
	nx_buf_init(&plain, FILE_MAX, NX_BUF_WIPE);
	for (size_t i = 0; i < self->set.n; i++) {
		nx_buf_put_u64le(&plain, self->set.version[i]);
		nx_buf_put(&plain, self->set.keys->data + i * NX_KEY_LEN, NX_KEY_LEN);
	}
	head_put(buf, self);
	sealed = nx_buf_reserve(buf, plain.len + NX_SEAL_OVERHEAD);
	rc = nx_buf_check(&plain, err);
	if (!rc)
		rc = nx_buf_check(buf, err);
	if (!rc)
		rc = nx_seal(
			&kek, nx_slice(buf->data, HEADER_LEN), plain.data, plain.len, sealed, err);
	if (rc)
		return rc;
	buf->len += plain.len + NX_SEAL_OVERHEAD;
	nx_buf_put_u32le(buf, nx_crc32c(0, buf->data, buf->len));
	return nx_buf_check(buf, err);
}

static nx_rc write_all(struct file_root *self, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	nx_rc rc;

	nx_buf_init(&buf, FILE_MAX, 0);
	self->dirty = true;
	rc = format(self, &buf, err);
	if (!rc)
		rc = nx_places_replace(self->places, NX_KEYS_ROOT, nx_buf_slice(&buf), err);
	if (!rc)
		self->dirty = false;
	return rc;
}

static nx_rc parse(struct nx_slice file, struct parsed *ret, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(file);
	uint32_t compat, incompat, zero, crc;
	uint8_t got[sizeof(magic)];
	struct parsed p = {0};

	if (!nx_rd_copy(&rd, got, sizeof(got)) || memcmp(got, magic, sizeof(magic)) != 0)
		return nx_err_set(err, NX_E_CORRUPT, "not a root key file");
	if (!nx_rd_u32le(&rd, &compat) || !nx_rd_u32le(&rd, &incompat) ||
		!nx_rd_u32le(&rd, &p.params.passes) || !nx_rd_u32le(&rd, &p.params.kib) ||
		!nx_rd_copy(&rd, p.params.salt, SALT_LEN) || !nx_rd_u32le(&rd, &p.n) ||
		!nx_rd_u32le(&rd, &zero) || p.n == 0 || p.n > NX_ROOTSET_MAX ||
		!nx_rd_bytes(&rd, p.n * VERSION_LEN + NX_SEAL_OVERHEAD, &p.sealed) ||
		!nx_rd_u32le(&rd, &crc) || rd.n != 0)
		return nx_err_set(err, NX_E_CORRUPT, "root key file of %zu bytes", file.n);
	if (crc != nx_crc32c(0, file.p, file.n - 4))
		return nx_err_set(err, NX_E_CORRUPT, "root key file does not match its checksum");
	if (incompat)
		return nx_err_set(err, NX_E_VERSION, "root key has incompat flags %#x", incompat);
	/* Before the passphrase is known these are anybody's. */
	if (p.params.kib > NX_LIMIT_ARGON2_KIB || p.params.passes > NX_LIMIT_ARGON2_PASSES)
		return nx_err_set(err, NX_E_LIMIT, "root key wants %u KiB, %u passes of argon2",
			p.params.kib, p.params.passes);
	p.head = nx_slice(file.p, HEADER_LEN);
	*ret = p;
	return NX_OK;
}

static nx_rc versions_add(
	struct file_root *self, const uint8_t *plain, uint32_t n, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(nx_slice(plain, (size_t)n * VERSION_LEN));
	nx_rc rc = NX_OK;

	for (uint32_t i = 0; i < n && !rc; i++) {
		struct nx_slice key;
		uint64_t version;

		if (!nx_rd_u64le(&rd, &version) || !nx_rd_bytes(&rd, NX_KEY_LEN, &key))
			return nx_err_set(err, NX_E_CORRUPT, "root key file is short");
		rc = nx_rootset_add(&self->set, version, key.p, err);
	}
	return rc;
}

/* NX_E_CORRUPT of the seal is the wrong passphrase: the checksum was good. */
static nx_rc unseal(struct file_root *self, const struct parsed *p, struct nx_err *err)
{
	uint8_t plain[NX_ROOTSET_MAX * VERSION_LEN];
	NX_AUTO_DONE(nx_key) kek;
	nx_rc rc;

	kek_copy(self->kek, &kek);
	rc = nx_seal_open(&kek, p->head, p->sealed.p, p->sealed.n, plain, NULL);
	if (rc)
		rc = nx_err_set(err, rc == NX_E_CORRUPT ? NX_E_KEY : rc,
			"passphrase does not open the root key");
	else
		rc = versions_add(self, plain, p->n, err);
	explicit_bzero(plain, sizeof(plain));
	return rc;
}

/* One place: its versions join the set; *opened stays false when the passphrase is another one. */
static nx_rc open_place(struct file_root *self, size_t i, struct nx_slice passphrase, bool *opened,
	uint32_t *ret_n, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct parsed p = {0};
	nx_rc rc;

	nx_buf_init(&buf, FILE_MAX, 0);
	rc = nx_place_read(self->places, i, NX_KEYS_ROOT, &buf, err);
	if (rc)
		return rc;
	rc = parse(nx_buf_slice(&buf), &p, err);
	if (rc)
		return nx_err_prefix(err, rc, "key place %zu", i + 1);
	if (memcmp(&p.params, &self->params, sizeof(p.params)) != 0) {
		self->dirty = self->dirty || i > 0;
		self->params = p.params;
		rc = kek_derive(passphrase, &self->params, self->kek, err);
	}
	if (!rc)
		rc = unseal(self, &p, err);
	*opened = rc == NX_OK;
	*ret_n = p.n;
	return rc && rc != NX_E_KEY ? nx_err_prefix(err, rc, "key place %zu", i + 1) : NX_OK;
}

/*
 * The places may differ where a change of passphrase or versions was cut short.  What opens in any
 * of them counts; version_keep() writes all of them anew.
 */
static nx_rc open_places(struct file_root *self, struct nx_slice passphrase, struct nx_err *err)
{
	struct params good = {0};
	size_t n_opened = 0;
	nx_rc rc;

	for (size_t i = 0; i < self->places->n; i++) {
		bool opened = false;
		uint32_t n = 0;

		rc = open_place(self, i, passphrase, &opened, &n, err);
		if (rc)
			return rc;
		if (opened)
			good = self->params;
		self->dirty = self->dirty || !opened || (n_opened && n != self->set.n);
		n_opened += opened;
	}
	if (n_opened == 0)
		return nx_err_set(err, NX_E_KEY, "passphrase does not open the root key");
	if (memcmp(&good, &self->params, sizeof(good)) == 0)
		return NX_OK;
	self->params = good;
	return kek_derive(passphrase, &good, self->kek, err);
}

static nx_rc file_open(const struct nx_keys_opts *opts, struct nx_places *places,
	struct nx_root **ret_root, struct nx_err *err)
{
	struct file_root *self = NULL;
	nx_rc rc = self_new(places, &self, err);

	if (rc)
		return rc;
	rc = open_places(self, opts->passphrase, err);
	if (rc) {
		file_close(&self->base);
		return rc;
	}
	*ret_root = &self->base;
	return NX_OK;
}

static nx_rc file_create(const struct nx_keys_opts *opts, struct nx_places *places,
	struct nx_root **ret_root, struct nx_err *err)
{
	struct file_root *self = NULL;
	uint64_t version;
	nx_rc rc;

	if (nx_places_any_has(places, NX_KEYS_ROOT))
		return nx_err_set(err, NX_E_EXISTS, "a root key is there");
	rc = self_new(places, &self, err);
	if (rc)
		return rc;
	self->params.passes = PASSES;
	self->params.kib = opts->argon2_kib ? opts->argon2_kib : KIB;
	nx_random(self->params.salt, SALT_LEN);
	rc = kek_derive(opts->passphrase, &self->params, self->kek, err);
	if (!rc)
		rc = nx_rootset_draw(&self->set, &version, err);
	if (!rc)
		rc = write_all(self, err);
	if (rc) {
		file_close(&self->base);
		return rc;
	}
	*ret_root = &self->base;
	return NX_OK;
}

static bool file_has_version(struct nx_root *root, uint64_t version)
{
	return nx_rootset_find(&self_of(root)->set, version) != NULL;
}

static nx_rc file_wrap(struct nx_root *root, uint64_t version, struct nx_slice context,
	const struct nx_key *key, struct nx_root_wrap *ret, struct nx_err *err)
{
	return nx_rootset_wrap(&self_of(root)->set, version, context, key, ret, err);
}

static nx_rc file_unwrap(struct nx_root *root, uint64_t version, struct nx_slice context,
	struct nx_slice wrapped, struct nx_key *ret_key, struct nx_err *err)
{
	return nx_rootset_unwrap(&self_of(root)->set, version, context, wrapped, ret_key, err);
}

static nx_rc file_version_new(struct nx_root *root, uint64_t *ret_version, struct nx_err *err)
{
	struct file_root *self = self_of(root);
	uint64_t version;
	nx_rc rc = nx_rootset_draw(&self->set, &version, err);

	if (!rc)
		rc = write_all(self, err);
	if (!rc)
		*ret_version = version;
	return rc;
}

static nx_rc file_version_keep(struct nx_root *root, uint64_t version, struct nx_err *err)
{
	struct file_root *self = self_of(root);
	bool others = self->set.n > 1;
	nx_rc rc = nx_rootset_keep(&self->set, version, err);

	if (rc || (!others && !self->dirty))
		return rc;
	return write_all(self, err);
}

static void kek_swap(struct nx_secret *a, struct nx_secret *b)
{
	NX_AUTO_DONE(nx_key) key;

	kek_copy(a, &key);
	memcpy(a->data, b->data, NX_KEY_LEN);
	memcpy(b->data, key.b, NX_KEY_LEN);
}

/* Half done, either passphrase opens; the old one is the one that counts. */
static nx_rc file_set_passphrase(
	struct nx_root *root, struct nx_slice passphrase, struct nx_err *err)
{
	struct file_root *self = self_of(root);
	NX_AUTO(nx_secret) *kek = nx_secret_new(NX_KEY_LEN);
	struct params params = self->params, old = self->params;
	nx_rc rc;

	if (!kek)
		return nx_err_set(err, NX_E_NOMEM, "no locked memory for the root");
	nx_random(params.salt, SALT_LEN);
	rc = kek_derive(passphrase, &params, kek, err);
	if (rc)
		return rc;
	kek_swap(self->kek, kek);
	self->params = params;
	rc = write_all(self, err);
	if (!rc)
		return NX_OK;
	kek_swap(self->kek, kek);
	self->params = old;
	return rc;
}

const struct nx_root_ops nx_root_drv_file = {
	.name = "file",
	.create = file_create,
	.open = file_open,
	.close = file_close,
	.has_version = file_has_version,
	.wrap = file_wrap,
	.unwrap = file_unwrap,
	.version_new = file_version_new,
	.version_keep = file_version_keep,
	.set_passphrase = file_set_passphrase,
};
