#include <stdio.h>
#include <string.h>

#include "cli/cli_priv.h"
#include "cli/client.h"

nx_rc cmd_destination_list(const struct cli_args *args, struct nx_err *err)
{
	static const struct cli_column columns[] = {{"AE", "ae", 16}, {"HOST", "host", 32},
		{"PORT", "port", 6}, {"TLS", "tls", 6}, {"CALLING", "calling", 16}, {0}};

	return cli_list(args, "/destinations", "destinations", columns, err);
}

nx_rc cmd_destination_set(const struct cli_args *args, struct nx_err *err)
{
	json_t *body;
	char *end = NULL;
	int64_t port = strtoll(args->words[2], &end, 10);

	if (*end || port < 1 || port > 65535)
		return nx_err_set(err, NX_E_INVAL, "PORT is not 1 to 65535");
	body = json_pack("{s:s,s:I,s:b,s:s*}", "host", args->words[1], "port", (json_int_t)port,
		"tls", !cli_has(args, "plain"), "calling", cli_get(args, "calling"));
	return cli_ask(
		args, "PUT", nx_client_path("/destinations/%s", args->words[0]), body, NULL, err);
}

nx_rc cmd_destination_remove(const struct cli_args *args, struct nx_err *err)
{
	return cli_ask(args, "DELETE", nx_client_path("/destinations/%s", args->words[0]), NULL,
		NULL, err);
}

nx_rc cmd_echo(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	int64_t status;
	nx_rc rc = cli_ask(args, "POST", nx_client_path("/destinations/%s/echo", args->words[0]),
		NULL, &json, err);

	if (rc)
		return rc;
	status = json_integer_value(json_object_get(json, "status"));
	if (cli_has(args, "json"))
		cli_json(json);
	else
		(void)printf("%s answers %04llX in %lld ms\n", args->words[0],
			(unsigned long long)status,
			(long long)json_integer_value(json_object_get(json, "ms")));
	json_decref(json);
	return status
		? nx_err_set(err, NX_E_IO, "C-ECHO: status %04llX", (unsigned long long)status)
		: NX_OK;
}
