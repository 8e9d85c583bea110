#include "dimse/dimse_priv.h"

#include "base/arena.h"
#include "dicom/dicom.h"

/* DICOM Application Context Name (PS3.7 A.2.1) */
static const char application_context[] = "1.2.840.10008.3.1.1.1";
/* Implicit VR Little Endian: stands where no transfer syntax means anything. */
static const char implicit_le[] = "1.2.840.10008.1.2";

bool nx_assoc_acceptable(
	const struct nx_pdu_associate *rq, struct nx_pdu_refusal *ret_why, struct nx_err *err)
{
	if (!(rq->version & 1)) { /* PS3.8 9.3.2: bit 0 is version 1 */
		*ret_why = NX_RJ_PROTOCOL_VERSION;
		nx_err_set(
			err, NX_E_UNSUPPORTED, "protocol versions %04X are not known", rq->version);
		return false;
	}
	if (strcmp(rq->application_context, application_context) != 0) {
		*ret_why = NX_RJ_APPLICATION_CONTEXT;
		nx_err_set(err, NX_E_UNSUPPORTED, "application context is not DICOM's");
		return false;
	}
	if (rq->max_pdu > 0 && rq->max_pdu < NX_PDU_SEND_MIN) {
		*ret_why = NX_RJ_NO_REASON;
		nx_err_set(err, NX_E_LIMIT, "the peer takes PDUs of %u bytes only", rq->max_pdu);
		return false;
	}
	return true;
}

/* What can be made of any other that is native (PS3.5 A.1, A.2, A.3). */
static bool is_native(const char *ts_uid)
{
	const struct nx_ts *ts = nx_ts_find(ts_uid);

	return ts && !ts->deflated && !ts->encapsulated;
}

static bool peer_wants_scp(const struct nx_pdu_associate *rq, const char *sop_class)
{
	for (size_t i = 0; i < rq->n_roles; i++)
		if (rq->roles[i].scp && strcmp(rq->roles[i].sop_class, sop_class) == 0)
			return true;
	return false;
}

bool nx_assoc_peer_is_scp(const struct nx_assoc *assoc, const char *sop_class)
{
	return peer_wants_scp(&assoc->rq, sop_class);
}

/*
 * The proposer's order is the preference: any transfer syntax can be stored, and the first is what
 * it holds.  For what the peer shall be sent in C-GET, an uncompressed one holds the most of what
 * is stored; what is compressed is proposed in a context of its own.
 */
static void ts_choose(struct nx_pdu_context *c, bool for_retrieval)
{
	size_t i = 0;

	while (i < c->n_ts &&
		(!nx_service_takes(c->abstract, c->ts[i]) ||
			(for_retrieval && !is_native(c->ts[i]))))
		i++;
	if (i == c->n_ts && for_retrieval) {
		ts_choose(c, false);
		return;
	}
	if (i < c->n_ts)
		c->ts[0] = c->ts[i];
	else
		c->n_ts = 0;
}

static void context_decide(struct nx_assoc *assoc, struct nx_pdu_context *c)
{
	ts_choose(c, peer_wants_scp(&assoc->rq, c->abstract));
	if (nx_service_roles(c->abstract) == 0)
		c->result = NX_CONTEXT_ABSTRACT_UNSUPPORTED;
	else if (c->n_ts == 0)
		c->result = NX_CONTEXT_TS_UNSUPPORTED;
	else
		c->result = NX_CONTEXT_ACCEPTED;
	if (c->n_ts == 0)
		c->ts[0] = implicit_le; /* there is room for one more than were parsed */
	c->n_ts = 1;
	assoc->by_id[c->id] = c->result == NX_CONTEXT_ACCEPTED ? c : NULL;
}

/* PS3.7 D.3.3.4: each proposed role is accepted (1) or not (0); who says nothing has the default
 * roles.  The answer replaces the proposal in place. */
static void roles_decide(struct nx_pdu_associate *a)
{
	size_t kept = 0;

	for (size_t i = 0; i < a->n_roles; i++) {
		struct nx_pdu_role role = a->roles[i];
		unsigned ours = nx_service_roles(role.sop_class);

		if (ours == 0)
			continue;
		role.scu = role.scu && (ours & NX_ROLE_SCP);
		role.scp = role.scp && (ours & NX_ROLE_SCU);
		a->roles[kept++] = role;
	}
	a->n_roles = kept;
}

/* In place, like the roles; what no row knows is not answered. */
static void extended_decide(struct nx_pdu_associate *a)
{
	size_t kept = 0;

	for (size_t i = 0; i < a->n_extended; i++) {
		struct nx_pdu_extended e = a->extended[i];
		const struct nx_dimse_service *service = nx_service_extended(e.sop_class);

		if (!service)
			continue;
		if (e.n > service->n_extended || !service->extended_flags)
			e.n = service->n_extended;
		for (uint8_t k = 0; k < e.n; k++)
			e.info[k] = !service->extended_flags || e.info[k] == 1
				? service->extended[k]
				: 0;
		a->extended[kept++] = e;
	}
	a->n_extended = kept;
}

uint8_t nx_assoc_granted(const struct nx_assoc *assoc, const char *sop_class, unsigned i)
{
	for (size_t k = 0; k < assoc->rq.n_extended; k++) {
		const struct nx_pdu_extended *e = &assoc->rq.extended[k];

		if (strcmp(e->sop_class, sop_class) == 0)
			return i >= 1 && i <= e->n ? e->info[i - 1] : 0;
	}
	return 0;
}

/* 0 is "any number" (PS3.7 D.3.3.3). */
static uint16_t window_min(uint16_t asked, unsigned ours)
{
	return asked == 0 || asked > ours ? (uint16_t)ours : asked;
}

void nx_assoc_negotiate(struct nx_assoc *assoc, struct nx_pdu_associate *ret_answer)
{
	const struct nx_dimse_opts *opts = assoc->opts;
	struct nx_pdu_associate *rq = &assoc->rq;

	for (size_t i = 0; i < rq->n_contexts; i++)
		context_decide(assoc, &rq->contexts[i]);
	roles_decide(rq);
	extended_decide(rq);
	assoc->window = rq->has_window ? window_min(rq->max_invoked, opts->max_async) : 1;
	assoc->window_sub = rq->has_window ? window_min(rq->max_performed, opts->max_async) : 1;

	*ret_answer = *rq;
	ret_answer->version = 1;
	ret_answer->application_context = application_context;
	ret_answer->max_pdu = opts->max_pdu;
	ret_answer->implementation_uid = opts->implementation_uid;
	ret_answer->implementation_version = opts->implementation_version;
	ret_answer->max_invoked = (uint16_t)assoc->window;
	ret_answer->max_performed = (uint16_t)assoc->window_sub;
	/* A response to user identity says that it was made use of (PS3.7 D.3.3.7). */
	ret_answer->has_identity = rq->identity_response && assoc->guest.user_known;
}
