#include "dimse/scu.h"

#include <sys/uio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "dimse/command_priv.h"
#include "dimse/io_priv.h"
#include "dimse/pdu_priv.h"
#include "net/net.h"

enum {
	ARENA_MAX = 8 * 1024 * 1024,
	RX_CAP = NX_LIMIT_PDU_ASSOC + 4096,
	PDU_MAX = 64 * 1024, /* what the peer may send: responses and events */
	TX_MAX = 2 * 1024 * 1024,
	TX_HOLD = 64 * 1024,  /* small messages are gathered up to here */
	COPY_MAX = 16 * 1024, /* larger data sets are written from where they are */
	DEFAULT_TIMEOUT_US = 30 * 1000000,
	SLICE_US = 200000,
};

struct nx_dimse_scu {
	struct nx_dimse_scu_opts opts;
	struct nx_conn *conn;
	struct nx_dimse_io io;
	struct nx_arena *arena;
	struct nx_rx rx;
	struct nx_buf tx;
	struct nx_buf command; /* of the response that comes in */
	struct nx_buf bytes;   /* of the request that goes out */
	struct nx_buf dataset; /* of the event that comes in */
	struct nx_dimse_cmd event;
	bool in_event; /* its data set is on the way */
	unsigned events;
	struct nx_pdu_associate ours;
	struct nx_pdu_associate theirs;
	unsigned window;
	unsigned outstanding;
	uint16_t message_id;
	uint16_t last_status;
	uint16_t waiting[NX_SCU_WINDOW_MAX]; /* Message IDs without an answer */
	bool open;
};

static int64_t deadline(const struct nx_dimse_scu *scu)
{
	return nx_mono_us() + scu->opts.timeout_us;
}

static nx_rc tx_write(struct nx_dimse_scu *scu, const struct iovec *iov, int n, struct nx_err *err)
{
	nx_rc rc;

	rc = nx_buf_check(&scu->tx, err);
	if (rc)
		return rc;
	scu->io.ops->deadline(scu->io.transport, deadline(scu));
	rc = scu->io.ops->writev(scu->io.transport, iov, n, err);
	nx_buf_clear(&scu->tx);
	if (rc)
		scu->open = false;
	return rc;
}

static nx_rc tx_flush(struct nx_dimse_scu *scu, struct nx_err *err)
{
	struct iovec iov = {.iov_base = scu->tx.data, .iov_len = scu->tx.len};

	return iov.iov_len > 0 ? tx_write(scu, &iov, 1, err) : nx_buf_check(&scu->tx, err);
}

/* In slices, so that whoever waits for us can call it off. */
static nx_rc more_wait(struct nx_dimse_scu *scu, struct nx_err *err)
{
	int64_t until = deadline(scu), slice;
	nx_rc rc;

	do {
		slice = nx_mono_us() + SLICE_US;
		if (scu->opts.goes_on && !scu->opts.goes_on(scu->opts.payload))
			return nx_err_set(err, NX_E_CLOSED, "the wait for the peer was given up");
		if (!scu->opts.goes_on || slice > until)
			slice = until;
		scu->io.ops->deadline(scu->io.transport, slice);
		rc = nx_rx_fill(&scu->rx, &scu->io, err);
	} while (rc == NX_E_TIMEOUT && slice < until);
	if (rc)
		scu->open = false;
	return rc;
}

/* The next PDU, whole; borrowed until the next call.  What is queued is written before a wait, and
 * not earlier: answers that are here already make room for more to go with it. */
static nx_rc pdu_read(struct nx_dimse_scu *scu, struct nx_pdu_header *ret_pdu,
	struct nx_slice *ret_body, struct nx_err *err)
{
	struct nx_slice in = nx_rx_slice(&scu->rx);
	nx_rc rc;

	for (;;) {
		if (in.n >= NX_PDU_HEADER_LEN) {
			*ret_pdu = nx_pdu_header_parse(in.p);
			if (ret_pdu->len <= in.n - NX_PDU_HEADER_LEN)
				break;
		}
		rc = tx_flush(scu, err);
		if (!rc)
			rc = more_wait(scu, err);
		if (rc)
			return rc;
		in = nx_rx_slice(&scu->rx);
	}
	*ret_body = nx_slice(in.p + NX_PDU_HEADER_LEN, ret_pdu->len);
	nx_rx_skip(&scu->rx, NX_PDU_HEADER_LEN + ret_pdu->len);
	return NX_OK;
}

/* ---- opening ---- */

