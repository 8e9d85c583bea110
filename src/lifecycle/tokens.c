/* Tokens: made, revoked, listed. */
#include <string.h>

#include "lifecycle/admin_priv.h"

enum {
	HASH_LEN = 32
};

/* Columns of struct nx_principal_row. */
enum {
	P_NAME,
	P_ROLE,
	P_HASH,
	P_EXPIRES,
	P_CREATED,
	P_REVOKED
};

/* *ret_n 0: there is, and was, none of that name. */
static nx_rc named_read(struct nx_admin *admin, const char *name, struct nx_arena *arena,
	size_t *ret_n, struct nx_err *err)
{
	struct nx_val where = nx_val_text(name);
	struct nx_op *rows = NULL;

	nx_archive_barrier(admin->archive);
	return nx_cat_rows(nx_archive_cat(admin->archive),
		&(struct nx_rows_of){
			.table = NX_T_PRINCIPAL, .where = &where, .n_where = 1, .limit = 1},
		arena, &rows, ret_n, err);
}

/* Caller holds admin->lock. */
static nx_rc token_put(struct nx_admin *admin, const struct nx_principal *who,
	const struct nx_principal_row *row, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct nx_op op;
	size_t n = 0;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = named_read(admin, row->name, arena, &n, err);
	/* A name is never used twice: the ledger knows principals by it. */
	if (!rc && n)
		rc = nx_err_set(err, NX_E_EXISTS, "there is, or was, a token of that name");
	if (!rc)
		rc = nx_op_put_principal(row, arena, &op);
	if (rc)
		return rc;
	return admin_change(admin, who, &op,
		&(struct note){.action = NX_ACTION_CONFIG_CHANGE,
			.what = "token.create",
			.keys = {"name", "role"},
			.values = {row->name, row->role}},
		err);
}

nx_rc nx_admin_token_create(struct nx_admin *admin, const struct nx_principal *who,
	const char *name, const char *role, int64_t expires_us, char ret_token[48],
	struct nx_err *err)
{
	struct nx_principal_row row = {
		.name = name, .role = role, .expires_us = expires_us, .created_us = nx_now_us()};
	uint8_t hash[HASH_LEN];
	char token[48];
	nx_rc rc = admin_guard(admin, who, NX_PERM_ADMIN, "token.create", err);

	if (!rc)
		rc = admin_name_check("name", name, true, err);
	if (!rc && !nx_access_role_known(role))
		rc = nx_err_set(err, NX_E_INVAL, "no such role");
	if (!rc && nx_access_role_bound(role))
		rc = nx_err_set(err, NX_E_INVAL, "role %s is of DICOM peers: allow an AE", role);
	if (!rc && expires_us && expires_us <= row.created_us)
		rc = nx_err_set(err, NX_E_INVAL, "the token would have expired already");
	if (rc)
		return rc;
	nx_access_token_new(token, hash);
	row.token_hash = nx_slice(hash, sizeof(hash));
	(void)pthread_mutex_lock(&admin->lock);
	rc = token_put(admin, who, &row, err);
	(void)pthread_mutex_unlock(&admin->lock);
	if (!rc)
		memcpy(ret_token, token, sizeof(token));
	explicit_bzero(token, sizeof(token));
	return rc;
}

nx_rc nx_admin_token_revoke(struct nx_admin *admin, const struct nx_principal *who,
	const char *name, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct nx_val vals[3];
	struct nx_op op = {.verb = NX_OP_SET, .table = NX_T_PRINCIPAL, .n = 3, .vals = vals};
	size_t n = 0;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = admin_guard(admin, who, NX_PERM_ADMIN, "token.revoke", err);
	if (!rc)
		rc = named_read(admin, name, arena, &n, err);
	if (!rc && n == 0)
		rc = nx_err_set(err, NX_E_NOENT, "no token of that name");
	if (rc)
		return rc;
	vals[0] = nx_val_text(name);
	vals[1] = nx_val_int(NX_C_PRINCIPAL_REVOKED_US);
	vals[2] = nx_val_int(nx_now_us());
	return admin_change(admin, who, &op,
		&(struct note){.action = NX_ACTION_CONFIG_CHANGE,
			.what = "token.revoke",
			.keys = {"name"},
			.values = {name}},
		err);
}

static void token_json(struct nx_json *json, const struct nx_val *vals)
{
	admin_json_text(json, "name", &vals[P_NAME]);
	admin_json_text(json, "role", &vals[P_ROLE]);
	admin_json_time(json, "expires", vals[P_EXPIRES].i);
	admin_json_time(json, "created", vals[P_CREATED].i);
	admin_json_time(json, "revoked", vals[P_REVOKED].i);
}

nx_rc nx_admin_token_list(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err)
{
	static const struct admin_listing listing = {
		"token.list", "tokens", NX_T_PRINCIPAL, token_json};

	return admin_list(admin, who, &listing, out, err);
}
