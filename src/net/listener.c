#include "net/net.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "net/net_priv.h"

enum {
	HANDSHAKE_US = 10 * 1000 * 1000,
	NO_FD_PAUSE_MS = 100,
	LEAVING_PART = 4, /* of max_conns may be on their way out */
	LEAVING_US = 1000 * 1000,
};

/* One accepted connection and its thread; on exactly one of the listener's two lists. */
struct worker {
	struct worker *next;
	struct worker **at; /* the pointer that points here */
	struct nx_listener *listener;
	struct nx_conn *conn; /* guarded by lock: NULL once closed */
	bool leaving;         /* guarded by lock: cut to make room, and counted no more */
	pthread_t thread;
};

struct nx_listener {
	struct nx_listener_opts opts;
	char name[NX_LIMIT_NAME];
	int fd;
	uint16_t port;
	int wake_fd; /* a thread has ended: join it */
	struct nx_drain drain;
	pthread_t thread;
	bool running;
	pthread_attr_t attr;
	pthread_mutex_t lock;
	pthread_cond_t idle;            /* active is NULL, or n_leaving fell */
	struct worker *active;          /* guarded by lock */
	struct worker *ended;           /* guarded by lock */
	unsigned n_leaving;             /* guarded by lock */
	struct nx_listener_stats stats; /* guarded by lock */
};

static void list_push(struct worker **head, struct worker *worker)
{
	worker->next = *head;
	worker->at = head;
	if (*head)
		(*head)->at = &worker->next;
	*head = worker;
}

static void list_cut(struct worker *worker)
{
	*worker->at = worker->next;
	if (worker->next)
		worker->next->at = worker->at;
}

/* ---- a connection's thread ---- */

static void worker_end(struct worker *worker)
{
	struct nx_listener *listener = worker->listener;
	struct nx_conn *conn = worker->conn;
	const uint64_t one = 1;

	nx_conn_goodbye(conn);
	(void)pthread_mutex_lock(&listener->lock);
	worker->conn = NULL; /* before close(): stop must never shut down a reused descriptor */
	nx_conn_free(conn);
	list_cut(worker);
	list_push(&listener->ended, worker);
	listener->stats.active--;
	listener->n_leaving -= worker->leaving;
	if (!listener->active || worker->leaving)
		(void)pthread_cond_broadcast(&listener->idle);
	(void)!write(listener->wake_fd, &one, sizeof(one));
	(void)pthread_mutex_unlock(&listener->lock);
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	const struct nx_listener_opts *opts = &worker->listener->opts;
	struct nx_err err = {0};
	nx_rc rc = NX_OK;

	nx_thread_name(opts->name);
	if (opts->tls) {
		nx_conn_deadline(worker->conn,
			nx_mono_us() + (opts->handshake_us ? opts->handshake_us : HANDSHAKE_US));
		rc = nx_conn_handshake(worker->conn, nx_tls_creds(opts->tls),
			nx_tls_request(opts->tls), NULL, &err);
		nx_conn_deadline(worker->conn, 0);
	}
	if (rc)
		nx_log(NX_LOG_WARN, "net", "handshake-failed", "%s: %s: %s", worker->listener->name,
			nx_conn_peer(worker->conn), nx_err_text(&err));
	else
		opts->fn(worker->conn, opts->payload);
	worker_end(worker);
	return NULL;
}

/* ---- the accepting thread ---- */

static void join_ended(struct nx_listener *listener)
{
	struct worker *worker, *next;

	(void)pthread_mutex_lock(&listener->lock);
	worker = listener->ended;
	listener->ended = NULL;
	(void)pthread_mutex_unlock(&listener->lock);
	for (; worker; worker = next) {
		next = worker->next;
		(void)pthread_join(worker->thread, NULL);
		free(worker);
	}
}

/*
 * Caller holds listener->lock.  The list has the newest first, so the last that is not settled has
 * had the longest time to say who it is.  Its thread ends soon after; until then it is one more
 * than max_conns.  A quarter of max_conns may be on their way out; then one of them is waited for.
 */
