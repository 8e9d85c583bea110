/* narthex lease: the right to read a release, for a purpose and a time. */
#include <stdio.h>
#include <string.h>

#include "cli/cli_priv.h"
#include "cli/client.h"

enum {
	SECONDS_MAX = 7 * 24 * 3600,
	POSITION_MAX = 1000000000,
	COUNT_MAX = 256
};

nx_rc cmd_lease_open(const struct cli_args *args, struct nx_err *err)
{
	const char *purpose = NULL;
	json_t *json = NULL;
	int64_t seconds = 0;
	nx_rc rc = cli_need(args, "purpose", &purpose, err);

	if (!rc)
		rc = cli_number(args, "seconds", 3600, 1, SECONDS_MAX, &seconds, err);
	if (!rc)
		rc = cli_ask(args, "POST", strdup("/leases"),
			json_pack("{s:s,s:s,s:I}", "release", args->words[0], "purpose", purpose,
				"seconds", (json_int_t)seconds),
			&json, err);
	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(json);
	else
		(void)printf("%s\n", json_string_value(json_object_get(json, "lease")));
	json_decref(json);
	return NX_OK;
}

static void samples_print(const json_t *json)
{
	const json_t *sample;
	size_t i;

	json_array_foreach(json_object_get(json, "samples"), i, sample)
	{
		(void)printf("%-9lld  %-12lld  %s\n",
			(long long)json_integer_value(json_object_get(sample, "position")),
			(long long)json_integer_value(json_object_get(sample, "size")),
			json_is_true(json_object_get(sample, "erased"))
				? "erased"
				: json_string_value(json_object_get(sample, "instance")));
	}
}

nx_rc cmd_lease_read(const struct cli_args *args, struct nx_err *err)
{
	int64_t first = 0, count = 0;
	json_t *json = NULL;
	nx_rc rc = cli_number(args, "first", 0, 0, POSITION_MAX, &first, err);

	if (!rc)
		rc = cli_number(args, "count", 64, 1, COUNT_MAX, &count, err);
	if (!rc)
		rc = cli_ask(args, "POST", nx_client_path("/leases/%s/read", args->words[0]),
			json_pack("{s:I,s:I}", "first", (json_int_t)first, "count",
				(json_int_t)count),
			&json, err);
	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(json);
	else
		samples_print(json);
	json_decref(json);
	return NX_OK;
}

nx_rc cmd_lease_end(const struct cli_args *args, struct nx_err *err)
{
	return cli_ask(
		args, "DELETE", nx_client_path("/leases/%s", args->words[0]), NULL, NULL, err);
}
