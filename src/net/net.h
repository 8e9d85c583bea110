/*
 * net.h - listeners, connections with TLS and deadlines, limits on how many.
 *
 * Layer:   1 (net).  Uses base, GnuTLS.  Owns sockets.
 * Threads: one thread per connection, made by the listener; a connection belongs to its thread.
 * PHI:     bytes pass through; logs carry addresses and counts only.
 */
#ifndef NX_NET_NET_H
#define NX_NET_NET_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

struct gnutls_session_int;
struct iovec;

/* ---- TLS settings, shared by DIMSE and HTTP (BCP 195: TLS 1.2 and 1.3, AEAD suites with PFS) ----
 */

struct nx_tls;

struct nx_tls_opts {
	const char *cert_file; /* PEM chain */
	const char *key_file;  /* PEM */
	const char *ca_file;   /* client certificates; NULL: none asked for */
	bool require_client_cert;
};

NX_NODISCARD nx_rc nx_tls_new(
	const struct nx_tls_opts *opts, struct nx_tls **ret_tls, struct nx_err *err);
struct nx_tls *nx_tls_free(struct nx_tls *tls);
NX_DEFINE_AUTO(nx_tls);
/* Read the files again; connections already open keep what they have. */
NX_NODISCARD nx_rc nx_tls_reload(struct nx_tls *tls, struct nx_err *err);

/* A local CA and a server certificate (ECDSA P-256) for `names` (DNS names and IP addresses),
 * written as ca.pem, ca-key.pem, server.pem, server-key.pem in `dir`; ca-key.pem and server-key.pem
 * with mode 0600. */
NX_NODISCARD nx_rc nx_tls_make_ca(const char *dir, const char *const *names, size_t n_names,
	unsigned days, struct nx_err *err);
/* A client certificate for `cn`, signed by the CA in `dir`: `base`.pem and `base`-key.pem there. */
NX_NODISCARD nx_rc nx_tls_make_client(
	const char *dir, const char *base, const char *cn, unsigned days, struct nx_err *err);
/* Days until the certificate in `pem_file` ends; negative when it has ended. */
NX_NODISCARD nx_rc nx_tls_days_left(const char *pem_file, int *ret_days, struct nx_err *err);

/* Would a client that calls `host` (a DNS name or an address) take it? */
NX_NODISCARD nx_rc nx_tls_fits_host(
	const char *pem_file, const char *host, bool *ret, struct nx_err *err);

/* For libraries that do TLS by themselves (http): the GnuTLS priority string, and the subject CN of
 * the client certificate of a finished handshake, verified.  NX_E_NOENT: the client sent none;
 * NX_E_DENIED: not to be trusted. */
const char *nx_tls_priorities(void);
NX_NODISCARD nx_rc nx_tls_peer_cn(
	struct gnutls_session_int *session, char *ret_cn, size_t cap, struct nx_err *err);

/* ---- connections ---- */

struct nx_conn;

/* All calls end with NX_E_TIMEOUT when the connection's deadline (nx_mono_us) passes, NX_E_CLOSED
 * when the peer has gone.  TCP_NODELAY is on; TCP_QUICKACK is armed again around every read (a peer
 * with Nagle on waits for our ACK otherwise: 20 instances a second). */
void nx_conn_deadline(struct nx_conn *conn, int64_t mono_us);
NX_NODISCARD nx_rc nx_conn_read(
	struct nx_conn *conn, void *p, size_t n, struct nx_err *err); /* exactly n */
NX_NODISCARD nx_rc nx_conn_read_some(
	struct nx_conn *conn, void *p, size_t n, size_t *ret_n, struct nx_err *err);
NX_NODISCARD nx_rc nx_conn_write(struct nx_conn *conn, const void *p, size_t n, struct nx_err *err);
NX_NODISCARD nx_rc nx_conn_writev(
	struct nx_conn *conn, const struct iovec *iov, int n, struct nx_err *err);
/* Between exchanges: block until the peer has sent something.  NX_E_CLOSED as soon as the listener
 * drains, so that idle connections end at once. */
NX_NODISCARD nx_rc nx_conn_wait(struct nx_conn *conn, struct nx_err *err);
/* Is there something to read, or the end, without waiting? */
bool nx_conn_ready(struct nx_conn *conn);
/* The peer has shown who it is.  Until then a connection makes room for a newer one when the
 * listener is full. */
void nx_conn_settled(struct nx_conn *conn);
const char *nx_conn_peer(const struct nx_conn *conn); /* "127.0.0.1" without port */
/* Subject CN of the verified client certificate; NULL without one. */
const char *nx_conn_peer_cn(const struct nx_conn *conn);
/* The listener wants connections to end: finish the exchange at hand and return. */
bool nx_conn_draining(const struct nx_conn *conn);

/* Client side, for tests and association requesters.  `tls_ca` NULL: plain. */
NX_NODISCARD nx_rc nx_conn_open(const char *host, uint16_t port, const char *tls_ca,
	int64_t timeout_us, struct nx_conn **ret_conn, struct nx_err *err);
/* The same with a client certificate: `tls` has ca_file, and cert_file with key_file or neither. */
NX_NODISCARD nx_rc nx_conn_open_tls(const char *host, uint16_t port, const struct nx_tls_opts *tls,
	int64_t timeout_us, struct nx_conn **ret_conn, struct nx_err *err);
struct nx_conn *nx_conn_free(struct nx_conn *conn);
NX_DEFINE_AUTO(nx_conn);

/* ---- listeners ---- */

typedef void (*nx_conn_fn)(struct nx_conn *conn, void *payload);

struct nx_listener_opts {
	const char *name;      /* for logs: "dimse-tls" */
	const char *address;   /* "127.0.0.1", "::", ... */
	uint16_t port;         /* 0: any; see nx_listener_port() */
	struct nx_tls *tls;    /* NULL: plain; borrowed, must outlive the listener */
	unsigned max_conns;    /* in total; see nx_conn_settled() */
	unsigned max_per_peer; /* by address; 0: no limit */
	int64_t handshake_us;  /* TLS handshake deadline; 0: 10 s */
	nx_conn_fn fn; /* runs in the connection's thread; the connection is closed after it */
	void *payload;
};

struct nx_listener;

NX_NODISCARD nx_rc nx_listener_start(
	const struct nx_listener_opts *opts, struct nx_listener **ret_listener, struct nx_err *err);
uint16_t nx_listener_port(const struct nx_listener *listener);
/* Stop accepting, let connections finish for at most `grace_us`, then cut them; joins every thread.
 */
struct nx_listener *nx_listener_stop(struct nx_listener *listener, int64_t grace_us);
struct nx_listener_stats {
	uint64_t accepted;
	uint64_t refused;
	uint64_t active;
};
void nx_listener_stats(struct nx_listener *listener, struct nx_listener_stats *ret);

/* Bound TCP or Unix stream socket for libraries that accept by themselves (http). */
NX_NODISCARD nx_rc nx_listen_socket(
	const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port, struct nx_err *err);
NX_NODISCARD nx_rc nx_listen_unix(const char *path, unsigned mode, int *ret_fd, struct nx_err *err);

#endif
