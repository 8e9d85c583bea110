/* narthex who-saw: the accounting of disclosures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_priv.h"
#include "cli/client.h"

static nx_rc one_of_four(const struct cli_args *args, struct nx_err *err)
{
	int n = cli_has(args, "patient") + cli_has(args, "study") + cli_has(args, "subject") +
		cli_has(args, "user");

	return n == 1 ? NX_OK
		      : nx_err_set(err, NX_E_INVAL,
				"give one of --patient, --study, --subject and --user");
}

/* --user is what the API calls principal; a patient is one of a collection. */
static char *path_make(const struct cli_args *args)
{
	static const char *const keys[] = {"patient", "issuer", "study", "subject", "from", "to"};
	const char *collection = cli_get(args, "collection"), *user = cli_get(args, "user");
	NX_AUTO_MEM char *path = cli_query(args, "/who-saw", keys, NX_ARRAY_LEN(keys));
	NX_AUTO_MEM char *more = nx_client_path("collection=%s&proof=%s",
		collection ? collection : "clinical", cli_has(args, "proof") ? "true" : "false");
	NX_AUTO_MEM char *principal = user ? nx_client_path("&principal=%s", user) : strdup("");
	char *ret = NULL;

	if (!path || !more || !principal || asprintf(&ret, "%s%s%s", path, more, principal) < 0)
		return NULL;
	return ret;
}

static void entries_print(const json_t *json)
{
	cli_entries(json_object_get(json, "entries"));
	(void)printf("entries in all: %lld\n",
		(long long)json_integer_value(json_object_get(json, "total")));
}

static nx_rc proof_write(const char *file, const json_t *json, struct nx_err *err)
{
	NX_AUTO_MEM char *text = json_dumps(json_object_get(json, "proof"), JSON_COMPACT);

	if (!text)
		return nx_err_set(err, NX_E_NOENT, "there are no entries to prove");
	return cli_file_write(file, nx_slice_str(text), err);
}

/* The patient id of an erased one is known to nobody any more. */
static nx_rc not_known(struct nx_err *err)
{
	const struct nx_err said = *err;

	return nx_err_set(err, NX_E_NOENT,
		"%s; about an erased patient ask with --subject, which the certificate names",
		nx_err_text(&said));
}

nx_rc cmd_who_saw(const struct cli_args *args, struct nx_err *err)
{
	const char *file = cli_get(args, "proof");
	json_t *json = NULL;
	nx_rc rc = one_of_four(args, err);

	if (!rc)
		rc = cli_ask(args, "GET", path_make(args), NULL, &json, err);
	if (rc == NX_E_NOENT && cli_has(args, "patient"))
		return not_known(err);
	if (rc)
		return rc;
	if (file)
		rc = proof_write(file, json, err);
	(void)json_object_del(json, "proof");
	if (cli_has(args, "json"))
		cli_json(json);
	else
		entries_print(json);
	json_decref(json);
	return rc;
}
