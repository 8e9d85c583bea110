/* narthex release: immutable versions of datasets. */
#include <stdio.h>
#include <string.h>

#include "cli/cli_priv.h"
#include "cli/client.h"

static json_t *create_body(const struct cli_args *args)
{
	const char *collection = cli_get(args, "collection");
	const char *studies[CLI_VALUES_MAX];
	size_t n = cli_all(args, "study", studies, CLI_VALUES_MAX);
	json_t *body = json_pack("{s:s,s:s}", "name", args->words[0], "collection",
		collection ? collection : "curated");
	json_t *list = n ? json_array() : NULL;

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, json_string(studies[i]));
	if (list)
		(void)json_object_set_new(body, "studies", list);
	return body;
}

nx_rc cmd_release_create(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	nx_rc rc = cli_ask(args, "POST", strdup("/releases"), create_body(args), &json, err);

	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(json);
	else
		(void)printf("%s: %lld items, root %s\n",
			json_string_value(json_object_get(json, "release")),
			(long long)json_integer_value(json_object_get(json, "items")),
			json_string_value(json_object_get(json, "root")));
	json_decref(json);
	return NX_OK;
}

nx_rc cmd_release_list(const struct cli_args *args, struct nx_err *err)
{
	static const struct cli_column columns[] = {{"NAME", "name", 24}, {"VERSION", "version", 7},
		{"ITEMS", "items", 9}, {"CREATED", "created", 27}, {"BY", "by", 16},
		{"ROOT", "root", 64}, {0}};
	NX_AUTO_MEM char *path = args->n_words ? nx_client_path("/releases?name=%s", args->words[0])
					       : strdup("/releases");

	return path ? cli_list(args, path, "releases", columns, err)
		    : nx_err_set(err, NX_E_NOMEM, "no memory for a path");
}

/* NAME@V; what a program prints as NAME@v1 is taken, too. */
nx_rc cmd_release_manifest(const struct cli_args *args, struct nx_err *err)
{
	const char *ref = args->words[0], *at = strrchr(ref, '@');
	NX_AUTO_MEM char *name = at ? strndup(ref, (size_t)(at - ref)) : NULL;

	if (!at || at == ref)
		return nx_err_set(err, NX_E_INVAL, "a release is NAME@V");
	if (!name)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a path");
	at += at[1] == 'v' ? 2 : 1;
	return cli_text(args, nx_client_path("/releases/%s/%s/manifest", name, at), err);
}

nx_rc cmd_release_verifier(const struct cli_args *args, struct nx_err *err)
{
	json_t *json = NULL;
	nx_rc rc = cli_ask(args, "GET", strdup("/releases/verifier"), NULL, &json, err);

	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(json);
	else
		(void)printf("%s\n", json_string_value(json_object_get(json, "verifier_key")));
	json_decref(json);
	return NX_OK;
}
