/* narthex worklist: what modalities are told is scheduled. */
#include <stdio.h>
#include <string.h>

#include "cli/cli_priv.h"
#include "cli/client.h"

static const json_t *attribute(const json_t *dataset, const char *tag)
{
	return json_array_get(json_object_get(json_object_get(dataset, tag), "Value"), 0);
}

static void text_set(json_t *row, const char *key, const json_t *value)
{
	const json_t *name = json_object_get(value, "Alphabetic");

	if (json_is_string(name ? name : value))
		(void)json_object_set_new(
			row, key, json_string(json_string_value(name ? name : value)));
}

static void worklist_print(const json_t *json)
{
	static const struct cli_column columns[] = {{"ITEM", "item", 16}, {"STATE", "state", 12},
		{"DATE", "date", 8}, {"TIME", "time", 6}, {"MODALITY", "modality", 8},
		{"STATION", "station", 16}, {"PATIENT", "patient", 16}, {"NAME", "name", 24}, {0}};
	const json_t *rows = json_object_get(json, "worklist");
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const json_t *ds = json_object_get(row, "dataset");
		const json_t *step = attribute(ds, "00400100");

		text_set(row, "date", attribute(step, "00400002"));
		text_set(row, "time", attribute(step, "00400003"));
		text_set(row, "modality", attribute(step, "00080060"));
		text_set(row, "station", attribute(step, "00400001"));
		text_set(row, "patient", attribute(ds, "00100020"));
		text_set(row, "name", attribute(ds, "00100010"));
	}
	cli_table(rows, columns);
}

/* Page by page, into one answer. */
static nx_rc pages_ask(const struct cli_args *args, json_t *all, struct nx_err *err)
{
	const char *state = cli_get(args, "state");
	const char *after = "";
	json_t *page = NULL;
	nx_rc rc;

	do {
		json_t *before = page;

		rc = cli_ask(args, "GET",
			nx_client_path("/collections/%s/worklist?after=%s&state=%s",
				cli_collection(args, "clinical"), after, state ? state : ""),
			NULL, &page, err);
		json_decref(before);
		if (rc)
			return rc;
		(void)json_array_extend(all, json_object_get(page, "worklist"));
		after = json_string_value(json_object_get(page, "next"));
	} while (after);
	json_decref(page);
	return NX_OK;
}

nx_rc cmd_worklist_list(const struct cli_args *args, struct nx_err *err)
{
	json_t *all = json_array();
	nx_rc rc = pages_ask(args, all, err);

	if (rc)
		json_decref(all);
	else
		cli_answer(args, json_pack("{s:o}", "worklist", all), worklist_print);
	return rc;
}

/* A file with DICOM JSON, and KEY=VALUE over it. */
static nx_rc body_make(const struct cli_args *args, json_t **ret, struct nx_err *err)
{
	const char *file = cli_get(args, "file");
	json_t *body = file ? json_load_file(file, JSON_REJECT_DUPLICATES, NULL) : json_object();
	nx_rc rc = json_is_object(body)
		? cli_pairs(args, 1, body, err)
		: nx_err_set(err, NX_E_INVAL, "--file is no JSON object that can be read");

	if (rc)
		json_decref(body);
	else
		*ret = body;
	return rc;
}

nx_rc cmd_worklist_add(const struct cli_args *args, struct nx_err *err)
{
	json_t *body = NULL;
	nx_rc rc = body_make(args, &body, err);

	return rc ? rc
		  : cli_ask(args, "PUT",
			    nx_client_path("/collections/%s/worklist/%s",
				    cli_collection(args, "clinical"), args->words[0]),
			    body, NULL, err);
}

nx_rc cmd_worklist_set(const struct cli_args *args, struct nx_err *err)
{
	json_t *body = json_pack("{s:s}", "state", args->words[1]);

	if (!body)
		return nx_err_set(err, NX_E_INVAL, "the state is not UTF-8");
	return cli_ask(args, "PUT",
		nx_client_path("/collections/%s/worklist/%s/state",
			cli_collection(args, "clinical"), args->words[0]),
		body, NULL, err);
}

nx_rc cmd_worklist_remove(const struct cli_args *args, struct nx_err *err)
{
	return cli_ask(args, "DELETE",
		nx_client_path("/collections/%s/worklist/%s", cli_collection(args, "clinical"),
			args->words[0]),
		NULL, NULL, err);
}
