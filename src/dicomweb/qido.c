/*
 * QIDO-RS (PS3.18 10.6).
 *
 * What cannot be matched, known to the dictionary or not, is left out of the matching and named in
 * a Warning, as a C-FIND SCP does with keys that it does not support (PS3.4 C.2.2.1.1); results
 * past the limit are announced by a Warning too (PS3.18 10.6.3.2).  No result is 200 and
 * [], or 204 in XML.
 */
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "dicomweb/dicomweb_priv.h"

enum {
	RESULT_MAX = 256 * 1024 * 1024,
	IGNORED_MAX = 512
};

void dw_query_init(struct dw_query *query, unsigned level)
{
	*query = (struct dw_query){.level = level};
	nx_buf_init(&query->ignored, IGNORED_MAX, 0);
}

void dw_query_done(struct dw_query *query)
{
	nx_buf_done(&query->ignored);
}

static nx_rc number_parse(const char *name, const char *value, unsigned *ret, struct nx_err *err)
{
	unsigned v = 0;

	for (const char *s = value; *s; s++)
		if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, 10u, &v) ||
			__builtin_add_overflow(v, (unsigned)(*s - '0'), &v))
			return nx_err_set(err, NX_E_INVAL, "%s is no number", name);
	if (!*value)
		return nx_err_set(err, NX_E_INVAL, "%s is no number", name);
	*ret = v;
	return NX_OK;
}

/* An attribute of a level above is in the results when it was asked for (PS3.18 10.6.1.3). */
static void include(struct dw_query *query, nx_tag tag)
{
	if (nx_retrieve_find_knows(NX_LEVEL_STUDY, tag))
		query->with_study = true;
	else if (nx_retrieve_find_knows(NX_LEVEL_SERIES, tag))
		query->with_series = true;
}

/* Of "Sequence.Attribute" the sequence is given out. */
static nx_rc include_list(
	struct dw_query *query, const char *value, struct nx_arena *arena, struct nx_err *err)
{
	nx_rc rc = NX_OK;
	nx_tag tag;
	size_t n;

	for (; *value && !rc; value += n + (value[n] == ',')) {
		n = strcspn(value, ",");
		if (n == 3 && strncasecmp(value, "all", n) == 0) {
			query->with_study = query->with_series = true;
		} else if (nx_dict_parse_tag(value, strcspn(value, ".,"), &tag)) {
			include(query, tag);
			rc = dw_query_include(query, tag, arena, err);
		} else {
			rc = nx_err_set(err, NX_E_INVAL, "includefield names no attribute");
		}
	}
	return rc;
}

/* Names come from the client and go into a header: letters, digits and dots only. */
static void ignore(struct dw_query *query, const char *name)
{
	struct nx_buf *out = &query->ignored;
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.");

	if (out->len + n + 3 > IGNORED_MAX || name[n])
		return nx_buf_put_str(out, out->len ? "" : "others");
	nx_buf_put_str(out, out->len ? ", " : "");
	nx_buf_put(out, name, n);
}

/* Lists of UIDs, and of codes, whose values hold no comma, may have commas (PS3.18 8.3.4.1). */
static const char *value_list(nx_tag tag, const char *value, struct nx_arena *arena)
{
	const struct nx_dict_entry *entry = nx_dict_find(tag);
	char *list;

	if (!entry || (entry->vr != NX_VR('U', 'I') && entry->vr != NX_VR('C', 'S')))
		return value;
	list = nx_arena_str(arena, value, strlen(value));
	for (char *s = list; s && *s; s++)
		if (*s == ',')
			*s = '\\';
	return list;
}

static nx_rc key_add(struct dw_query *query, nx_tag tag, const char *value, struct nx_arena *arena,
	struct nx_err *err)
{
	struct nx_find_key *key = &query->keys[query->n_keys];

	if (query->n_keys + query->n_paths == NX_ARRAY_LEN(query->keys))
		return nx_err_set(err, NX_E_LIMIT, "more than %u keys", NX_LIMIT_QUERY_KEYS);
	*key = (struct nx_find_key){tag, value_list(tag, value, arena)};
	if (!key->value)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a key");
	query->n_keys++;
	return NX_OK;
}

nx_rc dw_query_param(struct dw_query *query, const char *name, const char *value,
	struct nx_arena *arena, struct nx_err *err)
{
	bool taken = false;
	nx_tag tag;
	nx_rc rc;

	if (strcmp(name, "limit") == 0)
		return number_parse(name, value, &query->limit, err);
	if (strcmp(name, "offset") == 0)
		return number_parse(name, value, &query->offset, err);
	if (strcmp(name, "includefield") == 0)
		return include_list(query, value, arena, err);
	if (strcmp(name, "fuzzymatching") == 0) {
		query->fuzzy = strcasecmp(value, "true") == 0;
		return NX_OK;
	}
	if (strcmp(name, "accept") == 0)
		return NX_OK;
	rc = dw_query_path(query, name, value, arena, &taken, err);
	if (rc || taken)
		return rc;
	if (!nx_dict_parse_tag(name, strlen(name), &tag) ||
		!nx_retrieve_find_knows(query->level, tag)) {
		ignore(query, name);
		return NX_OK;
	}
	include(query, tag);
	return key_add(query, tag, value, arena, err);
}

