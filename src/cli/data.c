/* Commands over data: find, get, put, ls, rm. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/cli_priv.h"
#include "cli/client.h"

enum {
	PATH_LEN = 4096
};

static const char *collection_of(const struct cli_args *args, const char *def)
{
	const char *name = cli_get(args, "collection");

	return name ? name : def;
}

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
	NX_AUTO_DONE(nx_buf) buf;
	const char *text, *limit = cli_get(args, "limit");
	char *pair, *at;

	nx_buf_init(&buf, 64 * NX_KIB, NX_BUF_WIPE);
	pair = nx_client_path("/collections/%s/%s?limit=%s", collection_of(args, "clinical"),
		level->plural, limit ? limit : "1000");
	nx_buf_put_str(&buf, pair ? pair : "");
	free(pair);
	for (size_t i = 1; i < args->n_words; i++) {
		NX_AUTO_MEM char *key = strdup(args->words[i]);

		at = key ? strchr(key, '=') : NULL;
		if (!at)
			return nx_err_set(err, NX_E_INVAL, "argument %zu is not KEY=VALUE", i + 1);
		*at = '\0';
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
		return nx_err_set(err, NX_E_INVAL, "level is none of study, series, instance");
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
		return nx_err_errno(err, "make the file");
	rc = nx_client_download(client, path, fd, &bytes, err);
	if (close(fd) < 0 && !rc)
		rc = nx_err_errno(err, "write the file");
	if (!rc && rename(part, to) < 0)
		rc = nx_err_errno(err, "name the file");
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

static nx_rc instance_get(const struct cli_args *args, struct nx_client *client, const json_t *row,
	struct nx_err *err)
{
	const char *study = text_of(row, "StudyInstanceUID");
	const char *series = text_of(row, "SeriesInstanceUID");
	const char *instance = text_of(row, "SOPInstanceUID");
	NX_AUTO_MEM char *path = nx_client_path("/collections/%s/studies/%s/series/%s/instances/%s",
		collection_of(args, "clinical"), study, series, instance);
	char dir[PATH_LEN], to[PATH_LEN];
	nx_rc rc;

	if (!uid_plain(study) || !uid_plain(series) || !uid_plain(instance))
		return nx_err_set(err, NX_E_MALFORMED, "the answer has a UID that is none");
	if ((size_t)snprintf(dir, sizeof(dir), "%s/%s/%s", args->words[1], study, series) >=
			sizeof(dir) ||
		(size_t)snprintf(to, sizeof(to), "%s/%s.dcm", dir, instance) >= sizeof(to) || !path)
		return nx_err_set(err, NX_E_INVAL, "path of the folder is too long");
	rc = nx_mkdirs(dir, err);
	return rc ? rc : cli_download(client, path, to, err);
}

static nx_rc study_get(const struct cli_args *args, struct nx_client *client, struct nx_err *err)
{
	const char *series = cli_get(args, "series"), *instance = cli_get(args, "instance");
	NX_AUTO_MEM char *path = nx_client_path("/collections/%s/instances?StudyInstanceUID=%s",
		collection_of(args, "clinical"), args->words[0]);
	const json_t *row, *rows;
	json_t *json = NULL;
	bool progress = isatty(STDERR_FILENO);
	size_t i, n = 0;
	nx_rc rc = path ? nx_client_json(client, "GET", path, NULL, &json, err)
			: nx_err_set(err, NX_E_NOMEM, "no memory for a path");

	rows = json_object_get(json, "instances");
	json_array_foreach(rows, i, row)
	{
		if ((series && strcmp(series, text_of(row, "SeriesInstanceUID")) != 0) ||
			(instance && strcmp(instance, text_of(row, "SOPInstanceUID")) != 0))
			continue;
		rc = instance_get(args, client, row, err);
		if (rc)
			break;
		n++;
		if (progress)
			(void)fprintf(stderr, "\r%zu of %zu ", n, json_array_size(rows));
	}
	if (progress && n)
		(void)fprintf(stderr, "\n");
	if (!rc && json_is_true(json_object_get(json, "more")))
		rc = nx_err_set(
			err, NX_E_LIMIT, "the study has more instances than one query gives");
	if (!rc && n == 0)
		rc = nx_err_set(err, NX_E_NOENT, "no such instance");
	json_decref(json);
	return rc;
}

nx_rc cmd_get(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO(nx_client) *client = NULL;
	NX_AUTO_MEM char *path = NULL;
	nx_rc rc = nx_client_new(args, &client, err);

	if (rc)
		return rc;
	if (!cli_has(args, "object"))
		return study_get(args, client, err);
	path = nx_client_path(
		"/collections/%s/objects/%S", collection_of(args, "curated"), args->words[0]);
	if (!path)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a path");
	return cli_download(client, path, args->words[1], err);
}

/* ---- objects ---- */

nx_rc cmd_put(const struct cli_args *args, struct nx_err *err)
{
	const char *type = cli_get(args, "type"), *file = args->words[0];
	NX_AUTO_FD fd =
		strcmp(file, "-") == 0 ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);
	NX_AUTO_MEM char *path = nx_client_path(
		"/collections/%s/objects/%S", collection_of(args, "curated"), args->words[1]);
	NX_AUTO(nx_client) *client = NULL;
	json_t *json = NULL;
	struct stat st;
	nx_rc rc;

	if (fd < 0 || fstat(fd, &st) < 0)
		return nx_err_errno(err, "open the file");
	rc = path ? nx_client_new(args, &client, err)
		  : nx_err_set(err, NX_E_NOMEM, "no memory for a path");
	if (!rc)
		rc = nx_client_upload(client, "PUT", path, type ? type : "application/octet-stream",
			fd, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : UINT64_MAX, &json, err);
	if (!rc && cli_has(args, "json"))
		cli_json(json);
	json_decref(json);
	return rc;
}

nx_rc cmd_ls(const struct cli_args *args, struct nx_err *err)
{
	static const struct cli_column columns[] = {
		{"BYTES", "size", 14}, {"MODIFIED", "modified", 27}, {"KEY", "key", 1}, {0}};
	const char *after = cli_get(args, "after");
	json_t *json = NULL;
	nx_rc rc = cli_ask(args, "GET",
		nx_client_path(after ? "/collections/%s/objects?prefix=%s&after=%s"
				     : "/collections/%s/objects?prefix=%s",
			collection_of(args, "curated"), args->n_words ? args->words[0] : "", after),
		NULL, &json, err);

	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(json);
	else
		cli_table(json_object_get(json, "objects"), columns);
	json_decref(json);
	return NX_OK;
}

nx_rc cmd_rm(const struct cli_args *args, struct nx_err *err)
{
	return cli_ask(args, "DELETE",
		nx_client_path("/collections/%s/objects/%S", collection_of(args, "curated"),
			args->words[0]),
		NULL, NULL, err);
}
