#include <string.h>

#include "lifecycle/admin_priv.h"

enum {
	LIST_MAX = 10000,
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

static nx_rc rows_read(struct nx_admin *admin, const char *name, struct nx_arena *arena,
	struct nx_op **ret, size_t *ret_n, struct nx_err *err)
{
	struct nx_val where = nx_val_text(name);

	nx_archive_barrier(admin->archive);
	return nx_cat_rows(nx_archive_cat(admin->archive), NX_T_PRINCIPAL, 0, &where, name ? 1 : 0,
		false, LIST_MAX, arena, ret, ret_n, err);
}

/* Caller holds admin->lock. */
static nx_rc token_put(struct nx_admin *admin, const struct nx_principal *who,
	const struct nx_principal_row *row, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct nx_op *rows = NULL, op;
	size_t n = 0;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = rows_read(admin, row->name, arena, &rows, &n, err);
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
	struct nx_op *rows = NULL;
	size_t n = 0;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = admin_guard(admin, who, NX_PERM_ADMIN, "token.revoke", err);
	if (!rc)
		rc = rows_read(admin, name, arena, &rows, &n, err);
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

nx_rc nx_admin_token_list(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct nx_op *rows = NULL;
	struct nx_json json;
	size_t n = 0;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = admin_guard(admin, who, NX_PERM_ADMIN, "token.list", err);
	if (!rc)
		rc = rows_read(admin, NULL, arena, &rows, &n, err);
	if (rc)
		return rc;
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_key(&json, "tokens");
	nx_json_array_begin(&json);
	for (size_t i = 0; i < n; i++) {
		const struct nx_val *v = rows[i].vals;

		nx_json_object_begin(&json);
		nx_json_key(&json, "name");
		nx_json_str_n(&json, (const char *)v[P_NAME].s.p, v[P_NAME].s.n);
		nx_json_key(&json, "role");
		nx_json_str_n(&json, (const char *)v[P_ROLE].s.p, v[P_ROLE].s.n);
		admin_json_time(&json, "expires", v[P_EXPIRES].i);
		admin_json_time(&json, "created", v[P_CREATED].i);
		admin_json_time(&json, "revoked", v[P_REVOKED].i);
		nx_json_object_end(&json);
	}
	nx_json_array_end(&json);
	nx_json_object_end(&json);
	return nx_buf_check(out, err);
}
