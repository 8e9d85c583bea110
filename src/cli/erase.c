/* narthex erase: a patient's data, for good; the answer is a certificate. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/cli_priv.h"
#include "cli/client.h"

enum {
	CERTIFICATE_MAX =
		64 * 1024 /* an inclusion path, a checkpoint and a reason fit many times */
};

static nx_rc body_make(const struct cli_args *args, json_t **ret, struct nx_err *err)
{
	const char *subject = cli_get(args, "subject"), *patient = cli_get(args, "patient");
	const char *reason = NULL, *collection = cli_get(args, "collection");
	nx_rc rc = cli_need(args, "reason", &reason, err);

	if (!rc && !subject == !patient)
		rc = nx_err_set(err, NX_E_INVAL, "either --patient or --subject");
	if (!rc && patient)
		rc = cli_need(args, "collection", &collection, err);
	if (rc)
		return rc;
	*ret = json_pack("{s:s,s:s*,s:s*,s:s*,s:s*}", "reason", reason, "subject", subject,
		"patient_id", patient, "issuer", cli_get(args, "issuer"), "collection",
		patient ? collection : NULL);
	return *ret ? NX_OK : nx_err_set(err, NX_E_INVAL, "an argument is not UTF-8");
}

/* As it came: the signature is over its bytes. */
nx_rc cmd_erase(const struct cli_args *args, struct nx_err *err)
{
	const char *file = cli_get(args, "certificate");
	NX_AUTO(nx_client) *client = NULL;
	NX_AUTO_DONE(nx_buf) buf;
	json_t *body = NULL;
	nx_rc rc = body_make(args, &body, err);

	nx_buf_init(&buf, NX_MIB, 0);
	if (!rc && file && access(file, F_OK) == 0)
		rc = nx_err_set(err, NX_E_EXISTS, "%s is there already", file);
	if (!rc)
		rc = cli_confirm(args,
			"This destroys the keys of everything that this site and its backups hold "
			"of the patient.\nIt cannot be undone.",
			"erase", err);
	if (!rc)
		rc = nx_client_new(args, &client, err);
	if (!rc)
		rc = nx_client_text(client, "POST", "/erasures", body, &buf, err);
	json_decref(body);
	if (rc)
		return rc;
	if (!file)
		return cli_print(&buf, err);
	rc = cli_file_write(file, nx_buf_slice(&buf), err);
	if (rc && cli_print(&buf, NULL)) /* the erasure is done: its certificate goes somewhere */
		return nx_err_prefix(err, rc, "erased, but the certificate is lost");
	if (rc)
		return nx_err_prefix(err, rc, "erased; the certificate is above, not in a file");
	(void)fprintf(stderr, "Erased.  The certificate is in %s: keep it.\n", file);
	return NX_OK;
}

/* One line with its end: editors and terminals add to that, or take it away. */
nx_rc cmd_certificate_check(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	json_t *body = NULL;
	nx_rc rc;

	nx_buf_init(&buf, CERTIFICATE_MAX, 0);
	rc = nx_file_read(AT_FDCWD, args->words[0], &buf, err);
	if (rc == NX_E_LIMIT)
		return nx_err_set(err, NX_E_CORRUPT,
			"%s is larger than %d KiB, which no certificate of erasure is",
			args->words[0], CERTIFICATE_MAX / (int)NX_KIB);
	if (rc)
		return nx_err_prefix(err, rc, "%s", args->words[0]);
	while (buf.len && (buf.data[buf.len - 1] == '\n' || buf.data[buf.len - 1] == '\r'))
		buf.len--;
	nx_buf_put_str(&buf, "\n");
	body = json_pack("{s:s%}", "certificate", (const char *)buf.data, buf.len);
	if (!body)
		return nx_err_set(err, NX_E_CORRUPT, "not a signed statement");
	rc = cli_ask(args, "POST", strdup("/erasures/check"), body, NULL, err);
	if (!rc)
		(void)printf(cli_has(args, "json") ? "{\"valid\":true}\n"
						   : "this site signed it, and it is unchanged\n");
	return rc;
}
