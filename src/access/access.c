#include <assert.h>
#include <string.h>

#include "access/access.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/limits.h"
#include "base/secret.h"
#include "catalog/catalog.h"
#include "crypto/crypto.h"

enum {
	TOKEN_BYTES = 32,
	TOKEN_CHARS = 43, /* base64url without padding (RFC 4648 section 5) */
	ROW_MEMORY = 64 * 1024,
};

_Static_assert(NX_PERM_COUNT_ <= 32, "permissions fit a bit set");

#define MAY(perm) (1u << NX_PERM_##perm)

struct role {
	const char *name;
	uint32_t perms;
	bool bound; /* only in the collection of the principal */
};

/* Who may what.  Everything else is denied. */
static const struct role roles[] = {
	{"admin",
		MAY(VERIFY) | MAY(STORE) | MAY(QUERY) | MAY(READ) | MAY(DELETE) | MAY(DEIDENTIFY) |
			MAY(RELEASE) | MAY(LEASE) | MAY(ERASE) | MAY(AUDIT) | MAY(ADMIN) |
			MAY(MONITOR) | MAY(QUARANTINE) | MAY(WORKLIST) | MAY(EDIT) | MAY(REJECT),
		false},
	{"modality", MAY(VERIFY) | MAY(STORE) | MAY(WORKLIST), true},
	{"workstation", MAY(VERIFY) | MAY(STORE) | MAY(QUERY) | MAY(READ) | MAY(WORKLIST), true},
	{"quality", MAY(VERIFY) | MAY(STORE) | MAY(QUERY) | MAY(READ) | MAY(WORKLIST) | MAY(REJECT),
		true},
	{"reader", MAY(VERIFY) | MAY(QUERY) | MAY(READ), false},
	{"technologist", MAY(VERIFY) | MAY(STORE) | MAY(QUERY) | MAY(READ) | MAY(WORKLIST), false},
	{"steward",
		MAY(VERIFY) | MAY(QUERY) | MAY(READ) | MAY(DEIDENTIFY) | MAY(RELEASE) | MAY(LEASE) |
			MAY(DELETE) | MAY(QUARANTINE) | MAY(EDIT) | MAY(REJECT),
		false},
	{"auditor", MAY(AUDIT) | MAY(MONITOR), false},
	{"monitor", MAY(MONITOR), false},
	{"trainer", MAY(LEASE), false},
};

static const struct role *role_find(const char *name)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(roles); i++)
		if (strcmp(roles[i].name, name) == 0)
			return &roles[i];
	return NULL;
}

bool nx_access_role_known(const char *role)
{
	return role_find(role) != NULL;
}

bool nx_access_role_bound(const char *role)
{
	const struct role *r = role_find(role);

	return r && r->bound;
}

/* ---- decisions ---- */

static struct nx_decision deny(const char *rule)
{
	return (struct nx_decision){.permit = false, .rule = rule};
}

static struct nx_decision permit(const char *rule)
{
	return (struct nx_decision){.permit = true, .rule = rule};
}

static struct nx_decision decide_role(
	const struct nx_principal *who, const char *name, enum nx_perm perm)
{
	const struct role *role = role_find(name);

	if (!role)
		return deny("no such role");
	if (!(role->perms & 1u << perm))
		return deny("not in the role");
	if (role->bound && !who->collection[0])
		return deny("role needs a collection");
	return permit("role");
}

static struct nx_decision decide(
	const struct nx_principal *who, enum nx_perm perm, const char *collection)
{
	struct nx_decision decision;

	if (perm <= NX_PERM_NONE_ || perm >= NX_PERM_COUNT_)
		return deny("no such permission");
	if (perm == NX_PERM_PUBLIC)
		return permit("public");
	if (who->kind == NX_PRINCIPAL_SYSTEM)
		return permit("system");
	decision = decide_role(who, who->role, perm);
	if (decision.permit && who->via[0])
		decision = decide_role(who, who->via, perm);
	if (!decision.permit)
		return decision;
	/* C-ECHO is about no collection; everything else of a bound principal is about its own. */
	if (who->collection[0] && perm != NX_PERM_VERIFY &&
		(!collection || strcmp(collection, who->collection) != 0))
		return deny("another collection");
	return decision;
}

void nx_access_decide(const struct nx_principal *who, enum nx_perm perm, const char *collection,
	struct nx_decision *ret)
{
	*ret = decide(who, perm, collection);
}

nx_rc nx_access_check(const struct nx_principal *who, enum nx_perm perm, const char *collection,
	struct nx_err *err)
{
	struct nx_decision decision = decide(who, perm, collection);

	if (decision.permit)
		return NX_OK;
	return nx_err_set(err, NX_E_DENIED, "denied: %s", decision.rule);
}

/* ---- principals ---- */

static void principal_init(struct nx_principal *p, enum nx_principal_kind kind, const char *peer)
{
	uint8_t session[16];

	*p = (struct nx_principal){.kind = kind};
	(void)snprintf(p->peer, sizeof(p->peer), "%s", peer ? peer : "");
	nx_random(session, sizeof(session));
	nx_hex_format(session, sizeof(session), p->session);
}

