/* narthex find, get: studies, series, instances. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/cli_priv.h"
#include "cli/client.h"
#include "cli/progress.h"
#include "dicom/dicom.h"

enum {
	PATH_LEN = 4096,
	PAGE = 1000
};

/* ---- find ---- */

static const struct cli_column study_columns[] = {{"STUDY", "StudyInstanceUID", 44},
	{"PATIENT", "PatientID", 16}, {"DATE", "StudyDate", 8},
	{"MODALITIES", "ModalitiesInStudy", 10}, {"SERIES", "NumberOfStudyRelatedSeries", 6},
	{"INSTANCES", "NumberOfStudyRelatedInstances", 9}, {0}};
static const struct cli_column series_columns[] = {{"SERIES", "SeriesInstanceUID", 44},
	{"MODALITY", "Modality", 8}, {"NUMBER", "SeriesNumber", 6},
	{"DESCRIPTION", "SeriesDescription", 24},
	{"INSTANCES", "NumberOfSeriesRelatedInstances", 9}, {0}};
static const struct cli_column instance_columns[] = {{"INSTANCE", "SOPInstanceUID", 44},
	{"NUMBER", "InstanceNumber", 6}, {"CLASS", "SOPClassUID", 28}, {"BYTES", "size", 12}, {0}};

static const struct level {
	const char *word;
	const char *plural;
	const struct cli_column *columns;
} levels[] = {
	{"study", "studies", study_columns},
	{"series", "series", series_columns},
	{"instance", "instances", instance_columns},
};

static const struct level *level_find(const char *word)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(levels); i++)
		if (strcmp(levels[i].word, word) == 0)
			return &levels[i];
	return NULL;
}

/* KEY=VALUE words as a query string. */
static nx_rc find_path(
	const struct cli_args *args, const struct level *level, char **ret, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	const char *text;
	char *pair, *at;
	int64_t limit;
	nx_tag tag;
	nx_rc rc = cli_number(args, "limit", PAGE, 1, NX_LIMIT_QUERY_ROWS, &limit, err);

	if (rc)
		return rc;
	nx_buf_init(&buf, 64 * NX_KIB, NX_BUF_WIPE);
	pair = nx_client_path(
		"/collections/%s/%s", cli_collection(args, "clinical"), level->plural);
	nx_buf_printf(&buf, "%s?limit=%" PRId64, pair ? pair : "", limit);
	free(pair);
	for (size_t i = 1; i < args->n_words; i++) {
		NX_AUTO_MEM char *key = strdup(args->words[i]);

		at = key ? strchr(key, '=') : NULL;
		if (!at)
			return nx_err_set(err, NX_E_INVAL, "not KEY=VALUE: %s", args->words[i]);
		*at = '\0';
		if (!nx_dict_parse_tag(key, strlen(key), &tag))
			return nx_err_set(err, NX_E_INVAL,
				"%s is neither an attribute's keyword nor a tag", key);
		pair = nx_client_path("&%s=%s", key, at + 1);
		nx_buf_put_str(&buf, pair ? pair : "");
		free(pair);
	}
	text = nx_buf_cstr(&buf);
	*ret = text ? strdup(text) : NULL;
	return *ret ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for a query");
}

nx_rc cmd_find(const struct cli_args *args, struct nx_err *err)
{
	const struct level *level = level_find(args->words[0]);
	json_t *json = NULL;
	char *path = NULL;
	nx_rc rc;

	if (!level)
		return nx_err_set(
			err, NX_E_INVAL, "find study, series or instance, not %s", args->words[0]);
	rc = find_path(args, level, &path, err);
	if (!rc)
		rc = cli_ask(args, "GET", path, NULL, &json, err);
	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(json);
	else
		cli_table(json_object_get(json, level->plural), level->columns);
	if (json_is_true(json_object_get(json, "more")))
		(void)fprintf(stderr, "there is more; see --limit\n");
	json_decref(json);
	return NX_OK;
}

/* ---- get ---- */

nx_rc cli_download(struct nx_client *client, const char *path, const char *to, struct nx_err *err)
{
	char part[PATH_LEN];
	uint64_t bytes;
	nx_rc rc;
	int fd;

	if (strcmp(to, "-") == 0)
		return nx_client_download(client, path, STDOUT_FILENO, &bytes, err);
	if ((size_t)snprintf(part, sizeof(part), "%s.part", to) >= sizeof(part))
		return nx_err_set(err, NX_E_INVAL, "path of the file is too long");
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return nx_err_errno(err, "make %s", part);
	rc = nx_client_download(client, path, fd, &bytes, err);
	if (close(fd) < 0 && !rc)
		rc = nx_err_errno(err, "write %s", part);
	if (!rc && rename(part, to) < 0)
		rc = nx_err_errno(err, "name %s", to);
	if (rc)
		(void)unlink(part);
	return rc;
}

