/* Who the site sends to: asked through the site, which alone knows them. */
#include <stdio.h>
#include <string.h>

#include "cli/cli_priv.h"
#include "cli/client.h"
#include "cli/doctor_priv.h"

static bool answers(struct nx_client *client, const char *ae)
{
	char *path = nx_client_path("/destinations/%s/echo", ae);
	json_t *json = NULL;
	bool good = path && !nx_client_json(client, "POST", path, NULL, &json, NULL) &&
		json_integer_value(json_object_get(json, "status")) == 0;

	json_decref(json);
	free(path);
	return good;
}

static enum verdict judge(struct nx_client *client, const json_t *rows, char say[DOCTOR_SAY])
{
	size_t silent = 0;
	const char *first = "";

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const char *ae = json_string_value(json_object_get(json_array_get(rows, i), "ae"));

		if (ae && answers(client, ae))
			continue;
		first = silent++ ? first : ae;
	}
	if (!silent)
		(void)snprintf(say, DOCTOR_SAY, "%zu, and all answer", json_array_size(rows));
	else
		(void)snprintf(say, DOCTOR_SAY, "%zu of %zu do not answer, %s first", silent,
			json_array_size(rows), first);
	return silent ? VERDICT_WARN : VERDICT_GOOD;
}

enum verdict doctor_destinations(const struct patient *p, char say[DOCTOR_SAY])
{
	NX_AUTO(nx_client) *client = NULL;
	enum verdict v = VERDICT_GOOD;
	json_t *json = NULL;
	nx_rc rc = nx_client_new(p->args, &client, NULL);

	if (!rc)
		rc = nx_client_json(client, "GET", "/destinations", NULL, &json, NULL);
	if (rc)
		(void)snprintf(say, DOCTOR_SAY, "not asked: the site is not served");
	else
		v = judge(client, json_object_get(json, "destinations"), say);
	json_decref(json);
	return v;
}
