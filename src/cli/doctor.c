/* narthex doctor: what goes wrong with a set-up, looked at before it does. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "cli/cli_priv.h"
#include "cli/doctor_priv.h"

/* To add a check, add a function and a row. */
static const struct check {
	const char *name;
	check_fn run;
	const char *advice; /* when it is not good */
} checks[] = {
	{"permissions", doctor_permissions,
		"chmod -R go= on the site and its key places, as their owner"},
	{"owner", doctor_owner,
		"chown -R to the service's user; run commands on the site as that user"},
	{"key places", doctor_places,
		"move one place to another device and name it in keys.places: with the last "
		"place all data is lost"},
	{"catalog", doctor_catalog,
		"mount what is missing; when the catalog is lost: narthex fsck --rebuild"},
	{"certificate", doctor_certificate,
		"put a new one where tls.certificate and tls.key say, then SIGHUP"},
	{"host name", doctor_host,
		"use a certificate for the name that clients call: narthex init --domain, or your "
		"own in tls.certificate"},
	{"plain DICOM", doctor_plain,
		"let the peers use TLS on listen.dimse_tls, and set listen.dimse to off"},
	{"pool", doctor_pool_fs,
		"put the pool on a local ext4 or XFS, or mount with locks: pool.uri"},
	{"site folder", doctor_site_fs,
		"keep catalog and lock on a local ext4 or XFS; only the pool may be elsewhere"},
	{"direct I/O", doctor_direct,
		"use a file system with O_DIRECT for the pool: everything goes through the page "
		"cache now"},
	{"space", doctor_space, "make room: a full disk refuses what comes, and loses nothing"},
	{"clock", doctor_synchronised,
		"run chrony or systemd-timesyncd: the ledger's times rest on the clock"},
	{"time", doctor_time, "set the clock right before the site is served"},
	{"locked memory", doctor_memlock, "LimitMEMLOCK=64M in the unit, or ulimit -l"},
	{"open files", doctor_files,
		"LimitNOFILE=65536 in the unit, or fewer connections in dimse and http"},
	{"destinations", doctor_destinations,
		"narthex echo AE says why; narthex destination set corrects, or removes it"},
	{"service", doctor_unit,
		"make install and systemctl enable narthex: docs/howto/run-as-a-service.md"},
};

static const char *const words[] = {
	[VERDICT_GOOD] = "good", [VERDICT_WARN] = "warn", [VERDICT_BAD] = "BAD"};
static const char *const wire[] = {
	[VERDICT_GOOD] = "good", [VERDICT_WARN] = "warn", [VERDICT_BAD] = "bad"};

static void finding_print(const struct check *check, enum verdict v, const char *say)
{
	(void)printf("%-4s  %-14s %s\n", words[v], check->name, say);
	if (v != VERDICT_GOOD)
		(void)printf("      %-14s %s\n", "", check->advice);
}

static void finding_json(
	struct nx_json *json, const struct check *check, enum verdict v, const char *say)
{
	nx_json_object_begin(json);
	nx_json_kv_str(json, "check", check->name);
	nx_json_kv_str(json, "verdict", wire[v]);
	nx_json_kv_str(json, "text", say);
	nx_json_kv_str(json, "advice", v == VERDICT_GOOD ? NULL : check->advice);
	nx_json_object_end(json);
}

static nx_rc patient_open(const struct cli_args *args, struct patient *p, struct nx_err *err)
{
	char uri[NX_SITE_PATH + 8];
	nx_rc rc = cli_site(args, &p->dir, err);

	if (!rc)
		rc = nx_config_init(&p->config, err);
	if (!rc)
		rc = nx_config_load(p->dir, &p->config, err);
	if (!rc)
		rc = nx_site_pool_uri(p->dir, &p->config, uri, err);
	if (!rc && strncmp(uri, "dir:", 4) == 0)
		(void)snprintf(p->pool, sizeof(p->pool), "%s", uri + 4);
	return rc;
}

static nx_rc examine(const struct patient *p, bool as_json, struct nx_err *err)
{
	enum verdict worst = VERDICT_GOOD;
	NX_AUTO_DONE(nx_buf) buf;
	char say[DOCTOR_SAY];
	struct nx_json json;
	nx_rc rc = NX_OK;

	nx_buf_init(&buf, NX_MIB, 0);
	nx_json_init(&json, &buf);
	nx_json_array_begin(&json);
	for (size_t i = 0; i < NX_ARRAY_LEN(checks); i++) {
		enum verdict v = checks[i].run(p, say);

		worst = v > worst ? v : worst;
		if (as_json)
			finding_json(&json, &checks[i], v, say);
		else
			finding_print(&checks[i], v, say);
	}
	nx_json_array_end(&json);
	nx_buf_put_str(&buf, "\n");
	if (as_json)
		rc = cli_print(&buf, err);
	return !rc && worst == VERDICT_BAD ? nx_err_set(err, NX_E_CONFIG, "the site is not well")
					   : rc;
}

nx_rc cmd_doctor(const struct cli_args *args, struct nx_err *err)
{
	struct patient p = {.args = args};
	nx_rc rc = patient_open(args, &p, err);

	if (!rc)
		rc = examine(&p, cli_has(args, "json"), err);
	nx_config_done(&p.config);
	return rc;
}