static bool room_make(struct nx_listener *listener)
{
	const unsigned most = listener->opts.max_conns / LEAVING_PART;
	const int64_t until_us = nx_mono_us() + LEAVING_US;
	const struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
	struct worker *oldest = NULL;
	int ret = 0;

	while (listener->n_leaving > most && ret == 0)
		ret = pthread_cond_timedwait(&listener->idle, &listener->lock, &until);
	if (listener->n_leaving > most)
		return false;
	for (struct worker *w = listener->active; w; w = w->next)
		if (!w->leaving && !nx_conn_is_settled(w->conn))
			oldest = w;
	if (!oldest)
		return false;
	oldest->leaving = true;
	listener->n_leaving++;
	nx_conn_cut(oldest->conn);
	return true;
}

/* Caller holds listener->lock.  NULL when there is room, else why not. */
static const char *refusal(struct nx_listener *listener, const struct sockaddr_storage *peer)
{
	const struct nx_listener_opts *opts = &listener->opts;
	unsigned same = 0;

	if (opts->max_per_peer)
		for (const struct worker *w = listener->active; w; w = w->next)
			same += nx_conn_same_peer(w->conn, peer);
	if (opts->max_per_peer && same >= opts->max_per_peer)
		return "too many connections from this address";
	if (opts->max_conns && listener->stats.active - listener->n_leaving >= opts->max_conns &&
		!room_make(listener))
		return "too many connections";
	return NULL;
}

/* Caller holds listener->lock.  Takes `conn`. */
static nx_rc worker_start(struct nx_listener *listener, struct nx_conn *conn, struct nx_err *err)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int ret;

	if (!worker) {
		nx_conn_free(conn);
		return nx_err_set(err, NX_E_NOMEM, "no memory for connection");
	}
	worker->listener = listener;
	worker->conn = conn;
	list_push(&listener->active, worker);
	ret = pthread_create(&worker->thread, &listener->attr, worker_main, worker);
	if (ret) {
		list_cut(worker);
		nx_conn_free(conn);
		free(worker);
		errno = ret;
		return nx_err_errno(err, "thread for connection");
	}
	listener->stats.active++;
	listener->stats.accepted++;
	return NX_OK;
}

static void take(struct nx_listener *listener, int fd, const struct sockaddr_storage *peer)
{
	struct nx_err err = {0};
	struct nx_conn *conn = NULL;
	const char *why;
	nx_rc rc;

	rc = nx_conn_new(fd, peer, &listener->drain, &conn, &err);
	if (rc) {
		(void)close(fd);
		nx_log_err(NX_LOG_ERROR, "net", "connection-refused", &err);
		return;
	}
	(void)pthread_mutex_lock(&listener->lock);
	why = refusal(listener, peer);
	if (why) {
		nx_log(NX_LOG_WARN, "net", "connection-refused", "%s: %s: %s", listener->name,
			nx_conn_peer(conn), why);
		nx_conn_free(conn);
	} else {
		rc = worker_start(listener, conn, &err);
	}
	if (why || rc)
		listener->stats.refused++;
	(void)pthread_mutex_unlock(&listener->lock);
	if (rc)
		nx_log_err(NX_LOG_ERROR, "net", "connection-refused", &err);
}

