#include "deid/deid.h"
#include "api/api_priv.h"

enum {
	SKIPS_TOLD = 100
};

struct skips {
	struct nx_json json; /* an array of what was left out, the first hundred */
	unsigned n;
};

static void on_skip(void *payload, const char *instance, enum nx_deid_skip why)
{
	struct skips *skips = payload;

	if (skips->n++ >= SKIPS_TOLD)
		return;
	nx_json_object_begin(&skips->json);
	nx_json_kv_str(&skips->json, "instance", instance);
	nx_json_kv_str(&skips->json, "why", nx_deid_skip_text(why));
	nx_json_object_end(&skips->json);
}

static void result_json(
	const struct nx_deid_result *result, const struct nx_buf *left_out, struct nx_json *json)
{
	uint64_t skipped = 0;

	for (unsigned i = 0; i < NX_DEID_SKIP_COUNT_; i++)
		skipped += result->skipped[i];
	nx_json_object_begin(json);
	nx_json_kv_str(json, "pseudonym", result->pseudonym);
	nx_json_kv_str(json, "study", result->study);
	nx_json_kv_uint(json, "stored", result->stored);
	nx_json_kv_uint(json, "duplicates", result->duplicates);
	nx_json_kv_uint(json, "skipped", skipped);
	nx_json_key(json, "left_out");
	nx_json_raw(json, nx_buf_slice(left_out));
	nx_json_object_end(json);
}

static nx_rc study_run(struct nx_http_req *req, struct nx_deid_opts *opts, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) left_out = {0};
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_deid_result result;
	struct skips skips = {.n = 0};
	struct nx_json json;
	nx_rc rc;

	api_reply_init(&left_out);
	api_reply_init(&buf);
	nx_json_init(&skips.json, &left_out);
	nx_json_array_begin(&skips.json);
	opts->on_skip = on_skip;
	opts->payload = &skips;
	rc = nx_deid_study(api_of(req)->deid, opts, &result, err);
	nx_json_array_end(&skips.json);
	if (!rc)
		rc = nx_buf_check(&left_out, err);
	if (rc)
		return rc;
	nx_json_init(&json, &buf);
	result_json(&result, &left_out, &json);
	return api_reply_json(req, 200, &buf, err);
}

/* {"collection","study","destination","profile"} */
nx_rc api_deid_run(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_deid_opts opts = {.who = api_who_of(req)};
	json_t *body = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	if (!rc)
		rc = api_member_text(body, "collection", true, &opts.from, err);
	if (!rc)
		rc = api_member_text(body, "study", true, &opts.study, err);
	if (!rc)
		rc = api_member_text(body, "destination", true, &opts.to, err);
	if (!rc)
		rc = api_member_text(body, "profile", false, &opts.profile, err);
	if (!rc && !opts.profile)
		opts.profile = NX_DEID_PROFILE;
	if (!rc)
		rc = study_run(req, &opts, err);
	json_decref(body);
	return rc;
}
