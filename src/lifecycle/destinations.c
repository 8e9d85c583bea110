/* DICOM peers that instances are sent to: C-MOVE and forwarding. */
#include <string.h>

#include "lifecycle/admin_priv.h"

enum {
	HOST_MAX = 253 /* RFC 1035 2.3.4, as text */
};

static nx_rc host_check(const char *host, struct nx_err *err)
{
	size_t n = strlen(host);

	if (n == 0 || n > HOST_MAX)
		return nx_err_set(err, NX_E_INVAL, "host is not 1 to %d characters", HOST_MAX);
	for (size_t i = 0; i < n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:",
			    host[i]))
			return nx_err_set(err, NX_E_INVAL,
				"host: character %zu is of no name or address", i + 1);
	return NX_OK;
}

static nx_rc spec_check(const struct nx_destination_spec *spec, struct nx_err *err)
{
	nx_rc rc = admin_ae_check("AE title", spec->ae, err);

	if (!rc && spec->calling && spec->calling[0])
		rc = admin_ae_check("calling AE title", spec->calling, err);
	if (!rc)
		rc = host_check(spec->host, err);
	if (!rc && (spec->port < 1 || spec->port > 65535))
		rc = nx_err_set(err, NX_E_INVAL, "port is not 1 to 65535");
	return rc;
}

nx_rc nx_admin_destination_set(struct nx_admin *admin, const struct nx_principal *who,
	const struct nx_destination_spec *spec, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	const struct nx_destination_row row = {.ae = spec->ae,
		.host = spec->host,
		.port = spec->port,
		.tls = spec->tls,
		.calling = spec->calling && spec->calling[0] ? spec->calling : "NARTHEX",
		.created_us = nx_now_us()};
	struct nx_op op;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = admin_guard(admin, who, NX_PERM_ADMIN, "destination.set", err);
	if (!rc)
		rc = spec_check(spec, err);
	if (!rc)
		rc = nx_op_put_destination(&row, arena, &op);
	if (rc)
		return rc;
	return admin_change(admin, who, &op,
		&(struct note){.action = NX_ACTION_CONFIG_CHANGE,
			.what = "destination.set",
			.keys = {"ae", "host", "calling", "tls"},
			.values = {row.ae, row.host, row.calling, row.tls ? "yes" : "no"}},
		err);
}

nx_rc nx_admin_destination_remove(
	struct nx_admin *admin, const struct nx_principal *who, const char *ae, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct nx_val vals[] = {nx_val_text(ae)};
	struct nx_op op = {.verb = NX_OP_DEL, .table = NX_T_DESTINATION, .n = 1, .vals = vals};
	struct nx_destination_row row;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = admin_guard(admin, who, NX_PERM_ADMIN, "destination.remove", err);
	if (!rc)
		rc = nx_cat_destination(nx_archive_cat(admin->archive), ae, arena, &row, err);
	if (rc)
		return rc;
	return admin_change(admin, who, &op,
		&(struct note){.action = NX_ACTION_CONFIG_CHANGE,
			.what = "destination.remove",
			.keys = {"ae"},
			.values = {ae}},
		err);
}

nx_rc nx_admin_destination_check(
	struct nx_admin *admin, const struct nx_principal *who, const char *ae, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct nx_destination_row row;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = admin_guard(admin, who, NX_PERM_ADMIN, "destination.echo", err);
	if (!rc)
		rc = nx_cat_destination(nx_archive_cat(admin->archive), ae, arena, &row, err);
	if (rc)
		return rc;
	return admin_record(admin, who,
		&(struct note){.action = NX_ACTION_VERIFY,
			.what = "destination.echo",
			.keys = {"ae"},
			.values = {ae}},
		err);
}

static void destination_json(struct nx_json *json, const struct nx_val *vals)
{
	admin_json_text(json, "ae", &vals[0]);
	admin_json_text(json, "host", &vals[1]);
	nx_json_kv_int(json, "port", vals[2].i);
	nx_json_kv_bool(json, "tls", vals[3].i != 0);
	admin_json_text(json, "calling", &vals[4]);
	admin_json_time(json, "created", vals[5].i);
}

nx_rc nx_admin_destination_list(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err)
{
	static const struct admin_listing listing = {
		"destination.list", "destinations", NX_T_DESTINATION, destination_json};

	return admin_list(admin, who, &listing, out, err);
}
