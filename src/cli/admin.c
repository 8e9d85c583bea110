/* Commands over the administration: collections, AE titles, tokens, keys, scrub, ledger. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "cli/cli_priv.h"
#include "cli/client.h"
#include "cli/progress.h"
#include "server/passphrase.h"

enum {
	COLUMNS_MAX = 10,
	FOUND_MAX = 1000 /* entries of one search */
};

/* Nothing is padded behind the last column. */
static void cell_print(const struct cli_column *c, const char *text)
{
	if (c[1].title)
		(void)printf("%-*s  ", c->width, text);
	else
		(void)printf("%s\n", text);
}

static const char *cell_text(const json_t *value, char number[24])
{
	if (json_is_boolean(value))
		return json_is_true(value) ? "yes" : "no";
	if (!json_is_integer(value))
		return json_is_string(value) ? json_string_value(value) : "-";
	(void)snprintf(number, 24, "%lld", (long long)json_integer_value(value));
	return number;
}

void cli_titles(const struct cli_column *columns)
{
	for (const struct cli_column *c = columns; c->title; c++)
		cell_print(c, c->title);
}

void cli_rows(const json_t *rows, const struct cli_column *columns)
{
	const json_t *row;
	char number[24];
	size_t i;

	json_array_foreach(rows, i, row)
	{
		for (const struct cli_column *c = columns; c->title; c++)
			cell_print(c, cell_text(json_object_get(row, c->key), number));
	}
}

void cli_table(const json_t *rows, const struct cli_column *columns)
{
	struct cli_column wide[COLUMNS_MAX + 1] = {0};
	const json_t *row;
	char number[24];
	size_t i;

	for (size_t k = 0; columns[k].title; k++) {
		assert(k < COLUMNS_MAX);
		wide[k] = columns[k];
		json_array_foreach(rows, i, row)
		{
			int n = (int)strlen(
				cell_text(json_object_get(row, columns[k].key), number));

			wide[k].width = n > wide[k].width ? n : wide[k].width;
		}
	}
	cli_titles(wide);
	cli_rows(rows, wide);
}

nx_rc cli_ask(const struct cli_args *args, const char *method, char *path, json_t *body,
	json_t **ret, struct nx_err *err)
{
	NX_AUTO(nx_client) *client = NULL;
	nx_rc rc = path ? nx_client_new(args, &client, err)
			: nx_err_set(err, NX_E_NOMEM, "no memory for a path");

	if (!rc)
		rc = nx_client_json(client, method, path, body, ret, err);
	free(path);
	json_decref(body);
	return rc;
}

nx_rc cli_ask_long(const struct cli_args *args, const char *work, char *path, json_t *body,
	json_t **ret, struct nx_err *err)
{
	struct cli_watch *watch = cli_watch_server(args, work);
	nx_rc rc = cli_ask(args, "POST", path, body, ret, err);

	cli_watch_end(watch);
	if (rc && cli_interrupted())
		return nx_err_set(err, rc, "interrupted; the server goes on with it");
	return rc;
}

void cli_json(json_t *json)
{
	(void)json_dumpf(json, stdout, JSON_INDENT(2));
	(void)printf("\n");
}

void cli_answer(const struct cli_args *args, json_t *json, void (*print)(const json_t *json))
{
	if (cli_has(args, "json"))
		cli_json(json);
	else
		print(json);
	json_decref(json);
}

nx_rc cli_pairs(const struct cli_args *args, size_t i, json_t *object, struct nx_err *err)
{
	for (; i < args->n_words; i++) {
		const char *eq = strchr(args->words[i], '=');
		char *key = eq ? strndup(args->words[i], (size_t)(eq - args->words[i])) : NULL;

		if (key)
			(void)json_object_set_new(object, key, json_string(eq + 1));
		free(key);
		if (!key)
			return nx_err_set(err, NX_E_INVAL, "word %zu is not KEY=VALUE", i + 1);
	}
	return NX_OK;
}

nx_rc cli_list(const struct cli_args *args, const char *path, const char *name,
	const struct cli_column *columns, struct nx_err *err)
{
	json_t *json = NULL;
	nx_rc rc = cli_ask(args, "GET", strdup(path), NULL, &json, err);

	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(json);
	else
		cli_table(json_object_get(json, name), columns);
	json_decref(json);
	return NX_OK;
}

