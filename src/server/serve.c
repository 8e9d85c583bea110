#include "server/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "archive/archive.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "catalog/catalog.h"
#include "dimse/forwarder.h"
#include "lifecycle/admin.h"
#include "lifecycle/completeness.h"
#include "lifecycle/forward.h"
#include "lifecycle/worklist.h"
#include "lifecycle/works.h"
#include "retrieve/retrieve.h"
#include "server/descriptors.h"
#include "server/serve_priv.h"

enum {
	RELOAD_POLL_US = 200 * 1000,
	READY_LEN = 512
};

/* ---- those who wait for us ---- */

/* What listens for others. */
static const struct {
	const char *name;
	enum nx_config_key key;
	unsigned id; /* enum nx_dimse_id, enum nx_door_id */
	bool dimse;
} listens[] = {
	{"dimse", NX_CFG_LISTEN_DIMSE, NX_DIMSE_PLAIN, true},
	{"dimse_tls", NX_CFG_LISTEN_DIMSE_TLS, NX_DIMSE_TLS, true},
	{"data", NX_CFG_LISTEN_DATA, NX_DOOR_DATA, false},
	{"management", NX_CFG_LISTEN_MANAGEMENT, NX_DOOR_MANAGEMENT, false},
};

/* 0: off. */
static uint16_t port_of(const struct nx_server *server, size_t i)
{
	unsigned id = listens[i].id;

	if (listens[i].dimse)
		return server->listeners[id] ? nx_listener_port(server->listeners[id]) : 0;
	return server->doors[id].http ? server->doors[id].port : 0;
}

static void ports_json(const struct nx_server *server, struct nx_json *json)
{
	nx_json_key(json, "ports");
	nx_json_object_begin(json);
	for (size_t i = 0; i < NX_ARRAY_LEN(listens); i++)
		if (port_of(server, i))
			nx_json_kv_uint(json, listens[i].name, port_of(server, i));
	nx_json_object_end(json);
}

static void ready_log(const struct nx_server *server)
{
	char address[64], text[READY_LEN] = "";
	uint16_t asked;

	for (size_t i = 0; i < NX_ARRAY_LEN(listens); i++) {
		size_t n = strlen(text);

		if (port_of(server, i) &&
			nx_config_address(&server->site->config, listens[i].key, address, &asked))
			(void)snprintf(text + n, sizeof(text) - n, "%s %s on %s port %u",
				n ? "," : ":", listens[i].name, address, port_of(server, i));
	}
	nx_log(NX_LOG_INFO, "server", "ready", "the site is served%s", text);
}

static nx_rc ready_write(const struct nx_server *server, const char *file, struct nx_err *err)
{
	const struct nx_site *site = server->site;
	char path[NX_SITE_PATH];
	NX_AUTO_DONE(nx_buf) buf;
	struct nx_json json;
	nx_rc rc;

	nx_buf_init(&buf, 64 * NX_KIB, 0);
	rc = nx_site_path(site->dir, nx_config_text(&site->config, NX_CFG_TLS_CA), path, err);
	if (rc || !file)
		return rc;
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	ports_json(server, &json);
	nx_json_kv_str(&json, "ca", path);
	nx_json_kv_str(&json, "site", site->dir);
	nx_json_kv_int(&json, "pid", getpid());
	nx_json_object_end(&json);
	nx_buf_put_str(&buf, "\n");
	rc = nx_buf_check(&buf, err);
	if (!rc)
		rc = nx_file_replace_path(file, nx_buf_slice(&buf), 0644, err);
	return rc ? nx_err_prefix(err, rc, "ready file") : NX_OK;
}

/* ---- signals ---- */

