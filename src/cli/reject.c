/* narthex reject, narthex rejected: what is not to be used, and what is to be used again. */
#include <stdio.h>

#include "base/buf.h"
#include "cli/cli_priv.h"
#include "cli/client.h"

/* STUDY [SERIES [INSTANCE]] and --reason. */
static json_t *body_make(const struct cli_args *args, const char *reason)
{
	static const char *const uids[] = {"study", "series", "instance"};
	json_t *body = json_pack("{s:s}", "reason", reason);

	for (size_t i = 0; body && i < args->n_words && i < NX_ARRAY_LEN(uids); i++)
		(void)json_object_set_new(body, uids[i], json_string(args->words[i]));
	return body;
}

static nx_rc selection_ask(
	const struct cli_args *args, char *path, const char *done, struct nx_err *err)
{
	const char *reason = cli_get(args, "reason");
	json_t *answer = NULL;
	nx_rc rc = cli_ask(args, "POST", path, body_make(args, reason ? reason : ""), &answer, err);

	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(answer);
	else
		(void)printf("%lld instances %s\n",
			(long long)json_integer_value(json_object_get(answer, done)), done);
	json_decref(answer);
	return NX_OK;
}

nx_rc cmd_reject(const struct cli_args *args, struct nx_err *err)
{
	const char *reason;
	nx_rc rc = cli_need(args, "reason", &reason, err);

	return rc ? rc
		  : selection_ask(args,
			    nx_client_path(
				    "/collections/%s/rejected", cli_collection(args, "clinical")),
			    "rejected", err);
}

nx_rc cmd_rejected_restore(const struct cli_args *args, struct nx_err *err)
{
	const char *reason;
	nx_rc rc = cli_need(args, "reason", &reason, err);

	return rc ? rc
		  : selection_ask(args,
			    nx_client_path("/collections/%s/rejected/restore",
				    cli_collection(args, "clinical")),
			    "restored", err);
}

nx_rc cmd_rejected_list(const struct cli_args *args, struct nx_err *err)
{
	static const struct cli_column columns[] = {{"NUMBER", "number", 8}, {"TIME", "time", 27},
		{"REASON", "reason", 10}, {"STUDY", "study", 40}, {"INSTANCE", "instance", 40},
		{0}};
	static const char *const keys[] = {"after", "limit"};
	NX_AUTO_MEM char *base =
		nx_client_path("/collections/%s/rejected", cli_collection(args, "clinical"));
	NX_AUTO_MEM char *path = base ? cli_query(args, base, keys, NX_ARRAY_LEN(keys)) : NULL;

	return path ? cli_list(args, path, "rejected", columns, err)
		    : nx_err_set(err, NX_E_NOMEM, "no memory for a path");
}

nx_rc cmd_rejected_get(const struct cli_args *args, struct nx_err *err)
{
	return cli_fetch(args,
		nx_client_path("/collections/%s/rejected/%s", cli_collection(args, "clinical"),
			args->words[0]),
		args->words[1], err);
}