nx_rc cmd_collection_list(const struct cli_args *args, struct nx_err *err)
{
	static const struct cli_column columns[] = {{"NAME", "name", 24}, {"ZONE", "zone", 10},
		{"DOMAIN", "domain", 16}, {"PROJECT", "project", 16},
		{"CONFLICT", "on_conflict", 8}, {0}};

	return cli_list(args, "/collections", "collections", columns, err);
}

nx_rc cmd_ae_list(const struct cli_args *args, struct nx_err *err)
{
	static const struct cli_column columns[] = {{"CALLING", "calling", 16},
		{"CALLED", "called", 16}, {"ADDRESS", "address", 24},
		{"COLLECTION", "collection", 24}, {"ROLE", "role", 12}, {0}};

	return cli_list(args, "/ae", "ae", columns, err);
}

nx_rc cmd_token_list(const struct cli_args *args, struct nx_err *err)
{
	static const struct cli_column columns[] = {{"NAME", "name", 24}, {"ROLE", "role", 10},
		{"EXPIRES", "expires", 27}, {"REVOKED", "revoked", 27}, {0}};

	return cli_list(args, "/tokens", "tokens", columns, err);
}

nx_rc cmd_collection_create(const struct cli_args *args, struct nx_err *err)
{
	const char *zone = cli_get(args, "zone");
	const char *sensitivity = cli_get(args, "sensitivity");

	return cli_ask(args, "POST", strdup("/collections"),
		json_pack("{s:s,s:s,s:s,s:s*,s:s*}", "name", args->words[0], "zone",
			zone ? zone : "curated", "sensitivity", sensitivity ? sensitivity : "deid",
			"project", cli_get(args, "project"), "on_conflict",
			cli_get(args, "on-conflict")),
		NULL, err);
}

nx_rc cmd_ae_allow(const struct cli_args *args, struct nx_err *err)
{
	return cli_ask(args, "POST", strdup("/ae"),
		json_pack("{s:s,s:s,s:s*,s:s*,s:s*}", "calling", args->words[0], "collection",
			args->words[1], "called", cli_get(args, "called"), "address",
			cli_get(args, "address"), "role", cli_get(args, "role")),
		NULL, err);
}

nx_rc cmd_ae_remove(const struct cli_args *args, struct nx_err *err)
{
	const char *called = cli_get(args, "called");

	return cli_ask(args, "DELETE",
		nx_client_path("/ae/%s?called=%s", args->words[0], called ? called : ""), NULL,
		NULL, err);
}

nx_rc cmd_token_create(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL, *body;
	int64_t days = 0;
	nx_rc rc = cli_number(args, "days", 0, 1, 36500, &days, err);

	if (rc)
		return rc;
	body = json_pack("{s:s,s:s}", "name", args->words[0], "role", args->words[1]);
	if (days)
		(void)json_object_set_new(body, "days", json_integer(days));
	rc = cli_ask(args, "POST", strdup("/tokens"), body, &json, err);
	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(json);
	else
		(void)printf("%s\n", json_string_value(json_object_get(json, "token")));
	json_decref(json);
	return NX_OK;
}

nx_rc cmd_token_revoke(const struct cli_args *args, struct nx_err *err)
{
	return cli_ask(
		args, "DELETE", nx_client_path("/tokens/%s", args->words[0]), NULL, NULL, err);
}

/* ---- keys ---- */

static long long number_of(const json_t *json, const char *key)
{
	return (long long)json_integer_value(json_object_get(json, key));
}

static void keys_print(const json_t *json)
{
	static const struct cli_column columns[] = {
		{"ID", "id", 6}, {"DOMAIN", "name", 24}, {"VERSION", "version", 8}, {0}};

	cli_table(json_object_get(json, "domains"), columns);
	(void)printf("root key: version %lld, in %lld places; subjects: %lld, and %lld erased\n",
		number_of(json, "root_version"), number_of(json, "places"),
		number_of(json, "subjects"), number_of(json, "erased"));
}

nx_rc cmd_key_status(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	nx_rc rc = cli_ask(args, "GET", strdup("/keys"), NULL, &json, err);

	if (!rc)
		cli_answer(args, json, keys_print);
	return rc;
}

static void rotated_print(const json_t *json)
{
	(void)printf("domains with a new key: %lld\n", number_of(json, "rotated"));
}

