#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "server/serve_priv.h"

/* To mount a table of routes, add a row to the listener it belongs on.  DICOMweb: literal paths of
 * the default collection come first, then one root per collection. */
static const struct nx_route_table data_tables[] = {
	{"", nx_health_routes, NULL},
	{NX_DICOMWEB_PREFIX, nx_dicomweb_routes, NULL},
	{NX_DICOMWEB_PREFIX "/{collection}", nx_dicomweb_routes, NULL},
};

static const struct nx_route_table management_tables[] = {
	{"", nx_health_routes, NULL},
	{NX_API_PREFIX, nx_api_routes, NULL},
};

static const struct door_row {
	const char *name;
	int key; /* enum nx_config_key; -1: the Unix socket */
	const struct nx_route_table *tables;
	size_t n_tables;
} rows[NX_DOORS] = {
	[NX_DOOR_DATA] = {"data", NX_CFG_LISTEN_DATA, data_tables, NX_ARRAY_LEN(data_tables)},
	[NX_DOOR_MANAGEMENT] = {"management", NX_CFG_LISTEN_MANAGEMENT, management_tables,
		NX_ARRAY_LEN(management_tables)},
	[NX_DOOR_LOCAL] = {"local", -1, management_tables, NX_ARRAY_LEN(management_tables)},
};

static nx_rc authorize(
	struct nx_http_req *req, const struct nx_route *route, void *context, struct nx_err *err)
{
	struct nx_door *door = context;
	const char *collection = nx_http_param_find(req, "collection");

	/* The bare DICOMweb root stands for a collection that its paths do not name. */
	if (nx_http_table_context(req) == &door->dicomweb[0])
		collection = door->dicomweb[0].collection;
	return nx_auth_http(door->server->auth, req, route, collection, err);
}

static void door_init(struct nx_server *server, struct nx_door *door)
{
	const struct nx_site *site = server->site;

	door->server = server;
	door->mount.api = (struct nx_api){
		.ingest = site->ingest,
		.retrieve = site->retrieve,
		.admin = site->admin,
		.report = site->report,
		.deid = site->deid,
		.edits = site->edits,
		.releases = site->releases,
		.forward = server->forward,
		.archive = site->archive,
		.site = nx_config_text(&site->config, NX_CFG_SITE_NAME),
		.files = (const char *const *)site->files,
		.n_files = site->n_files,
		.works = site->works,
		.echo = nx_outgoing_echo,
		.echo_payload = door->server,
	};
	for (unsigned i = 0; i < NX_ARRAY_LEN(door->dicomweb); i++)
		door->dicomweb[i] = (struct nx_dicomweb){
			.ingest = site->ingest,
			.retrieve = site->retrieve,
			.collection = i ? NULL : NX_DICOMWEB_COLLECTION,
		};
}

/* The door's own copy of the tables, with the contexts of this server. */
static void tables_bind(struct nx_door *door, const struct door_row *row)
{
	assert(row->n_tables <= NX_ARRAY_LEN(door->tables));
	for (size_t i = 0; i < row->n_tables; i++) {
		const char *prefix = row->tables[i].prefix;

		door->tables[i] = row->tables[i];
		if (row->tables[i].routes == nx_dicomweb_routes)
			door->tables[i].context = &door->dicomweb[strchr(prefix, '{') != NULL];
	}
}

static void http_opts(const struct nx_config *config, struct nx_http_opts *opts)
{
	opts->max_conns = (unsigned)nx_config_number(config, NX_CFG_HTTP_MAX_CONNECTIONS);
	opts->max_per_peer = (unsigned)nx_config_number(config, NX_CFG_HTTP_MAX_PER_PEER);
	opts->header_us = nx_config_us(config, NX_CFG_HTTP_HEADER);
	opts->idle_us = nx_config_us(config, NX_CFG_HTTP_IDLE);
	opts->min_rate = (uint64_t)nx_config_number(config, NX_CFG_HTTP_MIN_RATE);
}

