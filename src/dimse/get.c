#include "dimse/identifier_priv.h"
#include "dimse/subop_priv.h"

/* A C-STORE-RQ that waits for its answer. */
struct sent {
	uint16_t message_id;
	size_t instance;
};

struct get {
	struct nx_subops subops;
	struct sent sent[NX_ASYNC_MAX];
	unsigned n_sent;
	uint16_t message_id;
};

bool nx_get_match(const char *sop_class)
{
	return nx_model_of(sop_class, NX_C_GET_RQ) != NX_MODEL_NONE;
}

/* The peer takes the class as an SCP in this transfer syntax, or in one that can be made of it. */
static const struct nx_pdu_context *context_find(
	const struct nx_assoc *assoc, const struct nx_instance_info *info)
{
	const struct nx_pdu_context *other = NULL;

	for (size_t i = 0; i < assoc->rq.n_contexts; i++) {
		const struct nx_pdu_context *c = &assoc->rq.contexts[i];

		if (c->result != NX_CONTEXT_ACCEPTED || strcmp(c->abstract, info->sop_class) != 0 ||
			!nx_assoc_peer_is_scp(assoc, c->abstract))
			continue;
		if (strcmp(c->ts[0], info->ts_uid) == 0)
			return c;
		if (!other && nx_instances_convertible(info->ts_uid, c->ts[0]))
			other = c;
	}
	return other;
}

/* ---- answers ---- */

static nx_rc answered(void *payload, const struct nx_dimse_cmd *rsp, struct nx_err *err)
{
	struct get *get = payload;
	unsigned i = 0;

	while (i < get->n_sent && get->sent[i].message_id != rsp->responded_id)
		i++;
	if (i == get->n_sent || rsp->field != (NX_C_STORE_RQ | NX_DIMSE_RESPONSE))
		return nx_err_set(err, NX_E_MALFORMED, "a response to nothing that was asked");
	nx_subops_settle(&get->subops, get->sent[i].instance, rsp->status);
	get->sent[i] = get->sent[--get->n_sent];
	return NX_OK;
}

/* Until no more than `most` are outstanding. */
static void answers_wait(struct get *get, unsigned most)
{
	struct nx_subops *s = &get->subops;

	while (!s->link && get->n_sent > most)
		s->link = nx_assoc_await(s->assoc, &s->link_err);
}

/* ---- requests ---- */

static nx_rc request_put(struct get *get, size_t i, const struct nx_instance_info *info,
	uint8_t context, struct nx_err *err)
{
	struct nx_assoc *assoc = get->subops.assoc;
	struct nx_dimse_cmd cmd = {
		.field = NX_C_STORE_RQ,
		.message_id = ++get->message_id,
		.priority = get->subops.op->rq.priority,
		.dataset_type = NX_DIMSE_HAS_DATASET,
		.present = 1u << NX_CMD_FIELD | 1u << NX_CMD_MESSAGE_ID | 1u << NX_CMD_PRIORITY |
			1u << NX_CMD_DATASET_TYPE | 1u << NX_CMD_SOP_CLASS |
			1u << NX_CMD_SOP_INSTANCE,
	};

	(void)snprintf(cmd.sop_class, sizeof(cmd.sop_class), "%s", info->sop_class);
	(void)snprintf(cmd.sop_instance, sizeof(cmd.sop_instance), "%s", info->sop_instance);
	get->sent[get->n_sent++] = (struct sent){cmd.message_id, i};
	return nx_assoc_command(assoc, context, &cmd, err);
}

/* The first bytes are read while the peer still stores the one before. */
static void instance_send(struct get *get, size_t i)
{
	struct nx_subops *s = &get->subops;
	struct nx_assoc *assoc = s->assoc;
	const struct nx_pdu_context *context;
	struct nx_instance_info info;
	struct nx_err err = {0};
	nx_rc rc;

	nx_instances_info(s->instances, i, &info);
	context = context_find(assoc, &info);
	rc = context ? nx_feed_load(&s->feed, i, context->ts[0], &err) : NX_E_NOT_ACCEPTABLE;
	answers_wait(get, assoc->window_sub - 1);
	if (!nx_subops_goes_on(s))
		return;
	if (rc) {
		nx_subops_settle(s, i, context ? nx_rc_dimse(rc) : NX_STATUS_CLASS_NOT_SUPPORTED);
		return;
	}
	s->link = request_put(get, i, &info, context->id, &s->link_err);
	if (!s->link)
		s->link = nx_feed_write(&s->feed, assoc->io, &assoc->tx, context->id,
			assoc->rq.max_pdu, assoc->opts->write_us, &s->link_err);
	assoc->dead |= s->feed.broken;
}

nx_rc nx_get_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err)
{
	NX_AUTO_MEM struct get *get = calloc(1, sizeof(*get));
	struct nx_subops *s;
	nx_rc rc;

	if (!get)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a retrieval");
	s = &get->subops;
	nx_subops_begin(s, assoc, op, NULL);
	assoc->answered = answered;
	assoc->answered_payload = get;
	for (size_t i = 0; i < s->n && nx_subops_goes_on(s); i++)
		instance_send(get, i);
	answers_wait(get, 0);
	assoc->answered = NULL;
	rc = nx_subops_finish(s, err);
	nx_subops_done(s);
	return rc;
}