nx_rc cmd_key_rotate(const struct cli_args *args, struct nx_err *err)
{
	char *path = args->n_words ? nx_client_path("/keys/rotate?domain=%s", args->words[0])
				   : strdup("/keys/rotate");
	json_t *json = NULL;
	nx_rc rc = cli_ask_long(args, "rotate", path, NULL, &json, err);

	if (!rc)
		cli_answer(args, json, rotated_print);
	return rc;
}

nx_rc cmd_key_place(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO_MEM char *folder = cli_absolute(args->words[0]);
	nx_rc rc;

	if (!folder)
		return nx_err_errno(err, "working folder");
	rc = cli_ask(args, "POST", strdup("/keys/places"), json_pack("{s:s}", "folder", folder),
		NULL, err);
	if (!rc)
		(void)fprintf(stderr,
			"Now add it to keys.places in narthex.yaml, before the site starts again: a "
			"place that is\nnot named there falls behind, and erasures do not reach it.\n");
	return rc;
}

nx_rc cmd_key_passphrase(const struct cli_args *args, struct nx_err *err)
{
	const struct nx_passphrase_source source = {.file = cli_get(args, "passphrase-file"),
		.fd = cli_get(args, "passphrase-fd"),
		.prompt = "New passphrase: ",
		.fresh = true};
	NX_AUTO(nx_secret) *secret = NULL;
	nx_rc rc = nx_passphrase_read(&source, &secret, err);

	if (rc)
		return rc;
	rc = cli_ask(args, "POST", strdup("/keys/passphrase"),
		json_pack("{s:s%}", "passphrase", secret->data, secret->n), NULL, err);
	if (!rc)
		(void)fprintf(stderr,
			"The key store opens with the new passphrase only: start the site with it "
			"the next time.\n");
	return rc;
}

static void scrub_print(const json_t *json)
{
	const json_t *failure;
	char bytes[16];
	size_t i;

	(void)printf("%lld items, %lld extents, %s: %lld bad\n",
		(long long)json_integer_value(json_object_get(json, "items")),
		(long long)json_integer_value(json_object_get(json, "extents")),
		cli_bytes((uint64_t)json_integer_value(json_object_get(json, "bytes")), bytes),
		(long long)json_integer_value(json_object_get(json, "bad")));
	json_array_foreach(json_object_get(json, "failures"), i, failure)
	{
		(void)printf("item %lld: %s\n",
			(long long)json_integer_value(json_object_get(failure, "item")),
			json_string_value(json_object_get(failure, "message")));
	}
}

nx_rc cmd_scrub(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	int64_t bad;
	nx_rc rc = cli_ask_long(args, "scrub", strdup("/scrub"), NULL, &json, err);

	if (rc)
		return rc;
	bad = json_integer_value(json_object_get(json, "bad"));
	cli_answer(args, json, scrub_print);
	return bad ? nx_err_set(err, NX_E_CORRUPT, "stored bytes did not authenticate") : NX_OK;
}

/* ---- ledger ---- */

char *cli_query(const struct cli_args *args, const char *what, const char *const *keys, size_t n)
{
	NX_AUTO_DONE(nx_buf) buf;
	const char *text;

	nx_buf_init(&buf, 64 * NX_KIB, NX_BUF_WIPE);
	nx_buf_printf(&buf, "%s?", what);
	for (size_t i = 0; i < n; i++) {
		const char *value = cli_get(args, keys[i]);
		NX_AUTO_MEM char *pair = value ? nx_client_path("%s=%s&", keys[i], value) : NULL;

		if (pair)
			nx_buf_put_str(&buf, pair);
	}
	text = nx_buf_cstr(&buf);
	return text ? strdup(text) : NULL;
}

static char *ledger_path(const struct cli_args *args, const char *what)
{
	static const char *const keys[] = {
		"from", "to", "action", "principal", "study", "subject", "after", "limit", "last"};

	return cli_query(args, what, keys, NX_ARRAY_LEN(keys));
}

static void verified_print(const json_t *json)
{
	(void)printf("%lld entries, all in order\n",
		(long long)json_integer_value(json_object_get(json, "entries")));
}

nx_rc cmd_ledger_verify(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	nx_rc rc = cli_ask(args, "GET", strdup("/ledger/verify"), NULL, &json, err);

	if (!rc)
		cli_answer(args, json, verified_print);
	return rc;
}

