/* Commands that work on a site itself: init, serve, config, fsck, version. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "cli/cli_priv.h"
#include "cli/progress.h"
#include "crypto/crypto.h"
#include "server/config.h"
#include "server/passphrase.h"
#include "server/serve.h"
#include "server/site.h"

static nx_rc passphrase_read(
	const struct cli_args *args, bool fresh, struct nx_secret **ret, struct nx_err *err)
{
	const struct nx_passphrase_source source = {.file = cli_get(args, "passphrase-file"),
		.fd = cli_get(args, "passphrase-fd"),
		.fresh = fresh};

	return nx_passphrase_read(&source, ret, err);
}

void cli_serve_hint(const struct cli_args *args, const char *site)
{
	const char *file = cli_get(args, "passphrase-file");

	(void)printf("\nServe it:  narthex serve --site %s%s%s\n", site,
		file ? " --passphrase-file " : "", file ? file : "");
}

static nx_rc init_print(
	const struct cli_args *args, const char *site, const char *token, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct nx_json json;
	nx_rc rc;

	nx_buf_init(&buf, 64 * NX_KIB, NX_BUF_WIPE);
	if (cli_has(args, "json")) {
		nx_json_init(&json, &buf);
		nx_json_object_begin(&json);
		nx_json_kv_str(&json, "site", site);
		nx_json_kv_str(&json, "admin", "admin");
		nx_json_kv_str(&json, "admin_token", token);
		nx_json_object_end(&json);
		nx_buf_put_str(&buf, "\n");
	} else {
		nx_buf_printf(&buf,
			"The site is in %s.\n\nToken of the administrator (\"admin\"); it is not "
			"shown again:\n\n  %s\n",
			site, token);
	}
	rc = cli_print(&buf, err);
	if (!rc && !cli_has(args, "json"))
		cli_serve_hint(args, site);
	return rc;
}

nx_rc cmd_init(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO(nx_secret) *passphrase = NULL;
	const char *ae[CLI_VALUES_MAX], *names[CLI_VALUES_MAX];
	struct nx_site_spec spec = {.name = cli_get(args, "name"),
		.environment = cli_get(args, "environment"),
		.pool = cli_get(args, "pool"),
		.allow_ae = ae,
		.n_allow_ae = cli_all(args, "allow-ae", ae, CLI_VALUES_MAX),
		.tls_names = names,
		.n_tls_names = cli_all(args, "domain", names, CLI_VALUES_MAX)};
	char token[48];
	nx_rc rc = cli_site(args, &spec.dir, err);

	if (!rc)
		rc = passphrase_read(args, true, &passphrase, err);
	if (rc)
		return rc;
	spec.passphrase = passphrase;
	rc = nx_site_create(&spec, token, err);
	if (!rc)
		rc = init_print(args, spec.dir, token, err);
	explicit_bzero(token, sizeof(token));
	return rc;
}

static nx_rc config_check(const char *site, struct nx_err *err)
{
	NX_AUTO_DONE(nx_config) config = {0};
	nx_rc rc = nx_config_init(&config, err);

	if (!rc)
		rc = nx_config_load(site, &config, err);
	return rc ? rc : nx_site_check(site, &config, err);
}

nx_rc cmd_serve(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO(nx_secret) *passphrase = NULL;
	const char *site;
	nx_rc rc = cli_site(args, &site, err);

	if (!rc)
		rc = nx_site_finished(site, err);
	if (!rc)
		rc = config_check(site, err);
	if (rc || cli_has(args, "check-config"))
		return rc;
	rc = passphrase_read(args, false, &passphrase, err);
	if (!rc)
		rc = cli_interrupt_check(err);
	return rc ? rc : nx_serve(site, passphrase, cli_get(args, "ready-file"), err);
}

nx_rc cmd_config(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO_DONE(nx_config) config = {0};
	NX_AUTO_DONE(nx_buf) buf;
	struct nx_json json;
	const char *site;
	nx_rc rc;

	nx_buf_init(&buf, NX_MIB, 0);
	if (cli_has(args, "reference")) {
		nx_config_reference(&buf);
		return cli_print(&buf, err);
	}
	rc = cli_site(args, &site, err);
	if (!rc)
		rc = nx_config_init(&config, err);
	if (!rc)
		rc = nx_config_load(site, &config, err);
	if (rc)
		return rc;
	if (cli_has(args, "json")) {
		nx_json_init(&json, &buf);
		nx_config_json(&config, &json);
		nx_buf_put_str(&buf, "\n");
	} else {
		nx_config_write(&config, &buf);
	}
	return cli_print(&buf, err);
}

nx_rc cmd_version(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;

	nx_buf_init(&buf, 4096, 0);
	if (cli_has(args, "json"))
		nx_buf_printf(&buf, "{\"version\":\"%s\",\"crypto\":\"%s\"}\n", NX_VERSION,
			nx_crypto_describe());
	else
		nx_buf_printf(&buf, "narthex %s (%s)\n", NX_VERSION, nx_crypto_describe());
	return cli_print(&buf, err);
}
