/*
 * auth.h - who is at the other end, and may they: the callbacks of the HTTP and DIMSE listeners.
 *
 * Layer:   5 (server).
 * Threads: a struct nx_auth is shared.
 * PHI:     none.
 */
#ifndef NX_SERVER_AUTH_H
#define NX_SERVER_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

struct nx_archive;
struct nx_auth;
struct nx_dimse_guest;
struct nx_dimse_peer;
struct nx_http_req;
struct nx_principal;
struct nx_route;

/* `recorded`: failures of one address that the ledger takes in ten seconds.  `need_user`: no
 * association without a user identity that holds. */
struct nx_auth *nx_auth_new(
	struct nx_archive *archive, unsigned recorded, bool need_user); /* NULL without memory */
struct nx_auth *nx_auth_free(struct nx_auth *auth);
NX_DEFINE_AUTO(nx_auth);

/* Bearer token, or the user at the other end of the Unix socket; then the route's permission in
 * `collection` (NULL: the path is about none). */
NX_NODISCARD nx_rc nx_auth_http(struct nx_auth *auth, struct nx_http_req *req,
	const struct nx_route *route, const char *collection, struct nx_err *err);

/* For struct nx_dimse_opts, with the struct nx_auth as context. */
nx_rc nx_auth_dimse(void *context, const struct nx_dimse_peer *peer, struct nx_dimse_guest *ret,
	struct nx_err *err);
void nx_auth_dimse_free(void *context, struct nx_principal *who);
nx_rc nx_auth_dimse_still(void *context, const struct nx_principal *who, struct nx_err *err);
nx_rc nx_auth_dimse_check(void *context, const struct nx_principal *who, const char *permission,
	const char *action, const char *collection, struct nx_err *err);
void nx_auth_dimse_refused(void *context, const char *calling, const char *called, const char *peer,
	const struct nx_err *why);

/* Since the start: failures, and those of them that the ledger got only as a count. */
void nx_auth_stats(struct nx_auth *auth, uint64_t *ret_failures, uint64_t *ret_counted);

#endif
