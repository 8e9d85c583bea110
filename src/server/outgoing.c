/* Where the site calls: destinations, and what it shows and asks for when it does. */
#include <stdio.h>

#include "archive/archive.h"
#include "base/arena.h"
#include "catalog/catalog.h"
#include "dimse/scu.h"
#include "server/serve_priv.h"

enum {
	ROW_MEMORY = 64 * 1024
};

nx_rc nx_outgoing_destination(
	void *archive, const char *ae, struct nx_dimse_destination *ret, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ROW_MEMORY, 0);
	struct nx_destination_row row;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a destination");
	rc = nx_cat_destination(nx_archive_cat(archive), ae, arena, &row, err);
	if (rc)
		return rc;
	*ret = (struct nx_dimse_destination){.port = (uint16_t)row.port, .tls = row.tls != 0};
	(void)snprintf(ret->ae, sizeof(ret->ae), "%s", row.ae);
	(void)snprintf(ret->calling, sizeof(ret->calling), "%s", row.calling);
	(void)snprintf(ret->host, sizeof(ret->host), "%s", row.host);
	return NX_OK;
}

nx_rc nx_outgoing_echo(void *server, const char *ae, uint16_t *ret_status, struct nx_err *err)
{
	static const char *const ts[] = {"1.2.840.10008.1.2"};
	static const struct nx_dimse_scu_context verification = {"1.2.840.10008.1.1", ts, 1};
	const struct nx_server *s = server;
	NX_AUTO(nx_dimse_scu) *scu = NULL;
	struct nx_dimse_destination to;
	struct nx_dimse_scu_opts opts = {
		.host = to.host,
		.calling = to.calling,
		.called = to.ae,
		.implementation_uid = NX_DIMSE_IMPLEMENTATION_UID,
		.contexts = &verification,
		.n_contexts = 1,
		.timeout_us = nx_config_us(&s->site->config, NX_CFG_DIMSE_DESTINATION),
	};
	nx_rc rc = nx_outgoing_destination(s->site->archive, ae, &to, err);

	if (rc)
		return rc;
	opts.port = to.port;
	opts.tls = to.tls ? &s->outgoing.opts : NULL;
	rc = nx_dimse_scu_open(&opts, &scu, err);
	if (!rc)
		rc = nx_dimse_scu_echo(scu, ret_status, err);
	if (!rc)
		rc = nx_dimse_scu_release(scu, err);
	return rc;
}

/* The site's own certificate is shown where one is asked for. */
nx_rc nx_outgoing_tls(const char *dir, const struct nx_config *config, struct nx_tls_files *ret,
	struct nx_err *err)
{
	nx_rc rc = nx_tls_files(dir, config, ret, err);

	if (!rc)
		rc = nx_site_path(
			dir, nx_config_text(config, NX_CFG_TLS_DESTINATION_CA), ret->ca, err);
	ret->opts.ca_file = ret->ca;
	return rc;
}