static void signals_block(sigset_t *ret)
{
	(void)sigemptyset(ret);
	(void)sigaddset(ret, SIGTERM);
	(void)sigaddset(ret, SIGINT);
	(void)sigaddset(ret, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, ret, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

static void reload(struct nx_server *server)
{
	struct nx_err err = {0};
	nx_rc rc;

	nx_notify("RELOADING=1");
	rc = server->tls ? nx_tls_reload(server->tls, &err) : NX_OK;
	if (!rc)
		rc = nx_doors_reload(server, &err);
	if (rc)
		nx_log_err(NX_LOG_ERROR, "server", "reload", &err);
	else
		nx_log(NX_LOG_INFO, "server", "reload", "certificates were read again");
	nx_notify(rc ? "READY=1\nSTATUS=serving; the new certificates were refused, see the log"
		     : "READY=1\nSTATUS=serving");
}

/* Also the heartbeat: it stops when this thread cannot go on.  A reload waits, and this thread does
 * not, while that before it still finishes what it had; what is asked meanwhile is one reload. */
static void wait_for_end(struct nx_server *server, const sigset_t *signals)
{
	const int64_t beat_us = nx_notify_interval_us();
	bool asked = false;

	for (;;) {
		int64_t us = asked && beat_us > RELOAD_POLL_US ? RELOAD_POLL_US : beat_us;
		int got = sigtimedwait(
			signals, NULL, &(struct timespec){us / 1000000, us % 1000000 * 1000});

		if (got > 0 && got != SIGHUP)
			return;
		asked |= got == SIGHUP;
		if (asked && nx_doors_drained(server)) {
			asked = false;
			reload(server);
		}
		nx_notify("WATCHDOG=1");
	}
}

/* ---- from start to end ---- */

static void log_level_set(const struct nx_config *config)
{
	static const char *const levels[] = {
		[NX_LOG_DEBUG] = "debug",
		[NX_LOG_INFO] = "info",
		[NX_LOG_WARN] = "warn",
		[NX_LOG_ERROR] = "error",
	};

	for (unsigned i = 0; i < NX_ARRAY_LEN(levels); i++)
		if (strcmp(levels[i], nx_config_text(config, NX_CFG_SERVER_LOG_LEVEL)) == 0)
			nx_log_set_level(i);
}

static void study_ready(void *server, int64_t study)
{
	const struct nx_server *s = server;

	nx_retrieve_study_ready(s->site->retrieve, study);
}

static void study_committed(void *completeness, int64_t study, int64_t updated_us)
{
	nx_completeness_committed(completeness, study, updated_us);
}

static nx_rc completeness_start(struct nx_server *server, struct nx_err *err)
{
	const struct nx_completeness_opts opts = {.archive = server->site->archive,
		.quiet_us =
			nx_config_number(&server->site->config, NX_CFG_STUDIES_QUIET_S) * 1000000,
		.expected = nx_config_number(&server->site->config, NX_CFG_STUDIES_EXPECTED) != 0,
		.committed = nx_config_number(&server->site->config, NX_CFG_STUDIES_COMMITTED) != 0,
		.on_complete = study_ready,
		.payload = server};

	nx_rc rc = nx_completeness_new(&opts, &server->completeness, err);

	if (!rc)
		nx_retrieve_on_committed(
			server->site->retrieve, study_committed, server->completeness);
	return rc;
}

/* Every state is offered but those that were settled. */
static nx_rc worklist_start(struct nx_server *server, struct nx_err *err)
{
	const struct nx_config *config = &server->site->config;
	struct nx_worklist_opts opts = {.archive = server->site->archive,
		.states = 1u << NX_WORKLIST_SCHEDULED | 1u << NX_WORKLIST_STARTED,
		.days = nx_config_number(config, NX_CFG_WORKLIST_EXPIRE)};
	unsigned offered;
	nx_rc rc;

	if (nx_config_number(config, NX_CFG_WORKLIST_DISCONTINUED))
		opts.states |= 1u << NX_WORKLIST_DISCONTINUED;
	offered = opts.states;
	if (nx_config_number(config, NX_CFG_WORKLIST_COMPLETED))
		offered |= 1u << NX_WORKLIST_COMPLETED;
	nx_retrieve_worklist_offer(server->site->retrieve, offered);
	rc = nx_worklist_index(opts.archive, err);
	return rc ? rc : nx_worklist_new(&opts, &server->worklist, err);
}

static nx_rc forward_open(struct nx_server *server, struct nx_err *err)
{
	const struct nx_config *config = &server->site->config;
	const struct nx_forward_opts opts = {.archive = server->site->archive,
		.admin = server->site->admin,
		.tries = (unsigned)nx_config_number(config, NX_CFG_FORWARD_TRIES),
		.backoff_us = nx_config_us(config, NX_CFG_FORWARD_BACKOFF),
		.backoff_max_us = nx_config_us(config, NX_CFG_FORWARD_BACKOFF_MAX),
		.answer_us = nx_config_us(config, NX_CFG_FORWARD_ANSWER)};

	return nx_forward_new(&opts, &server->forward, err);
}

static nx_rc server_start(struct nx_server *server, const char *ready_file, struct nx_err *err)
{
	const struct nx_config *config = &server->site->config;
	nx_rc rc;

	log_level_set(config);
	rc = nx_descriptors_ensure(config, err);
	if (rc)
		return rc;
	server->auth = nx_auth_new(server->site->archive,
		(unsigned)nx_config_number(config, NX_CFG_ACCESS_FAILURES),
		nx_config_number(config, NX_CFG_DIMSE_REQUIRE_USER) != 0);
	if (!server->auth)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a server");
	rc = completeness_start(server, err);
	if (!rc)
		rc = worklist_start(server, err);
	if (!rc)
		rc = forward_open(server, err);
	if (!rc)
		rc = nx_admin_site_run(server->site->admin, true, err);
	if (!rc)
		rc = nx_dimse_listen(server, err);
	if (!rc)
		rc = nx_forwarder_new(server->dimse, server->forward,
			(unsigned)nx_config_number(config, NX_CFG_FORWARD_WORKERS),
			&server->forwarder, err);
	if (!rc)
		rc = nx_doors_open(server, err);
	if (!rc)
		rc = ready_write(server, ready_file, err);
	if (rc)
		return rc;
	atomic_store(&server->ready, true);
	nx_notify("READY=1\nSTATUS=serving");
	ready_log(server);
	return NX_OK;
}

static void *dimse_stop(void *payload)
{
	nx_thread_name("dimse-stop");
	nx_dimse_unlisten(payload);
	return NULL;
}

/* Side by side: all of them refuse what is new at once, and have the same time for what is there.
 */
static void listeners_stop(struct nx_server *server)
{
	pthread_t thread;
	bool started = pthread_create(&thread, NULL, dimse_stop, server) == 0;

	if (!started)
		nx_dimse_unlisten(server);
	nx_doors_close(server);
	if (started)
		(void)pthread_join(thread, NULL);
}

static void server_stop(struct nx_server *server)
{
	struct nx_err err;

	atomic_store(&server->ready, false);
	nx_notify("STOPPING=1\nSTATUS=stopping: what is in flight is finished");
	nx_works_stop(server->site->works);
	server->forwarder = nx_forwarder_free(server->forwarder);
	nx_archive_feed_over(server->site->archive);
	listeners_stop(server);
	server->forward = nx_forward_free(server->forward);
	server->completeness = nx_completeness_free(server->completeness);
	server->worklist = nx_worklist_free(server->worklist);
	if (server->auth && nx_admin_site_run(server->site->admin, false, &err))
		nx_log_err(NX_LOG_ERROR, "server", "stop", &err);
	server->auth = nx_auth_free(server->auth);
}

nx_rc nx_serve(const char *dir, const struct nx_secret *passphrase, const char *ready_file,
	struct nx_err *err)
{
	NX_AUTO(nx_site) *site = NULL;
	struct nx_server server = {0};
	sigset_t signals;
	nx_rc rc;

	nx_thread_stacks();
	signals_block(&signals);
	nx_notify("STATUS=opening the site");
	rc = nx_site_open(dir, passphrase, false, &site, err);
	if (rc)
		return rc;
	server.site = site;
	for (unsigned i = 0; i < NX_DOORS; i++)
		server.doors[i].server = &server;
	rc = server_start(&server, ready_file, err);
	if (!rc)
		wait_for_end(&server, &signals);
	server_stop(&server);
	if (!rc)
		nx_log(NX_LOG_INFO, "server", "end", "the site is closed");
	return rc;
}
