#include "server/auth.h"

#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "access/access.h"
#include "archive/archive.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/json.h"
#include "base/log.h"
#include "crypto/crypto.h"
#include "dimse/dimse.h"
#include "http/http.h"
#include "ledger/detail.h"
#include "ledger/ledger.h"

enum {
	SLOTS = 256,
	WINDOW_US = 10 * 1000 * 1000,
	SESSION_BYTES = 16,
	PASSWD_MAX = 4096
};

/* Failures of the addresses that fall into one slot. */
struct slot {
	int64_t since_us;
	unsigned recorded; /* since then */
	uint64_t counted;  /* not in the ledger yet */
};

struct nx_auth {
	struct nx_archive *archive;
	unsigned recorded;
	bool need_user;
	struct nx_key seed;   /* of the slots and sessions: nobody outside can aim at either */
	pthread_mutex_t lock; /* guards what follows */
	struct slot slots[SLOTS];
	uint64_t failures;
	uint64_t counted;
};

struct nx_auth *nx_auth_new(struct nx_archive *archive, unsigned recorded, bool need_user)
{
	struct nx_auth *auth = calloc(1, sizeof(*auth));

	if (!auth)
		return NULL;
	auth->archive = archive;
	auth->recorded = recorded;
	auth->need_user = need_user;
	nx_random(auth->seed.b, sizeof(auth->seed.b));
	(void)pthread_mutex_init(&auth->lock, NULL);
	return auth;
}

struct nx_auth *nx_auth_free(struct nx_auth *auth)
{
	if (!auth)
		return NULL;
	(void)pthread_mutex_destroy(&auth->lock);
	nx_key_done(&auth->seed);
	free(auth);
	return NULL;
}

void nx_auth_stats(struct nx_auth *auth, uint64_t *ret_failures, uint64_t *ret_counted)
{
	(void)pthread_mutex_lock(&auth->lock);
	*ret_failures = auth->failures;
	*ret_counted = auth->counted;
	(void)pthread_mutex_unlock(&auth->lock);
}

/* ---- failures ---- */

/* Is this one for the ledger?  *ret_before: how many of the same address were only counted. */
static bool failure_take(struct nx_auth *auth, const char *peer, uint64_t *ret_before)
{
	uint8_t hash[NX_SHA256_LEN];
	int64_t now = nx_mono_us();
	struct slot *slot;
	bool take;

	nx_hmac_sha256(&auth->seed, peer, strlen(peer), hash);
	(void)pthread_mutex_lock(&auth->lock);
	slot = &auth->slots[hash[0] % SLOTS];
	if (now - slot->since_us >= WINDOW_US || !slot->since_us) {
		slot->since_us = now;
		slot->recorded = 0;
	}
	take = slot->recorded < auth->recorded;
	auth->failures++;
	if (take) {
		slot->recorded++;
		*ret_before = slot->counted;
		slot->counted = 0;
	} else {
		slot->counted++;
		auth->counted++;
	}
	(void)pthread_mutex_unlock(&auth->lock);
	return take;
}

struct failure {
	unsigned action;
	const char *principal;
	const char *peer;
	const char *what; /* route pattern or AE titles: nothing that a client chose freely */
	const char *calling;
	const char *called;
};

static void failure_record(struct nx_auth *auth, const struct failure *f, const struct nx_err *why)
{
	NX_AUTO_DONE(nx_detail) detail;
	struct nx_entry_draft draft = {
		.action = f->action, .outcome = NX_OUTCOME_MINOR, .principal = f->principal};
	uint64_t before = 0;
	struct nx_err err;

	nx_detail_begin(&detail);
	if (!failure_take(auth, f->peer, &before))
		return;
	if (f->what)
		nx_json_kv_str(&detail.json, "what", f->what);
	if (f->calling)
		nx_json_kv_str(&detail.json, "calling", f->calling);
	if (f->called)
		nx_json_kv_str(&detail.json, "called", f->called);
	nx_json_kv_str(&detail.json, "code", nx_rc_wire(why->rc));
	nx_json_kv_str(&detail.json, "text", nx_err_text(why));
	if (before)
		nx_json_kv_uint(&detail.json, "not_recorded_before", before);
	if (nx_detail_end(&detail, f->peer, &draft, &err) ||
		nx_archive_record(auth->archive, &draft, &err))
		nx_log_err(NX_LOG_ERROR, "server", "ledger.record", &err);
}