static nx_rc params_read(struct dw_query *query, const struct dw_call *call, struct nx_err *err)
{
	const char *name, *value;
	nx_rc rc = NX_OK;

	for (size_t i = 0; !rc && nx_http_query_at(call->req, i, &name, &value); i++)
		rc = dw_query_param(query, name, value, nx_http_arena(call->req), err);
	return rc;
}

/* The UIDs of the path are keys, too; what is above them needs no repeating in every result. */
static nx_rc path_read(struct dw_query *query, const struct dw_call *call, struct nx_err *err)
{
	struct nx_arena *arena = nx_http_arena(call->req);
	struct nx_selection sel;
	nx_rc rc = dw_selection(call, &sel, err);

	if (rc)
		return rc;
	query->with_study = !sel.study;
	query->with_series = !sel.series;
	if (sel.study)
		rc = key_add(query, NX_TAG_STUDY_INSTANCE_UID, sel.study, arena, err);
	if (!rc && sel.series)
		rc = key_add(query, NX_TAG_SERIES_INSTANCE_UID, sel.series, arena, err);
	return rc;
}

static nx_rc search(
	const struct dw_call *call, struct dw_query *query, struct nx_buf *out, struct nx_err *err)
{
	const struct nx_find find = {
		.collection = call->collection,
		.level = query->level,
		.keys = query->keys,
		.n_keys = query->n_keys,
		.sequences = query->sequences,
		.whole = true,
		.fuzzy = query->fuzzy,
		.limit = query->limit,
		.offset = query->offset,
	};
	const struct nx_find_json form = {
		.base_url = call->base_url,
		.with_study = query->with_study,
		.with_series = query->with_series,
	};
	bool more = false;
	nx_rc rc = nx_retrieve_find_json(
		call->mount->retrieve, call->who, &find, &form, out, &more, err);

	if (!rc && more)
		dw_warn(call, "There are additional results that can be requested", NULL);
	if (!rc && query->ignored.len)
		dw_warn(call, "These attributes are not matched: ", nx_buf_cstr(&query->ignored));
	return rc;
}

/* No parts are no body (PS3.18 10.6.3.2). */
static nx_rc xml_reply(const struct dw_call *call, const struct nx_buf *json, struct nx_err *err)
{
	char boundary[DW_BOUNDARY];
	NX_AUTO_DONE(nx_buf) out;
	const char *type;
	nx_rc rc;

	nx_buf_init(&out, RESULT_MAX, NX_BUF_WIPE);
	dw_boundary(boundary);
	type = dw_xml_type(nx_http_arena(call->req), boundary);
	if (!type)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a response");
	rc = dw_xml_parts(nx_buf_slice(json), boundary, &out, err);
	if (rc)
		return rc;
	if (!out.len)
		return nx_http_reply(call->req, 204, NULL, nx_slice(NULL, 0));
	dw_xml_end(boundary, &out);
	rc = nx_buf_check(&out, err);
	return rc ? rc : nx_http_reply(call->req, 200, type, nx_buf_slice(&out));
}

static nx_rc answer(const struct dw_call *call, struct dw_query *query, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) out;
	size_t model = 0;
	nx_rc rc = dw_accept(call, dw_models, DW_MODELS, &model, err);

	nx_buf_init(&out, RESULT_MAX, NX_BUF_WIPE);
	if (!rc)
		rc = path_read(query, call, err);
	if (!rc)
		rc = params_read(query, call, err);
	if (!rc)
		rc = search(call, query, &out, err);
	if (rc)
		return rc;
	(void)nx_http_encode(call->req);
	if (model == DW_MODEL_XML)
		return xml_reply(call, &out, err);
	return nx_http_reply(call->req, 200, dw_models[model], nx_buf_slice(&out));
}

/* What is searched for is the last word of the path. */
static enum nx_query_level level_of(const char *path)
{
	const char *word = strrchr(path, '/');

	if (strcmp(word, "/studies") == 0)
		return NX_LEVEL_STUDY;
	return strcmp(word, "/series") == 0 ? NX_LEVEL_SERIES : NX_LEVEL_INSTANCE;
}

nx_rc dw_find(struct nx_http_req *req, struct nx_err *err)
{
	struct dw_query query;
	struct dw_call call;
	nx_rc rc = dw_call_init(req, &call, err);

	if (rc)
		return rc;
	dw_query_init(&query, level_of(nx_http_path(req)));
	rc = answer(&call, &query, err);
	dw_query_done(&query);
	return rc;
}