/* Accept until nothing waits; false when the system is out of descriptors or memory. */
static bool accept_all(struct nx_listener *listener)
{
	struct sockaddr_storage peer;
	socklen_t len;
	int fd;

	while (!atomic_load(&listener->drain.on)) {
		len = sizeof(peer);
		fd = accept4(
			listener->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			take(listener, fd, &peer);
		else if (errno == EAGAIN)
			return true;
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			return false;
		/* anything else is about that one connection (accept(2)) */
	}
	return true;
}

static void *listener_main(void *arg)
{
	struct nx_listener *listener = arg;
	struct pollfd fds[3] = {{listener->drain.fd, POLLIN, 0}, {listener->wake_fd, POLLIN, 0},
		{listener->fd, POLLIN, 0}};
	bool full = false, was_full;
	uint64_t count;

	nx_thread_name("accept");
	while (!atomic_load(&listener->drain.on)) {
		/* Out of descriptors the listening socket stays readable: leave it alone a while.
		 */
		(void)poll(fds, full ? 2 : 3, full ? NO_FD_PAUSE_MS : -1);
		(void)!read(listener->wake_fd, &count, sizeof(count));
		join_ended(listener);
		was_full = full;
		full = !accept_all(listener);
		if (full && !was_full)
			nx_log(NX_LOG_ERROR, "net", "accept-paused",
				"%s: out of descriptors or memory", listener->name);
	}
	return NULL;
}

/* ---- start and stop ---- */

static nx_rc listener_open(struct nx_listener *listener, struct nx_err *err)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&listener->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&listener->idle, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_attr_init(&listener->attr);
	(void)pthread_attr_setstacksize(&listener->attr, NX_THREAD_STACK_LEN);
	listener->drain.fd = eventfd(0, EFD_CLOEXEC);
	listener->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (listener->drain.fd < 0 || listener->wake_fd < 0)
		return nx_err_errno(err, "eventfd");
	return nx_listen_socket(
		listener->opts.address, listener->opts.port, &listener->fd, &listener->port, err);
}

static struct nx_listener *listener_free(struct nx_listener *listener)
{
	const int fds[] = {listener->fd, listener->wake_fd, listener->drain.fd};

	for (size_t i = 0; i < NX_ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	(void)pthread_attr_destroy(&listener->attr);
	(void)pthread_cond_destroy(&listener->idle);
	(void)pthread_mutex_destroy(&listener->lock);
	free(listener);
	return NULL;
}

nx_rc nx_listener_start(
	const struct nx_listener_opts *opts, struct nx_listener **ret_listener, struct nx_err *err)
{
	struct nx_listener *listener = calloc(1, sizeof(*listener));
	nx_rc rc;
	int ret;

	if (!listener)
		return nx_err_set(err, NX_E_NOMEM, "no memory for listener");
	listener->opts = *opts;
	listener->fd = -1;
	(void)snprintf(
		listener->name, sizeof(listener->name), "%s", opts->name ? opts->name : "listener");
	rc = listener_open(listener, err);
	if (!rc) {
		ret = pthread_create(&listener->thread, NULL, listener_main, listener);
		errno = ret;
		if (ret)
			rc = nx_err_errno(err, "thread");
	}
	if (rc) {
		listener_free(listener);
		return rc;
	}
	*ret_listener = listener;
	return NX_OK;
}

uint16_t nx_listener_port(const struct nx_listener *listener)
{
	return listener->port;
}

void nx_listener_stats(struct nx_listener *listener, struct nx_listener_stats *ret)
{
	(void)pthread_mutex_lock(&listener->lock);
	*ret = listener->stats;
	(void)pthread_mutex_unlock(&listener->lock);
}

/* Caller holds listener->lock. */
static void wait_idle(struct nx_listener *listener, int64_t deadline_us)
{
	const struct timespec until = {deadline_us / 1000000, deadline_us % 1000000 * 1000};
	int ret = 0;

	while (listener->active && ret == 0)
		ret = pthread_cond_timedwait(&listener->idle, &listener->lock, &until);
}

struct nx_listener *nx_listener_stop(struct nx_listener *listener, int64_t grace_us)
{
	const uint64_t one = 1;

	if (!listener)
		return NULL;
	atomic_store(&listener->drain.on, true);
	(void)!write(listener->drain.fd, &one, sizeof(one));
	(void)pthread_join(listener->thread, NULL);
	(void)close(NX_STEAL_FD(listener->fd)); /* new connections are refused from here on */

	(void)pthread_mutex_lock(&listener->lock);
	wait_idle(listener, nx_mono_us() + grace_us);
	for (struct worker *w = listener->active; w; w = w->next)
		nx_conn_cut(w->conn);
	while (listener->active)
		(void)pthread_cond_wait(&listener->idle, &listener->lock);
	(void)pthread_mutex_unlock(&listener->lock);
	join_ended(listener);
	return listener_free(listener);
}
