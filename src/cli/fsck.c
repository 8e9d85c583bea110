/* narthex fsck: a site that no server has. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "access/access.h"
#include "base/buf.h"
#include "base/limits.h"
#include "cli/cli_priv.h"
#include "cli/client.h"
#include "cli/progress.h"
#include "lifecycle/admin.h"
#include "lifecycle/fsck.h"
#include "report/report.h"
#include "server/passphrase.h"
#include "server/site.h"

static const struct nx_principal local = {
	.kind = NX_PRINCIPAL_SYSTEM, .name = "fsck", .role = "admin"};

struct checking {
	const struct cli_args *args;
	struct nx_site *site;
	struct nx_fsck_report report;
	uint64_t bad;
};

/* One of the three parts, with a bar of its own. */
typedef nx_rc (*part_fn)(
	struct checking *c, struct nx_progress *work, struct nx_buf *out, struct nx_err *err);

static nx_rc catalog_part(
	struct checking *c, struct nx_progress *work, struct nx_buf *out, struct nx_err *err)
{
	return nx_fsck(
		c->site->archive, &local, cli_has(c->args, "repair"), work, &c->report, out, err);
}

static nx_rc bytes_part(
	struct checking *c, struct nx_progress *work, struct nx_buf *out, struct nx_err *err)
{
	return nx_admin_scrub(c->site->admin, &local, work, out, &c->bad, err);
}

static nx_rc ledger_part(
	struct checking *c, struct nx_progress *work, struct nx_buf *out, struct nx_err *err)
{
	(void)work;
	return nx_report_verify(c->site->report, &local, out, err);
}

static const struct {
	const char *name; /* in the answer */
	const char *shown;
	part_fn run;
} parts[] = {
	{"fsck", "catalog", catalog_part},
	{"scrub", "bytes", bytes_part},
	{"ledger", "ledger", ledger_part},
};

/* ---- for people ---- */

static long long number(const json_t *json, const char *part, const char *key)
{
	return (long long)json_integer_value(json_object_get(json_object_get(json, part), key));
}

/* What is wrong when it is not zero. */
static const struct {
	const char *key;
	const char *text;
} findings[] = {
	{"unreadable", "items whose recipe does not open"},
	{"missing_blobs", "blobs that a recipe names, without a row"},
	{"lost_extents", "extents that are in no pack"},
	{"rows_without_pack", "packs that the pool does not have"},
	{"wrong_refs", "blobs with a wrong count of references"},
	{"wrong_counters", "wrong counters of studies and series"},
	{"orphans", "blobs that nothing names; no harm, --repair removes them"},
	{"repaired", "rows repaired"},
};

static void checked_print(const json_t *json)
{
	const json_t *row;
	size_t i;

	(void)printf("catalog  %lld items, %lld blobs, %lld packs: %s\n",
		number(json, "fsck", "items"), number(json, "fsck", "blobs"),
		number(json, "fsck", "packs"),
		json_is_true(json_object_get(json_object_get(json, "fsck"), "sound"))
			? "sound"
			: "NOT SOUND");
	for (i = 0; i < NX_ARRAY_LEN(findings); i++)
		if (number(json, "fsck", findings[i].key))
			(void)printf("         %lld %s\n", number(json, "fsck", findings[i].key),
				findings[i].text);
	json_array_foreach(json_object_get(json_object_get(json, "fsck"), "findings"), i, row)
	{
		(void)printf("         %s %lld: %s\n",
			json_string_value(json_object_get(row, "kind")),
			(long long)json_integer_value(json_object_get(row, "id")),
			json_string_value(json_object_get(row, "message")));
	}
	(void)printf("bytes    %lld items, %lld extents: %lld bad\n",
		number(json, "scrub", "items"), number(json, "scrub", "extents"),
		number(json, "scrub", "bad"));
	(void)printf("ledger   %lld entries, all in order\n", number(json, "ledger", "entries"));
}

static nx_rc answer_print(const struct cli_args *args, const struct nx_buf *buf, struct nx_err *err)
{
	json_t *json = json_loadb((const char *)buf->data, buf->len, 0, NULL);

	if (!json)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the answer");
	cli_answer(args, json, checked_print);
	return NX_OK;
}

/* ---- the check ---- */

static nx_rc part_run(struct checking *c, size_t i, struct nx_buf *out, struct nx_err *err)
{
	struct nx_progress work = {0};
	struct cli_watch *watch = cli_watch_local(parts[i].shown, "items", &work);
	nx_rc rc;

	nx_buf_printf(out, "%s\"%s\":", i ? "," : "{", parts[i].name);
	rc = parts[i].run(c, &work, out, err);
	cli_watch_end(watch);
	return rc ? rc : cli_interrupt_check(err);
}

/* Opening it has replayed what the catalog and the ledger had not got yet. */
static nx_rc check(const struct cli_args *args, struct nx_site *site, struct nx_err *err)
{
	struct checking c = {.args = args, .site = site};
	NX_AUTO_DONE(nx_buf) buf;
	nx_rc rc = NX_OK;

	nx_buf_init(&buf, NX_MIB, 0);
	for (size_t i = 0; i < NX_ARRAY_LEN(parts) && !rc; i++)
		rc = part_run(&c, i, &buf, err);
	nx_buf_put_str(&buf, "}");
	if (!rc)
		rc = nx_buf_check(&buf, err);
	if (!rc)
		rc = answer_print(args, &buf, err);
	if (!rc && c.bad)
		rc = nx_err_set(err, NX_E_CORRUPT, "stored bytes did not authenticate");
	if (!rc && !nx_fsck_sound(&c.report))
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
		rc = nx_site_finished(dir, err);
	if (!rc)
		rc = nx_passphrase_read(&source, &secret, err);
	if (!rc)
		rc = nx_site_open(dir, secret, cli_has(args, "rebuild"), &site, err);
	return rc ? rc : check(args, site, err);
}
