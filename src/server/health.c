#include <stdio.h>

#include "access/access.h"
#include "base/buf.h"
#include "base/limits.h"
#include "ledger/ledger.h"
#include "lifecycle/forward.h"
#include "report/report.h"
#include "retrieve/retrieve.h"
#include "server/serve_priv.h"

static struct nx_server *server_of(struct nx_http_req *req)
{
	struct nx_door *door = nx_http_context(req);

	return door->server;
}

static nx_rc livez(struct nx_http_req *req, struct nx_err *err)
{
	(void)err;
	return nx_http_reply(req, 200, "text/plain", nx_slice_str("ok\n"));
}

static nx_rc readyz(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_server *server = server_of(req);
	const char *why = nx_report_unready(server->site->report);
	char text[128];

	(void)err;
	if (!atomic_load(&server->ready))
		why = "it starts or stops";
	if (!why)
		return nx_http_reply(req, 200, "text/plain", nx_slice_str("ok\n"));
	(void)snprintf(text, sizeof(text), "not ready: %s\n", why);
	return nx_http_reply(req, 503, "text/plain", nx_slice_str(text));
}

static void listener_metrics(struct nx_server *server, struct nx_buf *out)
{
	static const char *const labels[] = {
		[NX_DIMSE_PLAIN] = "{listener=\"dimse\"}",
		[NX_DIMSE_TLS] = "{listener=\"dimse_tls\"}",
	};
	struct nx_listener_stats stats[NX_DIMSES] = {{0}};

	for (unsigned i = 0; i < NX_DIMSES; i++)
		if (server->listeners[i])
			nx_listener_stats(server->listeners[i], &stats[i]);
	for (unsigned i = 0; i < NX_DIMSES; i++)
		nx_metric(out, "narthex_connections_accepted_total", "counter",
			"Connections accepted", labels[i], i == 0, stats[i].accepted);
	for (unsigned i = 0; i < NX_DIMSES; i++)
		nx_metric(out, "narthex_connections_refused_total", "counter",
			"Connections closed at once, over a limit", labels[i], i == 0,
			stats[i].refused);
	for (unsigned i = 0; i < NX_DIMSES; i++)
		nx_metric(out, "narthex_connections_active", "gauge", "Connections open", labels[i],
			i == 0, stats[i].active);
}

static void dimse_metrics(struct nx_server *server, struct nx_buf *out)
{
	struct nx_dimse_stats s = {0};
	uint64_t failures, counted;

	nx_dimse_stats(server->dimse, &s);
	nx_auth_stats(server->auth, &failures, &counted);
	nx_metric(out, "narthex_associations_active", "gauge", "Associations open", "", true,
		s.active);
	nx_metric(out, "narthex_associations_accepted_total", "counter", "Associations accepted",
		"", true, s.accepted);
	nx_metric(out, "narthex_associations_rejected_total", "counter", "Associations rejected",
		"", true, s.rejected);
	nx_metric(out, "narthex_associations_aborted_total", "counter", "Associations aborted", "",
		true, s.aborted);
	nx_metric(out, "narthex_dimse_operations_total", "counter", "DIMSE operations", "", true,
		s.operations);
	nx_metric(out, "narthex_dimse_failures_total", "counter",
		"DIMSE operations answered with a failure", "", true, s.failures);
	nx_metric(out, "narthex_auth_failures_total", "counter",
		"Failed authentications and refused requests", "", true, failures);
	nx_metric(out, "narthex_auth_failures_counted_total", "counter",
		"Those of them that the ledger has only as a count", "", true, counted);
}

static void retrieve_metrics(struct nx_server *server, struct nx_buf *out)
{
	struct nx_retrieve_stats s;

	nx_retrieve_stats(server->site->retrieve, &s);
	nx_metric(out, "narthex_series_records_made_total", "counter",
		"Series whose metadata was made ready", "", true, s.records_made);
	nx_metric(out, "narthex_series_records_used_total", "counter",
		"Answers given from such metadata", "", true, s.records_used);
	nx_metric(out, "narthex_pixel_frames_total", "counter",
		"Frames decoded or encoded by workers", "", true, s.frames);
	nx_metric(out, "narthex_pixel_workers_started_total", "counter",
		"Processes started to do so", "", true, s.workers_started);
	nx_metric(out, "narthex_pixel_workers_died_total", "counter", "Those that died of a frame",
		"", true, s.workers_died);
	nx_metric(out, "narthex_pixel_workers_killed_total", "counter",
		"Those that took too long for a frame", "", true, s.workers_killed);
}

static nx_rc forward_metrics(struct nx_server *server, struct nx_buf *out, struct nx_err *err)
{
	struct nx_forward_stats s;
	nx_rc rc = nx_forward_stats(server->forward, &s, err);

	if (rc)
		return rc;
	nx_metric(out, "narthex_forward_waiting", "gauge", "Deliveries that destinations are owed",
		"", true, s.waiting);
	nx_metric(out, "narthex_forward_asked", "gauge",
		"Instances that destinations are to say of whether they have them", "", true,
		s.asked);
	nx_metric(out, "narthex_forward_dead", "gauge", "Dead letters", "", true, s.dead);
	nx_metric(out, "narthex_forward_sent_total", "counter", "Instances that destinations took",
		"", true, s.sent);
	nx_metric(out, "narthex_forward_failures_total", "counter",
		"Tries of a delivery that failed", "", true, s.failed);
	nx_metric(out, "narthex_forward_died_total", "counter",
		"Deliveries that became dead letters", "", true, s.died);
	return NX_OK;
}

static nx_rc metrics(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_server *server = server_of(req);
	NX_AUTO_DONE(nx_buf) buf;
	nx_rc rc;

	nx_buf_init(&buf, NX_MIB, 0);
	rc = nx_report_metrics(server->site->report, nx_http_principal(req), &buf, err);
	if (rc)
		return rc;
	listener_metrics(server, &buf);
	dimse_metrics(server, &buf);
	retrieve_metrics(server, &buf);
	rc = forward_metrics(server, &buf, err);
	if (!rc)
		rc = nx_buf_check(&buf, err);
	return rc ? rc
		  : nx_http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8",
			    nx_buf_slice(&buf));
}

const struct nx_route nx_health_routes[] = {
	{"GET", "/livez", NX_PERM_PUBLIC, NX_ACTION_VERIFY, livez, "Does the process answer"},
	{"GET", "/readyz", NX_PERM_PUBLIC, NX_ACTION_VERIFY, readyz,
		"Can it take and give data now"},
	{"GET", "/metrics", NX_PERM_MONITOR, NX_ACTION_METRICS_READ, metrics,
		"Metrics in Prometheus text format"},
	{0},
};
