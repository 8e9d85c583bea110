/* narthex edit: corrections of a patient, a study, a series or an instance. */
#include <stdio.h>
#include <string.h>

#include "cli/cli_priv.h"
#include "cli/client.h"

/* KEY=VALUE of every --set. */
static json_t *sets_make(const struct cli_args *args, struct nx_err *err)
{
	const char *texts[CLI_VALUES_MAX];
	size_t n = cli_all(args, "set", texts, NX_ARRAY_LEN(texts));
	json_t *set = json_object();

	for (size_t i = 0; i < n; i++) {
		const char *eq = strchr(texts[i], '=');
		NX_AUTO_MEM char *name = eq ? strndup(texts[i], (size_t)(eq - texts[i])) : NULL;

		if (!name || json_object_set_new(set, name, json_string(eq + 1))) {
			(void)nx_err_set(err, NX_E_INVAL, "--set is KEY=VALUE in UTF-8");
			json_decref(set);
			return NULL;
		}
	}
	return set;
}

static json_t *removes_make(const struct cli_args *args)
{
	const char *texts[CLI_VALUES_MAX];
	size_t n = cli_all(args, "remove", texts, NX_ARRAY_LEN(texts));
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, json_string(texts[i]));
	return list;
}

/* The words after the verb name what is edited. */
static json_t *body_make(const struct cli_args *args, struct nx_err *err)
{
	static const char *const uids[] = {"study", "series", "instance"};
	static const char *const texts[] = {"reason", "issuer", "into", "into-issuer", "source"};
	static const char *const names[] = {"reason", "issuer", "into", "into_issuer", "source"};
	bool of_patient = strcmp(args->cmd->verb, "patient") == 0;
	json_t *set = sets_make(args, err);
	json_t *body = set ? json_pack("{s:s,s:s,s:o,s:o,s:b,s:b}", "collection",
				     cli_collection(args, "clinical"), "level", args->cmd->verb,
				     "set", set, "remove", removes_make(args), "coerce",
				     cli_has(args, "coerce"), "dry_run", cli_has(args, "dry-run"))
			   : NULL;

	for (size_t i = 0; body && i < args->n_words && i < NX_ARRAY_LEN(uids); i++)
		(void)json_object_set_new(
			body, of_patient ? "patient" : uids[i], json_string(args->words[i]));
	for (size_t i = 0; body && i < NX_ARRAY_LEN(texts); i++)
		if (cli_has(args, texts[i]))
			(void)json_object_set_new(
				body, names[i], json_string(cli_get(args, texts[i])));
	return body;
}

static long long number(const json_t *json, const char *key)
{
	return (long long)json_integer_value(json_object_get(json, key));
}

static void answer_print(const json_t *answer)
{
	bool dry = json_is_true(json_object_get(answer, "dry_run"));
	const json_t *tag;
	size_t i;

	json_array_foreach(json_object_get(answer, "tags"), i, tag)(void) printf(
		"%s  %-28s %s in %lld instances\n", json_string_value(json_object_get(tag, "tag")),
		json_string_value(json_object_get(tag, "name")), dry ? "would change" : "changed",
		number(tag, "instances"));
	(void)printf("%lld studies, %lld instances looked at, %lld %s\n", number(answer, "studies"),
		number(answer, "instances"), number(answer, "changed"),
		dry ? "would change" : "have a new version");
}

nx_rc cmd_edit(const struct cli_args *args, struct nx_err *err)
{
	const char *reason;
	json_t *body, *answer = NULL;
	nx_rc rc = cli_need(args, "reason", &reason, err);

	if (rc)
		return rc;
	body = body_make(args, err);
	if (!body)
		return NX_E_INVAL;
	rc = cli_ask(args, "POST", nx_client_path("/edits"), body, &answer, err);
	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(answer);
	else
		answer_print(answer);
	json_decref(answer);
	return NX_OK;
}

#define INSTANCE "/collections/%s/studies/%s/series/%s/instances/%s"

nx_rc cmd_version_list(const struct cli_args *args, struct nx_err *err)
{
	static const struct cli_column columns[] = {{"VERSION", "version", 8},
		{"STATE", "state", 9}, {"RECEIVED", "received", 27}, {"BYTES", "size", 12},
		{"OTHER PATIENT", "other_patient", 13}, {0}};
	NX_AUTO_MEM char *path = nx_client_path(INSTANCE "/versions",
		cli_collection(args, "clinical"), args->words[0], args->words[1], args->words[2]);

	return path ? cli_list(args, path, "versions", columns, err)
		    : nx_err_set(err, NX_E_NOMEM, "no memory for a path");
}

nx_rc cmd_version_get(const struct cli_args *args, struct nx_err *err)
{
	return cli_fetch(args,
		nx_client_path(INSTANCE "/versions/%s", cli_collection(args, "clinical"),
			args->words[0], args->words[1], args->words[2], args->words[3]),
		args->words[4], err);
}
