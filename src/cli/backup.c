/* narthex backup: of a served site.  narthex restore: a new one, without a server. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_priv.h"
#include "cli/client.h"
#include "cli/progress.h"
#include "lifecycle/backup.h"
#include "server/passphrase.h"
#include "server/site.h"

nx_rc cmd_backup(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO_MEM char *folder = cli_absolute(args->words[0]);
	json_t *json = NULL;
	char all[16], copied[16];
	nx_rc rc;

	if (!folder)
		return nx_err_errno(err, "working folder");
	rc = cli_ask_long(args, "backup", strdup("/backups"), json_pack("{s:s}", "folder", folder),
		&json, err);
	if (rc)
		return rc;
	if (cli_has(args, "json"))
		cli_json(json);
	else
		(void)printf("%s, of which %s are new; key places are not in it\n",
			cli_bytes(
				(uint64_t)json_integer_value(json_object_get(json, "bytes")), all),
			cli_bytes(
				(uint64_t)json_integer_value(json_object_get(json, "bytes_copied")),
				copied));
	json_decref(json);
	return NX_OK;
}

/* PLACE[,PLACE]; the pieces are from `text`, which is cut up. */
static nx_rc places_split(
	char *text, const char *ret[NX_SITE_PLACES], size_t *ret_n, struct nx_err *err)
{
	size_t n = 0;

	while (text) {
		char *comma = strchr(text, ',');

		if (comma)
			*comma++ = '\0';
		if (n == NX_SITE_PLACES || !text[0])
			return nx_err_set(
				err, NX_E_INVAL, "--keys: one to %d folders", NX_SITE_PLACES);
		ret[n++] = text;
		text = comma;
	}
	*ret_n = n;
	return NX_OK;
}

static void restored_print(
	const struct cli_args *args, const char *site, const struct nx_restore_result *done)
{
	json_t *json = json_pack("{s:s,s:s,s:I,s:I,s:I,s:I}", "site", site, "backup", done->id,
		"files", (json_int_t)done->files, "bytes", (json_int_t)done->bytes,
		"ledger_entries", (json_int_t)done->entries, "erased", (json_int_t)done->erased);

	if (cli_has(args, "json")) {
		cli_json(json);
	} else {
		(void)printf("The site is in %s: %" PRIu64 " ledger entries verified, %" PRIu64
			     " erased subjects stay erased.\n",
			site, done->entries, done->erased);
		cli_serve_hint(args, site);
	}
	json_decref(json);
}

nx_rc cmd_restore(const struct cli_args *args, struct nx_err *err)
{
	const struct nx_passphrase_source source = {
		.file = cli_get(args, "passphrase-file"), .fd = cli_get(args, "passphrase-fd")};
	const char *places[NX_SITE_PLACES], *keys = NULL;
	struct nx_site_restore_spec spec = {.places = places};
	NX_AUTO(nx_secret) *secret = NULL;
	NX_AUTO_MEM char *text = NULL;
	struct nx_restore_result done;
	struct nx_progress work = {0};
	struct cli_watch *watch;
	nx_rc rc = cli_site(args, &spec.dir, err);

	if (!rc)
		rc = cli_need(args, "from", &spec.from, err);
	if (!rc)
		rc = cli_need(args, "keys", &keys, err);
	if (!rc && !(text = strdup(keys)))
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for paths");
	if (!rc)
		rc = places_split(text, places, &spec.n_places, err);
	if (!rc)
		rc = nx_passphrase_read(&source, &secret, err);
	if (rc)
		return rc;
	spec.passphrase = secret;
	spec.progress = &work;
	watch = cli_watch_local("restore", "steps", &work);
	rc = nx_site_restore(&spec, &done, err);
	cli_watch_end(watch);
	if (rc)
		return nx_err_prefix(err, rc, "not restored");
	restored_print(args, spec.dir, &done);
	return NX_OK;
}