static nx_rc proposal_make(struct nx_dimse_scu *scu, struct nx_err *err)
{
	const struct nx_dimse_scu_opts *o = &scu->opts;
	struct nx_pdu_associate *a = &scu->ours;

	if (o->n_contexts == 0 || o->n_contexts > NX_LIMIT_PRES_CONTEXTS)
		return nx_err_set(err, NX_E_INVAL, "%zu presentation contexts", o->n_contexts);
	*a = (struct nx_pdu_associate){
		.version = 1,
		.application_context = "1.2.840.10008.3.1.1.1",
		.max_pdu = PDU_MAX,
		.implementation_uid = o->implementation_uid,
		.n_contexts = o->n_contexts,
		.has_window = o->window > 1,
		.max_invoked = o->window,
		.max_performed = 1,
	};
	(void)snprintf(a->called, sizeof(a->called), "%s", o->called);
	(void)snprintf(a->calling, sizeof(a->calling), "%s", o->calling);
	a->contexts = nx_arena_alloc_array(scu->arena, o->n_contexts, sizeof(*a->contexts));
	if (!a->contexts)
		return nx_err_set(err, NX_E_NOMEM, "no memory for association");
	a->roles = nx_arena_alloc_array(scu->arena, o->n_contexts, sizeof(*a->roles));
	if (!a->roles)
		return nx_err_set(err, NX_E_NOMEM, "no memory for association");
	for (size_t i = 0; i < o->n_contexts; i++) {
		const struct nx_dimse_scu_context *from = &o->contexts[i];
		struct nx_pdu_context *c = &a->contexts[i];

		c->id = (uint8_t)(2 * i + 1);
		c->abstract = nx_arena_str(scu->arena, from->sop_class, strlen(from->sop_class));
		c->ts = nx_arena_alloc_array(scu->arena, from->n_ts + 1, sizeof(*c->ts));
		if (!c->abstract || !c->ts)
			return nx_err_set(err, NX_E_NOMEM, "no memory for association");
		if (o->as_scp)
			a->roles[a->n_roles++] = (struct nx_pdu_role){c->abstract, false, true};
		for (; c->n_ts < from->n_ts; c->n_ts++)
			c->ts[c->n_ts] = from->ts[c->n_ts];
	}
	return NX_OK;
}

static nx_rc answer_take(struct nx_dimse_scu *scu, struct nx_err *err)
{
	struct nx_pdu_header pdu;
	struct nx_slice body;
	nx_rc rc;

	rc = pdu_read(scu, &pdu, &body, err);
	if (rc)
		return rc;
	if (pdu.type == NX_PDU_ASSOCIATE_RJ && body.n == NX_PDU_SHORT_LEN)
		return nx_err_set(err, NX_E_DENIED,
			"association rejected: result %u, source %u, reason %u", body.p[1],
			body.p[2], body.p[3]);
	if (pdu.type != NX_PDU_ASSOCIATE_AC)
		return nx_err_set(
			err, NX_E_CLOSED, "association answered with PDU type %02XH", pdu.type);
	rc = nx_pdu_associate_parse(body, NX_PDU_ASSOCIATE_AC, scu->arena, &scu->theirs, err);
	if (rc)
		return rc;
	if (scu->theirs.max_pdu > 0 && scu->theirs.max_pdu < NX_PDU_SEND_MIN)
		return nx_err_set(err, NX_E_LIMIT, "the peer takes PDUs of %u bytes only",
			scu->theirs.max_pdu);
	/* PS3.7 D.3.3.3: no answer means one operation at a time; 0 is any number. */
	scu->window = 1;
	if (scu->ours.has_window && scu->theirs.has_window)
		scu->window =
			scu->theirs.max_invoked > 0 && scu->theirs.max_invoked < scu->opts.window
			? scu->theirs.max_invoked
			: scu->opts.window;
	scu->open = true;
	return NX_OK;
}

