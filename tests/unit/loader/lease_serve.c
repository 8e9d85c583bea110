/*
 * A site with two de-identified patients in release "lung-ct", and the routes that libnarthex
 * calls, on a Unix socket.  Prints one JSON line when ready; takes commands on standard input:
 * "erase" (the first patient), "quit".
 */
#include "unit/dataset/dataset_fixture.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

#include "dataset/lease.h"
#include "http/http.h"

enum {
	OUT_MAX = 64 * 1024 * 1024
};

static struct nx_releases *releases;
static const struct nx_principal trainer = {
	.kind = NX_PRINCIPAL_TOKEN, .name = "gpu", .role = "trainer"};

static nx_rc authorize(
	struct nx_http_req *req, const struct nx_route *route, void *context, struct nx_err *err)
{
	const char *header = nx_http_header(req, "Authorization");

	(void)route;
	(void)context;
	if (header && strcmp(header, "Bearer secret") == 0)
		return NX_OK;
	return nx_err_set(err, NX_E_UNAUTHENTICATED, "who are you?");
}

static nx_rc answer(struct nx_http_req *req, nx_rc rc, const char *type, const struct nx_buf *out,
	const struct nx_err *err)
{
	return rc ? nx_http_reply_err(req, err) : nx_http_reply(req, 200, type, nx_buf_slice(out));
}

static nx_rc body_json(struct nx_http_req *req, json_t **ret, struct nx_err *err)
{
	struct nx_slice body;
	nx_rc rc = nx_http_body_all(req, NX_LIMIT_HTTP_SMALL_BODY, &body, err);

	if (rc)
		return rc;
	*ret = json_loadb((const char *)body.p, body.n, 0, NULL);
	return *ret ? NX_OK : nx_err_set(err, NX_E_MALFORMED, "not JSON");
}

static nx_rc lease_post(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) out;
	char name[NX_LIMIT_NAME + 1];
	struct nx_lease_info info;
	int64_t version = 0;
	json_t *json = NULL;
	nx_rc rc = body_json(req, &json, err);

	nx_buf_init(&out, OUT_MAX, NX_BUF_WIPE);
	if (!rc)
		rc = nx_release_ref_parse(
			json_string_value(json_object_get(json, "release")), name, &version, err);
	if (!rc)
		rc = nx_lease_open(releases, &trainer,
			&(struct nx_lease_terms){.release = name,
				.version = version,
				.purpose = json_string_value(json_object_get(json, "purpose")),
				.seconds = json_integer_value(json_object_get(json, "seconds"))},
			&info, err);
	if (!rc)
		nx_lease_info_json(&info, &out);
	json_decref(json);
	return answer(req, rc, "application/json", &out, err);
}

static nx_rc lease_read(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) out;
	json_t *json = NULL;
	nx_rc rc = body_json(req, &json, err);

	nx_buf_init(&out, OUT_MAX, NX_BUF_WIPE);
	if (!rc)
		rc = nx_lease_read_json(releases, &trainer,
			&(struct nx_lease_span){.id = nx_http_param(req, "id"),
				.first = (uint64_t)json_integer_value(
					json_object_get(json, "first")),
				.count = (uint64_t)json_integer_value(
					json_object_get(json, "count"))},
			&out, err);
	json_decref(json);
	return answer(req, rc, "application/json", &out, err);
}

static nx_rc lease_delete(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) out;
	nx_rc rc = nx_lease_end(releases, &trainer, nx_http_param(req, "id"), err);

	nx_buf_init(&out, OUT_MAX, 0);
	nx_buf_put_str(&out, "{}");
	return answer(req, rc, "application/json", &out, err);
}

static nx_rc manifest_get(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) out;
	nx_rc rc;

	nx_buf_init(&out, OUT_MAX, 0);
	rc = nx_release_manifest(releases, &trainer, nx_http_param(req, "name"),
		strtoll(nx_http_param(req, "version"), NULL, 10), &out, err);
	return answer(req, rc, "text/plain", &out, err);
}

static const struct nx_route routes[] = {
	{"POST", "/leases", NX_PERM_LEASE, NX_ACTION_LEASE_OPEN, lease_post, "Open a lease"},
	{"POST", "/leases/{id}/read", NX_PERM_LEASE, NX_ACTION_LEASE_READ, lease_read, "Read"},
	{"DELETE", "/leases/{id}", NX_PERM_LEASE, NX_ACTION_LEASE_END, lease_delete, "End"},
	{"GET", "/releases/{name}/{version}/manifest", NX_PERM_LEASE, NX_ACTION_READ, manifest_get,
		"Manifest"},
	{0},
};

