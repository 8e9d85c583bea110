/* narthex forward: what is sent on to destinations. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cast.h"
#include "cli/cli_priv.h"
#include "cli/client.h"

/* "Modality=CT StudyDescription=*chest*" */
static char *conditions_text(const json_t *conditions)
{
	const char *fact;
	json_t *value;
	char *text = strdup("");

	json_object_foreach(nx_unconst(conditions), fact, value)
	{
		char *more = NULL;

		if (text &&
			asprintf(&more, "%s%s%s=%s", text, *text ? " " : "", fact,
				json_string_value(value)) < 0)
			more = NULL;
		free(text);
		text = more;
	}
	return text;
}

static void rules_print(const json_t *json)
{
	static const struct cli_column columns[] = {{"NAME", "name", 20},
		{"COLLECTION", "collection", 16}, {"DESTINATION", "destination", 16},
		{"CONDITIONS", "text", 40}, {0}};
	const json_t *rules = json_object_get(json, "rules");
	json_t *rule;
	size_t i;

	json_array_foreach(rules, i, rule)
	{
		char *text = conditions_text(json_object_get(rule, "conditions"));

		(void)json_object_set_new(rule, "text", json_string(text ? text : ""));
		free(text);
	}
	cli_table(rules, columns);
}

nx_rc cmd_forward_list(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	nx_rc rc = cli_ask(args, "GET", strdup("/forward/rules"), NULL, &json, err);

	if (!rc)
		cli_answer(args, json, rules_print);
	return rc;
}

nx_rc cmd_forward_add(const struct cli_args *args, struct nx_err *err)
{
	json_t *conditions = json_object();
	nx_rc rc = cli_pairs(args, 2, conditions, err);

	if (rc) {
		json_decref(conditions);
		return rc;
	}
	return cli_ask(args, "PUT", nx_client_path("/forward/rules/%s", args->words[0]),
		json_pack("{s:s,s:s,s:o,s:b}", "collection", cli_collection(args, "clinical"),
			"destination", args->words[1], "conditions", conditions, "commitment",
			cli_has(args, "commitment")),
		NULL, err);
}

nx_rc cmd_forward_remove(const struct cli_args *args, struct nx_err *err)
{
	return cli_ask(args, "DELETE", nx_client_path("/forward/rules/%s", args->words[0]), NULL,
		NULL, err);
}

nx_rc cmd_forward_queue(const struct cli_args *args, struct nx_err *err)
{
	static const struct cli_column columns[] = {{"NUMBER", "number", 8}, {"KIND", "kind", 6},
		{"STATE", "state", 8}, {"DESTINATION", "destination", 16}, {"TRIES", "tries", 6},
		{"DUE", "due", 27}, {"STATUS", "status", 7}, {"ERROR", "error", 16},
		{"INSTANCE", "instance", 40}, {0}};
	static const char *const keys[] = {"destination", "state", "after", "limit"};
	NX_AUTO_MEM char *path = cli_query(args, "/forward/queue", keys, NX_ARRAY_LEN(keys));

	return path ? cli_list(args, path, "deliveries", columns, err)
		    : nx_err_set(err, NX_E_NOMEM, "no memory for a path");
}

static void count_print(const json_t *json)
{
	(void)printf("%lld\n", (long long)json_integer_value(json_object_get(json, "deliveries")));
}

static nx_rc count_ask(
	const struct cli_args *args, const char *path, json_t *body, struct nx_err *err)
{
	json_t *json = NULL;
	nx_rc rc = cli_ask(args, "POST", strdup(path), body, &json, err);

	if (!rc)
		cli_answer(args, json, count_print);
	return rc;
}

nx_rc cmd_forward_send(const struct cli_args *args, struct nx_err *err)
{
	return count_ask(args, "/forward/queue",
		json_pack("{s:s,s:s,s:s,s:b}", "study", args->words[0], "destination",
			args->words[1], "collection", cli_collection(args, "clinical"),
			"commitment", cli_has(args, "commitment")),
		err);
}

/* A number, or --dead for all dead letters. */
static nx_rc pick_ask(const struct cli_args *args, const char *path, struct nx_err *err)
{
	int64_t number = 0;
	char *end = NULL;

	if (args->n_words == (cli_has(args, "dead") ? 1u : 0u))
		return nx_err_set(err, NX_E_INVAL, "give a NUMBER, or --dead for all dead letters");
	if (args->n_words)
		number = strtoll(args->words[0], &end, 10);
	if (end && (*end || number < 1))
		return nx_err_set(err, NX_E_INVAL, "NUMBER is none of a delivery");
	return count_ask(args, path,
		number ? json_pack("{s:I}", "number", (json_int_t)number)
		       : json_pack("{s:s*}", "destination", cli_get(args, "destination")),
		err);
}

nx_rc cmd_forward_retry(const struct cli_args *args, struct nx_err *err)
{
	return pick_ask(args, "/forward/retry", err);
}

nx_rc cmd_forward_drop(const struct cli_args *args, struct nx_err *err)
{
	nx_rc rc = cli_confirm(args, "The destination will not get these instances.", "drop", err);

	return rc ? rc : pick_ask(args, "/forward/drop", err);
}