/* ---- HTTP ---- */

/* Requests of one principal from one address are one session, so that reads share the entry that
 * opened them. */
static void session_set(struct nx_auth *auth, struct nx_principal *who)
{
	uint8_t hash[NX_SHA256_LEN];
	char text[sizeof(who->name) + sizeof(who->peer) + 2];
	int n = snprintf(text, sizeof(text), "%s\n%s", who->name, who->peer);

	nx_hmac_sha256(&auth->seed, text, n > 0 ? (size_t)n : 0, hash);
	nx_hex_format(hash, SESSION_BYTES, who->session);
}

/* The site's own user and root administer it; the socket's folder lets nobody else in anyway. */
static nx_rc local_user(struct nx_http_req *req, struct nx_principal *ret, struct nx_err *err)
{
	struct passwd entry, *found = NULL;
	char memory[PASSWD_MAX];
	uint32_t uid;

	if (!nx_http_peer_uid(req, &uid) || (uid != 0 && uid != geteuid()))
		return nx_err_set(err, NX_E_UNAUTHENTICATED, "not a user of this site");
	*ret = (struct nx_principal){.kind = NX_PRINCIPAL_TOKEN, .role = "admin", .peer = "unix"};
	if (getpwuid_r(uid, &entry, memory, sizeof(memory), &found) == 0 && found)
		(void)snprintf(ret->name, sizeof(ret->name), "local:%.50s", found->pw_name);
	else
		(void)snprintf(ret->name, sizeof(ret->name), "local:%u", uid);
	return NX_OK;
}

static nx_rc identify(
	struct nx_auth *auth, struct nx_http_req *req, struct nx_principal *ret, struct nx_err *err)
{
	const char *authorization = nx_http_header(req, "Authorization");

	if (!authorization && nx_http_is_unix(req))
		return local_user(req, ret, err);
	return nx_access_bearer(
		nx_archive_cat(auth->archive), authorization, nx_http_peer(req), ret, err);
}

nx_rc nx_auth_http(struct nx_auth *auth, struct nx_http_req *req, const struct nx_route *route,
	const char *collection, struct nx_err *err)
{
	struct failure failure = {.action = NX_ACTION_AUTH_FAIL,
		.principal = "",
		.peer = nx_http_peer(req),
		.what = route->pattern};
	struct nx_principal *who;
	nx_rc rc;

	if (route->perm == NX_PERM_PUBLIC)
		return NX_OK;
	who = nx_arena_alloc(nx_http_arena(req), sizeof(*who));
	if (!who)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a principal");
	rc = identify(auth, req, who, err);
	if (!rc) {
		session_set(auth, who);
		nx_http_set_principal(req, who, who->name);
		failure.action = NX_ACTION_ACCESS_DENY;
		failure.principal = who->name;
		rc = nx_access_check(who, route->perm, collection, err);
	}
	if (rc == NX_E_UNAUTHENTICATED)
		nx_http_set_header(req, "WWW-Authenticate", "Bearer realm=\"narthex\"");
	if (rc == NX_E_UNAUTHENTICATED || rc == NX_E_DENIED)
		failure_record(auth, &failure, err);
	return rc;
}

/* ---- DIMSE ---- */

static nx_rc ae_identify(struct nx_auth *auth, const struct nx_dimse_peer *peer,
	struct nx_principal *ret, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(auth->archive);
	char cn[128];
	nx_rc rc = nx_access_ae(cat, peer->calling, peer->called, peer->address, ret, err);

	/* An entry for "cn:<name>" is for the holder of that certificate, from any address. */
	if (rc == NX_E_DENIED && peer->certificate &&
		(size_t)snprintf(cn, sizeof(cn), "cn:%s", peer->certificate) < sizeof(cn))
		rc = nx_access_ae(cat, peer->calling, peer->called, cn, ret, err);
	return rc;
}