static const struct nx_route_table tables[] = {{.prefix = "/api/v1", .routes = routes}};

/* Every sample as the archive gives it, named by its position. */
static void expected_write(struct fixture *fx)
{
	NX_AUTO_FD dir = open(fx->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct nx_lease_answer got;
	struct nx_lease_info info;

	assert_ok(nx_lease_open(releases, &trainer,
			  &(struct nx_lease_terms){
				  .release = "lung-ct", .purpose = "expected", .seconds = 60},
			  &info, &fx->err),
		&fx->err);
	assert_ok(nx_lease_read(releases, &trainer,
			  &(struct nx_lease_span){.id = info.id, .count = 256}, fx->arena, &got,
			  &fx->err),
		&fx->err);
	for (size_t i = 0; i < got.n_samples; i++) {
		struct nx_release_item_row row;
		struct nx_val where[] = {nx_val_int(1), nx_val_int((int64_t)i)};
		struct nx_item item;
		struct nx_op *rows;
		char name[64];
		size_t n = 0;

		assert_ok(nx_cat_rows(fx->cat,
				  &(struct nx_rows_of){.table = NX_T_RELEASE_ITEM,
					  .where = where,
					  .n_where = 2,
					  .limit = 1},
				  fx->arena, &rows, &n, &fx->err),
			&fx->err);
		assert_ok(nx_op_row(rows, fx->arena, &row, &fx->err), &fx->err);
		assert_ok(
			nx_cat_item_by_id(fx->cat, row.item, fx->arena, &item, &fx->err), &fx->err);
		(void)snprintf(name, sizeof(name), "expected-%zu.dcm", i);
		assert_ok(nx_file_replace(dir, name, fx_read(fx, &item), 0600, &fx->err), &fx->err);
	}
}

static void erase_first(struct fixture *fx, const char *study_uid)
{
	struct nx_entry_draft draft = {.action = NX_ACTION_ERASE, .principal = "admin"};
	struct nx_study study;
	uint64_t items;

	assert_ok(nx_cat_study(fx->cat, fx->curated.id, study_uid, fx->arena, &study, &fx->err),
		&fx->err);
	assert_ok(nx_archive_erase(fx->archive, (uint64_t)study.subject, &draft, &items, &fx->err),
		&fx->err);
}

static void ready_print(struct fixture *fx, const char *socket, const struct nx_deid_result deid[2])
{
	NX_AUTO_DONE(nx_buf) verifier;

	nx_buf_init(&verifier, 1024, 0);
	assert_ok(nx_release_verifier_key(releases, &verifier, &fx->err), &fx->err);
	(void)printf("{\"dir\":\"%s\",\"site\":\"unix:%s\",\"verifier\":\"%s\","
		     "\"pseudonyms\":[\"%s\",\"%s\"]}\n",
		fx->dir, socket, nx_buf_cstr(&verifier), deid[0].pseudonym, deid[1].pseudonym);
	(void)fflush(stdout);
}

int main(void)
{
	struct nx_http_opts opts = {.name = "api",
		.tables = tables,
		.n_tables = 1,
		.authorize = authorize,
		.max_conns = 8};
	struct nx_http_server *server = NULL;
	struct nx_deid_result deid[2];
	char socket[64], line[64];
	struct fixture *fx;
	void *state = NULL;

	(void)fx_setup(&state);
	fx = state;
	fx_fill(fx, deid);
	releases = fx_releases(fx);
	(void)fx_release(fx, releases);
	expected_write(fx);
	(void)snprintf(socket, sizeof(socket), "%s/api.sock", fx->dir);
	opts.unix_path = socket;
	assert_ok(nx_http_start(&opts, &server, &fx->err), &fx->err);
	ready_print(fx, socket, deid);
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "quit\n") != 0) {
		if (strcmp(line, "erase\n") == 0)
			erase_first(fx, deid[0].study);
		(void)printf("done\n");
		(void)fflush(stdout);
	}
	nx_http_stop(server, 1000000);
	nx_releases_free(releases);
	return fx_teardown(&state);
}
