/* The API of libnarthex: a lease, its manifest, and a window of granted positions. */
#include <jansson.h>
#include <narthex/narthex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/json.h"
#include "crypto/crypto.h"
#include "loader/loader_priv.h"

enum {
	MANIFEST_ARENA_MAX = 2047 * 1024 * 1024,
	MANIFEST_BYTES_MAX = 1024 * 1024 * 1024,
	ANSWER_BYTES_MAX = 64 * 1024 * 1024,
	WINDOW_ARENA_MAX = 256 * 1024 * 1024,
	SMALL_ANSWER_MAX = 64 * 1024,
	WINDOW = 64,         /* positions asked for at once */
	WINDOW_US = 1000000, /* keys older than this are not used: an erasure reaches who reads */
	SECONDS_DEFAULT = 3600,
	BATCH_MAX = 4096
};

#define SAMPLE_MAX ((size_t)16 << 30)

struct nxl_dataset {
	struct remote *remote;
	struct nx_arena *arena; /* manifest */
	struct nx_manifest manifest;
	char lease[64];
	char release[NX_LIMIT_NAME + 32];
	char root[2 * NX_MANIFEST_HASH_LEN + 1];
	struct nx_arena *window; /* what `grant` is made of; wiped for the next */
	struct grant grant;
	int64_t granted_us; /* monotonic, before it was asked for */
	struct pack_files *files;
	struct nx_buf *data; /* one per sample of a batch */
	size_t n_data;
	uint64_t next;
	struct nx_err err;
};

const char *nxl_version(void)
{
	return "0.1.0";
}

uint64_t nxl_count(const struct nxl_dataset *dataset)
{
	return dataset->manifest.n_entries;
}

const char *nxl_release(const struct nxl_dataset *dataset)
{
	return dataset->release;
}

const char *nxl_root(const struct nxl_dataset *dataset)
{
	return dataset->root;
}

const char *nxl_error(const struct nxl_dataset *dataset)
{
	return nx_err_text(&dataset->err);
}

void nxl_seek(struct nxl_dataset *dataset, uint64_t position)
{
	dataset->next = position;
}

/* ---- opening ---- */

static bool text_take(const json_t *value, char *ret, size_t cap)
{
	const char *s = json_string_value(value);

	if (!s || strlen(s) >= cap)
		return false;
	memcpy(ret, s, strlen(s) + 1);
	return true;
}

/* What goes into a path is of the site's choice: only what ids and names are made of. */
static bool plain(const char *s)
{
	return s[0] && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._-@") == strlen(s);
}

static nx_rc lease_open(
	struct nxl_dataset *ds, const struct nxl_options *options, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) body;
	NX_AUTO_DONE(nx_buf) out;
	struct nx_json json;
	json_t *answer;
	bool ok;
	nx_rc rc;

	nx_buf_init(&body, SMALL_ANSWER_MAX, 0);
	nx_buf_init(&out, SMALL_ANSWER_MAX, 0);
	nx_json_init(&json, &body);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "release", options->release);
	nx_json_kv_str(&json, "purpose", options->purpose);
	nx_json_kv_uint(&json, "seconds", options->seconds ? options->seconds : SECONDS_DEFAULT);
	nx_json_object_end(&json);
	if (!nx_buf_cstr(&body))
		return nx_buf_check(&body, err);
	rc = remote_call(ds->remote, "POST", "/leases", nx_buf_cstr(&body), &out, err);
	if (rc)
		return rc;
	answer = json_loadb((const char *)out.data, out.len, 0, NULL);
	ok = text_take(json_object_get(answer, "lease"), ds->lease, sizeof(ds->lease)) &&
		text_take(json_object_get(answer, "release"), ds->release, sizeof(ds->release)) &&
		text_take(json_object_get(answer, "root"), ds->root, sizeof(ds->root)) &&
		plain(ds->lease) && plain(ds->release);
	json_decref(answer);
	if (ok)
		return NX_OK;
	ds->lease[0] = 0;
	return nx_err_set(err, NX_E_MALFORMED, "the site's answer to a lease");
}

static nx_rc manifest_load(struct nxl_dataset *ds, const char *verifier, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) out;
	char path[sizeof(ds->release) + 64], root[sizeof(ds->root)];
	const char *at = strstr(ds->release, "@v");
	nx_rc rc;

	nx_buf_init(&out, MANIFEST_BYTES_MAX, 0);
	if (!at)
		return nx_err_set(err, NX_E_MALFORMED, "the lease's release has no version");
	(void)snprintf(path, sizeof(path), "/releases/%.*s/%s/manifest", (int)(at - ds->release),
		ds->release, at + 2);
	rc = remote_call(ds->remote, "GET", path, NULL, &out, err);
	if (!rc)
		rc = nx_manifest_parse(nx_buf_slice(&out), verifier, ds->arena, &ds->manifest, err);
	if (rc)
		return rc;
	nx_hex_format(ds->manifest.root, sizeof(ds->manifest.root), root);
	if (strcmp(root, ds->root) != 0)
		return nx_err_set(err, NX_E_CORRUPT, "the manifest is not the lease's");
	return NX_OK;
}

static nx_rc dataset_open(
	struct nxl_dataset *ds, const struct nxl_options *options, struct nx_err *err)
{
	const struct remote_opts remote = {
		.site = options->site, .token = options->token, .ca_file = options->ca_file};
	nx_rc rc = nx_crypto_init(err);

