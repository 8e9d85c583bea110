/*
 * net_priv.h - what the files of this module share.
 *
 * Layer:   1 (net).
 * Threads: see net.h.
 */
#ifndef NX_NET_NET_PRIV_H
#define NX_NET_NET_PRIV_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include <gnutls/gnutls.h>

#include "base/slice.h"
#include "net/net.h"

/* ---- tls.c ---- */

/* One reading of the certificate files; sessions hold a reference, so that a reload leaves them. */
struct nx_creds {
	atomic_uint refs;
	gnutls_certificate_credentials_t cert;
};

struct nx_creds *nx_creds_unref(struct nx_creds *creds);
struct nx_creds *nx_tls_creds(struct nx_tls *tls); /* a reference */
gnutls_certificate_request_t nx_tls_request(const struct nx_tls *tls);
/* A client's credentials: ca_file verifies the server, certificate and key may be NULL. */
NX_NODISCARD nx_rc nx_creds_client(
	const struct nx_tls_opts *opts, struct nx_creds **ret_creds, struct nx_err *err);
NX_NODISCARD nx_rc nx_tls_session_new(
	unsigned flags, struct nx_creds *creds, gnutls_session_t *ret_session, struct nx_err *err);
/* The code and text for a GnuTLS return value. */
nx_rc nx_tls_err(struct nx_err *err, int ret, const char *what);

/* ---- conn.c ---- */

/* Where a connection's thread leaves word for, and hears from, the listener. */
struct nx_drain {
	atomic_bool on;
	int fd; /* an eventfd, readable from the moment `on` is set */
};

/* Owns `fd` (non-blocking) on success. */
NX_NODISCARD nx_rc nx_conn_new(int fd, const struct sockaddr_storage *peer,
	const struct nx_drain *drain, struct nx_conn **ret_conn, struct nx_err *err);
/* Takes the reference to `creds` in every case.  `host` is NULL on the server's side. */
NX_NODISCARD nx_rc nx_conn_handshake(struct nx_conn *conn, struct nx_creds *creds,
	gnutls_certificate_request_t request, const char *host, struct nx_err *err);
void nx_conn_goodbye(struct nx_conn *conn); /* orderly end of our direction, briefly lingering */
void nx_conn_cut(struct nx_conn *conn);     /* from another thread; the descriptor stays open */
bool nx_conn_is_settled(const struct nx_conn *conn);
bool nx_conn_same_peer(const struct nx_conn *conn, const struct sockaddr_storage *peer);

#endif
