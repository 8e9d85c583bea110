/* narthex fsck: a site that no server has. */
#include <stdio.h>

#include "access/access.h"
#include "base/buf.h"
#include "base/limits.h"
#include "cli/cli_priv.h"
#include "lifecycle/admin.h"
#include "lifecycle/fsck.h"
#include "report/report.h"
#include "server/passphrase.h"
#include "server/site.h"

static const struct nx_principal local = {
	.kind = NX_PRINCIPAL_SYSTEM, .name = "fsck", .role = "admin"};

/* Opening it has replayed what the catalog and the ledger had not got yet. */
static nx_rc check(const struct cli_args *args, struct nx_site *site, struct nx_err *err)
{
	struct nx_fsck_report report = {0};
	NX_AUTO_DONE(nx_buf) buf;
	uint64_t bad = 0;
	nx_rc rc;

	nx_buf_init(&buf, NX_MIB, 0);
	nx_buf_put_str(&buf, "{\"fsck\":");
	rc = nx_fsck(site->archive, &local, cli_has(args, "repair"), &report, &buf, err);
	nx_buf_put_str(&buf, ",\"scrub\":");
	if (!rc)
		rc = nx_admin_scrub(site->admin, &local, &buf, &bad, err);
	nx_buf_put_str(&buf, ",\"ledger\":");
	if (!rc)
		rc = nx_report_verify(site->report, &local, &buf, err);
	nx_buf_put_str(&buf, "}\n");
	if (!rc)
		rc = cli_print(&buf, err);
	if (!rc && bad)
		rc = nx_err_set(err, NX_E_CORRUPT, "stored bytes did not authenticate");
	if (!rc && !nx_fsck_sound(&report))
		rc = nx_err_set(err, NX_E_CORRUPT, "catalog, packs and keys do not agree");
	return rc;
}

nx_rc cmd_fsck(const struct cli_args *args, struct nx_err *err)
{
	const struct nx_passphrase_source source = {
		.file = cli_get(args, "passphrase-file"), .fd = cli_get(args, "passphrase-fd")};
	NX_AUTO(nx_secret) *secret = NULL;
	NX_AUTO(nx_site) *site = NULL;
	const char *dir;
	nx_rc rc = cli_site(args, &dir, err);

	if (!rc)
		rc = nx_passphrase_read(&source, &secret, err);
	if (!rc)
		rc = nx_site_open(dir, secret, cli_has(args, "rebuild"), &site, err);
	return rc ? rc : check(args, site, err);
}
