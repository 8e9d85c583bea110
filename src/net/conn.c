#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/uio.h>

#include "base/cast.h"
#include "base/clock.h"
#include "base/limits.h"
#include "net/net_priv.h"

enum {
	READ_AHEAD = 32 * 1024,
	RECORD_LEN = 16 * 1024, /* RFC 8446 5.1: the most plaintext of one record */
	CN_LEN = 256,
	IOV_BATCH = 64,
	LINGER_US = 100 * 1000
};

/* A TLS session and its two buffers. */
struct channel {
	gnutls_session_t session;
	struct nx_creds *creds;
	bool open;                 /* the handshake is done: an end can be said */
	uint8_t ahead[READ_AHEAD]; /* ciphertext: a record takes GnuTLS two reads, this takes less
				    */
	size_t ahead_off;
	size_t ahead_len;
	uint8_t gather[RECORD_LEN]; /* small pieces become one record */
};

struct nx_conn {
	int fd;
	struct channel *tls; /* NULL: plain */
	int64_t deadline_us; /* 0: none */
	const struct nx_drain *drain;
	atomic_bool settled; /* read by the listener's thread */
	atomic_bool cut;     /* set by it */
	uint8_t addr[16];    /* IPv4 as ::ffff:a.b.c.d */
	char peer[INET6_ADDRSTRLEN];
	char cn[CN_LEN];
};

/* ---- the socket ---- */

static void addr_of(const struct sockaddr_storage *sa, uint8_t ret[16])
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;

	memset(ret, 0, 16);
	if (sa->ss_family == AF_INET) {
		ret[10] = 0xff;
		ret[11] = 0xff;
		memcpy(ret + 12, &in->sin_addr, 4);
	} else if (sa->ss_family == AF_INET6) {
		memcpy(ret, &in6->sin6_addr, 16);
	}
}

static void addr_text(const uint8_t addr[16], char ret[INET6_ADDRSTRLEN])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool v4 = memcmp(addr, mapped, sizeof(mapped)) == 0;

	(void)inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? addr + 12 : addr, ret, INET6_ADDRSTRLEN);
}

nx_rc nx_conn_new(int fd, const struct sockaddr_storage *peer, const struct nx_drain *drain,
	struct nx_conn **ret_conn, struct nx_err *err)
{
	struct nx_conn *conn = calloc(1, sizeof(*conn));
	const int on = 1;

	if (!conn)
		return nx_err_set(err, NX_E_NOMEM, "no memory for connection");
	conn->fd = fd;
	conn->drain = drain;
	addr_of(peer, conn->addr);
	addr_text(conn->addr, conn->peer);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	*ret_conn = conn;
	return NX_OK;
}

/* The kernel drops quick ACKs again whenever it sees fit (tcp(7)), so this stands before each wait.
 */
