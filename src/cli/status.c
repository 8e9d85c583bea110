#include <stdio.h>

#include "base/buf.h"
#include "base/limits.h"
#include "cli/cli_priv.h"
#include "cli/client.h"

static uint64_t number(const json_t *json, const char *section, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(json_object_get(json, section), key));
}

static void status_print(const json_t *s)
{
	const char *unready = json_string_value(json_object_get(s, "unready"));
	char held[16], room[16], memory[16], aside[16];

	(void)printf("%s (%s), narthex %s, since %s: %s\n",
		json_string_value(json_object_get(s, "site")),
		json_string_value(json_object_get(s, "environment")),
		json_string_value(json_object_get(s, "version")),
		json_string_value(json_object_get(s, "started")),
		json_is_true(json_object_get(s, "ready")) ? "ready" : "NOT READY");
	if (unready)
		(void)printf("not ready: %s\n", unready);
	(void)printf("holds      %llu subjects, %llu studies, %llu series, %llu items, %s\n",
		(unsigned long long)number(s, "holds", "subjects"),
		(unsigned long long)number(s, "holds", "studies"),
		(unsigned long long)number(s, "holds", "series"),
		(unsigned long long)number(s, "holds", "items"),
		cli_bytes(number(s, "holds", "bytes"), held));
	(void)printf("quarantine %llu items, %s\n",
		(unsigned long long)number(s, "holds", "quarantined"),
		cli_bytes(number(s, "holds", "quarantined_bytes"), aside));
	(void)printf("ledger     %llu entries\n",
		(unsigned long long)number(s, "holds", "ledger_entries"));
	(void)printf("ingest     %llu stored, %llu duplicates, %llu versions, %llu quarantined, "
		     "%llu refused\n",
		(unsigned long long)number(s, "ingest", "stored"),
		(unsigned long long)number(s, "ingest", "duplicates"),
		(unsigned long long)number(s, "ingest", "versions"),
		(unsigned long long)number(s, "ingest", "quarantined"),
		(unsigned long long)number(s, "ingest", "refused"));
	(void)printf("resources  %s free, %s of memory\n",
		cli_bytes(number(s, "resources", "pool_free_bytes"), room),
		cli_bytes(number(s, "resources", "resident_bytes"), memory));
}

nx_rc cmd_status(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO(nx_client) *client = NULL;
	json_t *json = NULL;
	nx_rc rc = nx_client_new(args, &client, err);

	if (!rc)
		rc = nx_client_json(client, "GET", "/status", NULL, &json, err);
	if (rc)
		return rc;
	if (cli_has(args, "json"))
		(void)json_dumpf(json, stdout, JSON_INDENT(2));
	else
		status_print(json);
	(void)printf("%s", cli_has(args, "json") ? "\n" : "");
	json_decref(json);
	return NX_OK;
}
