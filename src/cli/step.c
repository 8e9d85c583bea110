/* narthex step, narthex completeness: what modalities say that they did, and what of it is here. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/cast.h"
#include "cli/cli_priv.h"
#include "cli/client.h"

static const struct cli_column step_columns[] = {{"UID", "uid", 40}, {"STATE", "state", 12},
	{"STARTED", "started", 15}, {"ENDED", "ended", 15}, {"MODALITY", "modality", 8},
	{"STATION", "station", 16}, {"PATIENT", "patient", 16}, {"SERIES", "series", 6},
	{"INSTANCES", "instances", 9}, {0}};

/* A path below the collection's, with what is asked; the caller's. */
static char *steps_path(const struct cli_args *args)
{
	static const char *const keys[] = {"after", "limit"};
	NX_AUTO_MEM char *head =
		nx_client_path("/collections/%s/performed-steps", cli_collection(args, "clinical"));

	return head ? cli_query(args, head, keys, NX_ARRAY_LEN(keys)) : NULL;
}

nx_rc cmd_step_list(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO_MEM char *path = steps_path(args);

	return path ? cli_list(args, path, "performed_steps", step_columns, err)
		    : nx_err_set(err, NX_E_NOMEM, "no memory for a path");
}

static void step_print(const json_t *json)
{
	json_t *one = json_pack("[O]", nx_unconst(json)), *study;
	size_t i;

	cli_table(one, step_columns);
	json_decref(one);
	json_array_foreach(json_object_get(json, "studies"), i, study)(void)
		printf("of study %s\n", json_string_value(study));
}

nx_rc cmd_step_show(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	nx_rc rc = cli_ask(args, "GET",
		nx_client_path("/collections/%s/performed-steps/%s",
			cli_collection(args, "clinical"), args->words[0]),
		NULL, &json, err);

	if (!rc)
		cli_answer(args, json, step_print);
	return rc;
}

static long long number(const json_t *json, const char *key)
{
	return (long long)json_integer_value(json_object_get(json, key));
}

static void completeness_print(const json_t *json)
{
	static const struct cli_column columns[] = {
		{"MISSING INSTANCE", "instance", 48}, {"SERIES", "series", 48}, {0}};
	const json_t *told = json_object_get(json, "told");
	const json_t *steps = json_object_get(json, "steps");
	const char *confidence =
		json_string_value(json_object_get(json_object_get(told, "event"), "confidence"));

	(void)printf("%-10s %s\n", "complete",
		json_is_true(json_object_get(json, "complete")) ? "yes" : "no");
	if (confidence)
		(void)printf("%-10s %s, %s\n", "told", confidence,
			json_string_value(json_object_get(told, "time")));
	(void)printf("%-10s %lld, in %lld series\n", "instances", number(json, "instances"),
		number(json, "series"));
	(void)printf("%-10s %lld in progress, %lld completed, %lld discontinued\n", "steps",
		number(steps, "in_progress"), number(steps, "completed"),
		number(steps, "discontinued"));
	(void)printf("%-10s %lld: %lld found, %lld missing\n", "expected", number(json, "expected"),
		number(json, "found"), number(json, "missing"));
	if (number(json, "missing"))
		cli_table(json_object_get(json, "missing_instances"), columns);
}

nx_rc cmd_completeness(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	nx_rc rc = cli_ask(args, "GET",
		nx_client_path("/collections/%s/studies/%s/completeness",
			cli_collection(args, "clinical"), args->words[0]),
		NULL, &json, err);

	if (!rc)
		cli_answer(args, json, completeness_print);
	return rc;
}