/* False when `from` does not fit: a shortened name could be another's. */
static bool name_copy(char to[NX_LIMIT_NAME + 1], const char *prefix, const char *from)
{
	int n = snprintf(to, NX_LIMIT_NAME + 1, "%s%s", prefix, from);

	return n >= 0 && (unsigned)n <= NX_LIMIT_NAME;
}

void nx_access_token_new(char ret_token[48], uint8_t ret_hash[32])
{
	uint8_t raw[TOKEN_BYTES];
	char text[NX_BASE64_LEN(TOKEN_BYTES) + 1];

	nx_random(raw, sizeof(raw));
	nx_base64_format(raw, sizeof(raw), text);
	text[TOKEN_CHARS] = 0;                                       /* the padding */
	for (char *c = strpbrk(text, "+/"); c; c = strpbrk(c, "+/")) /* RFC 4648 5 */
		*c = (char)(*c == '+' ? '-' : '_');
	memset(ret_token, 0, 48);
	memcpy(ret_token, text, TOKEN_CHARS);
	nx_sha256(text, TOKEN_CHARS, ret_hash);
	explicit_bzero(raw, sizeof(raw));
	explicit_bzero(text, sizeof(text));
}

/* The token of "Bearer <token>"; the scheme without regard to case (RFC 9110 11.1). */
static struct nx_slice token_of(const char *authorization)
{
	if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
		return (struct nx_slice){0};
	authorization += 7;
	return nx_slice_str(authorization + strspn(authorization, " "));
}

static bool token_valid(struct nx_slice token)
{
	for (size_t i = 0; i < token.n; i++) {
		uint8_t c = token.p[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			    c == '-' || c == '_'))
			return false;
	}
	return token.n == TOKEN_CHARS;
}

/* Why it is refused goes to the log, not to the peer: one text for all. */
static nx_rc unauthenticated(struct nx_err *err)
{
	return nx_err_set(err, NX_E_UNAUTHENTICATED, "no valid token");
}

static bool row_valid(const struct nx_principal_row *row, int64_t now)
{
	return !row->revoked_us && (!row->expires_us || now < row->expires_us) &&
		nx_access_role_known(row->role);
}

/* Found by the hash of 256 random bits: the time of the search tells nothing of use. */
static nx_rc token_row(struct nx_cat *cat, const uint8_t hash[NX_SHA256_LEN],
	struct nx_arena *arena, struct nx_principal_row *ret, struct nx_err *err)
{
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a principal");
	rc = nx_cat_principal(cat, hash, arena, ret, err);
	if (rc == NX_E_NOENT || (!rc && !row_valid(ret, nx_now_us())))
		return unauthenticated(err);
	return rc;
}

nx_rc nx_access_token(struct nx_cat *cat, struct nx_slice token, const char *peer,
	struct nx_principal *ret, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ROW_MEMORY, 0);
	struct nx_principal_row row;
	struct nx_principal who;
	nx_rc rc;

	if (!token_valid(token))
		return unauthenticated(err);
	principal_init(&who, NX_PRINCIPAL_TOKEN, peer);
	nx_sha256(token.p, token.n, who.token);
	rc = token_row(cat, who.token, arena, &row, err);
	if (rc)
		return rc;
	if (!name_copy(who.name, "", row.name) || !name_copy(who.role, "", row.role))
		return unauthenticated(err);
	*ret = who;
	return NX_OK;
}

nx_rc nx_access_still(struct nx_cat *cat, const struct nx_principal *who, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = NULL;
	struct nx_principal_row row;

	if (who->kind != NX_PRINCIPAL_TOKEN)
		return NX_OK;
	arena = nx_arena_new(ROW_MEMORY, 0);
	return token_row(cat, who->token, arena, &row, err);
}

nx_rc nx_access_bearer(struct nx_cat *cat, const char *authorization, const char *peer,
	struct nx_principal *ret, struct nx_err *err)
{
	return nx_access_token(cat, token_of(authorization), peer, ret, err);
}

void nx_access_at(struct nx_principal *user, const struct nx_principal *ae)
{
	memcpy(user->via, ae->role, sizeof(user->via));
	memcpy(user->collection, ae->collection, sizeof(user->collection));
}

nx_rc nx_access_ae(struct nx_cat *cat, const char *calling, const char *called, const char *peer,
	struct nx_principal *ret, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ROW_MEMORY, 0);
	struct nx_principal who;
	struct nx_ae_row row;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a principal");
	rc = nx_cat_ae(cat, calling, called, arena, &row, err);
	if (rc == NX_E_NOENT)
		return nx_err_set(err, NX_E_DENIED, "AE titles are not on the allow-list");
	if (rc)
		return rc;
	if (row.address[0] && (!peer || strcmp(row.address, peer) != 0))
		return nx_err_set(err, NX_E_DENIED, "AE title from another address");
	principal_init(&who, NX_PRINCIPAL_AE, peer);
	if (!name_copy(who.name, "AE:", row.ae) ||
		!name_copy(who.role, "", row.role[0] ? row.role : "modality") ||
		!name_copy(who.collection, "", row.collection))
		return nx_err_set(err, NX_E_DENIED, "AE entry with a name that is too long");
	*ret = who;
	return NX_OK;
}