/* PS3.15 A.5, EventOutcomeIndicator. */
static const char *outcome_text(long long outcome)
{
	static const struct {
		long long outcome;
		const char *text;
	} rows[] = {
		{0, "done"}, {4, "minor failure"}, {8, "serious failure"}, {12, "major failure"}};

	for (size_t i = 0; i < NX_ARRAY_LEN(rows); i++)
		if (rows[i].outcome == outcome)
			return rows[i].text;
	return "-";
}

void cli_entries(const json_t *entries)
{
	static const struct cli_column columns[] = {{"ENTRY", "index", 7}, {"TIME", "time", 27},
		{"ACTION", "action", 18}, {"OUTCOME", "result", 7}, {"BY", "by", 2}, {0}};
	json_t *rows = json_array();
	const json_t *entry;
	size_t i;

	json_array_foreach(entries, i, entry)
	{
		const char *by = json_string_value(
			json_object_get(json_object_get(entry, "body"), "principal"));

		(void)json_array_append_new(rows,
			json_pack("{s:O,s:O,s:O,s:s,s:s}", "index", json_object_get(entry, "index"),
				"time", json_object_get(entry, "time"), "action",
				json_object_get(entry, "action"), "result",
				outcome_text(number_of(entry, "outcome")), "by",
				by && by[0] ? by : "-"));
	}
	cli_table(rows, columns);
	json_decref(rows);
}

static void found_print(const json_t *json)
{
	cli_entries(json_object_get(json, "entries"));
}

nx_rc cmd_ledger_search(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	int64_t last;
	bool more;
	nx_rc rc = cli_number(args, "last", 1, 1, FOUND_MAX, &last, err);

	if (!rc)
		rc = cli_ask(args, "GET", ledger_path(args, "/ledger/entries"), NULL, &json, err);
	if (rc)
		return rc;
	more = json_is_true(json_object_get(json, "more")) && !cli_get(args, "last");
	cli_answer(args, json, found_print);
	if (more)
		(void)fprintf(stderr, "there is more; see --limit and --after\n");
	return NX_OK;
}

nx_rc cli_text(const struct cli_args *args, char *path, struct nx_err *err)
{
	NX_AUTO(nx_client) *client = NULL;
	NX_AUTO_DONE(nx_buf) buf;
	nx_rc rc = path ? nx_client_new(args, &client, err)
			: nx_err_set(err, NX_E_NOMEM, "no memory for a path");

	nx_buf_init(&buf, 256 * (size_t)NX_MIB, NX_BUF_WIPE);
	if (!rc)
		rc = nx_client_text(client, "GET", path, NULL, &buf, err);
	free(path);
	return rc ? rc : cli_print(&buf, err);
}

nx_rc cli_fetch(const struct cli_args *args, char *path, const char *to, struct nx_err *err)
{
	NX_AUTO(nx_client) *client = NULL;
	nx_rc rc = path ? nx_client_new(args, &client, err)
			: nx_err_set(err, NX_E_NOMEM, "no memory for a path");

	if (!rc)
		rc = cli_download(client, path, to, err);
	free(path);
	return rc;
}

nx_rc cmd_ledger_prove(const struct cli_args *args, struct nx_err *err)
{
	return cli_text(args, ledger_path(args, "/ledger/proof"), err);
}

char *cli_absolute(const char *path)
{
	NX_AUTO_MEM char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0);
	char *ret = NULL;

	if (path[0] == '/')
		return strdup(path);
	return cwd && asprintf(&ret, "%s/%s", cwd, path) >= 0 ? ret : NULL;
}

nx_rc cmd_ledger_export(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO_MEM char *folder = cli_absolute(args->words[0]);

	if (!folder)
		return nx_err_errno(err, "working folder");
	return cli_ask(
		args, "POST", nx_client_path("/ledger/export?folder=%S", folder), NULL, NULL, err);
}

nx_rc cmd_ledger_checkpoint(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	nx_rc rc = cli_ask(args, "GET", strdup("/ledger/checkpoint"), NULL, &json, err);

	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(json);
	else
		(void)printf("%s", json_string_value(json_object_get(json, "checkpoint")));
	json_decref(json);
	return NX_OK;
}