static const char *text_of(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

/* UIDs are digits and periods (PS3.5 9.1); what is not one does not become a path. */
static bool uid_plain(const char *uid)
{
	return uid[0] && uid[0] != '.' && strspn(uid, "0123456789.") == strlen(uid);
}

/* What is asked for, and how much of it there is. */
struct getting {
	const struct cli_args *args;
	struct nx_client *client;
	struct cli_bar bar;
	json_t *rows;
	uint64_t n; /* fetched */
};

static bool wanted(const struct getting *g, const json_t *row)
{
	const char *series = cli_get(g->args, "series"), *instance = cli_get(g->args, "instance");

	return (!series || strcmp(series, text_of(row, "SeriesInstanceUID")) == 0) &&
		(!instance || strcmp(instance, text_of(row, "SOPInstanceUID")) == 0);
}

static nx_rc instance_get(struct getting *g, const json_t *row, struct nx_err *err)
{
	const char *study = text_of(row, "StudyInstanceUID");
	const char *series = text_of(row, "SeriesInstanceUID");
	const char *instance = text_of(row, "SOPInstanceUID");
	NX_AUTO_MEM char *path = nx_client_path("/collections/%s/studies/%s/series/%s/instances/%s",
		cli_collection(g->args, "clinical"), study, series, instance);
	char dir[PATH_LEN], to[PATH_LEN];
	nx_rc rc;

	if (!uid_plain(study) || !uid_plain(series) || !uid_plain(instance))
		return nx_err_set(err, NX_E_MALFORMED, "the answer has a UID that is none");
	if ((size_t)snprintf(dir, sizeof(dir), "%s/%s/%s", g->args->words[1], study, series) >=
			sizeof(dir) ||
		(size_t)snprintf(to, sizeof(to), "%s/%s.dcm", dir, instance) >= sizeof(to) || !path)
		return nx_err_set(err, NX_E_INVAL, "path of the folder is too long");
	rc = nx_mkdirs(dir, err);
	return rc ? rc : cli_download(g->client, path, to, err);
}

/* One page of the study's instances; those that are wanted are kept. */
static nx_rc page_take(struct getting *g, unsigned offset, size_t *ret_n, struct nx_err *err)
{
	NX_AUTO_MEM char *path = nx_client_path("/collections/%s/instances?StudyInstanceUID=%s",
		cli_collection(g->args, "clinical"), g->args->words[0]);
	NX_AUTO_MEM char *query = NULL;
	json_t *json = NULL, *row;
	size_t i;
	nx_rc rc;

	if (!path || asprintf(&query, "%s&limit=%d&offset=%u", path, PAGE, offset) < 0)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a path");
	rc = nx_client_json(g->client, "GET", query, NULL, &json, err);
	*ret_n = json_array_size(json_object_get(json, "instances"));
	json_array_foreach(json_object_get(json, "instances"), i, row)
	{
		if (!wanted(g, row))
			continue;
		g->bar.total += (uint64_t)json_integer_value(json_object_get(row, "size"));
		if (json_array_append(g->rows, row))
			rc = nx_err_set(err, NX_E_NOMEM, "no memory for the list of instances");
	}
	json_decref(json);
	return rc;
}

static nx_rc rows_get(struct getting *g, struct nx_err *err)
{
	const json_t *row;
	nx_rc rc = NX_OK;
	size_t i;

	json_array_foreach(g->rows, i, row)
	{
		rc = instance_get(g, row, err);
		if (rc)
			return rc;
		g->n++;
		g->bar.before += (uint64_t)json_integer_value(json_object_get(row, "size"));
	}
	return g->n ? NX_OK
		    : nx_err_set(err, NX_E_NOENT, "no such study, series or instance in %s",
			      cli_collection(g->args, "clinical"));
}

static nx_rc study_get(const struct cli_args *args, struct nx_client *client, struct nx_err *err)
{
	struct getting g = {.args = args, .client = client, .rows = json_array()};
	size_t n = PAGE;
	char bytes[16];
	nx_rc rc = NX_OK;

	cli_bar_begin(&g.bar, "get", "bytes");
	for (unsigned offset = 0; n == PAGE && !rc; offset += PAGE)
		rc = page_take(&g, offset, &n, err);
	nx_client_show(client, &g.bar);
	if (!rc)
		rc = rows_get(&g, err);
	nx_client_show(client, NULL);
	cli_bar_end(&g.bar);
	json_decref(g.rows);
	if (rc)
		return rc;
	if (cli_has(args, "json"))
		(void)printf(
			"{\"instances\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n", g.n, g.bar.before);
	else
		(void)printf("%" PRIu64 " instances, %s, in %s\n", g.n,
			cli_bytes(g.bar.before, bytes), args->words[1]);
	return NX_OK;
}

nx_rc cmd_get(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO(nx_client) *client = NULL;
	nx_rc rc = nx_client_new(args, &client, err);

	if (rc)
		return rc;
	return cli_has(args, "object") ? cli_object_get(args, client, err)
				       : study_get(args, client, err);
}
