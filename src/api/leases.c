/* Leases: what libnarthex calls (docs/formats/LEASE.md). */
#include "api/api_priv.h"
#include "dataset/lease.h"
#include "dataset/release.h"

/* A whole number from 0; `def` where it is absent. */
static nx_rc member_number(
	const json_t *body, const char *name, int64_t def, int64_t *ret, struct nx_err *err)
{
	const json_t *value = json_object_get(body, name);

	if (value && (!json_is_integer(value) || json_integer_value(value) < 0))
		return nx_err_set(err, NX_E_INVAL, "%s is not a number from 0", name);
	*ret = value ? json_integer_value(value) : def;
	return NX_OK;
}

struct wish {
	char name[NX_LIMIT_NAME + 1];
	int64_t version;
	const char *purpose;
	int64_t seconds;
};

static nx_rc wish_take(const json_t *body, struct wish *ret, struct nx_err *err)
{
	const char *release = NULL;
	nx_rc rc = api_member_text(body, "release", true, &release, err);

	if (!rc)
		rc = nx_release_ref_parse(release, ret->name, &ret->version, err);
	if (!rc)
		rc = api_member_text(body, "purpose", true, &ret->purpose, err);
	return rc ? rc : member_number(body, "seconds", 3600, &ret->seconds, err);
}

/* {"release","purpose","seconds"} */
nx_rc api_lease_open(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_lease_info info;
	struct wish wish = {.version = 0};
	json_t *body = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	api_reply_init(&buf);
	if (!rc)
		rc = wish_take(body, &wish, err);
	if (!rc)
		rc = nx_lease_open(api_of(req)->releases, api_who_of(req),
			&(struct nx_lease_terms){.release = wish.name,
				.version = wish.version,
				.purpose = wish.purpose,
				.seconds = wish.seconds},
			&info, err);
	json_decref(body);
	if (rc)
		return rc;
	nx_lease_info_json(&info, &buf);
	return api_reply_json(req, 201, &buf, err);
}

/* {"first","count"}: extents and keys of these positions, never to be cached. */
nx_rc api_lease_read(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	int64_t first = 0, count = 0;
	json_t *body = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	api_reply_init(&buf);
	if (!rc)
		rc = member_number(body, "first", 0, &first, err);
	if (!rc)
		rc = member_number(body, "count", 1, &count, err);
	json_decref(body);
	if (!rc)
		rc = nx_lease_read_json(api_of(req)->releases, api_who_of(req),
			&(struct nx_lease_span){.id = nx_http_param(req, "lease"),
				.first = (uint64_t)first,
				.count = (uint64_t)count},
			&buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

nx_rc api_lease_end(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	nx_rc rc = nx_lease_end(
		api_of(req)->releases, api_who_of(req), nx_http_param(req, "lease"), err);

	api_reply_init(&buf);
	nx_buf_put_str(&buf, "{}");
	return api_reply_rc(req, rc, &buf, err);
}
