#include "dimse/dimse_priv.h"

/* Verification SOP Class (PS3.4 Annex A) */
bool nx_echo_match(const char *sop_class)
{
	return strcmp(sop_class, "1.2.840.10008.1.1") == 0;
}

nx_rc nx_echo_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err)
{
	const struct nx_dimse_opts *opts = assoc->opts;
	struct nx_err why = {0};
	nx_rc rc = NX_OK;

	if (!nx_op_failed(op) && opts->authorize)
		rc = opts->authorize(opts->context, assoc->guest.who, op->service->permission,
			op->service->action, assoc->guest.collection, &why);
	if (rc)
		nx_op_fail(op, nx_rc_dimse(rc), &why);
	return nx_op_respond(assoc, op, err);
}
