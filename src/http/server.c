#include "http/http.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cast.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "http/http_priv.h"

enum {
	POOL_LEN =
		64 * 1024, /* libmicrohttpd's memory of a connection; more costs time a request */
	ARENA_KEEP = 256 * 1024,
	HEADER_US = 10 * 1000 * 1000,
	IDLE_US = 60 * 1000 * 1000,
	MIN_RATE = 1024,
	PEM_MAX = 256 * 1024,
	LEAVING_US = 2000
};

/* ---- connections ---- */

/* IPv4 as ::ffff:a.b.c.d; false for neither family. */
static bool addr_of(const struct sockaddr *sa, struct in6_addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (sa->sa_family == AF_INET6) {
		*ret = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
	} else if (sa->sa_family == AF_INET) {
		memset(&ret->s6_addr[10], 0xff, 2);
		memcpy(&ret->s6_addr[12], &((const struct sockaddr_in *)(const void *)sa)->sin_addr,
			4);
	}
	return sa->sa_family == AF_INET || sa->sa_family == AF_INET6;
}

static void addr_text(const struct in6_addr *addr, char ret[INET6_ADDRSTRLEN])
{
	if (IN6_IS_ADDR_V4MAPPED(addr))
		(void)inet_ntop(AF_INET, &addr->s6_addr[12], ret, INET6_ADDRSTRLEN);
	else
		(void)inet_ntop(AF_INET6, addr, ret, INET6_ADDRSTRLEN);
}

static void link_name(struct nx_link *link, struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	(void)snprintf(link->peer, sizeof(link->peer), "unix");
	link->is_unix = link->server->unix_path != NULL;
	if (!link->is_unix && info && addr_of(info->client_addr, &link->addr))
		addr_text(&link->addr, link->peer);
}

/* Has its address as many connections as one may have? */
static bool is_crowd(struct nx_http_server *server, const struct in6_addr *addr)
{
	unsigned same = 0;

	(void)pthread_mutex_lock(&server->lock);
	for (const struct nx_link *link = server->links; link; link = link->next)
		same += IN6_ARE_ADDR_EQUAL(&link->addr, addr);
	(void)pthread_mutex_unlock(&server->lock);
	return same >= server->opts.max_per_peer;
}

