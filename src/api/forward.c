/* What is sent on: rules and queue. */
#include "lifecycle/forward.h"

#include "api/api_priv.h"

nx_rc api_forward_rules(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};

	api_reply_init(&buf);
	return api_reply_rc(
		req, nx_forward_rules(api_of(req)->forward, api_who_of(req), &buf, err), &buf, err);
}

/* {"conditions":{"Modality":"CT"}}; absent: none. */
static nx_rc conditions_take(const json_t *body, struct nx_forward_condition *conditions,
	struct nx_forward_spec *spec, struct nx_err *err)
{
	json_t *object = json_object_get(body, "conditions"), *value;
	const char *fact;

	if (object && !json_is_object(object))
		return nx_err_set(err, NX_E_INVAL, "conditions are no object");
	json_object_foreach(object, fact, value)
	{
		if (spec->n_conditions == NX_LIMIT_FORWARD_CONDITIONS)
			return nx_err_set(err, NX_E_LIMIT, "more than %u conditions",
				NX_LIMIT_FORWARD_CONDITIONS);
		if (!json_is_string(value))
			return nx_err_set(err, NX_E_INVAL, "a condition is no text");
		conditions[spec->n_conditions++] =
			(struct nx_forward_condition){fact, json_string_value(value)};
	}
	spec->conditions = conditions;
	return NX_OK;
}

nx_rc api_forward_rule_set(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_forward_condition conditions[NX_LIMIT_FORWARD_CONDITIONS];
	struct nx_forward_spec spec = {.name = nx_http_param(req, "name")};
	json_t *body = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	if (!rc)
		rc = api_member_text(body, "collection", true, &spec.collection, err);
	if (!rc)
		rc = api_member_text(body, "destination", true, &spec.destination, err);
	if (!rc)
		rc = conditions_take(body, conditions, &spec, err);
	spec.commitment = json_is_true(json_object_get(body, "commitment"));
	if (!rc)
		rc = nx_forward_rule_set(api_of(req)->forward, api_who_of(req), &spec, err);
	json_decref(body);
	return rc ? rc : api_reply_empty(req, 204);
}

nx_rc api_forward_rule_remove(struct nx_http_req *req, struct nx_err *err)
{
	nx_rc rc = nx_forward_rule_remove(
		api_of(req)->forward, api_who_of(req), nx_http_param(req, "name"), err);

	return rc ? rc : api_reply_empty(req, 204);
}

nx_rc api_forward_queue(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_forward_find find = {.destination = nx_http_query(req, "destination"),
		.state = nx_http_query(req, "state")};
	uint64_t after = 0, limit = 0;
	nx_rc rc = api_query_number(req, "after", 0, &after, err);

	if (!rc)
		rc = api_query_number(req, "limit", 0, &limit, err);
	find.after = after < INT64_MAX ? (int64_t)after : INT64_MAX;
	find.limit = limit < UINT32_MAX ? (unsigned)limit : 0;
	api_reply_init(&buf);
	if (!rc)
		rc = nx_forward_queue(api_of(req)->forward, api_who_of(req), &find, &buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

static nx_rc reply_count(struct nx_http_req *req, uint64_t n, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_json json;

	api_reply_init(&buf);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_kv_uint(&json, "deliveries", n);
	nx_json_object_end(&json);
	return api_reply_json(req, 200, &buf, err);
}

nx_rc api_forward_send(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_forward_order order = {0};
	json_t *body = NULL;
	uint64_t n = 0;
	nx_rc rc = api_body_json(req, &body, err);

	if (!rc)
		rc = api_member_text(body, "collection", true, &order.collection, err);
	if (!rc)
		rc = api_member_text(body, "study", true, &order.study, err);
	if (!rc)
		rc = api_member_text(body, "destination", true, &order.destination, err);
	order.commitment = json_is_true(json_object_get(body, "commitment"));
	if (!rc)
		rc = nx_forward_send(api_of(req)->forward, api_who_of(req), &order, &n, err);
	json_decref(body);
	return rc ? rc : reply_count(req, n, err);
}

/* {"number":N}, or {"destination":AE} and {} for all dead letters. */
static nx_rc pick_take(struct nx_http_req *req, json_t **ret_body, struct nx_forward_pick *pick,
	struct nx_err *err)
{
	const json_t *number;
	nx_rc rc = api_body_json(req, ret_body, err);

	*pick = (struct nx_forward_pick){0};
	if (!rc)
		rc = api_member_text(*ret_body, "destination", false, &pick->destination, err);
	if (rc)
		return rc;
	number = json_object_get(*ret_body, "number");
	pick->number = json_integer_value(number);
	if (number && pick->number < 1)
		return nx_err_set(err, NX_E_INVAL, "number is none of a delivery");
	return NX_OK;
}

nx_rc api_forward_retry(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_forward_pick pick;
	json_t *body = NULL;
	uint64_t n = 0;
	nx_rc rc = pick_take(req, &body, &pick, err);

	if (!rc)
		rc = nx_forward_retry(api_of(req)->forward, api_who_of(req), &pick, &n, err);
	json_decref(body);
	return rc ? rc : reply_count(req, n, err);
}

nx_rc api_forward_drop(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_forward_pick pick;
	json_t *body = NULL;
	uint64_t n = 0;
	nx_rc rc = pick_take(req, &body, &pick, err);

	if (!rc)
		rc = nx_forward_drop(api_of(req)->forward, api_who_of(req), &pick, &n, err);
	json_decref(body);
	return rc ? rc : reply_count(req, n, err);
}
