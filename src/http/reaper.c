#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "http/http_priv.h"

enum {
	PATIENCE_US = 10 * 1000 * 1000, /* http.h: the rate counts over any 10 s */
	TICK_US = 250 * 1000,
	LEAVING_PART = 4 /* of max_conns may be on their way out before others wait for it */
};

/*
 * libmicrohttpd's own time-out starts anew with every byte, so a peer that drips one byte a second
 * stays for ever.  Every connection therefore has one deadline, moved by its own thread; this
 * thread shuts down the sockets of those that missed it, which wakes theirs.
 */

void nx_link_deadline(struct nx_link *link, int64_t us_from_now)
{
	atomic_store(&link->cut_at_us, nx_mono_us() + us_from_now);
}

void nx_link_busy(struct nx_link *link)
{
	int64_t at = atomic_exchange(&link->cut_at_us, INT64_MAX);

	if (at != INT64_MAX)
		link->left_us = at - nx_mono_us();
}

void nx_link_wait(struct nx_link *link, uint64_t moved)
{
	uint64_t rate = link->server->opts.min_rate;
	uint64_t seconds = moved / rate;
	int64_t gain = PATIENCE_US;

	if (seconds < PATIENCE_US / 1000000)
		gain = (int64_t)(moved * 1000000 / rate);
	link->left_us += gain;
	if (link->left_us > PATIENCE_US)
		link->left_us = PATIENCE_US;
	nx_link_deadline(link, link->left_us);
}

void nx_link_patience(struct nx_link *link)
{
	link->left_us = PATIENCE_US;
	nx_link_deadline(link, PATIENCE_US);
}

void nx_link_sending(struct nx_link *link, uint64_t n)
{
	nx_link_deadline(link, PATIENCE_US + (int64_t)(n / link->server->opts.min_rate) * 1000000);
}

/* Caller holds server->lock.  Wakes the connection's thread, which ends it. */
static void link_cut(struct nx_link *link, const char *why)
{
	if (atomic_exchange(&link->cut, true))
		return;
	link->server->n_cut++;
	(void)shutdown(link->fd, SHUT_RDWR);
	nx_log(NX_LOG_WARN, "http", "connection-cut", "%s: %s: %s", link->server->name, link->peer,
		why);
}

/* Caller holds server->lock. */
static void reap(struct nx_http_server *server)
{
	int64_t now = nx_mono_us();

	for (struct nx_link *link = server->links; link; link = link->next)
		if (atomic_load(&link->cut_at_us) <= now)
			link_cut(link, "too slow");
}

/* The list has the newest first: the last that waits for a request has had the longest time. */
bool nx_links_make_room(struct nx_http_server *server)
{
	struct nx_link *oldest = NULL;

	if (server->n_links - server->n_cut <= server->max_conns)
		return false;
	for (struct nx_link *link = server->links; link; link = link->next)
		if (atomic_load(&link->waits) && !atomic_load(&link->cut))
			oldest = link;
	if (oldest)
		link_cut(oldest,
			oldest == server->links ? "too many connections"
						: "makes room for a newer connection");
	return server->n_cut > server->max_conns / LEAVING_PART;
}

static void *reaper_main(void *arg)
{
	struct nx_http_server *server = arg;
	struct timespec until;
	int64_t at;

	nx_thread_name("http-reaper");
	(void)pthread_mutex_lock(&server->lock);
	while (!server->stop) {
		reap(server);
		at = nx_mono_us() + TICK_US;
		until.tv_sec = at / 1000000;
		until.tv_nsec = at % 1000000 * 1000;
		(void)pthread_cond_timedwait(&server->changed, &server->lock, &until);
	}
	(void)pthread_mutex_unlock(&server->lock);
	return NULL;
}

nx_rc nx_reaper_start(struct nx_http_server *server, struct nx_err *err)
{
	int ret = pthread_create(&server->reaper, NULL, reaper_main, server);

	errno = ret;
	if (ret)
		return nx_err_errno(err, "thread");
	server->reaper_runs = true;
	return NX_OK;
}

void nx_reaper_stop(struct nx_http_server *server)
{
	if (!server->reaper_runs)
		return;
	(void)pthread_mutex_lock(&server->lock);
	server->stop = true;
	(void)pthread_cond_broadcast(&server->changed);
	(void)pthread_mutex_unlock(&server->lock);
	(void)pthread_join(server->reaper, NULL);
	server->reaper_runs = false;
}