nx_rc nx_dimse_scu_open(
	const struct nx_dimse_scu_opts *opts, struct nx_dimse_scu **ret_scu, struct nx_err *err)
{
	NX_AUTO(nx_dimse_scu) *scu = calloc(1, sizeof(*scu));
	nx_rc rc;

	if (!scu)
		return nx_err_set(err, NX_E_NOMEM, "no memory for association");
	scu->opts = *opts;
	if (scu->opts.window > NX_SCU_WINDOW_MAX)
		scu->opts.window = NX_SCU_WINDOW_MAX;
	if (scu->opts.timeout_us == 0)
		scu->opts.timeout_us = DEFAULT_TIMEOUT_US;
	nx_buf_init(&scu->tx, TX_MAX, 0);
	nx_buf_init(&scu->command, NX_LIMIT_COMMAND_SET, 0);
	nx_buf_init(&scu->bytes, NX_LIMIT_COMMAND_SET, 0);
	nx_buf_init(&scu->dataset, NX_LIMIT_IDENTIFIER, NX_BUF_WIPE);
	scu->arena = nx_arena_new(ARENA_MAX, 0);
	if (!scu->arena || !nx_rx_init(&scu->rx, RX_CAP))
		return nx_err_set(err, NX_E_NOMEM, "no memory for association");
	rc = proposal_make(scu, err);
	if (rc)
		return rc;
	rc = nx_conn_open_tls(
		opts->host, opts->port, opts->tls, scu->opts.timeout_us, &scu->conn, err);
	if (rc)
		return rc;
	scu->io = nx_dimse_io_conn(scu->conn);
	nx_pdu_associate_format(&scu->tx, NX_PDU_ASSOCIATE_RQ, &scu->ours);
	rc = answer_take(scu, err);
	if (rc)
		return rc;
	*ret_scu = NX_STEAL(scu);
	return NX_OK;
}

struct nx_dimse_scu *nx_dimse_scu_free(struct nx_dimse_scu *scu)
{
	nx_rc rc;

	if (!scu)
		return NULL;
	if (scu->open) {
		nx_buf_clear(&scu->tx);
		nx_pdu_short_format(&scu->tx, NX_PDU_ABORT, (struct nx_pdu_refusal){0});
		rc = tx_flush(scu, NULL);
		(void)rc; /* the connection is closed either way */
	}
	nx_conn_free(scu->conn);
	nx_buf_done(&scu->bytes);
	nx_buf_done(&scu->dataset);
	nx_buf_done(&scu->command);
	nx_buf_done(&scu->tx);
	nx_rx_done(&scu->rx);
	nx_arena_free(scu->arena);
	free(scu);
	return NULL;
}

unsigned nx_dimse_scu_window(const struct nx_dimse_scu *scu)
{
	return scu->window;
}

/* The context proposed for the class and accepted with the syntax (NULL: with any). */
static const struct nx_pdu_context *context_find(
	const struct nx_dimse_scu *scu, const char *sop_class, const char *ts)
{
	for (size_t i = 0; i < scu->theirs.n_contexts; i++) {
		const struct nx_pdu_context *c = &scu->theirs.contexts[i];
		size_t at = (c->id - 1u) / 2;

		if (c->result != NX_CONTEXT_ACCEPTED || c->n_ts != 1 || at >= scu->ours.n_contexts)
			continue;
		if (*sop_class && strcmp(scu->ours.contexts[at].abstract, sop_class) != 0)
			continue;
		if (!ts || strcmp(c->ts[0], ts) == 0)
			return c;
	}
	return NULL;
}

const char *nx_dimse_scu_ts(const struct nx_dimse_scu *scu, const char *sop_class)
{
	const struct nx_pdu_context *c = context_find(scu, sop_class, NULL);

	return c ? c->ts[0] : NULL;
}

uint16_t nx_dimse_scu_message_id(const struct nx_dimse_scu *scu)
{
	return scu->message_id;
}

bool nx_dimse_scu_accepts(const struct nx_dimse_scu *scu, const char *sop_class, const char *ts_uid)
{
	return context_find(scu, sop_class, ts_uid) != NULL;
}

/* ---- responses ---- */

/* An answer to nothing that was asked says nothing about what was. */
static bool waiting_take(struct nx_dimse_scu *scu, uint16_t message_id)
{
	for (unsigned i = 0; i < scu->outstanding; i++) {
		if (scu->waiting[i] != message_id)
			continue;
		scu->waiting[i] = scu->waiting[--scu->outstanding];
		return true;
	}
	return false;
}

static nx_rc response_take(
	struct nx_dimse_scu *scu, const struct nx_dimse_cmd *rsp, struct nx_err *err)
{
	if (!(rsp->field & NX_DIMSE_RESPONSE) || !nx_cmd_has(rsp, NX_CMD_STATUS) ||
		!waiting_take(scu, rsp->responded_id))
		return nx_err_set(
			err, NX_E_MALFORMED, "command %04XH is no response to us", rsp->field);
	scu->last_status = rsp->status;
	if (scu->opts.on_status)
		scu->opts.on_status(
			scu->opts.payload, rsp->responded_id, rsp->status, rsp->comment);
	return NX_OK;
}

