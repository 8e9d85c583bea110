/* narthex deid: de-identified copies of one study, or of all there are. */
#include <stdio.h>
#include <string.h>

#include "cli/cli_priv.h"
#include "cli/client.h"

enum {
	PAGE = 1000
};

struct copying {
	const struct cli_args *args;
	struct nx_client *client;
	const char *from;
	const char *to;
	json_t *studies; /* answers, for --json */
	long long stored;
	long long duplicates;
	long long skipped;
};

static long long number(const json_t *json, const char *key)
{
	return (long long)json_integer_value(json_object_get(json, key));
}

static void skips_print(const json_t *answer)
{
	const json_t *skip;
	size_t i;

	json_array_foreach(json_object_get(answer, "left_out"), i, skip)
	{
		(void)fprintf(stderr, "left out: %s: %s\n",
			json_string_value(json_object_get(skip, "instance")),
			json_string_value(json_object_get(skip, "why")));
	}
}

static void copied(struct copying *c, const json_t *answer)
{
	c->stored += number(answer, "stored");
	c->duplicates += number(answer, "duplicates");
	c->skipped += number(answer, "skipped");
	if (cli_has(c->args, "json"))
		return;
	(void)printf("%s  %s  %lld stored, %lld there already, %lld left out\n",
		json_string_value(json_object_get(answer, "pseudonym")),
		json_string_value(json_object_get(answer, "study")), number(answer, "stored"),
		number(answer, "duplicates"), number(answer, "skipped"));
	skips_print(answer);
}

static nx_rc study_copy(struct copying *c, const char *study, struct nx_err *err)
{
	json_t *body = json_pack("{s:s,s:s,s:s,s:s*}", "collection", c->from, "study", study,
		"destination", c->to, "profile", cli_get(c->args, "profile"));
	json_t *answer = NULL;
	nx_rc rc = body ? nx_client_json(c->client, "POST", "/deid", body, &answer, err)
			: nx_err_set(err, NX_E_INVAL, "the study is not UTF-8");

	json_decref(body);
	if (rc)
		return rc;
	copied(c, answer);
	if (json_array_append_new(c->studies, answer))
		return nx_err_set(err, NX_E_NOMEM, "no memory for answers");
	return NX_OK;
}

/* One page; *ret_n is how many it had. */
static nx_rc page_copy(struct copying *c, unsigned offset, size_t *ret_n, struct nx_err *err)
{
	NX_AUTO_MEM char *path = nx_client_path("/collections/%s/studies", c->from);
	NX_AUTO_MEM char *query = NULL;
	const json_t *list, *row;
	json_t *page = NULL;
	size_t i;
	nx_rc rc;

	if (!path || asprintf(&query, "%s?limit=%d&offset=%u", path, PAGE, offset) < 0)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a path");
	rc = nx_client_json(c->client, "GET", query, NULL, &page, err);
	list = json_object_get(page, "studies");
	*ret_n = json_array_size(list);
	json_array_foreach(list, i, row)
	{
		const char *study = json_string_value(json_object_get(row, "StudyInstanceUID"));

		if (!rc && study)
			rc = study_copy(c, study, err);
	}
	json_decref(page);
	return rc;
}

static nx_rc all_copy(struct copying *c, struct nx_err *err)
{
	size_t n = PAGE;
	nx_rc rc = NX_OK;

	for (unsigned offset = 0; n == PAGE && !rc; offset += PAGE)
		rc = page_copy(c, offset, &n, err);
	return rc;
}

nx_rc cmd_deid(const struct cli_args *args, struct nx_err *err)
{
	const char *study = cli_get(args, "study"), *from = cli_get(args, "collection"),
		   *to = cli_get(args, "to");
	struct copying c = {
		.args = args, .from = from ? from : "clinical", .to = to ? to : "curated"};
	NX_AUTO(nx_client) *client = NULL;
	json_t *all;
	nx_rc rc;

	if (!study == !cli_has(args, "all"))
		return nx_err_set(err, NX_E_INVAL, "either --study or --all");
	rc = nx_client_new(args, &client, err);
	if (rc)
		return rc;
	c.client = client;
	c.studies = json_array();
	rc = study ? study_copy(&c, study, err) : all_copy(&c, err);
	all = json_pack("{s:o,s:I,s:I,s:I}", "studies", c.studies, "stored", (json_int_t)c.stored,
		"duplicates", (json_int_t)c.duplicates, "skipped", (json_int_t)c.skipped);
	if (!rc && cli_has(args, "json"))
		cli_json(all);
	else if (!rc && !study)
		(void)printf("%zu studies: %lld stored, %lld there already, %lld left out\n",
			json_array_size(c.studies), c.stored, c.duplicates, c.skipped);
	json_decref(all);
	return rc;
}