/* Before anything is made for it; link_new() follows, after some work of TLS. */
static enum MHD_Result on_accept(void *cls, const struct sockaddr *sa, socklen_t len)
{
	struct nx_http_server *server = cls;
	char peer[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	(void)len;
	if (server->opts.max_per_peer && !server->unix_path && addr_of(sa, &addr) &&
		is_crowd(server, &addr)) {
		addr_text(&addr, peer);
		nx_log(NX_LOG_WARN, "http", "connection-refused",
			"%s: %s: too many connections from this address", server->name, peer);
		return MHD_NO;
	}
	(void)pthread_mutex_lock(&server->lock);
	server->coming = true;
	(void)pthread_mutex_unlock(&server->lock);
	return MHD_YES;
}

static struct nx_link *link_new(struct nx_http_server *server, struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct nx_link *link = calloc(1, sizeof(*link));
	bool crowded;

	if (!link || !info) {
		free(link);
		return NULL;
	}
	link->server = server;
	link->fd = info->connect_fd;
	link_name(link, conn);
	nx_link_deadline(link, server->opts.header_us);
	atomic_store(&link->waits, true);
	(void)pthread_mutex_lock(&server->lock);
	link->next = server->links;
	link->at = &server->links;
	if (link->next)
		link->next->at = &link->next;
	server->links = link;
	server->n_links++;
	link->fresh = true;
	server->n_fresh++;
	server->coming = false; /* one thread accepts, one after another */
	crowded = nx_links_make_room(server);
	(void)pthread_mutex_unlock(&server->lock);
	if (crowded) /* this is the thread that accepts, and that puts away what has ended */
		(void)usleep(LEAVING_US);
	return link;
}

/* Caller holds server->lock. */
static void link_used(struct nx_link *link)
{
	struct nx_http_server *server = link->server;

	server->n_fresh -= link->fresh;
	link->fresh = false;
	if (server->n_fresh == 0 && atomic_load(&server->draining))
		(void)pthread_cond_broadcast(&server->changed);
}

static void link_free(struct nx_link *link)
{
	(void)pthread_mutex_lock(&link->server->lock);
	link_used(link);
	*link->at = link->next;
	if (link->next)
		link->next->at = link->at;
	link->server->n_links--;
	link->server->n_cut -= atomic_load(&link->cut);
	(void)pthread_mutex_unlock(&link->server->lock);
	nx_fiber_free(link->fiber);
	nx_arena_free(link->arena);
	free(link);
}

static struct nx_link *link_of(struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* ---- requests ---- */

static void active_add(struct nx_link *link, int n)
{
	struct nx_http_server *server = link->server;

	(void)pthread_mutex_lock(&server->lock);
	server->active += (unsigned)n;
	link_used(link);
	if (server->active == 0 && atomic_load(&server->draining))
		(void)pthread_cond_broadcast(&server->changed);
	(void)pthread_mutex_unlock(&server->lock);
}

/* In whatever state: the handler is brought to its end, `done` is called, memory is wiped. */
static void request_end(struct nx_http_req *req, bool complete)
{
	struct nx_link *link = req->link;
	const struct nx_http_opts *opts = &link->server->opts;

	nx_link_busy(link);
	req->closed = true;
	if (link->fiber && nx_fiber_alive(link->fiber))
		nx_fiber_resume(link->fiber);
	assert(!link->fiber || !nx_fiber_alive(link->fiber));
	nx_reply_done(req, complete);
	if (nx_arena_used(link->arena) > ARENA_KEEP)
		link->arena = nx_arena_free(link->arena);
	else
		nx_arena_reset(link->arena);
	link->req = NULL;
	free(req);
	nx_link_deadline(link, opts->idle_us + opts->header_us);
	atomic_store(&link->waits, true);
	active_add(link, -1);
}

/* libmicrohttpd forgets to complete a request whose target has more parameters than its memory. */
static void link_end(struct nx_link *link)
{
	if (link->req)
		request_end(link->req, false);
	link_free(link);
}

/* libmicrohttpd closes the socket after the second of these. */
static void on_connection(void *cls, struct MHD_Connection *conn, void **socket_context,
	enum MHD_ConnectionNotificationCode toe)
{
	if (toe == MHD_CONNECTION_NOTIFY_STARTED) {
		*socket_context = link_new(cls, conn);
	} else if (*socket_context) {
		link_end(*socket_context);
		*socket_context = NULL;
	}
}

/* The request line is there; from here the rest of the head has its time. */
static void *on_uri(void *cls, const char *uri, struct MHD_Connection *conn)
{
	struct nx_http_server *server = cls;
	struct nx_link *link = link_of(conn);
	struct nx_http_req *req;
	size_t n = strlen(uri);

	if (!link)
		return NULL;
	if (!link->arena) { /* the first of the connection, and so of its thread */
		nx_thread_name("http");
		link->arena = nx_arena_new(NX_LIMIT_HTTP_ARENA, NX_ARENA_WIPE);
	}
	req = link->arena ? calloc(1, sizeof(*req)) : NULL;
	if (!req)
		return NULL;
	req->server = server;
	req->link = link;
	req->conn = conn;
	req->arena = link->arena;
	link->req = req;
	req->uri = n <= NX_LIMIT_URL ? nx_arena_str(req->arena, uri, n) : NULL;
	active_add(link, 1);
	nx_link_deadline(link, server->opts.header_us);
	return req;
}

/* Paths and queries are decoded by us, from the raw target: libmicrohttpd's own decoding would cut
 * at "%00". */
static size_t keep_escapes(void *cls, struct MHD_Connection *conn, char *s)
{
	(void)cls;
	(void)conn;
	return strlen(s);
}

/*
 * The first call, with the head only.  What is queued here goes out before the body, and the
 * connection is closed after it, so only refusals of requests with a body are; libmicrohttpd sends
 * "100 Continue" when this returns without a response.
 */
static enum MHD_Result access_head(struct nx_http_req *req, const char *method, const char *version)
{
	struct nx_err err = {0};
	nx_rc rc;

	req->started = true;
	atomic_store(&req->link->waits, false);
	rc = nx_request_open(req, method, version, &err);
	if (rc) {
		(void)nx_http_reply_err(req, &err);
		req->handled = true;
	} else if (req->replied) {
		req->handled = true; /* a preflight */
	} else if (req->has_body) {
		nx_request_run(req);
	}
	if (req->has_body && req->handled)
		return nx_reply_queue(req);
	return MHD_YES;
}

static enum MHD_Result access_body(struct nx_http_req *req, const char *data, size_t n)
{
	if (req->handled) {
		/* libmicrohttpd takes no response in mid-body, so read on to be able to give it. */
		req->discarded += n;
		return req->discarded > NX_LIMIT_HTTP_DISCARD ? MHD_NO : MHD_YES;
	}
	req->chunk = nx_slice(data, n);
	nx_fiber_resume(req->link->fiber);
	req->chunk = nx_slice(NULL, 0);
	return MHD_YES;
}

static enum MHD_Result access_end(struct nx_http_req *req)
{
	req->body_ended = true;
	if (!req->handled && req->has_body)
		nx_fiber_resume(req->link->fiber);
	else if (!req->handled)
		nx_request_run(req);
	assert(req->handled);
	return nx_reply_queue(req);
}

/* NOLINTNEXTLINE(readability-function-size): the library says what it is called with */
static enum MHD_Result on_access(void *cls, struct MHD_Connection *conn, const char *url,
	const char *method, const char *version, const char *data, size_t *n, void **context)
{
	struct nx_http_req *req = *context;
	size_t taken = *n;
	enum MHD_Result ret;

	(void)cls;
	(void)conn;
	(void)url;
	if (!req)
		return MHD_NO;
	nx_link_busy(req->link);
	if (!req->started) {
		ret = access_head(req, method, version);
		nx_link_patience(req->link);
	} else if (taken) {
		ret = access_body(req, data, taken);
		*n = 0;
		nx_link_wait(req->link, taken);
	} else if (!req->queued) {
		ret = access_end(req);
	} else {
		ret = MHD_YES;
	}
	return ret;
}

static void on_completed(
	void *cls, struct MHD_Connection *conn, void **context, enum MHD_RequestTerminationCode toe)
{
	struct nx_http_req *req = *context;

	(void)cls;
	(void)conn;
	*context = NULL;
	if (req)
		request_end(req, toe == MHD_REQUEST_TERMINATED_COMPLETED_OK);
}

/* ---- start ---- */

static nx_rc pem_load(struct nx_buf *buf, const char *file, struct nx_err *err)
{
	nx_rc rc;

	nx_buf_init(buf, PEM_MAX, NX_BUF_WIPE);
	if (!file)
		return NX_OK;
	rc = nx_file_read(AT_FDCWD, file, buf, err);
	if (!rc && !nx_buf_cstr(buf))
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for certificate");
	return rc ? nx_err_prefix(err, rc, "tls") : NX_OK;
}

/* Whether the files fit together is asked of net first: libmicrohttpd would not say what is wrong.
 */
static nx_rc tls_load(
	struct nx_http_server *server, const struct nx_tls_opts *opts, struct nx_err *err)
{
	NX_AUTO(nx_tls) *probe = NULL;
	nx_rc rc;

	if (!opts)
		return NX_OK;
	server->tls = true;
	server->require_client_cert = opts->require_client_cert;
	rc = nx_tls_new(opts, &probe, err);
	if (!rc)
		rc = pem_load(&server->cert, opts->cert_file, err);
	if (!rc)
		rc = pem_load(&server->key, opts->key_file, err);
	if (!rc)
		rc = pem_load(&server->ca, opts->ca_file, err);
	return rc;
}

static nx_rc listen_open(struct nx_http_server *server, struct nx_err *err)
{
	const struct nx_http_opts *opts = &server->opts;

	if (opts->inherit) {
		server->port = opts->inherit->port;
		server->fd = fcntl(opts->inherit->fd, F_DUPFD_CLOEXEC, 0);
		return server->fd < 0 ? nx_err_errno(err, "socket of the listener") : NX_OK;
	}
	if (!opts->unix_path)
		return nx_listen_socket(opts->address, opts->port, &server->fd, &server->port, err);
	server->unix_path = strdup(opts->unix_path);
	if (!server->unix_path)
		return nx_err_set(err, NX_E_NOMEM, "no memory for path");
	return nx_listen_unix(opts->unix_path, 0660, &server->fd, err);
}

static nx_rc daemon_start(struct nx_http_server *server, struct nx_err *err)
{
	const unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
		MHD_USE_POLL | MHD_USE_ITC | (server->tls ? MHD_USE_TLS : 0u);
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, server->cert.data},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, server->key.data},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, nx_unconst(nx_tls_priorities())},
		{server->ca.len ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0, server->ca.data},
		{MHD_OPTION_END, 0, NULL},
	};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
	unsigned idle_s = (unsigned)((server->opts.idle_us + 999999) / 1000000);

	server->daemon = MHD_start_daemon(flags, 0, on_accept, server, on_access, server,
		MHD_OPTION_LISTEN_SOCKET, server->fd, MHD_OPTION_CONNECTION_LIMIT,
		2 * server->max_conns, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_LEN,
		MHD_OPTION_CONNECTION_TIMEOUT, idle_s, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_THREAD_STACK_SIZE, (size_t)NX_THREAD_STACK_LEN,
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, server, MHD_OPTION_UNESCAPE_CALLBACK,
		keep_escapes, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_ARRAY,
		server->tls ? tls : none, MHD_OPTION_END);
	if (!server->daemon)
		return nx_err_set(err, NX_E_CONFIG, "http server %s did not start", server->name);
	return NX_OK;
}