static nx_rc command_take(struct nx_dimse_scu *scu, struct nx_err *err)
{
	struct nx_dimse_cmd cmd;
	nx_rc rc;

	rc = nx_cmd_parse(nx_buf_slice(&scu->command), &cmd, err);
	nx_buf_clear(&scu->command);
	if (rc)
		return rc;
	if (cmd.field != NX_N_EVENT_REPORT_RQ || !scu->opts.on_event || scu->in_event)
		return response_take(scu, &cmd, err);
	if (!nx_cmd_has_dataset(&cmd) || !nx_cmd_has(&cmd, NX_CMD_MESSAGE_ID))
		return nx_err_set(err, NX_E_MALFORMED, "an event without a data set");
	scu->event = cmd;
	scu->in_event = true;
	nx_buf_clear(&scu->dataset);
	return NX_OK;
}

static nx_rc event_take(struct nx_dimse_scu *scu, uint8_t context, struct nx_err *err)
{
	struct nx_dimse_cmd rsp;

	nx_cmd_response(&rsp, &scu->event,
		scu->opts.on_event(
			scu->opts.payload, scu->event.event_type, nx_buf_slice(&scu->dataset)));
	nx_buf_clear(&scu->bytes);
	nx_cmd_format(&scu->bytes, &rsp);
	nx_pdu_data_format(&scu->tx, context, true, nx_buf_slice(&scu->bytes), scu->theirs.max_pdu);
	scu->in_event = false;
	scu->events++;
	return tx_flush(scu, err);
}

static nx_rc pdv_take(struct nx_dimse_scu *scu, const struct nx_pdv_header *pdv,
	struct nx_slice bytes, struct nx_err *err)
{
	bool command = pdv->flags & NX_PDV_COMMAND;
	struct nx_buf *to = command ? &scu->command : &scu->dataset;
	nx_rc rc;

	if (!command && !scu->in_event)
		return nx_err_set(err, NX_E_MALFORMED, "a data set that was not announced");
	nx_buf_put_slice(to, bytes);
	rc = nx_buf_check(to, err);
	if (rc || !(pdv->flags & NX_PDV_LAST))
		return rc;
	return command ? command_take(scu, err) : event_take(scu, pdv->context, err);
}

static nx_rc pdvs_take(struct nx_dimse_scu *scu, struct nx_slice body, struct nx_err *err)
{
	struct nx_pdv_header pdv;
	nx_rc rc = NX_OK;

	while (!rc && body.n > 0) {
		if (body.n < NX_PDV_HEADER_LEN || !nx_pdv_header_parse(body.p, &pdv) ||
			pdv.len > body.n - NX_PDV_HEADER_LEN)
			return nx_err_set(err, NX_E_MALFORMED,
				"response PDV with %zu bytes before the end of its PDU", body.n);
		rc = pdv_take(scu, &pdv, nx_slice(body.p + NX_PDV_HEADER_LEN, pdv.len), err);
		body = nx_slice(
			body.p + NX_PDV_HEADER_LEN + pdv.len, body.n - NX_PDV_HEADER_LEN - pdv.len);
	}
	return rc;
}

/* Take in what the next PDU says. */
static nx_rc answers_wait(struct nx_dimse_scu *scu, struct nx_err *err)
{
	struct nx_pdu_header pdu;
	struct nx_slice body;
	nx_rc rc;

	rc = pdu_read(scu, &pdu, &body, err);
	if (rc)
		return rc;
	if (pdu.type == NX_PDU_DATA)
		return pdvs_take(scu, body, err);
	scu->open = false;
	if (pdu.type == NX_PDU_ABORT && body.n == NX_PDU_SHORT_LEN)
		return nx_err_set(err, NX_E_CLOSED, "the peer aborts: source %u, reason %u",
			body.p[2], body.p[3]);
	return nx_err_set(err, NX_E_MALFORMED, "PDU of type %02XH from the peer", pdu.type);
}

nx_rc nx_dimse_scu_drain(struct nx_dimse_scu *scu, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	while (!rc && scu->outstanding > 0)
		rc = answers_wait(scu, err);
	return rc;
}