static void quick_ack(const struct nx_conn *conn)
{
	const int on = 1;

	(void)setsockopt(conn->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

/* Milliseconds for poll(), rounded up so that it never spins before the deadline. */
static int poll_ms(const struct nx_conn *conn)
{
	int64_t left;

	if (conn->deadline_us == 0)
		return -1;
	left = conn->deadline_us - nx_mono_us();
	if (left <= 0)
		return 0;
	left = (left + 999) / 1000;
	return left > 1000000 ? 1000000 : (int)left;
}

/* Wait for `events`; `drain_fd` -1, or a descriptor whose readability ends the wait. */
static nx_rc conn_poll(struct nx_conn *conn, short events, int drain_fd, struct nx_err *err)
{
	struct pollfd fds[2] = {{conn->fd, events, 0}, {drain_fd, POLLIN, 0}};
	int ms, n;

	for (;;) {
		ms = poll_ms(conn);
		n = poll(fds, 2, ms);
		if (n < 0 && errno != EINTR)
			return nx_err_errno(err, "poll");
		if (n > 0)
			break;
		if (n == 0 && poll_ms(conn) == 0)
			return nx_err_set(err, NX_E_TIMEOUT, "deadline passed");
	}
	if (fds[0].revents)
		return NX_OK;
	return nx_err_set(err, NX_E_CLOSED, "listener is draining");
}

static nx_rc conn_closed(const struct nx_conn *conn, struct nx_err *err)
{
	return nx_err_set(err, NX_E_CLOSED, "%s",
		atomic_load(&conn->cut) ? "cut to make room for a newer connection, or to stop"
					: "connection closed by peer");
}

static nx_rc plain_read_some(
	struct nx_conn *conn, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	ssize_t got;
	nx_rc rc;

	for (;;) {
		got = recv(conn->fd, p, n, MSG_DONTWAIT);
		if (got > 0) {
			quick_ack(conn);
			*ret_n = (size_t)got;
			return NX_OK;
		}
		if (got == 0)
			return conn_closed(conn, err);
		if (errno != EAGAIN && errno != EINTR)
			return nx_err_errno(err, "receive");
		quick_ack(conn);
		rc = conn_poll(conn, POLLIN, -1, err);
		if (rc)
			return rc;
	}
}

/* Advance `iov` past `n` bytes; the number of entries gone. */
static int iov_skip(struct iovec *iov, int n_iov, size_t n)
{
	int i = 0;

	while (i < n_iov && n >= iov[i].iov_len)
		n -= iov[i++].iov_len;
	if (i < n_iov) {
		iov[i].iov_base = (uint8_t *)iov[i].iov_base + n;
		iov[i].iov_len -= n;
	}
	return i;
}

/* Changes `iov`. */
static nx_rc plain_send(struct nx_conn *conn, struct iovec *iov, int n, struct nx_err *err)
{
	struct msghdr msg = {0};
	ssize_t sent;
	int gone;
	nx_rc rc;

	gone = iov_skip(iov, n, 0);
	while (gone < n) {
		iov += gone;
		n -= gone;
		gone = 0;
		msg.msg_iov = iov;
		msg.msg_iovlen = (size_t)n;
		sent = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent >= 0) {
			gone = iov_skip(iov, n, (size_t)sent);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return nx_err_errno(err, "send");
		rc = conn_poll(conn, POLLOUT, -1, err);
		if (rc)
			return rc;
	}
	return NX_OK;
}

/* ---- TLS ---- */

static ssize_t channel_pull(gnutls_transport_ptr_t ptr, void *p, size_t n)
{
	struct nx_conn *conn = ptr;
	struct channel *tls = conn->tls;
	ssize_t got;

	if (tls->ahead_len == 0) {
		got = recv(conn->fd, tls->ahead, sizeof(tls->ahead), MSG_DONTWAIT);
		if (got <= 0) {
			gnutls_transport_set_errno(tls->session, errno);
			return got;
		}
		quick_ack(conn);
		tls->ahead_off = 0;
		tls->ahead_len = (size_t)got;
	}
	if (n > tls->ahead_len)
		n = tls->ahead_len;
	memcpy(p, tls->ahead + tls->ahead_off, n);
	tls->ahead_off += n;
	tls->ahead_len -= n;
	return (ssize_t)n;
}

static struct channel *channel_free(struct channel *tls)
{
	if (!tls)
		return NULL;
	if (tls->session)
		gnutls_deinit(tls->session);
	nx_creds_unref(tls->creds);
	explicit_bzero(tls->gather, sizeof(tls->gather));
	free(tls);
	return NULL;
}

/* After GNUTLS_E_AGAIN: wait for what the session waits for. */
static nx_rc channel_wait(struct nx_conn *conn, struct nx_err *err)
{
	bool write = gnutls_record_get_direction(conn->tls->session) == 1;

	if (!write)
		quick_ack(conn);
	return conn_poll(conn, write ? POLLOUT : POLLIN, -1, err);
}

/* True when the call is to be made again, after *ret_rc is seen to be NX_OK. */
static bool channel_again(struct nx_conn *conn, ssize_t ret, nx_rc *ret_rc, struct nx_err *err)
{
	*ret_rc = NX_OK;
	if (ret == GNUTLS_E_AGAIN)
		*ret_rc = channel_wait(conn, err);
	return ret == GNUTLS_E_AGAIN || ret == GNUTLS_E_INTERRUPTED ||
		ret == GNUTLS_E_WARNING_ALERT_RECEIVED;
}

static nx_rc channel_read_some(
	struct nx_conn *conn, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	ssize_t got;
	nx_rc rc;

	for (;;) {
		got = gnutls_record_recv(conn->tls->session, p, n);
		if (got > 0) {
			*ret_n = (size_t)got;
			return NX_OK;
		}
		if (got == 0)
			return conn_closed(conn, err);
		if (!channel_again(conn, got, &rc, err))
			return nx_tls_err(err, (int)got, "receive");
		if (rc)
			return rc;
	}
}

static nx_rc channel_write(struct nx_conn *conn, const uint8_t *p, size_t n, struct nx_err *err)
{
	ssize_t sent;
	nx_rc rc;

	while (n) {
		sent = gnutls_record_send(
			conn->tls->session, p, n > RECORD_LEN ? (size_t)RECORD_LEN : n);
		if (sent >= 0) {
			p += sent;
			n -= (size_t)sent;
			continue;
		}
		if (!channel_again(conn, sent, &rc, err))
			return nx_tls_err(err, (int)sent, "send");
		if (rc)
			return rc;
	}
	return NX_OK;
}

/* A PDU header and its data leave in full records; whole records of one piece are not copied. */
static nx_rc channel_writev(
	struct nx_conn *conn, const struct iovec *iov, int n, struct nx_err *err)
{
	struct channel *tls = conn->tls;
	size_t held = 0, left, take;
	const uint8_t *p;
	nx_rc rc = NX_OK;

	for (int i = 0; i < n && !rc; i++) {
		p = iov[i].iov_base;
		left = iov[i].iov_len;
		while (left && !rc) {
			if (held == 0 && left >= RECORD_LEN) {
				take = left - left % RECORD_LEN;
				rc = channel_write(conn, p, take, err);
			} else {
				take = left < RECORD_LEN - held ? left : RECORD_LEN - held;
				memcpy(tls->gather + held, p, take);
				held += take;
			}
			p += take;
			left -= take;
			if (held == RECORD_LEN && !rc) {
				rc = channel_write(conn, tls->gather, held, err);
				held = 0;
			}
		}
	}
	return rc ? rc : channel_write(conn, tls->gather, held, err);
}

/* Keep the client's name, or refuse a certificate that does not verify. */
static nx_rc channel_client(
	struct nx_conn *conn, gnutls_certificate_request_t request, struct nx_err *err)
{
	nx_rc rc;

	if (request == GNUTLS_CERT_IGNORE)
		return NX_OK;
	rc = nx_tls_peer_cn(conn->tls->session, conn->cn, sizeof(conn->cn), err);
	if (rc)
		conn->cn[0] = '\0';
	if (rc == NX_E_NOENT && request == GNUTLS_CERT_REQUEST)
		return NX_OK;
	if (rc)
		(void)gnutls_alert_send(
			conn->tls->session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
	return rc;
}

static nx_rc channel_setup(struct nx_conn *conn, const char *host, struct nx_err *err)
{
	gnutls_session_t session = conn->tls->session;
	uint8_t ip[16];
	int ret;

	gnutls_transport_set_ptr2(session, conn, (void *)(intptr_t)conn->fd);
	gnutls_transport_set_pull_function(session, channel_pull);
	if (!host)
		return NX_OK;
	gnutls_session_set_verify_cert(session, host, 0);
	/* RFC 6066 3: literal addresses are not permitted in server_name. */
	if (inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1)
		return NX_OK;
	ret = gnutls_server_name_set(session, GNUTLS_NAME_DNS, host, strlen(host));
	return ret < 0 ? nx_tls_err(err, ret, "server name") : NX_OK;
}

nx_rc nx_conn_handshake(struct nx_conn *conn, struct nx_creds *creds,
	gnutls_certificate_request_t request, const char *host, struct nx_err *err)
{
	nx_rc rc;
	int ret;

	conn->tls = calloc(1, sizeof(*conn->tls));
	if (!conn->tls) {
		nx_creds_unref(creds);
		return nx_err_set(err, NX_E_NOMEM, "no memory for tls");
	}
	conn->tls->creds = creds;
	rc = nx_tls_session_new(
		host ? GNUTLS_CLIENT : GNUTLS_SERVER, creds, &conn->tls->session, err);
	if (rc)
		return rc;
	rc = channel_setup(conn, host, err);
	if (rc)
		return rc;
	if (!host)
		gnutls_certificate_server_set_request(conn->tls->session, request);
	do {
		ret = gnutls_handshake(conn->tls->session);
		conn->tls->open = ret >= 0;
		if (ret >= 0)
			return host ? NX_OK : channel_client(conn, request, err);
	} while (channel_again(conn, ret, &rc, err) && !rc);
	if (rc)
		return rc;
	if (atomic_load(&conn->cut))
		return conn_closed(conn, err);
	(void)gnutls_alert_send_appropriate(conn->tls->session, ret); /* tell the peer why */
	return nx_tls_err(err, ret, "tls handshake");
}

/* ---- calls of net.h ---- */

void nx_conn_deadline(struct nx_conn *conn, int64_t mono_us)
{
	conn->deadline_us = mono_us;
}

nx_rc nx_conn_read_some(struct nx_conn *conn, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	if (conn->tls)
		return channel_read_some(conn, p, n, ret_n, err);
	return plain_read_some(conn, p, n, ret_n, err);
}

nx_rc nx_conn_read(struct nx_conn *conn, void *p, size_t n, struct nx_err *err)
{
	uint8_t *at = p;
	size_t got;
	nx_rc rc;

	while (n) {
		rc = nx_conn_read_some(conn, at, n, &got, err);
		if (rc)
			return rc;
		at += got;
		n -= got;
	}
	return NX_OK;
}

nx_rc nx_conn_write(struct nx_conn *conn, const void *p, size_t n, struct nx_err *err)
{
	struct iovec iov = {nx_unconst(p), n};

	if (conn->tls)
		return channel_write(conn, p, n, err);
	return plain_send(conn, &iov, 1, err);
}

nx_rc nx_conn_writev(struct nx_conn *conn, const struct iovec *iov, int n, struct nx_err *err)
{
	struct iovec batch[IOV_BATCH];
	int take;
	nx_rc rc = NX_OK;

	if (conn->tls)
		return channel_writev(conn, iov, n, err);
	for (int i = 0; i < n && !rc; i += take) {
		take = n - i < IOV_BATCH ? n - i : IOV_BATCH;
		memcpy(batch, iov + i, (size_t)take * sizeof(*iov));
		rc = plain_send(conn, batch, take, err);
	}
	return rc;
}

nx_rc nx_conn_wait(struct nx_conn *conn, struct nx_err *err)
{
	if (conn->tls && (conn->tls->ahead_len || gnutls_record_check_pending(conn->tls->session)))
		return NX_OK;
	quick_ack(conn);
	return conn_poll(conn, POLLIN, conn->drain ? conn->drain->fd : -1, err);
}

bool nx_conn_ready(struct nx_conn *conn)
{
	struct pollfd fd = {.fd = conn->fd, .events = POLLIN};

	if (conn->tls && (conn->tls->ahead_len || gnutls_record_check_pending(conn->tls->session)))
		return true;
	quick_ack(conn);
	return poll(&fd, 1, 0) > 0;
}

const char *nx_conn_peer(const struct nx_conn *conn)
{
	return conn->peer;
}

const char *nx_conn_peer_cn(const struct nx_conn *conn)
{
	return conn->cn[0] ? conn->cn : NULL;
}

bool nx_conn_draining(const struct nx_conn *conn)
{
	return conn->drain && atomic_load(&conn->drain->on);
}

bool nx_conn_same_peer(const struct nx_conn *conn, const struct sockaddr_storage *peer)
{
	uint8_t addr[16];

	addr_of(peer, addr);
	return memcmp(addr, conn->addr, sizeof(addr)) == 0;
}

void nx_conn_settled(struct nx_conn *conn)
{
	atomic_store(&conn->settled, true);
}

bool nx_conn_is_settled(const struct nx_conn *conn)
{
	return atomic_load(&conn->settled);
}

void nx_conn_cut(struct nx_conn *conn)
{
	atomic_store(&conn->cut, true);
	(void)shutdown(conn->fd, SHUT_RDWR);
}

/*
 * A close() with unread input sends RST, which can destroy the last bytes we sent before the peer
 * has read them (RFC 9112 9.6); so end our direction first and take what still comes for a moment.
 */
void nx_conn_goodbye(struct nx_conn *conn)
{
	uint8_t waste[4096];
	size_t n;

	if (conn->tls && conn->tls->open)
		(void)gnutls_bye(conn->tls->session, GNUTLS_SHUT_WR);
	if (shutdown(conn->fd, SHUT_WR) < 0)
		return;
	conn->deadline_us = nx_mono_us() + LINGER_US;
	while (nx_mono_us() < conn->deadline_us &&
		plain_read_some(conn, waste, sizeof(waste), &n, NULL) == NX_OK)
		;
}

struct nx_conn *nx_conn_free(struct nx_conn *conn)
{
	if (!conn)
		return NULL;
	if (conn->tls && conn->tls->open && !conn->drain)
		(void)gnutls_bye(conn->tls->session, GNUTLS_SHUT_WR);
	channel_free(conn->tls);
	(void)close(conn->fd);
	explicit_bzero(conn->cn, sizeof(conn->cn));
	free(conn);
	return NULL;
}

/* ---- client side ---- */

static nx_rc conn_connect(const struct addrinfo *ai, int64_t deadline_us, struct nx_conn **ret_conn,
	struct nx_err *err)
{
	NX_AUTO(nx_conn) *conn = NULL;
	struct sockaddr_storage peer = {0};
	int fd, fail = 0;
	socklen_t fail_len = sizeof(fail);
	nx_rc rc;

	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return nx_err_errno(err, "socket");
	memcpy(&peer, ai->ai_addr, ai->ai_addrlen);
	rc = nx_conn_new(fd, &peer, NULL, &conn, err);
	if (rc) {
		(void)close(fd);
		return rc;
	}
	conn->deadline_us = deadline_us;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
		if (errno != EINPROGRESS)
			return nx_err_errno(err, "connect");
		rc = conn_poll(conn, POLLOUT, -1, err);
		if (rc)
			return nx_err_prefix(err, rc, "connect");
		(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &fail, &fail_len);
		errno = fail;
		if (fail)
			return nx_err_errno(err, "connect");
	}
	*ret_conn = NX_STEAL(conn);
	return NX_OK;
}

/* Every address of the name in turn.  The resolver has time limits of its own (resolv.conf(5)); it
 * is not asked for localhost (RFC 6761 6.3), which a system without /etc/hosts does not know. */
static nx_rc conn_dial(const char *host, uint16_t port, int64_t deadline_us,
	struct nx_conn **ret_conn, struct nx_err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char service[8];
	nx_rc rc = NX_E_NOENT;
	int ret;

	(void)snprintf(service, sizeof(service), "%u", port);
	ret = getaddrinfo(strcmp(host, "localhost") == 0 ? NULL : host, service, &hints, &list);
	if (ret)
		return nx_err_set(err, NX_E_NOENT, "resolve host: %s", gai_strerror(ret));
	for (struct addrinfo *ai = list; ai && rc; ai = ai->ai_next)
		rc = conn_connect(ai, deadline_us, ret_conn, err);
	freeaddrinfo(list);
	return rc;
}

nx_rc nx_conn_open_tls(const char *host, uint16_t port, const struct nx_tls_opts *tls,
	int64_t timeout_us, struct nx_conn **ret_conn, struct nx_err *err)
{
	NX_AUTO(nx_conn) *conn = NULL;
	int64_t deadline_us = nx_mono_us() + timeout_us;
	struct nx_creds *creds = NULL;
	nx_rc rc;

	rc = conn_dial(host, port, deadline_us, &conn, err);
	if (!rc && tls)
		rc = nx_creds_client(tls, &creds, err);
	if (!rc && tls)
		rc = nx_conn_handshake(conn, creds, GNUTLS_CERT_IGNORE, host, err);
	if (rc)
		return rc;
	conn->deadline_us = 0;
	*ret_conn = NX_STEAL(conn);
	return NX_OK;
}

nx_rc nx_conn_open(const char *host, uint16_t port, const char *tls_ca, int64_t timeout_us,
	struct nx_conn **ret_conn, struct nx_err *err)
{
	const struct nx_tls_opts tls = {.ca_file = tls_ca};

	return nx_conn_open_tls(host, port, tls_ca ? &tls : NULL, timeout_us, ret_conn, err);
}