static void server_init(struct nx_http_server *server, const struct nx_http_opts *opts)
{
	pthread_condattr_t attr;

	server->opts = *opts;
	server->fd = -1;
	server->max_conns = opts->max_conns ? opts->max_conns : NX_LIMIT_CONNECTIONS;
	if (server->opts.header_us == 0)
		server->opts.header_us = HEADER_US;
	if (server->opts.idle_us == 0)
		server->opts.idle_us = IDLE_US;
	if (server->opts.min_rate == 0)
		server->opts.min_rate = MIN_RATE;
	(void)snprintf(server->name, sizeof(server->name), "%s", opts->name ? opts->name : "http");
	(void)pthread_mutex_init(&server->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&server->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
}

nx_rc nx_http_start(
	const struct nx_http_opts *opts, struct nx_http_server **ret_server, struct nx_err *err)
{
	struct nx_http_server *server = calloc(1, sizeof(*server));
	nx_rc rc;

	if (!server)
		return nx_err_set(err, NX_E_NOMEM, "no memory for http server");
	server_init(server, opts);
	rc = tls_load(server, opts->tls, err);
	if (!rc)
		rc = listen_open(server, err);
	if (!rc)
		rc = nx_reaper_start(server, err);
	if (!rc)
		rc = daemon_start(server, err);
	if (rc) {
		nx_http_stop(server, 0);
		return rc;
	}
	if (opts->inherit)
		atomic_store(&opts->inherit->inherited, true);
	*ret_server = server;
	return NX_OK;
}

uint16_t nx_http_port(const struct nx_http_server *server)
{
	return server->port;
}

/* ---- stop ---- */

/* Where another goes on in its place, also for who has just come and is about to ask. */
static void wait_idle(struct nx_http_server *server, int64_t deadline_us)
{
	const struct timespec until = {deadline_us / 1000000, deadline_us % 1000000 * 1000};
	bool goes_on = atomic_load(&server->inherited);
	int ret = 0;

	(void)pthread_mutex_lock(&server->lock);
	while ((server->active || (goes_on && (server->n_fresh || server->coming))) && ret == 0)
		ret = pthread_cond_timedwait(&server->changed, &server->lock, &until);
	(void)pthread_mutex_unlock(&server->lock);
}

static void server_free(struct nx_http_server *server)
{
	if (server->fd >= 0)
		(void)close(server->fd);
	if (server->unix_path && server->fd >= 0)
		(void)unlink(server->unix_path);
	free(server->unix_path);
	nx_buf_done(&server->cert);
	nx_buf_done(&server->key);
	nx_buf_done(&server->ca);
	(void)pthread_cond_destroy(&server->changed);
	(void)pthread_mutex_destroy(&server->lock);
	free(server);
}

struct nx_http_server *nx_http_stop(struct nx_http_server *server, int64_t grace_us)
{
	if (!server)
		return NULL;
	atomic_store(&server->draining, true);
	if (server->daemon) {
		(void)MHD_quiesce_daemon(server->daemon); /* the listening socket is ours again */
		if (!atomic_load(&server->inherited)) /* else who connects would wait for nobody */
			(void)shutdown(server->fd, SHUT_RDWR);
		wait_idle(server, nx_mono_us() + grace_us);
		MHD_stop_daemon(server->daemon);
	}
	nx_reaper_stop(server);
	server_free(server);
	return NULL;
}
