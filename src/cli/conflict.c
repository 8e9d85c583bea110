/* narthex conflict: instances that came again with other bytes. */
#include <stdio.h>

#include "base/buf.h"
#include "cli/cli_priv.h"
#include "cli/client.h"

nx_rc cmd_conflict_list(const struct cli_args *args, struct nx_err *err)
{
	static const struct cli_column columns[] = {{"NUMBER", "number", 8}, {"TIME", "time", 27},
		{"COLLECTION", "collection", 16}, {"KIND", "kind", 13}, {"STATE", "state", 8},
		{"OLD", "old_version", 6}, {"NEW", "new_version", 6}, {0}};
	static const char *const keys[] = {"collection", "after", "limit"};
	NX_AUTO_MEM char *path = cli_query(args, "/conflicts", keys, NX_ARRAY_LEN(keys));

	return path ? cli_list(args, path, "conflicts", columns, err)
		    : nx_err_set(err, NX_E_NOMEM, "no memory for a path");
}

static void conflict_print(const json_t *json)
{
	static const struct cli_column columns[] = {{"VERSION", "version", 8},
		{"STATE", "state", 6}, {"RECEIVED", "received", 27}, {"BYTES", "size", 12},
		{"SOURCE", "source", 20}, {"DOOR", "door", 10}, {0}};
	static const char *const keys[] = {
		"collection", "kind", "state", "study", "other_study", "series", "instance"};
	const json_t *tag;
	size_t i;

	for (size_t k = 0; k < NX_ARRAY_LEN(keys); k++)
		if (json_is_string(json_object_get(json, keys[k])))
			(void)printf("%-11s %s\n", keys[k],
				json_string_value(json_object_get(json, keys[k])));
	cli_table(json_object_get(json, "versions"), columns);
	(void)printf("differ:");
	json_array_foreach(json_object_get(json, "differ"), i, tag)(void)
		printf(" %s", json_string_value(tag));
	(void)printf("\n");
}

nx_rc cmd_conflict_show(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	nx_rc rc = cli_ask(
		args, "GET", nx_client_path("/conflicts/%s", args->words[0]), NULL, &json, err);

	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(json);
	else
		conflict_print(json);
	json_decref(json);
	return NX_OK;
}

nx_rc cmd_conflict_get(const struct cli_args *args, struct nx_err *err)
{
	return cli_fetch(args,
		nx_client_path("/conflicts/%s/versions/%s", args->words[0], args->words[1]),
		args->words[2], err);
}

nx_rc cmd_conflict_settle(const struct cli_args *args, struct nx_err *err)
{
	const char *reason = cli_get(args, "reason");
	json_t *body;
	int64_t keep = 0;
	nx_rc rc = cli_number(args, "keep", 0, 1, INT64_MAX, &keep, err);

	if (!rc && !reason)
		rc = nx_err_set(err, NX_E_INVAL, "--reason is required");
	if (rc)
		return rc;
	body = json_pack("{s:s}", "reason", reason);
	if (keep)
		(void)json_object_set_new(body, "keep", json_integer((json_int_t)keep));
	return cli_ask(args, "POST", nx_client_path("/conflicts/%s/settle", args->words[0]), body,
		NULL, err);
}