nx_rc nx_dimse_scu_listen(struct nx_dimse_scu *scu, int64_t timeout_us, struct nx_err *err)
{
	const int64_t usual_us = scu->opts.timeout_us;
	unsigned events = scu->events;
	nx_rc rc = NX_OK;

	scu->opts.timeout_us = timeout_us;
	while (!rc && scu->events == events)
		rc = answers_wait(scu, err);
	scu->opts.timeout_us = usual_us;
	scu->open |= rc == NX_E_TIMEOUT;
	return rc;
}

nx_rc nx_dimse_scu_release(struct nx_dimse_scu *scu, struct nx_err *err)
{
	struct nx_pdu_header pdu;
	struct nx_slice body;
	nx_rc rc;

	rc = nx_dimse_scu_drain(scu, err);
	if (rc)
		return rc;
	nx_pdu_short_format(&scu->tx, NX_PDU_RELEASE_RQ, (struct nx_pdu_refusal){0});
	rc = pdu_read(scu, &pdu, &body, err);
	if (rc)
		return rc;
	scu->open = false;
	if (pdu.type != NX_PDU_RELEASE_RP)
		return nx_err_set(
			err, NX_E_MALFORMED, "release answered with PDU type %02XH", pdu.type);
	return NX_OK;
}

/* ---- requests ---- */

static nx_rc request_begin(struct nx_dimse_scu *scu, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (!scu->open)
		return nx_err_set(err, NX_E_CLOSED, "the association is over");
	while (!rc && scu->outstanding >= scu->window)
		rc = answers_wait(scu, err);
	return rc;
}

static nx_rc command_put(struct nx_dimse_scu *scu, const struct nx_pdu_context *context,
	struct nx_dimse_cmd *cmd, struct nx_err *err)
{
	nx_rc rc;

	cmd->message_id = ++scu->message_id;
	cmd->present |= 1u << NX_CMD_FIELD | 1u << NX_CMD_MESSAGE_ID | 1u << NX_CMD_DATASET_TYPE |
		1u << NX_CMD_SOP_CLASS;
	nx_buf_clear(&scu->bytes);
	nx_cmd_format(&scu->bytes, cmd);
	rc = nx_buf_check(&scu->bytes, err);
	if (rc)
		return rc;
	nx_pdu_data_format(
		&scu->tx, context->id, true, nx_buf_slice(&scu->bytes), scu->theirs.max_pdu);
	return nx_buf_check(&scu->tx, err);
}

static nx_rc dataset_write(
	struct nx_dimse_scu *scu, uint8_t context, struct nx_slice bytes, struct nx_err *err)
{
	nx_rc rc;

	scu->io.ops->deadline(scu->io.transport, deadline(scu));
	rc = nx_pdata_write(&scu->io, &scu->tx, context, scu->theirs.max_pdu, bytes, true, err);
	if (rc)
		scu->open = false;
	return rc;
}

nx_rc nx_dimse_scu_echo(struct nx_dimse_scu *scu, uint16_t *ret_status, struct nx_err *err)
{
	static const char verification[] = "1.2.840.10008.1.1";
	const struct nx_pdu_context *c = context_find(scu, verification, NULL);
	struct nx_dimse_cmd cmd = {.field = NX_C_ECHO_RQ, .dataset_type = NX_DIMSE_NO_DATASET};
	nx_rc rc;

	if (!c)
		return nx_err_set(err, NX_E_NOT_ACCEPTABLE, "verification was not accepted");
	rc = nx_dimse_scu_drain(scu, err);
	if (!rc)
		rc = request_begin(scu, err);
	if (rc)
		return rc;
	memcpy(cmd.sop_class, verification, sizeof(verification));
	rc = command_put(scu, c, &cmd, err);
	if (rc)
		return rc;
	scu->waiting[scu->outstanding++] = scu->message_id;
	rc = nx_dimse_scu_drain(scu, err);
	if (rc)
		return rc;
	*ret_status = scu->last_status;
	return NX_OK;
}

