#include <stdio.h>

#include "base/clock.h"
#include "server/serve_priv.h"

#define IMPLEMENTATION_VERSION "NARTHEX"

static nx_rc acceptor_new(struct nx_server *server, struct nx_err *err)
{
	const struct nx_config *config = &server->site->config;
	const struct nx_dimse_opts opts = {
		.authenticate = nx_auth_dimse,
		.principal_free = nx_auth_dimse_free,
		.authorize = nx_auth_dimse_check,
		.still = nx_auth_dimse_still,
		.refused = nx_auth_dimse_refused,
		.context = server->auth,
		.destination = nx_outgoing_destination,
		.destinations = server->site->archive,
		.destination_tls = &server->outgoing.opts,
		.destination_us = nx_config_us(config, NX_CFG_DIMSE_DESTINATION),
		.ingest = server->site->ingest,
		.retrieve = server->site->retrieve,
		.forward = server->forward,
		.implementation_uid = NX_DIMSE_IMPLEMENTATION_UID,
		.implementation_version = IMPLEMENTATION_VERSION,
		.max_pdu = (uint32_t)nx_config_number(config, NX_CFG_DIMSE_MAX_PDU),
		.artim_us = nx_config_us(config, NX_CFG_DIMSE_ARTIM),
		.idle_us = nx_config_us(config, NX_CFG_DIMSE_IDLE),
		.max_assoc = (unsigned)nx_config_number(config, NX_CFG_DIMSE_MAX_ASSOCIATIONS),
		.max_assoc_per_ae = (unsigned)nx_config_number(config, NX_CFG_DIMSE_MAX_PER_AE),
	};

	nx_rc rc = nx_outgoing_tls(server->site->dir, config, &server->outgoing, err);

	return rc ? rc : nx_dimse_new(&opts, &server->dimse, err);
}

static nx_rc tls_open(struct nx_server *server, struct nx_err *err)
{
	const struct nx_config *config = &server->site->config;
	struct nx_tls_files files;
	nx_rc rc = nx_tls_files(server->site->dir, config, &files, err);

	files.opts.require_client_cert = nx_config_number(config, NX_CFG_DIMSE_CLIENT_CERT) != 0;
	return rc ? rc : nx_tls_new(&files.opts, &server->tls, err);
}

static nx_rc listener_start(
	struct nx_server *server, enum nx_dimse_id which, const char *name, struct nx_err *err)
{
	const struct nx_config *config = &server->site->config;
	char address[64];
	struct nx_listener_opts opts = {.name = name,
		.address = address,
		.max_conns = (unsigned)nx_config_number(config, NX_CFG_DIMSE_MAX_ASSOCIATIONS),
		.max_per_peer = (unsigned)nx_config_number(config, NX_CFG_DIMSE_MAX_PER_PEER),
		.fn = nx_dimse_conn,
		.payload = server->dimse};
	nx_rc rc = NX_OK;

	if (!nx_config_address(config,
		    which == NX_DIMSE_TLS ? NX_CFG_LISTEN_DIMSE_TLS : NX_CFG_LISTEN_DIMSE, address,
		    &opts.port))
		return NX_OK;
	if (which == NX_DIMSE_TLS)
		rc = tls_open(server, err);
	opts.tls = which == NX_DIMSE_TLS ? server->tls : NULL;
	if (!rc)
		rc = nx_listener_start(&opts, &server->listeners[which], err);
	return rc ? nx_err_prefix(err, rc, "listen.%s", name) : NX_OK;
}

nx_rc nx_dimse_listen(struct nx_server *server, struct nx_err *err)
{
	nx_rc rc = acceptor_new(server, err);

	if (!rc)
		rc = listener_start(server, NX_DIMSE_PLAIN, "dimse", err);
	if (!rc)
		rc = listener_start(server, NX_DIMSE_TLS, "dimse_tls", err);
	return rc;
}

void nx_dimse_unlisten(struct nx_server *server)
{
	int64_t end = nx_mono_us() + nx_config_us(&server->site->config, NX_CFG_SERVER_STOP);

	/* One after the other, within the same time. */
	for (unsigned i = 0; i < NX_DIMSES; i++) {
		int64_t left = end - nx_mono_us();

		if (server->listeners[i])
			server->listeners[i] =
				nx_listener_stop(server->listeners[i], left > 0 ? left : 0);
	}
	server->dimse = nx_dimse_free(server->dimse);
	server->tls = nx_tls_free(server->tls);
}