	if (!rc && (!options->site || !options->release || !options->purpose))
		rc = nx_err_set(err, NX_E_INVAL, "site, release and purpose are needed");
	if (rc)
		return rc;
	ds->arena = nx_arena_new(MANIFEST_ARENA_MAX, 0);
	ds->window = nx_arena_new(WINDOW_ARENA_MAX, NX_ARENA_WIPE);
	ds->files = pack_files_new();
	if (!ds->arena || !ds->window || !ds->files)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a dataset");
	rc = remote_open(&remote, &ds->remote, err);
	if (!rc)
		rc = lease_open(ds, options, err);
	return rc ? rc : manifest_load(ds, options->verifier, err);
}

struct nxl_dataset *nxl_open(const struct nxl_options *options, char *error, size_t error_size)
{
	struct nxl_dataset *ds = calloc(1, sizeof(*ds));
	struct nxl_options known = {0};
	struct nx_err err = {.rc = NX_E_NOMEM};

	memcpy(&known, options, options->size < sizeof(known) ? options->size : sizeof(known));
	if (ds && dataset_open(ds, &known, &err) == NX_OK)
		return ds;
	if (error && error_size)
		(void)snprintf(error, error_size, "%s", nx_err_text(&err));
	nxl_close(ds);
	return NULL;
}

void nxl_close(struct nxl_dataset *dataset)
{
	char path[96];

	if (!dataset)
		return;
	if (dataset->remote && dataset->lease[0]) { /* should that fail: it expires */
		NX_AUTO_DONE(nx_buf) out;

		nx_buf_init(&out, SMALL_ANSWER_MAX, 0);
		(void)snprintf(path, sizeof(path), "/leases/%s", dataset->lease);
		(void)!remote_call(dataset->remote, "DELETE", path, NULL, &out, NULL);
	}
	remote_free(dataset->remote);
	for (size_t i = 0; i < dataset->n_data; i++)
		nx_buf_done(&dataset->data[i]);
	free(dataset->data);
	pack_files_free(dataset->files);
	nx_arena_free(dataset->window);
	nx_arena_free(dataset->arena);
	free(dataset);
}

/* ---- reading ---- */

/* Keys of the window before are wiped. */
static nx_rc window_move(struct nxl_dataset *ds, uint64_t position, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) out = {0};
	int64_t now = nx_mono_us();
	char path[96], body[96];
	nx_rc rc;

	if (position >= ds->grant.first && position < ds->grant.next &&
		now - ds->granted_us < WINDOW_US)
		return NX_OK;
	memset(&ds->grant, 0, sizeof(ds->grant));
	nx_arena_reset(ds->window);
	ds->granted_us = now;
	nx_buf_init(&out, ANSWER_BYTES_MAX, NX_BUF_WIPE);
	(void)snprintf(path, sizeof(path), "/leases/%s/read", ds->lease);
	(void)snprintf(body, sizeof(body), "{\"first\":%llu,\"count\":%d}",
		(unsigned long long)position, WINDOW);
	rc = remote_call(ds->remote, "POST", path, body, &out, err);
	if (!rc)
		rc = grant_parse(nx_buf_slice(&out), ds->window, &ds->grant, err);
	if (!rc && (ds->grant.first != position || ds->grant.next > nxl_count(ds)))
		rc = nx_err_set(err, NX_E_MALFORMED, "the site granted other positions");
	if (rc)
		memset(&ds->grant, 0, sizeof(ds->grant));
	return rc;
}

static bool buffers_ready(struct nxl_dataset *ds, size_t n)
{
	struct nx_buf *data;

	if (n <= ds->n_data)
		return true;
	data = realloc(ds->data, n * sizeof(*data));
	if (!data)
		return false;
	ds->data = data;
	for (; ds->n_data < n; ds->n_data++)
		nx_buf_init(&ds->data[ds->n_data], SAMPLE_MAX, NX_BUF_WIPE);
	return true;
}

static enum nxl_status read_into(struct nxl_dataset *ds, uint64_t position, struct nx_buf *data,
	struct nxl_sample *ret, struct nx_err *err)
{
	const struct nx_manifest_entry *entry = &ds->manifest.entries[position];
	const struct grant_sample *s;

	if (window_move(ds, position, err))
		return NXL_FAILED;
	s = &ds->grant.samples[position - ds->grant.first];
	*ret = (struct nxl_sample){.position = position,
		.pseudonym = entry->pseudonym,
		.series = entry->series,
		.instance = entry->instance};
	if (s->erased)
		return NXL_ERASED;
	if (sample_assemble(ds->files, &ds->grant, s, entry, data, err)) {
		(void)nx_err_prefix(err, err->rc, "position %llu", (unsigned long long)position);
		return NXL_FAILED;
	}
	ret->data = data->data;
	ret->size = data->len;
	return NXL_OK;
}

enum nxl_status nxl_read(struct nxl_dataset *dataset, uint64_t position, struct nxl_sample *sample)
{
	if (position >= nxl_count(dataset))
		return NXL_END;
	if (!buffers_ready(dataset, 1)) {
		(void)nx_err_set(&dataset->err, NX_E_NOMEM, "no memory for a sample");
		return NXL_FAILED;
	}
	return read_into(dataset, position, &dataset->data[0], sample, &dataset->err);
}

enum nxl_status nxl_batch(
	struct nxl_dataset *dataset, size_t max, struct nxl_sample *samples, size_t *count)
{
	enum nxl_status status = NXL_OK;
	size_t n = 0;

	if (!max || max > BATCH_MAX || !buffers_ready(dataset, max)) {
		(void)nx_err_set(&dataset->err, NX_E_LIMIT, "a batch of %zu samples", max);
		return NXL_FAILED;
	}
	while (n < max && dataset->next < nxl_count(dataset)) {
		status = read_into(
			dataset, dataset->next, &dataset->data[n], &samples[n], &dataset->err);
		if (status == NXL_FAILED)
			return status;
		dataset->next++;
		if (status == NXL_OK)
			n++;
	}
	*count = n;
	return n ? NXL_OK : NXL_END;
}
