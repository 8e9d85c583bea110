/* narthex quarantine: what was storable but wrong. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cast.h"
#include "cli/cli_priv.h"
#include "cli/client.h"

nx_rc cmd_quarantine_list(const struct cli_args *args, struct nx_err *err)
{
	static const struct cli_column columns[] = {{"NUMBER", "number", 8}, {"TIME", "time", 27},
		{"COLLECTION", "collection", 16}, {"SOURCE", "source", 20},
		{"REASON", "reason", 14}, {"BYTES", "size", 12}, {0}};
	static const char *const keys[] = {"collection", "reason", "after", "limit"};
	NX_AUTO_MEM char *path = cli_query(args, "/quarantine", keys, NX_ARRAY_LEN(keys));

	return path ? cli_list(args, path, "quarantine", columns, err)
		    : nx_err_set(err, NX_E_NOMEM, "no memory for a path");
}

/* One line for each member that is there. */
static void members_print(const json_t *json)
{
	const char *key;
	json_t *value;

	json_object_foreach(nx_unconst(json), key, value)
	{
		if (json_is_object(value))
			members_print(value);
		else if (json_is_string(value))
			(void)printf("%-17s %s\n", key, json_string_value(value));
		else if (json_is_integer(value))
			(void)printf("%-17s %lld\n", key, (long long)json_integer_value(value));
		else if (json_is_boolean(value))
			(void)printf("%-17s %s\n", key, json_is_true(value) ? "yes" : "no");
	}
}

nx_rc cmd_quarantine_show(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	nx_rc rc = cli_ask(
		args, "GET", nx_client_path("/quarantine/%s", args->words[0]), NULL, &json, err);

	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(json);
	else
		members_print(json);
	json_decref(json);
	return NX_OK;
}

nx_rc cmd_quarantine_get(const struct cli_args *args, struct nx_err *err)
{
	return cli_fetch(args, nx_client_path("/quarantine/%s/content", args->words[0]),
		args->words[1], err);
}

nx_rc cmd_quarantine_retry(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	nx_rc rc = cli_ask(args, "POST", nx_client_path("/quarantine/%s/retry", args->words[0]),
		NULL, &json, err);

	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(json);
	else
		(void)printf("%s: %s\n", json_string_value(json_object_get(json, "outcome")),
			json_string_value(json_object_get(json, "instance")));
	json_decref(json);
	return NX_OK;
}

nx_rc cmd_quarantine_discard(const struct cli_args *args, struct nx_err *err)
{
	nx_rc rc = cli_confirm(
		args, "This destroys the only copy of these bytes here.", "discard", err);

	if (rc)
		return rc;
	rc = cli_ask(
		args, "DELETE", nx_client_path("/quarantine/%s", args->words[0]), NULL, NULL, err);
	if (!rc && cli_has(args, "json"))
		(void)printf("{}\n");
	return rc;
}