/*
 * Where a user identity has the token of this site (PS3.7 D.3.3.7).  A name alone proves nothing,
 * and tickets and assertions of others cannot be checked here: they change nothing, and are not
 * answered.
 */
static const struct nx_slice *token_of(const struct nx_dimse_peer *peer)
{
	switch (peer->identity) {
	case NX_IDENTITY_PASSCODE:
		return &peer->secret;
	case NX_IDENTITY_JWT:
		return &peer->user;
	default:
		return NULL;
	}
}

/* *who is the peer, and becomes the user at it. */
static nx_rc user_identify(struct nx_auth *auth, const struct nx_dimse_peer *peer,
	struct nx_principal *who, bool *ret_known, struct nx_err *err)
{
	const struct nx_slice *token = token_of(peer);
	struct nx_principal user;
	nx_rc rc;

	*ret_known = token != NULL;
	if (!token)
		return auth->need_user ? nx_err_set(err, NX_E_UNAUTHENTICATED,
						 "no user identity that can be checked")
				       : NX_OK;
	rc = nx_access_token(nx_archive_cat(auth->archive), *token, peer->address, &user, err);
	if (!rc && peer->identity == NX_IDENTITY_PASSCODE &&
		!nx_slice_eq(peer->user, nx_slice_str(user.name)))
		rc = nx_err_set(err, NX_E_UNAUTHENTICATED, "the passcode is another user's");
	if (rc)
		return rc;
	nx_access_at(&user, who);
	*who = user;
	return NX_OK;
}

nx_rc nx_auth_dimse(void *context, const struct nx_dimse_peer *peer, struct nx_dimse_guest *ret,
	struct nx_err *err)
{
	struct nx_auth *auth = context;
	struct nx_principal *who = malloc(sizeof(*who));
	bool known = false;
	nx_rc rc;

	if (!who)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a principal");
	rc = ae_identify(auth, peer, who, err);
	if (!rc)
		rc = user_identify(auth, peer, who, &known, err);
	if (rc) {
		free(who);
		return rc;
	}
	(void)snprintf(ret->collection, sizeof(ret->collection), "%s", who->collection);
	ret->who = who;
	ret->user_known = known;
	return NX_OK;
}

void nx_auth_dimse_free(void *context, struct nx_principal *who)
{
	(void)context;
	free(who);
}

nx_rc nx_auth_dimse_still(void *context, const struct nx_principal *who, struct nx_err *err)
{
	struct nx_auth *auth = context;
	const struct failure failure = {.action = NX_ACTION_ACCESS_DENY,
		.principal = who->name,
		.peer = who->peer,
		.what = "dimse"};
	nx_rc rc = nx_access_still(nx_archive_cat(auth->archive), who, err);

	if (rc == NX_E_UNAUTHENTICATED)
		failure_record(auth, &failure, err);
	return rc;
}

/* Words of the table of DIMSE services. */
static enum nx_perm perm_of(const char *word)
{
	static const struct {
		const char *word;
		enum nx_perm perm;
	} perms[] = {
		{"verify", NX_PERM_VERIFY},
		{"store", NX_PERM_STORE},
	};

	for (size_t i = 0; i < NX_ARRAY_LEN(perms); i++)
		if (strcmp(perms[i].word, word) == 0)
			return perms[i].perm;
	return NX_PERM_NONE_; /* which nobody has */
}

nx_rc nx_auth_dimse_check(void *context, const struct nx_principal *who, const char *permission,
	const char *action, const char *collection, struct nx_err *err)
{
	struct nx_auth *auth = context;
	const struct failure failure = {.action = NX_ACTION_ACCESS_DENY,
		.principal = who->name,
		.peer = who->peer,
		.what = action};
	nx_rc rc = nx_access_check(who, perm_of(permission), collection, err);

	if (rc)
		failure_record(auth, &failure, err);
	return rc;
}

void nx_auth_dimse_refused(void *context, const char *calling, const char *called, const char *peer,
	const struct nx_err *why)
{
	const struct failure failure = {.action = NX_ACTION_ASSOCIATION_REFUSE,
		.principal = "",
		.peer = peer,
		.calling = calling,
		.called = called};

	failure_record(context, &failure, why);
}
