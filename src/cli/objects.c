/* narthex put, ls, rm, get --object: what is not DICOM. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/limits.h"
#include "cli/cli_priv.h"
#include "cli/client.h"
#include "cli/progress.h"

enum {
	LS_PAGE = 1000
};

static char *object_path(const struct cli_args *args, const char *key)
{
	return nx_client_path("/collections/%s/objects/%S", cli_collection(args, "curated"), key);
}

nx_rc cli_object_get(const struct cli_args *args, struct nx_client *client, struct nx_err *err)
{
	NX_AUTO_MEM char *path = object_path(args, args->words[0]);
	struct cli_bar bar;
	nx_rc rc;

	if (!path)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a path");
	cli_bar_begin(&bar, "get", "bytes");
	nx_client_show(client, &bar);
	rc = cli_download(client, path, args->words[1], err);
	nx_client_show(client, NULL);
	cli_bar_end(&bar);
	return rc;
}

/* ---- put ---- */

/* A patient id belongs to a key domain, and the collection says which. */
static nx_rc put_path(const struct cli_args *args, char **ret, struct nx_err *err)
{
	static const char *const keys[] = {"patient", "issuer"};
	NX_AUTO_MEM char *path = object_path(args, args->words[1]);
	const char *collection;
	nx_rc rc = NX_OK;

	if (cli_has(args, "patient"))
		rc = cli_need(args, "collection", &collection, err);
	else if (cli_has(args, "issuer"))
		rc = nx_err_set(err, NX_E_INVAL, "--issuer goes with --patient");
	if (rc)
		return rc;
	*ret = path ? cli_query(args, path, keys, NX_ARRAY_LEN(keys)) : NULL;
	return *ret ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for a path");
}

static nx_rc file_put(const struct cli_args *args, int fd, json_t **ret, struct nx_err *err)
{
	const char *type = cli_get(args, "type");
	NX_AUTO(nx_client) *client = NULL;
	NX_AUTO_MEM char *path = NULL;
	struct cli_bar bar;
	struct stat st;
	nx_rc rc = put_path(args, &path, err);

	if (!rc)
		rc = nx_client_new(args, &client, err);
	if (!rc && fstat(fd, &st) < 0)
		rc = nx_err_errno(err, "open %s", args->words[0]);
	if (!rc && S_ISDIR(st.st_mode))
		rc = nx_err_set(err, NX_E_INVAL, "%s is a folder", args->words[0]);
	if (rc)
		return rc;
	cli_bar_begin(&bar, "put", "bytes");
	nx_client_show(client, &bar);
	rc = nx_client_upload(client, "PUT", path,
		&(struct nx_upload){.media_type = type ? type : "application/octet-stream",
			.fd = fd,
			.size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : UINT64_MAX},
		ret, err);
	cli_bar_end(&bar);
	return rc;
}

static void put_print(const json_t *json)
{
	char bytes[16];

	(void)printf("%s, version %lld\n",
		cli_bytes((uint64_t)json_integer_value(json_object_get(json, "size")), bytes),
		(long long)json_integer_value(json_object_get(json, "version")));
}

nx_rc cmd_put(const struct cli_args *args, struct nx_err *err)
{
	const char *file = args->words[0];
	NX_AUTO_FD fd =
		strcmp(file, "-") == 0 ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);
	json_t *json = NULL;
	nx_rc rc = fd < 0 ? nx_err_errno(err, "open %s", file) : file_put(args, fd, &json, err);

	if (!rc)
		cli_answer(args, json, put_print);
	return rc;
}

/* ---- ls ---- */

static const struct cli_column columns[] = {
	{"BYTES", "size", 14}, {"MODIFIED", "modified", 27}, {"KEY", "key", 1}, {0}};

/* Pages come while they are printed; --json is one document all the same. */
struct listing {
	const struct cli_args *args;
	struct nx_client *client;
	json_t *objects; /* with --json */
	char after[NX_LIMIT_OBJECT_KEY + 1];
	int64_t left; /* of --limit */
	bool more;
};

static nx_rc page_path(const struct listing *l, char **ret, struct nx_err *err)
{
	int64_t limit = l->left < LS_PAGE ? l->left : LS_PAGE;
	NX_AUTO_MEM char *path = nx_client_path("/collections/%s/objects?prefix=%s&after=%s",
		cli_collection(l->args, "curated"), l->args->n_words ? l->args->words[0] : "",
		l->after);

	if (!path || asprintf(ret, "%s&limit=%" PRId64, path, limit) < 0)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a path");
	return NX_OK;
}

static nx_rc page_take(struct listing *l, json_t *page, struct nx_err *err)
{
	json_t *rows = json_object_get(page, "objects");
	const char *next = json_string_value(json_object_get(page, "next"));

	l->left -= (int64_t)json_array_size(rows);
	l->more = next;
	if (next && (size_t)snprintf(l->after, sizeof(l->after), "%s", next) >= sizeof(l->after))
		return nx_err_set(err, NX_E_MALFORMED, "the answer has a key that is none");
	if (!l->objects)
		cli_rows(rows, columns);
	else if (json_array_extend(l->objects, rows))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a listing");
	return NX_OK;
}

static nx_rc pages_take(struct listing *l, struct nx_err *err)
{
	nx_rc rc;

	do {
		NX_AUTO_MEM char *path = NULL;
		json_t *page = NULL;

		rc = page_path(l, &path, err);
		if (!rc)
			rc = nx_client_json(l->client, "GET", path, NULL, &page, err);
		if (!rc)
			rc = page_take(l, page, err);
		json_decref(page);
		if (!rc)
			rc = cli_interrupt_check(err);
	} while (!rc && l->more && l->left > 0);
	return rc;
}

nx_rc cmd_ls(const struct cli_args *args, struct nx_err *err)
{
	const char *after = cli_get(args, "after");
	struct listing l = {.args = args};
	NX_AUTO(nx_client) *client = NULL;
	nx_rc rc = cli_number(args, "limit", INT64_MAX, 1, INT64_MAX, &l.left, err);

	if (!rc && after &&
		(size_t)snprintf(l.after, sizeof(l.after), "%s", after) >= sizeof(l.after))
		rc = nx_err_set(err, NX_E_INVAL, "--after is too long");
	if (!rc)
		rc = nx_client_new(args, &client, err);
	if (rc)
		return rc;
	l.client = client;
	l.objects = cli_has(args, "json") ? json_array() : NULL;
	if (!l.objects)
		cli_titles(columns);
	rc = pages_take(&l, err);
	if (!rc && l.objects) {
		json_t *all = json_pack(
			"{s:O,s:s?}", "objects", l.objects, "next", l.more ? l.after : NULL);

		cli_json(all);
		json_decref(all);
	}
	if (!rc && l.more)
		(void)fprintf(stderr, "there is more; go on with --after\n");
	json_decref(l.objects);
	return rc;
}

nx_rc cmd_rm(const struct cli_args *args, struct nx_err *err)
{
	return cli_ask(args, "DELETE", object_path(args, args->words[0]), NULL, NULL, err);
}