/* DIMSE-N with a data set; waits for the answer. */
static nx_rc n_request(struct nx_dimse_scu *scu, struct nx_dimse_cmd *cmd, const char *sop_class,
	const char *sop_instance, struct nx_slice dataset, uint16_t *ret_status, struct nx_err *err)
{
	const struct nx_pdu_context *c = context_find(scu, sop_class, NULL);
	nx_rc rc;

	if (!c)
		return nx_err_set(err, NX_E_NOT_ACCEPTABLE, "the class was not accepted");
	rc = nx_dimse_scu_drain(scu, err);
	if (!rc)
		rc = request_begin(scu, err);
	if (rc)
		return rc;
	cmd->dataset_type = NX_DIMSE_HAS_DATASET;
	(void)snprintf(cmd->sop_class, sizeof(cmd->sop_class), "%s", sop_class);
	(void)snprintf(cmd->sop_instance, sizeof(cmd->sop_instance), "%s", sop_instance);
	nx_cmd_mark(cmd, NX_CMD_SOP_INSTANCE);
	rc = command_put(scu, c, cmd, err);
	if (rc)
		return rc;
	scu->waiting[scu->outstanding++] = scu->message_id;
	nx_pdu_data_format(&scu->tx, c->id, false, dataset, scu->theirs.max_pdu);
	rc = nx_dimse_scu_drain(scu, err);
	if (!rc)
		*ret_status = scu->last_status;
	return rc;
}

nx_rc nx_dimse_scu_report(struct nx_dimse_scu *scu, const char *sop_class, const char *sop_instance,
	uint16_t event_type, struct nx_slice dataset, uint16_t *ret_status, struct nx_err *err)
{
	struct nx_dimse_cmd cmd = {.field = NX_N_EVENT_REPORT_RQ,
		.event_type = event_type,
		.present = 1u << NX_CMD_EVENT_TYPE};

	return n_request(scu, &cmd, sop_class, sop_instance, dataset, ret_status, err);
}

nx_rc nx_dimse_scu_action(struct nx_dimse_scu *scu, const char *sop_class, const char *sop_instance,
	uint16_t action_type, struct nx_slice dataset, uint16_t *ret_status, struct nx_err *err)
{
	struct nx_dimse_cmd cmd = {.field = NX_N_ACTION_RQ,
		.action_type = action_type,
		.requested = true,
		.present = 1u << NX_CMD_ACTION_TYPE};

	return n_request(scu, &cmd, sop_class, sop_instance, dataset, ret_status, err);
}

nx_rc nx_dimse_scu_send(
	struct nx_dimse_scu *scu, const struct nx_dimse_scu_instance *instance, struct nx_err *err)
{
	const struct nx_pdu_context *c = context_find(scu, instance->sop_class, instance->ts);
	struct nx_dimse_cmd cmd = {.field = NX_C_STORE_RQ, .dataset_type = NX_DIMSE_HAS_DATASET};
	nx_rc rc;

	if (!c)
		return nx_err_set(err, NX_E_NOT_ACCEPTABLE,
			"no presentation context was accepted for the instance");
	rc = request_begin(scu, err);
	if (rc)
		return rc;
	(void)snprintf(cmd.sop_class, sizeof(cmd.sop_class), "%s", instance->sop_class);
	(void)snprintf(cmd.sop_instance, sizeof(cmd.sop_instance), "%s", instance->sop_instance);
	nx_cmd_mark(&cmd, NX_CMD_SOP_INSTANCE);
	nx_cmd_mark(&cmd, NX_CMD_PRIORITY);
	cmd.priority = instance->priority;
	if (instance->originator) {
		(void)snprintf(cmd.move_originator, sizeof(cmd.move_originator), "%s",
			instance->originator);
		cmd.move_originator_id = instance->originator_id;
		nx_cmd_mark(&cmd, NX_CMD_MOVE_ORIGINATOR);
		nx_cmd_mark(&cmd, NX_CMD_MOVE_ORIGINATOR_ID);
	}
	rc = command_put(scu, c, &cmd, err);
	if (rc)
		return rc;
	scu->waiting[scu->outstanding++] = scu->message_id;
	if (instance->write)
		return instance->write(
			instance->payload, &scu->io, &scu->tx, c->id, scu->theirs.max_pdu, err);
	if (instance->dataset.n > COPY_MAX)
		return dataset_write(scu, c->id, instance->dataset, err);
	nx_pdu_data_format(&scu->tx, c->id, false, instance->dataset, scu->theirs.max_pdu);
	return scu->tx.len >= TX_HOLD ? tx_flush(scu, err) : nx_buf_check(&scu->tx, err);
}

nx_rc nx_dimse_scu_store(struct nx_dimse_scu *scu, const struct nx_dimse_scu_instance *instance,
	uint16_t *ret_status, struct nx_err *err)
{
	nx_rc rc;

	rc = nx_dimse_scu_drain(scu, err);
	if (!rc)
		rc = nx_dimse_scu_send(scu, instance, err);
	if (!rc)
		rc = nx_dimse_scu_drain(scu, err);
	if (rc)
		return rc;
	*ret_status = scu->last_status;
	return NX_OK;
}
