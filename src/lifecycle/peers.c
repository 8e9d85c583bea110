/* DICOM peers that may call. */
#include <arpa/inet.h>
#include <string.h>

#include "lifecycle/admin_priv.h"

enum {
	AE_MAX = 16, /* PS3.5 6.2, AE */
	ADDRESS_MAX = 63
};

/* PS3.5 6.2: up to 16 characters of the default repertoire without backslash and controls. */
nx_rc admin_ae_check(const char *what, const char *ae, struct nx_err *err)
{
	size_t n = strlen(ae);

	if (n == 0 || n > AE_MAX || ae[0] == ' ' || ae[n - 1] == ' ')
		return nx_err_set(err, NX_E_INVAL, "%s is not 1 to 16 characters", what);
	for (size_t i = 0; i < n; i++)
		if (ae[i] < 0x20 || ae[i] > 0x7e || ae[i] == '\\')
			return nx_err_set(
				err, NX_E_INVAL, "%s: character %zu is not allowed", what, i + 1);
	return NX_OK;
}

static const char *called_or_default(const char *called)
{
	return called && called[0] ? called : "NARTHEX";
}

static const char *role_or_default(const char *role)
{
	return role && role[0] ? role : "modality";
}

/* A rule that can never match is a mistake. */
static nx_rc address_check(const char *address, struct nx_err *err)
{
	unsigned char ip[sizeof(struct in6_addr)];

	if (strlen(address) > ADDRESS_MAX)
		return nx_err_set(err, NX_E_INVAL, "address is too long");
	if (!address[0] || (strncmp(address, "cn:", 3) == 0 && address[3]) ||
		inet_pton(AF_INET, address, ip) == 1 || inet_pton(AF_INET6, address, ip) == 1)
		return NX_OK;
	return nx_err_set(
		err, NX_E_INVAL, "address is neither an IP address nor cn:NAME of a certificate");
}

nx_rc nx_admin_ae_check(const struct nx_ae_spec *spec, struct nx_err *err)
{
	nx_rc rc = admin_ae_check("calling AE title", spec->calling, err);

	if (!rc)
		rc = admin_ae_check("called AE title", called_or_default(spec->called), err);
	if (!rc)
		rc = address_check(spec->address ? spec->address : "", err);
	if (!rc && !nx_access_role_bound(role_or_default(spec->role)))
		rc = nx_err_set(
			err, NX_E_INVAL, "role is none of modality, workstation and quality");
	return rc;
}

nx_rc nx_admin_ae_allow(struct nx_admin *admin, const struct nx_principal *who,
	const struct nx_ae_spec *spec, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct nx_ae_row row = {.ae = spec->calling,
		.called = called_or_default(spec->called),
		.address = spec->address ? spec->address : "",
		.collection = spec->collection,
		.created_us = nx_now_us(),
		.role = role_or_default(spec->role)};
	struct nx_collection c;
	struct nx_op op;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = admin_guard(admin, who, NX_PERM_ADMIN, "ae.allow", err);
	if (!rc)
		rc = nx_admin_ae_check(spec, err);
	if (!rc)
		rc = nx_cat_collection(
			nx_archive_cat(admin->archive), row.collection, arena, &c, err);
	if (!rc)
		rc = nx_op_put_ae(&row, arena, &op);
	if (rc)
		return rc;
	return admin_change(admin, who, &op,
		&(struct note){.action = NX_ACTION_CONFIG_CHANGE,
			.what = "ae.allow",
			.keys = {"calling", "called", "collection", "role"},
			.values = {row.ae, row.called, row.collection, row.role}},
		err);
}

nx_rc nx_admin_ae_remove(struct nx_admin *admin, const struct nx_principal *who,
	const char *calling, const char *called, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct nx_val vals[] = {nx_val_text(calling), nx_val_text(called_or_default(called))};
	struct nx_op op = {.verb = NX_OP_DEL, .table = NX_T_AE, .n = 2, .vals = vals};
	struct nx_ae_row row;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = admin_guard(admin, who, NX_PERM_ADMIN, "ae.remove", err);
	if (!rc)
		rc = nx_cat_ae(nx_archive_cat(admin->archive), calling, called_or_default(called),
			arena, &row, err);
	if (rc)
		return rc;
	return admin_change(admin, who, &op,
		&(struct note){.action = NX_ACTION_CONFIG_CHANGE,
			.what = "ae.remove",
			.keys = {"calling", "called"},
			.values = {calling, called_or_default(called)}},
		err);
}

static void ae_json(struct nx_json *json, const struct nx_val *vals)
{
	admin_json_text(json, "calling", &vals[0]);
	admin_json_text(json, "called", &vals[1]);
	admin_json_text(json, "address", &vals[2]);
	admin_json_text(json, "collection", &vals[3]);
	admin_json_time(json, "created", vals[4].i);
	if (vals[5].s.n)
		admin_json_text(json, "role", &vals[5]);
	else
		nx_json_kv_str(json, "role", "modality");
}

nx_rc nx_admin_ae_list(struct nx_admin *admin, const struct nx_principal *who, struct nx_buf *out,
	struct nx_err *err)
{
	static const struct admin_listing listing = {"ae.list", "ae", NX_T_AE, ae_json};

	return admin_list(admin, who, &listing, out, err);
}
