/*
 * dicomweb_serve.c - a temporary archive served over plain HTTP on a loopback port, until standard
 * input ends.
 *
 * dicomweb_serve DIR: prints the port.  Collections "clinical" (the default) and "reject"; the user
 * is what the request names in "X-Test-Role" (admin when it does not).  Pages of two origins may
 * ask.
 */
#include <stdio.h>
#include <string.h>

#include "access/access.h"
#include "archive/archive.h"
#include "base/arena.h"
#include "base/clock.h"
#include "catalog/catalog.h"
#include "crypto/crypto.h"
#include "dicomweb/dicomweb.h"
#include "ingest/ingest.h"
#include "keys/keys.h"
#include "ledger/ledger.h"
#include "pixelbox/pixelbox.h"
#include "retrieve/retrieve.h"
#include "store/pool.h"

struct site {
	char paths[5][512]; /* keys, second keys, catalog, ledger, pool */
	struct nx_keys *keys;
	struct nx_pool *pool;
	struct nx_cat *cat;
	struct nx_archive *archive;
	struct nx_ingest *ingest;
	struct nx_retrieve *retrieve;
	struct nx_http_server *server;
};

static nx_rc storage_open(struct site *site, const char *dir, struct nx_err *err)
{
	static const char *const names[] = {"keys0", "keys1", "catalog.db", "ledger", "pool"};
	const char *places[] = {site->paths[0], site->paths[1]};
	const struct nx_keys_opts keys = {.driver = "file",
		.places = places,
		.n_places = 2,
		.passphrase = nx_slice_str("correct horse"),
		.argon2_kib = 8};
	const struct nx_key cat_key = {.b = {7}};
	const struct nx_cat_opts cat = {.path = site->paths[2], .key = &cat_key};
	nx_rc rc = nx_crypto_init(err);

	for (size_t i = 0; i < NX_ARRAY_LEN(names); i++)
		(void)snprintf(site->paths[i], sizeof(site->paths[i]), "%s%s/%s",
			i == 4 ? "dir:" : "", dir, names[i]);
	if (!rc)
		rc = nx_keys_create(&keys, err);
	if (!rc)
		rc = nx_keys_open(&keys, &site->keys, err);
	if (!rc)
		rc = nx_pool_open(site->paths[4], &site->pool, err);
	return rc ? rc : nx_cat_open(&cat, &site->cat, err);
}

static nx_rc collection_make(
	struct site *site, const char *name, const char *on_conflict, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(1 << 20, 0);
	NX_AUTO(nx_change) *change = nx_change_new();
	struct nx_collection c = {
		.name = name,
		.project = "test",
		.zone = NX_ZONE_LANDING,
		.domain_name = "test/phi",
		.tags = "{}",
		.on_conflict = on_conflict,
		.created_us = nx_now_us(),
	};
	struct nx_op op;
	uint32_t domain = 0;
	nx_rc rc = nx_keys_domain(site->keys, c.domain_name, true, &domain, err);

	c.domain = domain;
	c.id = (int64_t)nx_archive_next_id(site->archive, NX_T_COLLECTION);
	if (!rc)
		rc = nx_op_put_collection(&c, arena, &op);
	if (!rc)
		rc = nx_change_op(change, &op, err);
	return rc ? rc : nx_archive_commit(site->archive, change, err);
}

static nx_rc services_open(struct site *site, struct nx_err *err)
{
	const struct nx_archive_opts opts = {
		.pool = site->pool,
		.keys = site->keys,
		.cat = site->cat,
		.ledger_dir = site->paths[3],
		.origin = "example.org/test",
	};
	nx_rc rc = nx_archive_open(&opts, &site->archive, err);

	if (!rc)
		rc = collection_make(site, "clinical", "version", err);
	if (!rc)
		rc = collection_make(site, "reject", "reject", err);
	if (rc)
		return rc;
	site->ingest = nx_ingest_new(site->archive);
	site->retrieve = nx_retrieve_new(site->archive);
	return site->ingest && site->retrieve ? NX_OK : NX_E_NOMEM;
}

static nx_rc authorize(
	struct nx_http_req *req, const struct nx_route *route, void *context, struct nx_err *err)
{
	struct nx_principal *who = nx_arena_alloc(nx_http_arena(req), sizeof(*who));
	const char *role = nx_http_header(req, "X-Test-Role");

	(void)context;
	if (!who)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a principal");
	who->kind = NX_PRINCIPAL_TOKEN;
	(void)snprintf(who->name, sizeof(who->name), "tester");
	(void)snprintf(who->role, sizeof(who->role), "%s", role ? role : "admin");
	(void)snprintf(who->session, sizeof(who->session), "one");
	nx_http_set_principal(req, who, who->name);
	return nx_access_check(who, route->perm, NULL, err);
}

static nx_rc serve(struct site *site, struct nx_err *err)
{
	struct nx_dicomweb main_one = {
		.ingest = site->ingest, .retrieve = site->retrieve, .collection = "clinical"};
	struct nx_dicomweb named = {.ingest = site->ingest, .retrieve = site->retrieve};
	const struct nx_route_table tables[] = {
		{"/dicom-web", nx_dicomweb_routes, &main_one},
		{"/dicom-web/{collection}", nx_dicomweb_routes, &named},
	};
	const struct nx_http_opts opts = {
		.name = "test",
		.address = "127.0.0.1",
		.tables = tables,
		.n_tables = NX_ARRAY_LEN(tables),
		.authorize = authorize,
		.cors_origins = "https://one.example.org https://viewer.example.org:8443",
	};
	nx_rc rc = nx_http_start(&opts, &site->server, err);

	if (rc)
		return rc;
	(void)printf("%u\n", nx_http_port(site->server));
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	nx_http_stop(site->server, 5 * 1000 * 1000);
	return NX_OK;
}

int main(int argc, char **argv)
{
	struct site site = {.keys = NULL};
	struct nx_err err = {0};
	nx_rc rc;

	if (nx_pixelbox_is_worker(argc, argv))
		return nx_pixelbox_worker(nx_pixel_codecs);
	if (argc != 2)
		return 2;
	rc = storage_open(&site, argv[1], &err);
	if (!rc)
		rc = services_open(&site, &err);
	if (!rc)
		rc = serve(&site, &err);
	if (rc)
		(void)fprintf(stderr, "dicomweb_serve: %s\n", nx_err_text(&err));
	nx_retrieve_free(site.retrieve);
	nx_ingest_free(site.ingest);
	nx_archive_free(site.archive);
	nx_cat_free(site.cat);
	nx_pool_free(site.pool);
	nx_keys_free(site.keys);
	return rc != NX_OK;
}