static nx_rc door_start(struct nx_door *door, const struct door_row *row, struct nx_err *err)
{
	const struct nx_site *site = door->server->site;
	char address[64], socket[NX_SITE_PATH];
	struct nx_http_opts opts = {.name = row->name,
		.tables = door->tables,
		.n_tables = row->n_tables,
		.authorize = authorize,
		.context = door};
	struct nx_tls_files files;
	nx_rc rc;

	http_opts(&site->config, &opts);
	if (row->tables == data_tables)
		opts.cors_origins = nx_config_text(&site->config, NX_CFG_HTTP_CORS);
	if (row->key < 0) {
		rc = nx_site_path(site->dir, "run/narthex.sock", socket, err);
		opts.unix_path = socket;
		opts.max_conns = NX_LIMIT_LOCAL_CONNECTIONS;
	} else if (nx_config_address(
			   &site->config, (enum nx_config_key)row->key, address, &opts.port)) {
		rc = nx_tls_files(site->dir, &site->config, &files, err);
		opts.address = address;
		opts.tls = &files.opts;
		opts.inherit = door->old;
	} else {
		return NX_OK;
	}
	if (!rc)
		rc = nx_http_start(&opts, &door->http, err);
	if (rc)
		return nx_err_prefix(err, rc, "listen.%s", row->name);
	door->port = row->key < 0 ? 0 : nx_http_port(door->http);
	return NX_OK;
}

nx_rc nx_doors_open(struct nx_server *server, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (unsigned i = 0; i < NX_DOORS && !rc; i++) {
		door_init(server, &server->doors[i]);
		tables_bind(
			&server->doors[i], &rows[i]); /* once: a reload has two that read them */
		rc = door_start(&server->doors[i], &rows[i], err);
	}
	return rc;
}

/* ---- stop ---- */

static void *old_stop(void *payload)
{
	struct nx_door *door = payload;

	nx_thread_name("http-stop");
	door->old = nx_http_stop(
		door->old, nx_config_us(&door->server->site->config, NX_CFG_SERVER_STOP));
	atomic_store(&door->drained, true);
	return NULL;
}

static void stop_wait(struct nx_door *door)
{
	if (door->stopping)
		(void)pthread_join(door->stopper, NULL);
	door->stopping = false;
}

/* Beside whoever goes on: what is in flight has its time. */
static void stop_begin(struct nx_door *door)
{
	atomic_store(&door->drained, false);
	door->stopping = pthread_create(&door->stopper, NULL, old_stop, door) == 0;
	if (!door->stopping)
		(void)old_stop(door);
}

void nx_doors_close(struct nx_server *server)
{
	for (unsigned i = 0; i < NX_DOORS; i++) {
		struct nx_door *door = &server->doors[i];

		stop_wait(door);
		door->old = NX_STEAL(door->http);
		if (door->old)
			stop_begin(door);
	}
	for (unsigned i = 0; i < NX_DOORS; i++)
		stop_wait(&server->doors[i]);
}

/* ---- reload ---- */

bool nx_doors_drained(struct nx_server *server)
{
	for (unsigned i = 0; i < NX_DOORS; i++)
		if (server->doors[i].stopping && !atomic_load(&server->doors[i].drained))
			return false;
	return true;
}

static nx_rc door_reload(struct nx_door *door, const struct door_row *row, struct nx_err *err)
{
	nx_rc rc;

	stop_wait(door); /* of the reload before this one */
	door->old = NX_STEAL(door->http);
	rc = door_start(door, row, err);
	if (rc)
		door->http = NX_STEAL(door->old); /* it goes on */
	else
		stop_begin(door);
	return rc;
}

/* What does not load is found before anything is closed. */
nx_rc nx_doors_reload(struct nx_server *server, struct nx_err *err)
{
	NX_AUTO(nx_tls) *probe = NULL;
	struct nx_tls_files files;
	nx_rc rc = nx_tls_files(server->site->dir, &server->site->config, &files, err);

	if (!rc)
		rc = nx_tls_new(&files.opts, &probe, err);
	for (unsigned i = 0; i < NX_DOORS && !rc; i++) {
		if (rows[i].key < 0 || !server->doors[i].http)
			continue;
		rc = door_reload(&server->doors[i], &rows[i], err);
	}
	return rc;
}
