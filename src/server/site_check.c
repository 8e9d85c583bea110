#include <errno.h>
#include <fcntl.h>

#include "server/serve_priv.h"

nx_rc nx_tls_files(const char *dir, const struct nx_config *config, struct nx_tls_files *ret,
	struct nx_err *err)
{
	const char *ca = nx_config_text(config, NX_CFG_TLS_CLIENT_CA);
	nx_rc rc =
		nx_site_path(dir, nx_config_text(config, NX_CFG_TLS_CERTIFICATE), ret->cert, err);

	if (!rc)
		rc = nx_site_path(dir, nx_config_text(config, NX_CFG_TLS_KEY), ret->key, err);
	if (!rc)
		rc = nx_site_path(dir, ca, ret->ca, err);
	ret->opts = (struct nx_tls_opts){
		.cert_file = ret->cert, .key_file = ret->key, .ca_file = ca[0] ? ret->ca : NULL};
	return rc;
}

static nx_rc places_check(const char *dir, const struct nx_config *config, struct nx_err *err)
{
	char *places[NX_SITE_PLACES];
	size_t n;
	nx_rc rc = nx_site_places(dir, config, places, &n, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++) {
		NX_AUTO_FD fd = open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0 && !rc)
			rc = nx_err_errno(err, "keys.places: %s", places[i]);
		free(places[i]);
	}
	return rc;
}

static nx_rc tls_check(const char *dir, const struct nx_config *config, struct nx_err *err)
{
	NX_AUTO(nx_tls) *tls = NULL;
	struct nx_tls_files files;
	nx_rc rc = nx_tls_files(dir, config, &files, err);

	return rc ? rc : nx_tls_new(&files.opts, &tls, err);
}

nx_rc nx_site_check(const char *dir, const struct nx_config *config, struct nx_err *err)
{
	nx_rc rc = places_check(dir, config, err);

	if (!rc)
		rc = tls_check(dir, config, err);
	return rc ? nx_err_prefix(err, NX_E_CONFIG, "narthex.yaml") : NX_OK;
}
